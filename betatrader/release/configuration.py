"""The fly files of the very version that is released: from git, else as a record kept them."""

import importlib
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from betatrader.model.errors import ConfigurationError, UsageError
from betatrader.release.apps import APPS, ORDER, Image
from betatrader.release.record import Record

GIT_S = 20.0
_HASH = re.compile(r"[0-9a-f]{7,64}")
SCHEMA_FILE = "betatrader/model/event.py"


class Files(NamedTuple):
    """The fly files of one version, the revision that they are of, and which schemas it reads."""

    revision: str
    text: Mapping[str, str]
    reads: tuple[int, int]


def of_image(image: Image, project: Path, records: Sequence[Record]) -> Files:
    """The files for an image: of the git revision that its tag names, else of its last release.

    Raises UsageError where neither knows it, ConfigurationError where a file is wrong.
    """
    revision = _revision(project, image.tag)
    if revision:
        found = Files(revision, _at(project, revision), _reads(project, revision))
    else:
        kept = [r for r in records if r.image == str(image) and r.files and r.result == "done"]
        if not kept:
            raise UsageError(
                f"no fly files are known for {image.tag}: git in {project} has no such tag "
                "or commit, and no release of it is on record\n"
                "Run this in a checkout that has the tag, or name it with --project."
            )
        found = Files(kept[-1].revision, kept[-1].files, kept[-1].reads)
    check(found, image.tag)
    return found


def of_checkout(project: Path) -> Files:
    """Those of the working tree: before the first release there are no others."""
    found = {path.stem: path.read_text() for path in sorted(project.glob("fly/*.toml"))}
    return Files("", found, (0, 0))


def check(files: Files, name: str) -> None:
    """Raises ConfigurationError with everything that is wrong."""
    problems = wrong(files, name)
    if problems:
        raise ConfigurationError(problems)


def wrong(files: Files, name: str) -> list[str]:
    """Everything that is wrong with the files of a version, one line each."""
    problems = []
    for role in ORDER:
        if role not in files.text:
            problems.append(f"fly/{role}.toml is not there at {name}")
            continue
        try:
            found = tomllib.loads(files.text[role])
        except tomllib.TOMLDecodeError as error:
            problems.append(f"fly/{role}.toml at {name}: no valid TOML: {error}")
            continue
        wanted = _command(role, found)
        if found.get("processes") != {"app": wanted}:
            problems.append(f'fly/{role}.toml at {name}: [processes] app is to be "{wanted}"')
    return problems or _deeper(files, name)


def _command(role: str, found: Mapping[str, Any]) -> str:
    """A role's arguments: real money takes both halves, the mode in [env] and `--live` here."""
    mode = found.get("env", {}).get("BETATRADER_MODE", "")
    return f"--role {role} --live" if role == "trading" and mode == "live" else f"--role {role}"


def wrong_in(folder: Path) -> list[str]:
    """What is wrong with a folder of fly files, one line each."""
    found = {path.stem: path.read_text() for path in sorted(folder.glob("*.toml"))}
    return wrong(Files("", found, (0, 0)), str(folder))


def _deeper(files: Files, name: str) -> list[str]:
    """What the checks of fly/ find, key by key."""
    if find_spec("betatrader.release.fly_files") is None:
        return []
    checks = importlib.import_module("betatrader.release.fly_files")
    with tempfile.TemporaryDirectory(prefix="betatrader-fly-") as folder:
        write(files, Path(folder))
        found = [str(problem) for problem in checks.check_files(Path(folder))]
    return [problem.replace(folder, f"fly at {name}") for problem in found]


def write(files: Files, folder: Path) -> None:
    """Put the files where `fly deploy -c` reads them."""
    for role, text in files.text.items():
        (folder / f"{role}.toml").write_text(text)


def environment(files: Files, role: str) -> dict[str, str]:
    """A role's [env]."""
    return {str(k): str(v) for k, v in tomllib.loads(files.text[role]).get("env", {}).items()}


def _revision(project: Path, tag: str) -> str:
    """The commit that a tag of an image names: a git tag, or a hash, `sha-` before it or not. A
    branch is none: it names another version tomorrow."""
    found = _commit(project, f"refs/tags/{tag}")
    name = tag.removeprefix("sha-")
    if found or not _HASH.fullmatch(name):
        return found
    found = _commit(project, name)
    return found if found.startswith(name) else ""


def _commit(project: Path, name: str) -> str:
    return _git(project, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()


def _at(project: Path, revision: str) -> dict[str, str]:
    texts = {app: _git(project, "show", f"{revision}:fly/{app}.toml") for app in APPS}
    return {role: text for role, text in texts.items() if text}


def _reads(project: Path, revision: str) -> tuple[int, int]:
    """The schemas that the code of a revision reads: its own, and the one before it."""
    text = _git(project, "show", f"{revision}:{SCHEMA_FILE}")
    match = re.search(r"^SCHEMA_VERSION = (\d+)$", text, re.MULTILINE)
    return (max(1, int(match[1]) - 1), int(match[1])) if match else (0, 0)


def _git(project: Path, *arguments: str) -> str:
    """What git says, "" where it has nothing to say."""
    try:
        done = subprocess.run(  # noqa: S603  fixed words, and names that git itself checks
            ["git", "-C", str(project), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=GIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
