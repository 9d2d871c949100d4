"""Binance's public market: one combined stream, and a book of each symbol that is never wrong.

`BookSync` is the venue's rule, pure: changes are kept from before the snapshot, what ends at or
before its `lastUpdateId` is dropped, and the first of the rest must follow it
(`U <= lastUpdateId + 1 <= u`). After a gap nothing passes until the next snapshot.
"""

from collections import deque
from collections.abc import Callable, Iterable

import anyio
import msgspec
import structlog

from betatrader.model.event import Event, MarketInput
from betatrader.net.feed import Feed
from betatrader.net.transport import Socket, Transport
from betatrader.ops import clock, metrics
from betatrader.venues.binance import wire
from betatrader.venues.binance.rest import Rest
from betatrader.venues.binance.session import why_lost

HELD_BACK = 10_000
"""Changes that may wait for a snapshot."""

SILENT_S = 60.0
"""A stream without a single message for so long is dead: a pair worth trading is never so calm."""

SNAPSHOT_PAUSE_S = 1.0
LARGEST = 4 << 20
COMPLAINT_S = 60.0
KINDS = ("depth@100ms", "bookTicker", "trade")


class BookSync:
    """Joins one symbol's changes to its snapshots: messages in, events out."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.gaps = 0
        self.synchronised = False
        self._last_id = 0
        self._waiting: deque[wire.Depth] = deque()

    def restart(self) -> None:
        """The stream begins anew: what was known is of the past."""
        self.synchronised = False
        self._waiting.clear()

    def change(self, time_ns: int, message: wire.Depth) -> list[MarketInput]:
        """The event of a change, or none where it is old, or waits for a snapshot."""
        if self.synchronised:
            if message.last_id <= self._last_id:
                return []
            if message.first_id <= self._last_id + 1:
                self._last_id = message.last_id
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
        self.synchronised, self._last_id = True, found.last_id
        events: list[MarketInput] = [wire.snapshot(time_ns, self.symbol, found)]
        for message in waiting:
            events += self.change(time_ns, message)
        return events


class MarketStream:
    """The stream of all symbols, kept open. `market` gets events, `changed` is called where the
    data begins or ends to flow (with the reason)."""

    def __init__(
        self,
        transport: Transport,
        address: str,
        rest: Rest,
        market: Callable[[Event], None],
        changed: Callable[[str], None],
    ) -> None:
        self.flows = False
        """Whether data has come over the connection that is open."""
        self.books: dict[str, BookSync] = {}
        self._transport = transport
        self._address = address.rstrip("/")
        self._rest = rest
        self._market = market
        self._changed = changed
        self._wanted = anyio.Event()
        self._complained_s: dict[str, float] = {}
        self._log = structlog.get_logger()

    async def run(self, symbols: Iterable[str]) -> None:
        """Show the market of these symbols until cancelled."""
        self.books = {symbol: BookSync(symbol) for symbol in symbols}
        names = [f"{symbol.lower()}@{kind}" for symbol in self.books for kind in KINDS]
        feed = Feed(
            self._transport,
            f"{self._address}/stream?streams={'/'.join(names)}",
            self._opened,
            self._received,
            self._lost,
            silent_s=SILENT_S,
        )
        async with anyio.create_task_group() as group:
            group.start_soon(self._take_snapshots)
            await feed.run()

    def _opened(self, _socket: Socket) -> None:
        for book in self.books.values():
            book.restart()
        self._wanted.set()

    def _lost(self, reason: str) -> None:
        self.flows = False
        reason = why_lost(reason)
        self._changed(f"its market data broke off: {reason}" if reason else "")

    def _received(self, text: bytes) -> None:
        if len(text) > LARGEST:
            self._complain("oversized", f"{len(text)} bytes")
            return
        try:
            events = self._events(text)
        except (msgspec.MsgspecError, ValueError) as error:
            self._complain("malformed", str(error))
            return
        if not self.flows:
            self.flows = True
            self._changed("")
        for event in events:
            self._market(event)

    def _events(self, text: bytes) -> list[MarketInput]:
        message = wire.decode_message(text)
        name, _, kind = message.stream.partition("@")
        book = self.books.get(name.upper())
        now = clock.now_ns()
        if book is None:
            self._complain("unknown", message.stream or "no stream")
        elif kind == "bookTicker":
            return [wire.quote(now, wire.decode_ticker(message.data))]
        elif kind == "trade":
            return [wire.trade(now, wire.decode_trade(message.data))]
        elif kind.startswith("depth"):
            events = book.change(now, wire.decode_depth(message.data))
            if not book.synchronised:
                self._wanted.set()
            return events
        else:
            self._complain("unknown", message.stream)
        return []

    def _complain(self, kind: str, text: str) -> None:
        """Count what cannot be used, and say so once a minute."""
        metrics.BAD_MESSAGES.labels(wire.VENUE, kind).inc()
        now = clock.boot_s()
        if now - self._complained_s.get(kind, -COMPLAINT_S) >= COMPLAINT_S:
            self._complained_s[kind] = now
            self._log.warning("market_message_unusable", kind=kind, text=text[:200])

    async def _take_snapshots(self) -> None:
        """Fetch the book of each symbol that has none, again until it fits."""
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            for book in list(self.books.values()):
                if not book.synchronised:
                    await self._take_snapshot(book)
            if any(not book.synchronised for book in self.books.values()):
                self._wanted.set()
                await anyio.sleep(SNAPSHOT_PAUSE_S)

    async def _take_snapshot(self, book: BookSync) -> None:
        try:
            found = await self._rest.depth(book.symbol)
            events = book.snapshot(clock.now_ns(), found)
        except (OSError, TimeoutError, ValueError) as error:
            self._log.warning("no_book", symbol=book.symbol, error=str(error))
            return
        for event in events:
            self._market(event)
