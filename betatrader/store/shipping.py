"""The journal's second home: a Redis stream that survives this machine.

It carries what changes the books (account events, listings, ends of contracts, forecasts,
instructions, Steps) and snapshots of the whole engine, never market data. Each leader opens its
epoch with a snapshot, and ships another one now and then; what is older than the last but one is
trimmed. Where the server was away for long, or came back without what it had acknowledged, a new
snapshot stands for all that is missing: nothing need be read back from the file.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice

import anyio
import msgspec
import structlog
from redis.exceptions import ResponseError

from betatrader.engine.engine import Engine
from betatrader.model.event import SCHEMA_VERSION, encode_as
from betatrader.ops import clock, metrics
from betatrader.store import functions
from betatrader.store.bus import FIELD
from betatrader.store.connection import AWAY, Client
from betatrader.store.functions import Fenced
from betatrader.store.schema import Schema, check

Described = tuple[tuple[str, dict[str, str | int | float | bool]], ...]
"""The strategies as configured: name and parameters (`roles.strategies.described`)."""

WAITING_KEPT = 20_000
"""Records that wait while the server is away; beyond them a snapshot is shipped instead."""

BATCH = 500
SNAPSHOT_S = 30.0
SNAPSHOT_RECORDS = 5_000
PAUSE_S = 0.1
LOOK_S = 0.5
"""How soon it shows that the server has lost something while nothing happens."""

PAGE = 500


class Shipped(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One entry: a record, or (`whole`) a Snapshot; numbered from 1 within its epoch."""

    schema: int
    epoch: int
    number: int
    whole: bool
    body: bytes


class Snapshot(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The engine as `Engine.snapshot` gives it, and the strategies that it holds."""

    time_ns: int
    strategies: Described
    engine: bytes


_decode = msgspec.msgpack.Decoder(Shipped).decode
_encode = msgspec.msgpack.Encoder().encode


class Shipper:
    """Ships one leader's records in order, in one call at a time.

    `whole` gives, as an entry's body, all that the records so far have led to; `on_acknowledged` is
    called with the number up to which all is safe off this machine, `on_fenced` where another
    leader has written since.
    """

    def __init__(
        self,
        redis: Client,
        whole: Callable[[], bytes],
        home: Fenced = functions.SHIPPED_JOURNAL,
        schema: Schema | None = None,
    ) -> None:
        self.offered = 0
        """The number of the last record that was offered."""
        self.acknowledged = 0
        self.on_acknowledged: Callable[[int], None] = lambda _number: None
        self.on_fenced: Callable[[], None] = lambda: None
        self._redis = redis
        self._line: Client | None = None
        """While it runs: a client of one connection, so that what follows its end is looked at."""
        self._sure = False
        """Whether the server is known to have all that it acknowledged, and no other writer."""
        self._snapshot = whole
        self._home = home
        self._schema = schema or Schema()
        self._epoch = 0
        self._waiting: deque[tuple[int, object]] = deque()
        self._whole = True
        self._since_whole = 0
        self._whole_at = 0.0
        self._wake = asyncio.Event()  # anyio's are made anew each time, which costs an order 5 us
        self._looks = False
        self._lock = anyio.Lock(fast_acquire=True)
        self._log = structlog.get_logger()

    def begin(self, epoch: int) -> None:
        """Ship under a new epoch from here on, a snapshot first."""
        self._epoch = epoch
        self.offered = self.acknowledged = 0
        self._start_over()

    def offer(self, record: object) -> None:
        """Queue one record; never waits."""
        self.offered += 1
        self._waiting.append((self.offered, record))
        if len(self._waiting) > WAITING_KEPT:
            metrics.SHIPPED_WHOLE.inc()
            self._start_over()
        self._wake.set()

    def _start_over(self) -> None:
        self._waiting.clear()
        self._whole = True
        self._wake.set()

    async def run(self) -> None:
        """Ship until cancelled; nothing more once another leader has written."""
        line = self._line = self._redis.client()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._look_now_and_then)
                await self._ship_for_ever()
        finally:
            self._line, self._sure = None, False
            with anyio.CancelScope(shield=True):
                await line.aclose()

    async def _look_now_and_then(self) -> None:
        while True:
            await anyio.sleep(LOOK_S)
            self._looks = not self._waiting
            self._sure = False
            self._wake.set()

    async def _ship_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                if self._looks:
                    self._looks = False
                    await self._look()
                while await self._ship_some():
                    pass
            except (*AWAY, TimeoutError) as error:
                metrics.REDIS_ERRORS.labels("shipping").inc()
                self._log.warning("redis_away", what="shipping", error=str(error))
                self._wake.set()
                await anyio.sleep(PAUSE_S)

    async def flush(self) -> None:
        """Ship all that waits; raises what the client raises."""
        while self._epoch and (self._waiting or self._whole):
            await self._ship_some()

    async def _look(self) -> None:
        """Where nothing is to be shipped: whether the server still has what it acknowledged."""
        async with self._lock:
            if self._epoch and not self._waiting and not self._whole:
                await self._call(self.offered + 1, [], whole=False)

    async def _ship_some(self) -> bool:
        """One call; False where nothing is left. What was not acknowledged stays."""
        async with self._lock:
            return await self._ship_next()

    async def _ship_next(self) -> bool:
        if self._epoch == 0:
            return False
        if self._whole or self._is_time():
            return await self._ship_whole()
        batch = list(islice(self._waiting, BATCH))
        if not batch:
            return False
        written = self._schema.writes
        entries = [self._entry(number, encode_as(record, written)) for number, record in batch]
        await self._call(batch[0][0], entries, whole=False)
        return bool(self._waiting) or self._whole

    def _is_time(self) -> bool:
        if self._since_whole >= SNAPSHOT_RECORDS:
            return True
        return self._since_whole > 0 and anyio.current_time() - self._whole_at >= SNAPSHOT_S

    async def _ship_whole(self) -> bool:
        """The engine as it stands now holds every record that was offered."""
        self._whole = False
        self._waiting.clear()
        self.offered += 1
        number = self.offered
        self._since_whole, self._whole_at = 0, anyio.current_time()
        entry = self._entry(number, self._snapshot(), whole=True)
        try:
            await self._call(number, [entry], whole=True)
        except BaseException:
            self._whole = True
            raise
        return bool(self._waiting) or self._whole

    def _entry(self, number: int, body: bytes, *, whole: bool = False) -> bytes:
        return _encode(Shipped(self._schema.writes, self._epoch, number, whole, body))

    async def _call(self, first: int, entries: list[bytes], *, whole: bool) -> None:
        epoch = self._epoch
        verdict, number = await self._sent(first, entries, whole=whole)
        if epoch != self._epoch:  # begun anew meanwhile
            return
        if verdict == "fenced":
            self._epoch = 0
            self._log.error("shipping_fenced", by_epoch=number)
            self.on_fenced()
            return
        if verdict == "gap" or number < self.acknowledged:
            self._log.warning("shipping_gap", server_has=number, acknowledged=self.acknowledged)
            metrics.SHIPPED_WHOLE.inc()
            self._start_over()
            return
        while self._waiting and self._waiting[0][0] <= number:
            self._waiting.popleft()
        if not whole:
            self._since_whole += len(entries)
        self.acknowledged = max(self.acknowledged, number)
        self.on_acknowledged(self.acknowledged)

    async def _sent(self, first: int, entries: list[bytes], *, whole: bool) -> tuple[str, int]:
        """What `functions.ship` says; by a plain XADD, which is faster, where that is safe."""
        line, epoch, home = self._line, self._epoch, self._home
        sure, self._sure = self._sure, False
        if line is not None and sure and len(entries) == 1 and not whole:
            name, fields = f"{epoch}-{first}", {FIELD: entries[0]}
            with suppress(ResponseError):  # it does not follow the last there: ask why
                if await line.xadd(home.stream, fields, name, nomkstream=True):
                    self._sure = True
                    return "done", first
        redis = line if line is not None else self._redis
        answer = await functions.ship(redis, home, epoch, first, entries, whole=whole)
        self._sure = line is not None and answer[0] == "done"
        return answer


def whole_engine(engine: Engine, strategies: Described, schema: int = SCHEMA_VERSION) -> bytes:
    """An engine as it stands, as the body of an entry."""
    whole = Snapshot(clock.now_ns(), strategies, engine.snapshot(schema))
    return encode_as(whole, schema)


async def fence(redis: Client, epoch: int, home: Fenced = functions.SHIPPED_JOURNAL) -> bool:
    """Let no earlier leader append from here on; False where a later one has."""
    verdict, _ = await functions.ship(redis, home, epoch, 0, [], whole=False)
    return verdict == "done"


async def last_snapshot(redis: Client, home: Fenced = functions.SHIPPED_JOURNAL) -> bytes | None:
    """The entry of the last snapshot; None where nothing was shipped."""
    found: bytes | None = await redis.hget(home.fence, "whole")
    return found


async def read_all(redis: Client, home: Fenced) -> list[Shipped]:
    """The last snapshot and all that followed it; nothing where nothing was shipped."""
    whole = await last_snapshot(redis, home)
    if whole is None:
        return []
    entries = tail = await read(redis, None, whole, home)
    while tail:
        tail = await read(redis, entries[-1][0], home=home)
        entries += tail
    return [shipped for _, shipped in entries]


async def read(
    redis: Client,
    after: bytes | None,
    since: bytes = b"-",
    home: Fenced = functions.SHIPPED_JOURNAL,
) -> list[tuple[bytes, Shipped]]:
    """A page of entries after one, or from `since` on; raises UsageError for what is unreadable."""
    start = b"(" + after if after is not None else since
    found = await redis.xrange(home.stream, min=start, count=PAGE)
    entries = [(entry, _decode(fields[FIELD])) for entry, fields in found]
    for entry, shipped in entries:
        check(shipped.schema, f"the shipped journal at {entry.decode()}")
    return entries
