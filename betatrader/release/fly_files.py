"""The fly configurations, read strictly: everything that is wrong is said, with its line.

`fly` itself ignores a key that it does not know, and validates only for who is logged in, so the
check is ours and runs anywhere. It changes nothing.
"""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from betatrader.config.reader import did_you_mean
from betatrader.release import fly_files_rules as rules
from betatrader.release.fly_files_keys import FILE, Named, Table, Tables, Value

Steps = tuple[str | int, ...]
"""A way into a file: keys, and places in arrays of tables."""


class Problem(NamedTuple):
    """One thing that is wrong; `str()` is the line that a person reads."""

    file: str
    line: int
    """From 1; 0 where what is wrong is that something is absent."""
    where: str
    """The table and key, dotted; "" for the whole file."""
    text: str
    """What is wrong, and how to mend it."""

    def __str__(self) -> str:
        place = f"{self.file} line {self.line}" if self.line else self.file
        return f"{place}: {self.where}: {self.text}" if self.where else f"{place}: {self.text}"


def check_files(folder: Path) -> list[Problem]:
    """Everything that is wrong with the files of a folder, each alone and all together."""
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        return [Problem(str(folder), 0, "", "no fly configuration is here (*.toml)")]
    problems: list[Problem] = []
    read: dict[str, dict[str, Any]] = {}
    for path in paths:
        found, wrong = _read(path)
        problems += wrong
        if found is not None:
            read[str(path)] = found
    between = rules.together(read) + (rules.complete(read) if len(read) == len(paths) else [])
    problems += [Problem(name or str(folder), 0, "", text) for name, text in between]
    return problems


def _read(path: Path) -> tuple[dict[str, Any] | None, list[Problem]]:
    """What the file holds, where that is worth comparing with its neighbours; and its problems."""
    name = str(path)
    try:
        text = path.read_text()
        found = tomllib.loads(text)
    except OSError as error:
        return None, [Problem(name, 0, "", f"cannot be read: {error.strerror}")]
    except (ValueError, RecursionError) as error:
        return None, [Problem(name, 0, "", f"no TOML: {error}")]
    misread = _table(FILE, found, ())
    wrong = misread or rules.alone(found)  # a rule may rely on each value's kind
    lines = text.splitlines()
    return (
        None if misread else found,
        [Problem(name, line_of(lines, way), _dotted(way), what) for way, what in wrong],
    )


def misread(found: Mapping[str, Any], keys: Collection[str]) -> list[str]:
    """What is wrong with the values of these keys of a file, one line each."""
    return [
        f"{_dotted(way)}: {what}"
        for key in found
        if key in keys
        for way, what in _value(FILE.keys[key], found[key], (key,))
    ]


def _value(kind: Value | Table | Tables | Named, value: Any, way: Steps) -> list[tuple[Steps, str]]:
    if isinstance(kind, Value):
        return [] if kind.fits(value) else [(way, f"expected {kind.expected}, found {value!r}")]
    if isinstance(kind, Tables):
        if kind.single and isinstance(value, dict):
            value = [value]
        if not isinstance(value, list):
            return [(way, f"expected an array of tables ([[{_dotted(way)}]]), found {value!r}")]
        return [
            problem
            for index, item in enumerate(value)
            for problem in _table(kind.of, item, (*way, index))
        ]
    if isinstance(kind, Table):
        return _table(kind, value, way)
    if not isinstance(value, dict):
        return [(way, f"expected a table, found {value!r}")]
    return [
        problem for key, item in value.items() for problem in _value(kind.of, item, (*way, key))
    ]


def _table(kind: Table, value: Any, way: Steps) -> list[tuple[Steps, str]]:
    if not isinstance(value, dict):
        return [(way, f"expected a table, found {value!r}")]
    problems: list[tuple[Steps, str]] = []
    for key, item in value.items():
        if key in kind.keys:
            problems += _value(kind.keys[key], item, (*way, key))
        else:
            hint = did_you_mean(key, list(kind.keys), also=True)
            problems.append(((*way, key), f"fly knows no such key{hint}"))
    problems += [(way, f"the key `{key}` is missing") for key in sorted(kind.needed - set(value))]
    return problems


def _dotted(way: Steps) -> str:
    return ".".join(part for part in way if isinstance(part, str))


def line_of(lines: list[str], way: Steps) -> int:
    """The line of a key, or of its table's head where it is a table; 0 where neither stands."""
    for keys in range(len(way), 0, -1):
        found = _line_of_key(lines, way[:keys])
        if found:
            return found
    return 0


def _line_of_key(lines: list[str], way: Steps) -> int:
    wanted = _dotted(way)
    item = next((part for part in reversed(way) if isinstance(part, int)), 0) + 1
    table, seen = "", 0
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].strip()
        if text.startswith("["):
            table, several = text.strip("[] "), text.startswith("[[")
            seen += several and wanted.startswith(table)
            below = table == wanted or table.startswith(f"{wanted}.")
            if below and (not several or seen == item):
                return number
        elif "=" in text:
            key = ".".join(filter(None, (table, text.split("=")[0].strip(' "'))))
            if key == wanted and seen in (0, item):
                return number
    return 0
