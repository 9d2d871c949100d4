"""Joins the changes of a book to its snapshots, by the venue's own rule. Pure.

Changes are kept from before the snapshot, what ends at or before its `lastUpdateId` is dropped,
and the first of the rest must follow it (`U <= lastUpdateId + 1 <= u`). After a gap nothing passes
until the next snapshot.
"""

from collections import deque

from betatrader.model.event import MarketInput
from betatrader.venues.binance import wire
from betatrader.venues.pace import Backoff

FROZEN_S, LONGEST_S = 3.0, 24.0
"""How long the changes may stay behind the best bid and ask, which the venue tells at once and the
changes each 100 ms; and how long they may where that has come again and again."""

HELD_BACK = 10_000
"""Changes that may wait for a snapshot; older ones are dropped."""


class BookSync:
    """Joins one symbol's changes to its snapshots: messages in, events out."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.gaps = 0
        self.synchronised = False
        self.backoff = Backoff()
        """When its snapshot may be asked for again, where it could not be got."""
        self.freezes = 0
        """How often in a row it was found frozen."""
        self._last_id = 0
        self._owed: tuple[int, float] | None = None
        """The first id that the best bid and ask have told and no change has, and since when."""
        self._waiting: deque[wire.Depth] = deque()

    def restart(self) -> None:
        """The stream begins anew: what was known is of the past."""
        self.synchronised, self._owed = False, None
        self._waiting.clear()

    def ticker(self, update_id: int, now_s: float) -> None:
        """The best bid and ask after this change of the book: a change of that id is to come."""
        if self._owed is None and self.synchronised and update_id > self._last_id:
            self._owed = (update_id, now_s)

    def is_frozen(self, now_s: float) -> bool:
        """Whether its changes have stayed away though the best bid and ask went on."""
        patience_s = min(FROZEN_S * 2**self.freezes, LONGEST_S)
        return self._owed is not None and now_s - self._owed[1] >= patience_s

    def thaw(self) -> None:
        """It was found frozen: it begins anew, by itself."""
        self.freezes = min(self.freezes + 1, 8)
        self.restart()

    def change(self, time_ns: int, message: wire.Depth) -> list[MarketInput]:
        """The event of a change, or none where it is old, or waits for a snapshot."""
        if self.synchronised:
            if message.last_id <= self._last_id:
                return []
            if message.first_id <= self._last_id + 1:
                self._last_id = message.last_id
                if self._owed is not None and message.last_id >= self._owed[0]:
                    self._owed, self.freezes = None, 0
                return [wire.delta(time_ns, message)]
            self.gaps += 1
            self.synchronised = False
        elif self._waiting and message.first_id > self._waiting[-1].last_id + 1:
            self.gaps += 1
            self._waiting.clear()  # a snapshot from before this gap would not reach over it
        self._waiting.append(message)
        if len(self._waiting) > HELD_BACK:
            self._waiting.popleft()
        return []

    def snapshot(self, time_ns: int, found: wire.Snapshot) -> list[MarketInput]:
        """The snapshot and the changes that follow it; nothing where it is older than what waits,
        and another one is needed (`synchronised` stays False)."""
        waiting = [message for message in self._waiting if message.last_id > found.last_id]
        if waiting and waiting[0].first_id > found.last_id + 1:
            return []
        self._waiting.clear()
        self._owed = None
        self.synchronised, self._last_id = True, found.last_id
        events: list[MarketInput] = [wire.snapshot(time_ns, self.symbol, found)]
        for message in waiting:
            events += self.change(time_ns, message)
        return events
