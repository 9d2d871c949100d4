"""Follows the shipped journal: a standby's engine goes where the leader's went, and recovery with
the disk gone begins here.

What the stream holds of the leader's own past is never taken twice: an entry counts only where its
epoch and number come after the last one that was followed.
"""

import msgspec
import structlog

from betatrader.engine.engine import Engine
from betatrader.model.command import Step
from betatrader.model.event import decode_audit
from betatrader.ops import clock, metrics
from betatrader.roles.recovering import restore
from betatrader.store import shipping
from betatrader.store.connection import AWAY, Client
from betatrader.store.functions import SHIPPED_JOURNAL, Fenced
from betatrader.store.shipping import Described, Shipped, Snapshot

_decode_snapshot = msgspec.msgpack.Decoder(Snapshot).decode


class Follower:
    """Brings one engine to where the stream ends, again and again."""

    def __init__(
        self,
        redis: Client,
        engine: Engine,
        strategies: Described,
        home: Fenced = SHIPPED_JOURNAL,
    ) -> None:
        self.records = 0
        """How many records were followed."""
        self._redis = redis
        self._engine = engine
        self._strategies = strategies
        self._home = home
        self._after: bytes | None = None
        self._at = (0, 0)
        self._caught_up_s = clock.boot_s()
        self._log = structlog.get_logger()

    async def catch_up(self) -> None:
        """Follow all that stands in the stream; raises what the client raises."""
        try:
            await self._catch_up()
        except AWAY:  # the leader may have gone on since
            metrics.STANDBY_BEHIND.set(round((clock.boot_s() - self._caught_up_s) * 1e3))
            raise
        self._caught_up_s = clock.boot_s()

    async def _catch_up(self) -> None:
        if self._after is None and not await self._begin():
            return
        news = False
        while entries := await shipping.read(self._redis, self._after, home=self._home):
            news = True
            for entry, shipped in entries:
                self._follow(shipped)
                self._after = entry
        if not news:
            metrics.STANDBY_BEHIND.set(0)

    async def _begin(self) -> bool:
        """Start at the last snapshot, where the stream is ahead of what we know already."""
        whole = await shipping.last_snapshot(self._redis, self._home)
        if whole is None:
            return False
        entries = await shipping.read(self._redis, None, whole, self._home)
        tail = entries
        while tail:
            tail = await shipping.read(self._redis, entries[-1][0], home=self._home)
            entries += tail
        if not entries or not entries[0][1].whole:
            self._log.error("shipped_journal_without_its_snapshot", entry=whole.decode())
            return False
        self._after = entries[-1][0]
        self._at = (entries[-1][1].epoch, entries[-1][1].number)
        state = self._engine.state
        if _reach([shipped for _, shipped in entries]) <= (state.epoch, state.step_sequence):
            return True
        self._at = (0, 0)
        for _, shipped in entries:
            self._follow(shipped)
        return True

    def _follow(self, shipped: Shipped) -> None:
        at = (shipped.epoch, shipped.number)
        if at <= self._at:
            return
        self._at = at
        self.records += 1
        if shipped.whole:
            snapshot = _decode_snapshot(shipped.body)
            restore(self._engine, snapshot.engine, snapshot.strategies, self._strategies)
            made_ns = snapshot.time_ns
        else:
            record = decode_audit(shipped.body)
            self._engine.follow(record)
            made_ns = record.time_ns
        # of the record itself: an entry's id is its epoch and number, no time
        metrics.STANDBY_BEHIND.set(max(0, clock.now_ns() - made_ns) // 1_000_000)


def _reach(entries: list[Shipped]) -> tuple[int, int]:
    """The epoch and the last Step up to which these entries lead."""
    step = 0
    for shipped in entries:
        if shipped.whole:
            state, _ = msgspec.msgpack.decode(_decode_snapshot(shipped.body).engine)
            step = state["step_sequence"]
        else:
            record = decode_audit(shipped.body)
            step = record.sequence if isinstance(record, Step) else step
    return entries[-1].epoch, step
