"""The fly files of the very version that is released: from git, else as a record kept them."""

import importlib
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

from betatrader.model.errors import ConfigurationError, RefusedError, UsageError
from betatrader.release.apps import APPS, ORDER, Image
from betatrader.release.record import Record

PACKAGE = "betatrader"
GIT_S = 20.0
_HASH = re.compile(r"[0-9a-f]{7,64}")
SCHEMA_FILE = "betatrader/model/event.py"
FUNCTIONS_FILE = "betatrader/store/functions.lua"
AS_IT_IS = "surrogateescape"
"""Bytes that are no UTF-8 are kept, to be told of where that matters."""


class Files(NamedTuple):
    """The fly files of one version, the revision that they are of, and which schemas it reads."""

    revision: str
    text: Mapping[str, str]
    reads: tuple[int, int]


def of_image(image: Image, project: Path, records: Sequence[Record]) -> Files:
    """The files for an image: of the git revision that its tag names, else of its last release; of
    that too where the tag has moved since.

    Raises UsageError where neither knows it, ConfigurationError where nothing runs by a file.
    """
    revision, kept = _revision(project, image.tag), _last_done(image, records)
    if kept is not None and (not revision or _moved(revision, kept)):
        found = Files(kept.revision, kept.files, kept.reads)
    elif revision:
        found = Files(revision, _at(project, revision), _reads(project, revision))
    else:
        raise UsageError(
            f"no fly files are known for {image.tag}: git in {project} has no such tag "
            "or commit, and no release of it is on record\n"
            "Run this in a checkout that has the tag, or name it with --project."
        )
    _check(_unfit(found, image.tag))
    return found


def for_release(
    kind: str, image: Image, project: Path, records: Sequence[Record], tell: Callable[[str], None]
) -> Files:
    """The same, by all of today's rules where it is deployed. A version that is gone back to has
    run, maybe under older rules: what they say of it, and of redis, which no release deploys, is
    told. Raises RefusedError besides where the tag names another commit than it was released as."""
    revision, kept = _revision(project, image.tag), _last_done(image, records)
    if kind == "deploy" and kept is not None and _moved(revision, kept):
        raise RefusedError(
            f"{image.tag} is commit {revision[:12]} today, and was {kept.revision[:12]} at its "
            f"release {kept.id}: its image may be of either\nGive what is new a tag of its own, "
            f"or put this one back: `git tag -f {image.tag} {kept.revision[:12]}`."
        )
    found = of_image(image, project, records)
    said = _deeper(found, image.tag)
    _check([line for file, line in said if kind == "deploy" and file != "redis.toml"])
    for _, line in said:
        tell(f"by today's rules, and no reason to stop: {line}")
    return found


def _last_done(image: Image, records: Sequence[Record]) -> Record | None:
    done = [r for r in records if r.image == str(image) and r.files and r.result == "done"]
    return done[-1] if done else None


def _moved(revision: str, kept: Record) -> bool:
    """Whether a tag names another commit than when its image was released."""
    return bool(revision and kept.revision and revision != kept.revision)


def of_checkout(project: Path) -> Files:
    """Those of the working tree: before the first release there are no others."""
    return Files("", in_folder(project / "fly"), (0, 0))


def in_folder(folder: Path) -> dict[str, str]:
    """The texts of the fly files there, byte for byte, also where one is no UTF-8; raises
    ConfigurationError where one cannot be read."""
    found = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            found[path.stem] = path.read_bytes().decode(errors=AS_IT_IS)
        except OSError as error:
            raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from error
    return found


def parsed(text: str) -> dict[str, Any]:
    """What a fly file says; raises ValueError with why it says nothing."""
    try:
        text.encode()
        return tomllib.loads(text)
    except UnicodeEncodeError:
        raise ValueError("it is no UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"no valid TOML: {error}") from error


def _check(problems: list[str]) -> None:
    if problems:
        raise ConfigurationError(problems)


def wrong(files: Files, name: str) -> list[str]:
    """Everything that is wrong with the files of a version, one line each."""
    return _unfit(files, name) or [line for _, line in _deeper(files, name)]


def _unfit(files: Files, name: str) -> list[str]:
    """What keeps files from being deployed at all: each role has one, and it starts that role."""
    problems = []
    for role in ORDER:
        if role not in files.text:
            problems.append(f"fly/{role}.toml is not there at {name}")
            continue
        try:
            found = parsed(files.text[role])
        except ValueError as error:
            problems.append(f"fly/{role}.toml at {name}: {error}")
            continue
        if not isinstance(found.get("env", {}), dict):
            problems.append(f"fly/{role}.toml at {name}: [env] is to be one table")
            continue
        wanted = _command(role, found)
        if found.get("processes") != {"app": wanted}:
            problems.append(f'fly/{role}.toml at {name}: [processes] app is to be "{wanted}"')
    return problems


def _command(role: str, found: Mapping[str, Any]) -> str:
    """A role's arguments: real money takes both halves, the mode in [env] and `--live` here."""
    mode = found.get("env", {}).get("BETATRADER_MODE", "")
    return f"--role {role} --live" if role == "trading" and mode == "live" else f"--role {role}"


def wrong_in(folder: Path) -> list[str]:
    """What is wrong with a folder of fly files, one line each."""
    return wrong(Files("", in_folder(folder), (0, 0)), str(folder))


def _deeper(files: Files, name: str) -> list[tuple[str, str]]:
    """What the checks of fly/ find, key by key: the file's name, and the line that is read."""
    if find_spec("betatrader.release.fly_files") is None:
        return []
    checks = importlib.import_module("betatrader.release.fly_files")
    with tempfile.TemporaryDirectory(prefix="betatrader-fly-") as folder:
        write(files, Path(folder))
        found = checks.check_files(Path(folder))
    return [(Path(one.file).name, str(one).replace(folder, f"fly at {name}")) for one in found]


def write(files: Files, folder: Path) -> None:
    """Put the files where `fly deploy -c` reads them."""
    for role, text in files.text.items():
        (folder / f"{role}.toml").write_bytes(text.encode(errors=AS_IT_IS))


def environment(files: Files, role: str) -> dict[str, str]:
    """A role's [env]; raises ConfigurationError. That of Redis, which no release deploys, says
    nothing, right or wrong."""
    if role not in ORDER or role not in files.text:
        return {}
    try:
        found = parsed(files.text[role]).get("env", {})
    except ValueError as error:
        raise ConfigurationError([f"fly/{role}.toml: {error}"]) from error
    if not isinstance(found, dict):
        raise ConfigurationError([f"fly/{role}.toml: [env] is to be one table"])
    return {str(name): str(value) for name, value in found.items()}


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
    texts = {
        app: _git(project, "show", f"{revision}:fly/{app}.toml", errors=AS_IT_IS) for app in APPS
    }
    return {role: text for role, text in texts.items() if text}


def _reads(project: Path, revision: str) -> tuple[int, int]:
    """The schemas that the code of a revision reads: its own, and the one before it."""
    text = _git(project, "show", f"{revision}:{SCHEMA_FILE}")
    match = re.search(r"^SCHEMA_VERSION = (\d+)$", text, re.MULTILINE)
    return (max(1, int(match[1]) - 1), int(match[1])) if match else (0, 0)


def functions_of(project: Path, revision: str) -> str:
    """The server-side functions of a revision, "" where git does not have it."""
    return _git(project, "show", f"{revision}:{FUNCTIONS_FILE}") if revision else ""


def unpack(project: Path, revision: str, part: str, folder: Path) -> bool:
    """Put a part of a revision into a folder; False where git does not have it."""
    packed = folder / "revision.zip"
    _git(project, "archive", "--format=zip", "-o", str(packed), revision, part)
    try:
        with ZipFile(packed) as found:
            found.extractall(folder)
    except (OSError, BadZipFile):
        return False
    return True


def asked(project: Path, revision: str, part: str, words: str, given: str = "") -> str | None:
    """What the code of a revision prints that runs these words of Python; None where git does not
    have it, it has no such `part` (a file of the package), or it fails. `given` is its stdin."""
    with tempfile.TemporaryDirectory(prefix="betatrader-code-") as folder:
        code = Path(folder)
        if not revision or not unpack(project, revision, PACKAGE, code):
            return None
        if not (code / part).is_file():  # this version's own would answer in its stead
            return None
        try:
            done = subprocess.run(  # noqa: S603  our own code, of a tag that is to be deployed
                [sys.executable, "-B", "-c", words],
                cwd=folder,  # which is where it imports from first
                env={},
                input=given,
                capture_output=True,
                text=True,
                timeout=GIT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError, ValueError):
            return None
    return done.stdout


def _git(project: Path, *arguments: str, errors: str = "replace") -> str:
    """What git says, "" where it has nothing to say; `errors`: what becomes of no UTF-8."""
    try:
        done = subprocess.run(  # noqa: S603  fixed words, and names that git itself checks
            ["git", "-C", str(project), *arguments],  # noqa: S607
            capture_output=True,
            encoding="utf-8",
            errors=errors,
            timeout=GIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
