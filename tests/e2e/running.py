"""Runs the program for real, as its own processes, in a home of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from betatrader.model.command import Approved, Step
from betatrader.ops.home import Runtime
from betatrader.ops.process import alive
from betatrader.sim.ledger import Ledger
from betatrader.store.journal_reader import Reader
from betatrader.venues.link import wire
from betatrader.venues.paper_ledger import LedgerFile

PROGRAM = [sys.executable, "-m", "betatrader"]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


def run(*arguments: str, timeout: float = 60, **more: str) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(**more),
        check=False,
    )


def free_port() -> int:
    """One that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def lines(errors: str) -> list[str]:
    """What a person sees on stderr: all but the log lines."""
    return [line for line in errors.splitlines() if line and not line.startswith("{")]


class Up:
    """A run of `up` (or `demo`) in the background."""

    def __init__(self, *arguments: str, **more: str) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, *(arguments or ("up",)), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**more),
        )

    def runtime(self) -> Runtime:
        """The live run, once all its roles are ready."""
        import msgspec

        def read() -> Runtime | None:
            for path in Path(os.environ["XDG_RUNTIME_DIR"]).glob("betatrader/*/runtime.json"):
                found = msgspec.json.decode(path.read_bytes(), type=Runtime)
                if found.pid == self.process.pid and all(found.ports.values()):
                    return found
            return None

        return until(read, 25)

    def announced(self) -> bool:
        """Whether it has begun: its roles may still be starting."""
        import msgspec

        return any(
            msgspec.json.decode(path.read_bytes(), type=Runtime).pid == self.process.pid
            for path in Path(os.environ["XDG_RUNTIME_DIR"]).glob("betatrader/*/runtime.json")
        )

    def end(self, timeout: float = 40, number: int | None = signal.SIGINT) -> tuple[int, Any, str]:
        """Stop it as Ctrl-C does; exit status, report and stderr."""
        if number is not None:
            self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=timeout)
        return self.process.returncode, json.loads(output) if output.strip() else None, errors


@contextmanager
def up(*arguments: str, **more: str) -> Iterator[Up]:
    """A run that is gone at the end, whatever happened."""
    started = Up(*arguments, **more)
    try:
        yield started
    finally:
        children = family(started.process.pid)
        if started.process.poll() is None:
            started.process.kill()
        all_gone(children)  # they end with their parent, and write to its home until then
        for pipe in (started.process.stdout, started.process.stderr):
            if pipe is not None:
                pipe.close()
        started.process.wait(10)


def ledger_of(home: Path) -> Ledger:
    """The paper venue's books, read from a copy: to open a ledger is to write it anew."""
    copy = home.parent / f"{home.name}-copy.btl"
    copy.write_bytes((home / "paper" / "ledger.btl").read_bytes())
    found = LedgerFile(copy).ledger
    assert found is not None
    return found


def approved(home: Path, since_ns: int = 0) -> set[str]:
    """The ids of all orders that a home's journals hold, made after a moment."""
    return {
        change.order
        for folder in (home / "journal").iterdir()
        for entry in Reader(folder)
        if isinstance(entry.record, Step) and entry.record.time_ns > since_ns
        for change in entry.record.changes
        if isinstance(change, Approved)
    }


def until(look: Callable[[], Any], seconds: float) -> Any:
    """What `look` finds, as soon as it finds something true.

    Between two looks it rests for longer than one took: a look may be a process of its own, and
    those that are looked at need the processor too.
    """
    deadline = time.monotonic() + seconds
    while (began := time.monotonic()) < deadline:
        found = look()
        if found:
            return found
        time.sleep(max(0.05, 2 * (time.monotonic() - began)))
    raise AssertionError(f"nothing after {seconds} s")


def family(pid: int) -> list[int]:
    """All processes below one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found += [int(entry.name), *family(int(entry.name))]
    return found


def redis_server_of(running: Up) -> int:
    """The Redis server that `up` has started; 0 while none runs. Processes end as one looks."""
    for pid in family(running.process.pid):
        with suppress(OSError):
            if "valkey-server" in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
    return 0


def all_gone(pids: list[int], seconds: float = 10) -> bool:
    """Whether these processes end within so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def venue_ledger(link: str, account: str = "us") -> Ledger:
    """The reference venue's own books, asked over its socket."""
    host, _, port = link.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(wire.framed(wire.Hello(account)) + wire.framed(wire.AskLedger(1)))
        frames = wire.Frames()
        while True:
            for payload in frames.feed(connection.recv(1 << 16)):
                answer = wire.decode_answer(payload)
                if isinstance(answer, wire.LedgerIs):
                    return answer.ledger
