"""What in an image looks like a secret: in its texts, its variables, and the steps that made it.

By the patterns with which logs are cleaned (`ops/redaction.py`). A layer is a file that anybody
with the image can unpack, so that what a later layer takes away is looked at too. No value is told.
"""

import re
from collections.abc import Iterator

from betatrader.ops import redaction

LARGEST_TEXT = 256 * 1024
OURS = ("/app/", "/data/", "/home/", "/opt/", "/own/", "/root/", "/run/", "/src/", "/srv/", "/tmp/")
"""Where nothing stands but what we put there."""

THE_BASES = "/etc/"
"""Where the base's own texts speak of passwords: there the shape alone tells."""

PACKAGES, OWN_PACKAGE = "/site-packages/", "/site-packages/betatrader/"

_SETTING = re.compile(r"""\b([A-Za-z_]\w*)=("[^"]*"|'[^']*'|[^\s;&|]+)""")
_KEYED = re.compile(r"""["']?([A-Za-z_][\w\-]*)["']?\s*[:=]\s*("[^"]+"|'[^']+'|[^\s"',;}]{8,})""")
_REFERENCE = re.compile(r"""["']?(\$|<)""")
"""A value that stands elsewhere: `$NAME`, `${NAME}`, `$(command)`."""

_FIELD = re.compile(r"BETATRADER_\w*(KEY|SECRET|TOKEN|PASSWORD(_\w+)?|PASSPHRASE|WEBHOOK|DEADMAN)")
"""Variables of ours that hold one, whatever its shape."""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def is_searched(name: str, size: int) -> bool:
    """Whether a file's content is looked at: what is small, and neither a package nor the base's
    program."""
    if size > LARGEST_TEXT or not name.startswith((*OURS, THE_BASES)):
        return False
    return PACKAGES not in name or (OWN_PACKAGE in name and not name.endswith((".py", ".pyc")))


def in_text(name: str, content: bytes) -> bool:
    """Whether a file holds what looks like a secret."""
    if b"\0" in content:
        return False
    text = content.decode(errors="replace")
    if name.startswith(THE_BASES):
        told = [line for line in text.splitlines() if not line.lstrip().startswith(("#", ";"))]
        return redaction.has_telling_shape(_CERTIFICATE.sub("", "\n".join(told)))
    return redaction.has_telling_shape(text) or any(map(_is_told, text.splitlines()))


def in_configuration(config: dict, history: list[dict]) -> list[str]:
    """Where a variable, a label, an argument or a step of an image holds one."""
    found = [f"ENV {name}" for name, value in _pairs(config.get("Env")) if _is_one(name, value)]
    labels = (config.get("Labels") or {}).items()
    found += [f"LABEL {name}" for name, value in labels if _is_one(name, value)]
    for part in ("Entrypoint", "Cmd"):
        found += [part.upper() for text in config.get(part) or [] if _is_told(text)]
    for number, entry in enumerate(history, 1):
        step = f"{entry.get('created_by', '')} {entry.get('comment', '')}"
        if _is_told(step):
            found.append(f"step {number}")
    return found


def _pairs(variables: list[str] | None) -> Iterator[tuple[str, str]]:
    for variable in variables or []:
        name, _, value = variable.partition("=")
        yield name, value


def _is_one(name: str, value: str) -> bool:
    """Whether a setting is a secret: by its name, or by what it holds."""
    if not value or _REFERENCE.match(value):
        return False
    return bool(_FIELD.fullmatch(name)) or redaction.value(value, name) != value


def _is_told(line: str) -> bool:
    """Whether a line tells one: by its shape, or by the name of what it sets."""
    if redaction.has_telling_shape(line):
        return True
    settings = [(match[1], match[2].strip("\"'")) for match in _SETTING.finditer(line)]
    return any(_is_one(name, value) for name, value in settings) or _is_field(line)


def _is_field(line: str) -> bool:
    """`secret = "…"`, `passphrase: …`, as a configuration writes it."""
    return any(
        not _REFERENCE.match(match[2]) and redaction.value(match[2], match[1]) == redaction.SHOWN
        for match in _KEYED.finditer(line)
    )
