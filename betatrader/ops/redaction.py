"""Takes secrets out of what is logged or posted: by the field's name, by value, by pattern.

A private key and a condition id look alike (0x and 64 digits), so what has no telling shape is
known by its field's name, or since a `Secret` of this process holds it. Ids and hashes stay.
"""

import base64
import contextlib
import re
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from betatrader.model import secret
from betatrader.model.secret import SHORTEST_KNOWN, Secret

SHOWN = "***"

_NAMES = (
    r"(?:private|secret|signing|encryption)[_\- ]?key|api[_\- ]?(?:key|secret|sign)|secret"
    r"|pass[_\- ]?phrase|passw(?:or)?d|mnemonic|seed[_\- ]?(?:phrase|words)|recovery[_\- ]?phrase"
    r"|authorization|cookies?|credentials?|poly[_\-]signature|listen[_\-]?key"
    r"|(?:access|refresh|bearer|auth|control|bot|session|api|id|csrf|deploy|fly)[_\- ]?token"
)
_NAMED = re.compile(rf"(?i)(?:{_NAMES})(?:[_\-][a-z_\-]*)?$")
"""A field whose value is secret, whatever it looks like."""

_ABOUT = "expected|missing|is|are|not|must|field|unknown|found|no|invalid|wrong|the|a|has|too|true"
_INLINE = re.compile(
    rf"(?i)((?:{_NAMES})(?:[_\-][a-z_\-]*)?)"
    rf"(\\*[\"']?\s*(?:=|:(?!\s*(?:{_ABOUT}|false|none|null)\b))\s*)"
    r"(\\*\"[^\"]*\"|\\*'[^']*'|b'[^']*'|(?:bearer |basic |flyv1 )?[^\s\"'\\,;&}\])]+)"
)
"""The same inside a text: `secret=…`, `"passphrase": "…"`."""

_LINE = re.compile(r"(?i)((?:set-)?cookie|authorization)(\s*:\s*)[^\"'\r\n]+")
_PRIVATE_KEY = re.compile(r"(?i)(private[ _\-]?key\W{0,4})(?:0x)?[0-9a-f]{64}\b")
_URL_PASSWORD = re.compile(r"(://)[^\s/@\"']*:[^\s/@\"']+(@)")
_QUERY = re.compile(r"(?i)([?&](?:api_?key|key|token|sig|signature|secret)=)[^&\s\"'#]+")

_SHAPES = re.compile(
    "|".join(
        (
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)",
            r"\b(?:[Bb]earer|BEARER|Basic) +[\w.~+/=\-]{8,}",
            r"\bFlyV1 +[\w+/=,.\-]+",
            r"\b(?:fm[12][ar]?_|fo1_)[\w+/=,\-]{10,}",  # fly
            r"\bhooks\.slack\.com/[^\s\"']+",
            r"\bxox[a-z]-[\w\-]{8,}|\bxapp-[\w\-]{8,}",  # Slack
            r"\bdiscord(?:app)?\.com/api/(?:v\d+/)?webhooks/[^\s\"']+",
            r"\b(?:bot)?\d{6,12}:[\w\-]{30,}",  # Telegram
            r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",  # AWS
            r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w\-]{16,}",
            r"\b(?:sk|rk|pk)[-_][\w\-]{16,}",  # OpenAI, Anthropic, OpenRouter, Stripe
            r"\bAIza[\w\-]{30,}|\bhf_\w{20,}|\btvly-[\w\-]{16,}|\bfc-[0-9a-f]{24,}|\bjina_\w{20,}",
            r"\beyJ[\w\-]{5,}\.[\w\-]{5,}\.[\w\-]*",  # JWT
            r"\bAGE-SECRET-KEY-1\w+",
            r"(?<![\w+/=\-])[\w+/\-]{43}=(?![\w=])",  # 32 or 64 bytes in base64
            r"(?<![\w+/=\-])[\w+/\-]{86}==(?![\w=])",
            r"(?<![\w.])(?:[a-z]{3,8} ){11}(?:[a-z]{3,8} ){0,12}[a-z]{3,8}(?!\w)",  # seed phrase
        )
    ),
    re.DOTALL,
)

_PLAIN = re.compile(r"[0-9a-fA-Fx]+|[\d:.TZ+\-]+")
"""Ids, hashes, amounts, times: no pattern is in them."""

SHORT = 100


def text(found: str) -> str:
    """A text without the secrets in it."""
    if len(found) < SHORTEST_KNOWN:
        return found
    for needle in _needles(secret.known()):
        if needle in found:
            found = found.replace(needle, SHOWN)
    if _PLAIN.fullmatch(found):
        return found
    return _short(found) if len(found) <= SHORT else _by_pattern(found)


def has_telling_shape(found: str) -> bool:
    """Whether a text holds what is a secret by its shape alone, whatever it is called."""
    return any(one.search(found) for one in (_URL_PASSWORD, _PRIVATE_KEY, _SHAPES))


def _by_pattern(found: str) -> str:
    if "://" in found:
        found = _URL_PASSWORD.sub(r"\1***\2", found)
    if "=" in found or ":" in found:
        found = _QUERY.sub(r"\1***", found)
        found = _LINE.sub(r"\1\2***", found)
        found = _INLINE.sub(r"\1\2***", found)
    found = _PRIVATE_KEY.sub(r"\1***", found)
    return _SHAPES.sub(SHOWN, found)


_short = lru_cache(maxsize=512)(_by_pattern)
"""What stands in each line (role, version, event) is looked through once."""


@lru_cache(maxsize=512)
def _is_secret_name(name: str) -> bool:
    return bool(_NAMED.search(name))


def value(found: Any, name: str = "") -> Any:
    """The same for what JSON can hold, all the way down; `name` is the field's."""
    if name and _is_secret_name(name) and found not in (None, "", True, False):
        return SHOWN
    if isinstance(found, str):
        if name.lower().endswith("token") and not found.isdecimal():  # a token id is all digits
            return SHOWN if found else found
        return text(found)
    if isinstance(found, dict):
        return {text(key): value(inner, key) for key, inner in found.items()}
    if isinstance(found, list):
        return [value(inner, name) for inner in found]
    return found


def learn_password(url: str) -> None:
    """The password in an address is secret from here on."""
    with contextlib.suppress(ValueError):
        password = urlsplit(url).password
        if password:
            Secret(password)
            Secret(unquote(password))


@lru_cache(maxsize=4)
def _needles(texts: frozenset[str]) -> tuple[str, ...]:
    """Every way in which these texts turn up; the longest first."""
    found: set[str] = set()
    for one in texts:
        forms = {one, one.strip(), quote(one, safe=""), repr(one)[1:-1]}
        forms |= {part for part in one.splitlines() if not part.startswith("-----")}
        if re.fullmatch(r"0x[0-9a-fA-F]{16,}", one):
            forms |= {one[2:], one.lower(), one[2:].lower(), one.upper()}
        if one.startswith(("http://", "https://")):
            parts = urlsplit(one)
            forms |= {f"{parts.path}?{parts.query}" if parts.query else parts.path}
        forms |= {base64.b64encode(form.encode()).decode() for form in tuple(forms)}
        found |= {form for form in forms if len(form) >= SHORTEST_KNOWN}
    return tuple(sorted(found, key=len, reverse=True))
