"""A text that is never shown: keys, tokens, addresses that hold one."""

import re
from urllib.parse import parse_qsl, urlencode, urlsplit

SHORTEST_KNOWN = 8
"""A shorter text would be found in words that are none of its business."""

SHORTEST = 8
"""No key, token or password that is worth its name is shorter."""

_PLACEHOLDERS = re.compile(
    r"(?ix) ^( <.*> | \$\{.*\} | x{3,} | \*+ | \.{3,} | change.?me.* | your[-_ ].* | placeholder.*"
    r"| todo.* | dummy.* | example.* | secret | password | token | key | test | none | null )$"
)

_known: set[str] = set()


def known() -> frozenset[str]:
    """Every secret text that this process has held: logs look for them (`ops/redaction.py`)."""
    return frozenset(_known)


class Secret:
    """Prints as `***` wherever it turns up; `reveal` is the one way to the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text
        if len(text) >= SHORTEST_KNOWN:
            _known.add(text)

    def reveal(self) -> str:
        """The text itself: for the wire alone."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return "***" if self._text else ""

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"


def is_placeholder(value: Secret) -> bool:
    """Whether a text stands where a secret is still to come."""
    text = value.reveal().strip()
    return len(text) < SHORTEST or _PLACEHOLDERS.fullmatch(text) is not None


def without_password(url: str, mark: str = "***@") -> str:
    """An address that may be shown, `mark` in place of its user and password."""
    head, at, tail = url.rpartition("@")
    shown = f"{head.partition('://')[0]}://{mark}{tail}" if at else url
    query = urlsplit(shown).query
    if "password" not in query:
        return shown
    kept = [(name, text) for name, text in parse_qsl(query) if name != "password"]
    return shown.replace(f"?{query}", "?" * bool(kept) + urlencode(kept))
