"""Where a run lives: its home on disk, its short folder of sockets, and how commands find it."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

import msgspec

from betatrader.model.errors import RefusedError, UnreachableError
from betatrader.model.secret import without_password
from betatrader.ops.files import Taken, lock, replace_whole
from betatrader.ops.process import alive


class Runtime(msgspec.Struct, kw_only=True):
    """runtime.json: a live run, its processes and its Redis (an address without its password)."""

    home: str
    pid: int
    redis_url: str
    mode: str
    demo: bool = False
    roles: dict[str, int] = msgspec.field(default_factory=dict)
    ports: dict[str, int] = msgspec.field(default_factory=dict)


def default_home() -> Path:
    """`$BETATRADER_HOME`, else the user's data folder."""
    chosen = os.environ.get("BETATRADER_HOME")
    if chosen:
        return Path(chosen).expanduser().resolve()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return (Path(data).expanduser() / "betatrader").resolve()


def sockets_root() -> Path:
    """Where the folders of all runs of this user are."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and Path(base).is_dir():
        return Path(base) / "betatrader"
    return Path(tempfile.gettempdir()) / f"betatrader-{os.getuid()}"


def sockets(home: Path) -> Path:
    """The folder of one home's sockets: short, since a socket's path may hold about 100 bytes."""
    return sockets_root() / hashlib.sha256(str(home).encode()).hexdigest()[:12]


class Hold:
    """A home held by this process, until `release` or its end: no second run starts on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = sockets(home)
        self._lock = self._take()

    def _take(self) -> IO[str]:
        self.home.mkdir(parents=True, exist_ok=True)
        for folder in (sockets_root(), self.folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        try:
            held = lock(self.home / "lock")
        except Taken as taken:
            raise RefusedError(
                f"another run holds {self.home} (pid {taken.pid})\n"
                f"Stop it (kill {taken.pid}), or choose another home with BETATRADER_HOME."
            ) from None
        self._clear_leftovers()
        return held

    def _clear_leftovers(self) -> None:
        """What a run that was killed left behind."""
        for leftover in self.folder.iterdir():
            leftover.unlink()

    def announce(self, runtime: Runtime) -> None:
        """Write runtime.json, whole or not at all; no password stands in it."""
        bare = without_password(runtime.redis_url, mark="")
        runtime = msgspec.structs.replace(runtime, redis_url=bare)
        replace_whole(self.folder / "runtime.json", msgspec.json.encode(runtime))

    def release(self) -> None:
        """Leave nothing in the folder of sockets, and let go of the home."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.truncate(0)
        self._lock.close()


def live_runs() -> list[Runtime]:
    """All runs of this user whose process lives."""
    found = []
    for path in sorted(sockets_root().glob("*/runtime.json")):
        try:
            runtime = msgspec.json.decode(path.read_bytes(), type=Runtime)
        except (OSError, msgspec.DecodeError):
            continue
        if alive(runtime.pid):
            found.append(runtime)
    return found


def find_run() -> Runtime | None:
    """The live run of our home, else the only live run, None where none lives.

    Raises RefusedError where several live and none is ours.
    """
    runs, home = live_runs(), str(default_home())
    for run in runs:
        if run.home == home:
            return run
    if len(runs) > 1:
        listed = ", ".join(f"{run.home} (pid {run.pid})" for run in runs)
        raise RefusedError(f"several runs live: {listed}\nChoose one with BETATRADER_HOME.")
    return runs[0] if runs else None


def redis_url() -> str:
    """The Redis of the run that a command means; raises UnreachableError where there is none."""
    chosen = os.environ.get("REDIS_URL")
    if chosen:
        return chosen
    run = find_run()
    if run is None:
        raise UnreachableError(
            f"no run of {default_home()} is live\n"
            "Start one with `betatrader up` or `betatrader demo`, or set REDIS_URL."
        )
    return run.redis_url
