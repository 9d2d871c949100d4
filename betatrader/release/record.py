"""What is kept of releases: who released what, when, with which result; and the one lock.

Both stand in Redis, where every operator and every later version finds them; records stand in the
operator's home as well. The lock holds where a release stands, so that one that was cut off can be
gone on with or taken back. It has no end of its own: a release that is dead must be looked at.
Whose it is says its hand, drawn by each process anew: its times and its step may be behind.
"""

import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec

from betatrader.model.errors import RefusedError
from betatrader.ops.author import user
from betatrader.store import keys
from betatrader.store.connection import Client

KEPT = 200
"""Records; each has the fly files of its release, about 5 kB."""

SILENT_S = 15.0
"""A release that has not renewed its lock for so long is dead."""

FIELD = "record"
IN_PART = "rolled back in part"
"""The result where some apps went back and others did not; the note names them."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One release, rollback or rotation. Times are UTC in nanoseconds."""

    id: str
    kind: str
    """deploy, rollback or rotate."""
    image: str
    before: dict[str, str] = {}
    """Which image each role had."""
    by: str = ""
    began_ns: int = 0
    ended_ns: int = 0
    result: str = "running"
    """running, done, rolled back, rolled back in part, failed or refused."""
    note: str = ""
    digest: str = ""
    revision: str = ""
    """Of the fly files."""
    reads: tuple[int, int] = (0, 0)
    """The oldest and the newest schema that this version reads; (0, 0): not known."""
    files: dict[str, str] = {}
    """The fly files that were used, by role."""
    venue: str = ""
    """Whose key a rotation switches."""
    secrets: dict[str, str] = {}
    """The names that a rotation sets, with fly's digest of what each held before, or ""."""
    staged: bool = False
    """Whether fly has said that it took them."""


class LostLockError(RefusedError):
    """Another release works on the apps by now: this one changes nothing more; exit status 6."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The lock's content: which release has it, where it stands, and its last sign of life."""

    id: str
    by: str
    host: str
    pid: int
    kind: str
    image: str
    step: str = ""
    began_ns: int = 0
    seen_ns: int = 0
    hand: str = ""
    """Of the process that works on it."""
    back: bool = False
    """Whether it is going back to the version before."""
    left: bool = False
    """Whether the process that had it said at its end that it is not done."""

    def is_dead(self, now_ns: int) -> bool:
        """Whether nobody works on it any more. A process that cannot be found tells nothing: two
        machines or containers may have one name."""
        return self.left or now_ns - self.seen_ns > SILENT_S * 1e9

    def mend(self) -> str:
        """What to do about it once it is dead."""
        if self.back:
            return "It was going back: end that with `betatrader release rollback`."
        if self.kind == "rotate":
            return (
                "Go on with `betatrader release deploy --resume`: it restarts the trader with the "
                "new key, or says that fly never got it."
            )
        return (
            "Go on with `betatrader release deploy --resume`, "
            "or go back with `betatrader release rollback`."
        )

    def told(self, now_ns: int) -> str:
        """Where it stands, in one clause."""
        ago = max(0, now_ns - self.seen_ns) // 1_000_000_000
        place = f"{self.by}, pid {self.pid}, seen {ago} s ago"
        return f"{self.kind} {self.id} of {self.image} ({place}) at {self.step or 'its start'}"


def _host() -> str:
    return os.uname().nodename


def author() -> str:
    """Who releases: user and machine."""
    return f"{user()}@{_host()}"


Fits = Callable[[Held | None], bool]
"""Whether the lock as it stands may be replaced."""


class Book:
    """Records and lock. The server's clock is everyone's."""

    def __init__(
        self, redis: Client, local: Path, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._redis = redis
        self._local = local
        self._tell = tell
        self.hand = secrets.token_hex(8)
        """What tells our lock from everybody else's."""

    async def now_ns(self) -> int:
        """The server's time."""
        seconds, micros = await self._redis.time()
        return int(seconds) * 1_000_000_000 + int(micros) * 1_000

    async def write(self, record: Record) -> None:
        """Add a record, or what has become of one: to Redis, which all others read, and to the
        operator's own file. One that fails does not keep the other from it."""
        data = msgspec.json.encode(record)
        try:
            await self._redis.xadd(keys.RELEASES, {FIELD: data}, maxlen=2 * KEPT, approximate=True)
        finally:
            self._write_here(data)

    def _write_here(self, data: bytes) -> None:
        try:
            self._local.parent.mkdir(parents=True, exist_ok=True)
            with self._local.open("ab") as out:
                out.write(data + b"\n")
        except OSError as error:
            self._tell(f"{self._local} does not take the record: {error.strerror}")

    async def records(self) -> list[Record]:
        """All that are kept, the newest last, each as it ended."""
        found: dict[str, Record] = {}
        for _, fields in await self._redis.xrange(keys.RELEASES):
            record = msgspec.json.decode(fields[FIELD.encode()], type=Record)
            found[record.id] = record
        return sorted(found.values(), key=lambda record: record.began_ns)

    async def held(self) -> Held | None:
        """Who holds the lock."""
        data = await self._redis.get(keys.RELEASE_LOCK)
        return msgspec.json.decode(data, type=Held) if data is not None else None

    async def take(self, record: Record, over: Held | None = None) -> "Lock":
        """The lock, or the dead one `over` which it is taken; raises RefusedError."""
        now = await self.now_ns()
        mine = Held(
            id=record.id,
            by=record.by,
            host=_host(),
            pid=os.getpid(),
            kind=record.kind,
            image=record.image,
            began_ns=record.began_ns,
            seen_ns=now,
            hand=self.hand,
        )
        if await self._swap(lambda found: found == over, mine):  # one that stirs again stays
            return Lock(mine, self._swap, self.now_ns)
        held = await self.held()
        if held is None:
            raise RefusedError("the release lock has just changed hands\nLook, and try again.")
        raise refused(held, now)

    async def _swap(self, fits: Fits, new: Held | None) -> bool:
        """Put `new` in place of what fits, or nothing where `new` is None."""
        async with self._redis.pipeline(transaction=True) as pipe:
            await pipe.watch(keys.RELEASE_LOCK)
            data = await pipe.get(keys.RELEASE_LOCK)
            found = msgspec.json.decode(data, type=Held) if data is not None else None
            if not fits(found):
                return False
            pipe.multi()
            if new is None:
                pipe.delete(keys.RELEASE_LOCK)
            else:
                pipe.set(keys.RELEASE_LOCK, msgspec.json.encode(new))
            return await _executed(pipe)


async def _executed(pipe: Any) -> bool:
    from redis.exceptions import WatchError

    try:
        await pipe.execute()
    except WatchError:
        return False
    return True


class Lock:
    """Held by this release."""

    def __init__(
        self,
        mine: Held,
        swap: Callable[[Fits, Held | None], Awaitable[bool]],
        now_ns: Callable[[], Awaitable[int]],
    ) -> None:
        self.held = mine
        self._one_at_a_time = anyio.Lock()
        self._swap = swap
        self._now_ns = now_ns

    async def renew(self, step: str | None = None, *, back: bool = False) -> None:
        """A sign of life, and where we stand; raises LostLockError where somebody took it over."""
        async with self._one_at_a_time:
            held = self.held
            place = held.step if step is None else step
            new = msgspec.structs.replace(
                held, step=place, back=held.back or back, seen_ns=await self._now_ns()
            )
            with anyio.CancelScope(shield=True):  # else nobody knows whether it is written
                kept = await self._swap(self._is_ours, new)
            if not kept:
                raise LostLockError(
                    "another release has taken this one's lock\n"
                    "It was thought dead; see `betatrader release status`."
                )
            self.held = new

    async def leave(self) -> None:
        """We end and are not done: it may be gone on with at once."""
        async with self._one_at_a_time:
            await self._swap(self._is_ours, msgspec.structs.replace(self.held, left=True))

    async def release(self) -> None:
        """Let the next one begin."""
        async with self._one_at_a_time:
            await self._swap(self._is_ours, None)

    def _is_ours(self, found: Held | None) -> bool:
        """By its hand: the answer to an earlier renewal may have been lost."""
        mine = self.held
        return found is not None and (found.id, found.hand) == (mine.id, mine.hand)


def refused(held: Held, now_ns: int) -> RefusedError:
    """Why a release cannot begin while this one has the lock, and what to do."""
    if held.is_dead(now_ns):
        return RefusedError(f"a release was cut off: {held.told(now_ns)}\n{held.mend()}")
    return RefusedError(
        f"another release is under way: {held.told(now_ns)}\nWait for it; `betatrader release "
        f"status` shows where it stands. Silent for {SILENT_S:.0f} s, it counts as cut off."
    )
