"""The settings in `[env]` of a version's fly files, as its roles will read them.

At fly they are the whole configuration, and a role that cannot read its own ends at its start: of
the trader that is when jobs and intel have moved. So they are read before anything changes, by the
code of the version's tag, from git, since another version has other settings.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from betatrader import config as configurations
from betatrader.config import Config
from betatrader.model.errors import BetatraderError, ConfigurationError
from betatrader.release import configuration
from betatrader.release.apps import ORDER, Image
from betatrader.release.configuration import Files

OWN_FILE = "betatrader/release/settings.py"
READ = "from betatrader.release import settings; settings.answer()"
_VARIABLE = "environment "
"""How the reader names the place of a value that came by a variable."""


class Wrong(NamedTuple):
    """One setting that its role cannot use."""

    role: str
    variable: str
    """In `[env]`; "" where no single one is to blame."""
    text: str

    @property
    def where(self) -> str:
        """The key in the role's file."""
        return f"env.{self.variable}" if self.variable else "env"


def check(
    kind: str, image: Image, project: Path, files: Files, tell: Callable[[str], None]
) -> None:
    """Raises ConfigurationError where a role of a version that is deployed would not read its
    settings. Of a version that is gone back to, which has run, and where only this version's code
    is there to read them, that is told alone."""
    known = of_version(project, files)
    found = wrong(files.text) if known is None else known
    lines = [f"fly/{w.role}.toml at {image.tag}: {w.where}: {w.text}" for w in found]
    if lines and kind == "deploy" and known is not None:
        raise ConfigurationError(lines)
    by = "this version" if known is None else "its own version"
    for line in lines:
        tell(f"as {by} reads it, and no reason to stop: {line}")


def of_version(project: Path, files: Files) -> list[Wrong] | None:
    """What the code of the files' own revision finds; None where git does not have it, or it is
    older than this question."""
    given = json.dumps(_environments(files.text))
    told = configuration.asked(project, files.revision, OWN_FILE, READ, given)
    if told is None:
        return None
    try:
        return [Wrong(*map(str, one)) for one in json.loads(told)]
    except (ValueError, TypeError):
        return None


def answer() -> None:
    """Reads each role's variables from stdin and writes what is wrong: asked of a tag's code."""
    sys.stdout.write(json.dumps(_wrong(json.loads(sys.stdin.read()))))


def wrong(text: Mapping[str, str]) -> list[Wrong]:
    """What this version's code finds in fly files (text by role); files that cannot be read are
    left to who checks those. A secret that is not there is not missed."""
    return _wrong(_environments(text))


def wrong_in(folder: Path) -> list[str]:
    """The same of a folder of fly files, one line each."""
    from betatrader.release.fly_files import line_of

    text = {}
    for role in ORDER:
        try:
            text[role] = (folder / f"{role}.toml").read_text()
        except (OSError, UnicodeDecodeError):
            continue
    told = []
    for one in wrong(text):
        line = line_of(text[one.role].splitlines(), ("env", one.variable))
        place = f"{folder}/{one.role}.toml" + (f" line {line}" if line else "")
        told.append(f"{place}: {one.where}: {one.text}")
    return told


def _environments(text: Mapping[str, str]) -> dict[str, dict[str, str]]:
    found = {}
    for role in ORDER:
        try:
            env = configuration.parsed(text.get(role, "")).get("env", {})
        except ValueError:
            continue
        if isinstance(env, dict):
            found[role] = {name: str(value) for name, value in env.items()}
    return found


def _wrong(environments: Mapping[str, Mapping[str, str]]) -> list[Wrong]:
    found = []
    for role, environment in environments.items():
        try:
            _usable(role, configurations.loads("", "", environment).config)
        except ConfigurationError as error:
            found += [_placed(role, line) for line in error.problems]
        except BetatraderError as error:
            found.append(Wrong(role, "", str(error).partition("\n")[0]))
    return found


def _usable(role: str, config: Config) -> None:
    """What a role asks of its settings besides, as it starts. A strategy that is a file is in the
    image alone."""
    from betatrader.jobs.schedule import check_expressions
    from betatrader.roles.strategies import load_all

    if role == "trading" and not any(".py" in entry.name for entry in config.strategies):
        load_all(config.strategies)
    if role == "jobs":
        expressions = ("pnl_report", "stream_upkeep")
        check_expressions({f"jobs.{name}": getattr(config.jobs, name) for name in expressions})


def _placed(role: str, line: str) -> Wrong:
    """A line of the reader's, which begins with the place of the value."""
    place, _, text = line.partition(": ")
    if place.startswith(_VARIABLE):
        return Wrong(role, place.removeprefix(_VARIABLE), text)
    return Wrong(role, "", line.removeprefix(": "))
