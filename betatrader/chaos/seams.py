"""Where the product's edges meet the simulated world: clock, disk, threads, the home's lock.

The world runs in a process of its own, made for it (`chaos.simulate`), so that what is put in
place here touches nothing else. The edges themselves run as they are.
"""

import errno
import os
import random
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel
import anyio.to_thread
import structlog

from betatrader.chaos.busy import Busy
from betatrader.chaos.eager import Eager
from betatrader.chaos.loop import Process, ProcessKilled, current_process
from betatrader.net import feed
from betatrader.ops import clock, files, mapped_file
from betatrader.ops.mapped_file import MappedFile
from betatrader.roles import leading, strategies
from betatrader.store import journal, lease

PAGE = 4096
WINDOW = 64 * 1024
"""A journal's file grows by so much here; every start makes one."""

EPOCH_S = 1_800_000_000.0
"""UTC at virtual time 0."""

RATE_ERROR, LONGEST_UP_S = 0.02, 1e5
"""How far a machine's count of seconds may be off: a lease's margin is good for far more. And how
long it may have been up as a run begins: no such time means anything on another machine."""

LOCKED: dict[Path, Process] = {}


class VenueClock:
    """How far a venue's wall clock is off."""

    ahead_s = 0.0


OF_VENUE: ContextVar[VenueClock | None] = ContextVar("venue_clock", default=None)
"""The clock of the venue whose code runs now."""


class Disk:
    """What befalls the disk of one machine. Files are real, in a folder in memory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.synced: dict[int, int] = {}
        """Bytes of a file that would survive a power cut, by inode."""
        self.full_until = 0.0
        self.sync_fails_until = 0.0
        self.kill_after_order = 0
        """Kill the process so many callbacks after its next order has left (0: do not)."""
        self.kill_after_writes = 0
        """Kill the process in its so-manieth write from now (0: do not); the write is torn."""

    def power_cut(self, chance: random.Random) -> None:
        """Of what was not synced some pages vanish: all from somewhere on, or any of them."""
        for path in sorted(self.home.rglob(f"*{journal.SUFFIX}")):
            content = bytearray(path.read_bytes())
            safe = self.synced.get(path.stat().st_ino, 0)
            if safe >= len(content):
                continue
            if chance.randrange(2):
                lost = safe + chance.randrange(len(content.rstrip(b"\0")[safe:]) + 1)
                content[lost:] = bytes(len(content) - lost)
            else:
                for page in range(safe - safe % PAGE, len(content), PAGE):
                    if chance.randrange(2):
                        begins = max(page, safe)
                        content[begins : page + PAGE] = bytes(len(content[begins : page + PAGE]))
            path.write_bytes(content)


class Quartz(NamedTuple):
    """What counts the seconds of a machine since its start: nobody sets it, and it is never quite
    right."""

    rate: float = 1.0
    since_s: float = 0.0
    """How long the machine had been up as the world began."""

    @classmethod
    def drawn(cls, machine: str, seed: int) -> "Quartz":
        """A machine's own in the run of a seed."""
        chance = random.Random(f"quartz of {machine} {seed}")  # noqa: S311  a seed, to be repeated
        off = chance.uniform(-RATE_ERROR, RATE_ERROR)
        return cls(1.0 + off, chance.uniform(0.0, LONGEST_UP_S))

    def read_s(self, now_s: float) -> float:
        """What it shows at a virtual time."""
        return self.since_s + now_s * self.rate


class Machine(Process):
    """A simulated process with its disk and its machine's clocks: how far the wall clock is off,
    and what counts seconds."""

    def __init__(self, name: str, disk: Disk, quartz: Quartz) -> None:
        super().__init__(name)
        self.disk = disk
        self.quartz = quartz
        self.offset_s = 0.0
        self.now: Callable[[], float] = lambda: 0.0


def current_machine() -> Machine | None:
    """The machine whose code runs now; None where it is none's."""
    found = current_process()
    return found if isinstance(found, Machine) else None


def put(owner: object, name: str, made: object) -> None:
    """Replace an attribute of a module or class, for this operating-system process; raises
    AttributeError where there is none of that name, which would go unseen."""
    getattr(owner, name)
    setattr(owner, name, made)


def begin() -> None:
    """A new world: nothing is locked, and nobody was started."""
    global _starts
    _starts = 0
    LOCKED.clear()


def put_in_place(now: Callable[[], float]) -> None:
    """Let the product's edges use this world; `now` is virtual seconds."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False
    )

    def now_ns() -> int:
        machine = current_machine()
        if machine is not None:
            return int((EPOCH_S + now() + machine.offset_s) * 1e9)
        venue = OF_VENUE.get()
        return int((EPOCH_S + now() + (venue.ahead_s if venue is not None else 0.0)) * 1e9)

    def boot_s() -> float:
        machine = current_machine()
        return now() if machine is None else machine.quartz.read_s(now())

    put(clock, "now_ns", now_ns)
    put(clock, "boot_s", boot_s)
    strategies.SHIPPED |= {"busy": Busy, "eager": Eager}
    put(leading, "lock", _lock)
    put(lease, "holder_name", _holder)
    put(leading, "holder_name", _holder)
    put(mapped_file, "WINDOW", WINDOW)
    put(MappedFile, "append", _append)
    put(MappedFile, "sync", _sync)
    put(anyio.to_thread, "run_sync", _inline)
    put(feed, "spread", lambda: 0.75)
    _watch_syncs(now)


def _lock(path: Path) -> Process | None:
    holder, machine = LOCKED.get(path), current_machine()
    if holder is not None and holder.alive and holder is not machine:
        raise files.Taken("0")
    if machine is not None:
        LOCKED[path] = machine
    return machine


_starts = 0


def _holder(home: Path, *, solo: bool) -> str:
    global _starts
    _starts += 1
    return str(home) if solo else f"{home} {_starts}"


async def _inline(call: Callable[..., Any], *args: Any, **_: Any) -> Any:
    """A thread's work, done here: it ends before anything else happens."""
    await anyio.lowlevel.checkpoint()
    return call(*args)


_append_really, _sync_really = MappedFile.append, MappedFile.sync


def _append(self: MappedFile, data: bytes) -> None:
    machine = current_machine()
    if machine is None:
        _append_really(self, data)
        return
    if not machine.alive:
        raise ProcessKilled
    disk = machine.disk
    if machine.now() < disk.full_until:
        raise OSError(errno.ENOSPC, "no space left")
    if disk.kill_after_writes:
        disk.kill_after_writes -= 1
        if disk.kill_after_writes == 0:
            _append_really(self, data[: len(data) // 2])
            machine.kill()
            raise ProcessKilled
    _append_really(self, data)


def _sync(self: MappedFile) -> None:
    machine = current_machine()
    _sync_really(self)
    if machine is not None:
        machine.disk.synced[os.fstat(self._file).st_ino] = self.size


def _watch_syncs(now: Callable[[], float]) -> None:
    real_data, real = os.fdatasync, os.fsync

    def note(file: int, sync: Callable[[Any], None]) -> None:
        machine = current_machine()
        if machine is not None and now() < machine.disk.sync_fails_until:
            raise OSError(errno.EIO, "input/output error")
        sync(file)

    put(os, "fdatasync", lambda file: note(file, real_data))
    put(os, "fsync", lambda file: note(file, real))
