"""Which app must have which secret, and what is wrong with those that it has. Pure.

Whose a secret is stands in `ops.owners`, for every way to run the roles.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from betatrader.model.errors import UsageError
from betatrader.model.secret import Secret, is_placeholder
from betatrader.ops import door
from betatrader.ops.owners import OWNERS, secret_fields, variable
from betatrader.release.apps import APPS
from betatrader.release.fly import AppSecret

TRADED = {
    "binance": (("BETATRADER_BINANCE__SYMBOLS",), ("KEY", "SECRET")),
    "polymarket": (
        ("BETATRADER_POLYMARKET__MARKETS", "BETATRADER_POLYMARKET__FOLLOW"),
        ("PRIVATE_KEY",),
    ),
}
"""Each venue: the settings that say that it is traded, and the secrets that this needs."""

REDIS = tuple(
    f"BETATRADER_REDIS_PASSWORD_{user}" for user in ("TRADING", "INTEL", "JOBS", "OPERATOR")
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Needs(NamedTuple):
    """The secrets that an app must have, and those that it may have besides."""

    required: frozenset[str]
    optional: frozenset[str]


def needs(app: str, environment: Mapping[str, str]) -> Needs:
    """Of one app, whose fly file sets this environment."""
    if app == "redis":
        return Needs(frozenset(REDIS), frozenset())
    required, optional = {"REDIS_URL"}, set(_configured(app))
    if app == "trading":
        required.add(door.VARIABLE)
        for venue, (settings, names) in TRADED.items():
            if any(environment.get(one, "[]") not in ("", "[]") for one in settings):
                required |= {variable(venue, name.lower()) for name in names}
    return Needs(frozenset(required), frozenset(optional - required))


def problems(app: str, wanted: Needs, found: Sequence[AppSecret]) -> list[str]:
    """What is wrong with the secrets of an app, one line each."""
    names = {secret.name for secret in found}
    told = [f"{app}: {name} is missing" for name in sorted(wanted.required - names)]
    told += [
        f"{app}: {name} is set, and this app has no use for it"
        for name in sorted(names - wanted.required - wanted.optional)
    ]
    return told + [f"{app}: {names} hold one and the same value" for names in _alike(found)]


def read(text: str) -> dict[str, Secret]:
    """NAME=VALUE lines, as `fly secrets import` reads them; raises UsageError."""
    found: dict[str, Secret] = {}
    lines = iter(text.splitlines())
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if _opens_key(value if equals else line):
            raise UsageError(
                f"line {number} begins a key in PEM that goes on in the next lines\n"
                'Put all of it between """ and """ (NAME="""-----BEGIN … KEY-----""" over several '
                "lines), or on one line with \\n where a line ends."
            )
        if not equals or not _NAME.fullmatch(name):
            raise UsageError(f"line {number} is not NAME=VALUE\nIts text is not shown.")
        if value.startswith('"""') and not (value.endswith('"""') and len(value) >= 6):
            value = _block(value, lines, name)
        for quote in ('"""', '"', "'"):
            if (
                len(value) >= 2 * len(quote)
                and value[: len(quote)] == value[-len(quote) :] == quote
            ):
                value = value[len(quote) : -len(quote)]
                break
        found[name] = Secret(value)
    if not found:
        raise UsageError("no secret came on stdin\nGive NAME=VALUE lines: … < trading.env")
    return found


def written(secrets: Mapping[str, Secret]) -> Secret:
    """The same for `fly secrets import`, in quotes: without them it cuts a value at a `#`."""
    return Secret("".join(f'{name}="""{v.reveal()}"""\n' for name, v in secrets.items()))


def refused(app: str, wanted: Needs, given: Mapping[str, Secret]) -> list[str]:
    """Why these are not set for an app, one line each; no value is shown."""
    told = []
    for name, value in given.items():
        if name not in wanted.required | wanted.optional:
            other = [a for a in APPS if a != app and name in _all(a)]
            hint = f"; it belongs to {', '.join(other)}" if other else ""
            told.append(f"{app} has no use for {name}{hint}")
        elif is_placeholder(value):
            told.append(f"{name} holds a placeholder, not a secret")
    return told


def venue_names(venue: str) -> dict[str, str]:
    """A venue's secrets: variable to field."""
    return {variable(venue, field): field for field in secret_fields()[venue]}


def _all(app: str) -> frozenset[str]:
    wanted = needs(app, {settings[0]: "[1]" for settings, _ in TRADED.values()})
    return wanted.required | wanted.optional


def _configured(role: str) -> list[str]:
    return [
        variable(section, field)
        for section, fields in secret_fields().items()
        if role in OWNERS[section]
        for field in fields
    ]


def _alike(found: Sequence[AppSecret]) -> list[str]:
    """Names that share a value: one text was put in for all of them."""
    by_digest: dict[str, list[str]] = {}
    for secret in found:
        if secret.digest:
            by_digest.setdefault(secret.digest, []).append(secret.name)
    return [" and ".join(sorted(names)) for names in by_digest.values() if len(names) > 1]


def _opens_key(text: str) -> bool:
    """Whether a PEM begins here outside a block: its next lines would be read as names."""
    return not text.startswith('"""') and "-----BEGIN" in text and "-----END" not in text


def _block(first: str, lines: Any, name: str) -> str:
    kept = [first]
    for line in lines:
        kept.append(line)
        if line.endswith('"""'):
            return "\n".join(kept)
    raise UsageError(f'{name} opens with """ and never ends\nClose it with """ on its last line.')
