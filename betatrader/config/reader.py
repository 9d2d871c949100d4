"""Reads tables beside the structs that they should be, and gathers every problem."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin

import msgspec

from betatrader.model.money import SCALE
from betatrader.model.secret import SHORTEST, Secret, is_placeholder

ENVIRONMENT = "BETATRADER_"
NOT_FIELDS = (
    *("HOME", "CONFIG", "SHARED", "SUPERVISED", "CONTROL_TOKEN"),
    *("FLY", "IMAGE", "RELEASE_PREFIX", "RELEASE_REDIS_APP", "RELEASE_WATCH", "SOAK_EVENTS"),
)
"""Environment variables of ours that are no fields of the configuration."""

REDIS_PASSWORD = "REDIS_PASSWORD_"  # noqa: S105  how those for the server's users begin


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all tables."""


class Reader:
    """Walks a table and the struct it should be, side by side; gathers problems."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name = name
        self.lines = lines
        self.problems: list[str] = []
        self.sources: dict[str, str] = {}
        self._from_environment: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        """What variables hold, by their fields: a key of digits is no number."""

    def take_environment(self, values: dict[str, Any], environment: Mapping[str, str]) -> None:
        """Put what environment variables say over a file's values."""
        for variable, text in sorted(environment.items()):
            if not variable.startswith(ENVIRONMENT):
                continue
            tail = variable.removeprefix(ENVIRONMENT)
            if tail in NOT_FIELDS or tail.startswith(REDIS_PASSWORD):
                continue
            *tables, field = tail.lower().split("__")
            inner = values
            for table in tables:
                inner = inner.setdefault(table, {}) if isinstance(inner, dict) else {}
            inner[field] = from_environment(text)
            self._from_environment[".".join([*tables, field])] = variable
            self._texts[".".join([*tables, field])] = text

    def table(self, kind: type[Section], values: Any, path: tuple[str, ...]) -> Any:
        """A table as the struct that it should be; None where it is not."""
        if not isinstance(values, dict):
            self._problem(path, f"expected a table, found {_shown(values)}")
            return None
        known = {field.name: field for field in msgspec.structs.fields(kind)}
        made: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                self._problem(
                    (*path, key), f"unknown field{did_you_mean(key, list(known), also=True)}"
                )
                continue
            made[key] = self.value(known[key].type, value, (*path, key))
        for name, field in known.items():
            if field.required and name not in values:
                self._problem(path, f"the field `{name}` is missing")
        if self.problems:
            return None
        return kind(**made)

    def value(self, kind: Any, value: Any, path: tuple[str, ...]) -> Any:
        """One field's value as its type says."""
        if isinstance(kind, type) and issubclass(kind, Section):
            return self.table(kind, value, path)
        arguments = get_args(kind)
        if get_origin(kind) is tuple and _is_section(arguments[0]):
            if not isinstance(value, list):
                self._problem(path, f"expected an array of tables, found {_shown(value)}")
                return ()
            return tuple(
                self.table(arguments[0], item, (*path, str(index)))
                for index, item in enumerate(value)
            )
        dotted = ".".join(path)
        variable = self._from_environment.get(dotted)
        self.sources[dotted] = f"environment {variable}" if variable else self.place(path)
        if get_origin(kind) is Literal and value not in arguments:
            known = [str(one) for one in arguments]
            text = f"expected one of {', '.join(known)}, found {_shown(value)}"
            self._problem(path, text + did_you_mean(str(value), known, also=False))
            return None
        if variable and (kind in (Secret, str) or get_args(kind)[:1] == (Secret,)):
            value = self._texts[dotted]  # an address 0x… is no number
        try:
            made = msgspec.convert(value, kind, dec_hook=_secret)
        except msgspec.ValidationError as error:
            text = str(error)[0].lower() + str(error)[1:]
            text = text.replace("invalid decimal string", "expected a number")
            self._problem(path, f"{text}, found {_shown(value)}")
            return None
        wrong = _outside(kind, made)
        if wrong:
            self._problem(path, f"{wrong}, found {made}")
        return made

    def _problem(self, path: tuple[str, ...], text: str) -> None:
        field = ".".join(path)
        self.problems.append(f"{self.place(path)}: {field}: {text}" if field else text)

    def place(self, path: tuple[str, ...]) -> str:
        """Where a field was given: a variable, or a line of the file."""
        variable = self._from_environment.get(".".join(path))
        if variable:
            return f"environment {variable}"
        line = self._line(path)
        return f"{self.name} line {line}" if line else self.name

    def _line(self, path: tuple[str, ...]) -> int:
        """The line where a field stands: its key, after the header of its table."""
        tables, key = [part for part in path[:-1] if not part.isdigit()], path[-1] if path else ""
        inside = not tables
        for number, line in enumerate(self.lines, 1):
            stripped = line.strip()
            if stripped.startswith("["):
                inside = stripped.strip("[] ") == ".".join(tables)
                if stripped.strip("[] ") == ".".join(path):
                    return number
            elif inside and stripped.split("=")[0].strip() == key:
                return number
        return 0


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _secret(_kind: type, value: Any) -> Secret:
    """The one type of ours that msgspec does not know; a wrong value is not shown either."""
    return Secret(value if isinstance(value, str) else "no text")


def _outside(kind: Any, value: Any) -> str:
    """What a Decimal's bounds forbid; msgspec itself bounds only int and float."""
    if isinstance(value, Secret):
        return _no_secret(kind, value) if value else ""
    if not isinstance(value, Decimal):
        return ""
    for meta in getattr(kind, "__metadata__", ()):
        extra = meta.extra or {}
        if not value.is_finite():
            return "expected a finite number"
        if "above" in extra and value <= extra["above"]:
            return f"expected more than {extra['above']}"
        if "least" in extra and value < extra["least"]:
            return f"expected at least {extra['least']}"
        if "most" in extra and value > extra["most"]:
            return f"expected at most {extra['most']}"
        if value * SCALE != int(value * SCALE):
            return "expected at most eight decimals"
    return ""


def _no_secret(kind: Any, value: Secret) -> str:
    """What is wrong with a secret that is given."""
    if any((meta.extra or {}).get("web") for meta in getattr(kind, "__metadata__", ())):
        is_web = re.fullmatch(r"https?://[!-.0-~]+(/[!-~]*)?", value.reveal())
        return "" if is_web else "expected an address: https://HOST/PATH"
    if is_placeholder(value):
        return f"expected the secret itself, no placeholder and at least {SHORTEST} characters"
    return ""


def did_you_mean(word: str, known: list[str], *, also: bool = False) -> str:
    """A suggestion to append where one is near; else, with `also`, all that is known."""
    close = difflib.get_close_matches(word, known, 1, 0.6)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; known: {', '.join(known)}" if also else ""


def _shown(value: Any) -> str:
    return f"{value!r}"[:40]


def from_environment(text: str) -> Any:
    """A variable's text as TOML would read it, else as a string."""
    try:
        return tomllib.loads(f"value = {text}", parse_float=Decimal)["value"]
    except tomllib.TOMLDecodeError:
        return text
