"""Binance's public market: one combined stream, and a book of each symbol that is never wrong."""

from collections.abc import Callable, Iterable

import anyio
import msgspec
import structlog

from betatrader.model.event import Event, MarketInput
from betatrader.net.feed import Feed
from betatrader.net.transport import Socket, Transport
from betatrader.ops import clock, metrics
from betatrader.venues.binance import wire
from betatrader.venues.binance.book_sync import BookSync
from betatrader.venues.binance.connecting import Connecting
from betatrader.venues.binance.limits import STREAM
from betatrader.venues.binance.rest import Rest
from betatrader.venues.binance.session import LIFE_S, why_lost

SILENT_S = 60.0
"""A stream without a single message for so long is dead: a pair worth trading is never so calm."""

SNAPSHOT_PAUSE_S = 1.0
AT_ONCE = 4
"""Snapshots under way together."""

LARGEST = 4 << 20
LATE_MS = 3_000
"""A change of the book that is older than this by the venue's own clock is of the past: what comes
over this connection is no market to trade on, however steadily it flows."""

LOOK_S = 1.0
COMPLAINT_S = 60.0
AGAIN = "again"
"""The name of our requests to hear a symbol's changes again."""

SHUTDOWN = "!serverShutdown"
DEPTH = "depth@100ms"
KINDS = (DEPTH, "bookTicker", "trade")


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
        self.trouble = "no market data yet"
        """Why none flows, as far as is known; "" while it does."""
        self.books: dict[str, BookSync] = {}
        self._transport = Connecting(transport, rest.limits.connects[STREAM])
        self._address = address.rstrip("/")
        self._rest = rest
        self._market = market
        self._changed = changed
        self._feed: Feed | None = None
        self._last: dict[str, int] = {}
        """The last of each kind by symbol: while two connections overlap, all comes twice."""
        self._late: set[str] = set()
        """Symbols whose data comes late by the venue's clock: nothing of theirs is shown."""
        self._wanted = anyio.Event()
        self._asking: set[str] = set()
        """Symbols whose snapshots are under way."""
        self._slots = anyio.Semaphore(AT_ONCE)
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
            life_s=LIFE_S,
        )
        self._feed = feed
        async with anyio.create_task_group() as group:
            group.start_soon(self._take_snapshots)
            group.start_soon(self._watch_books)
            await feed.run()

    def _opened(self, _socket: Socket) -> None:
        self._last.clear()
        self._late.clear()
        for book in self.books.values():
            book.restart()
        self._wanted.set()

    def _lost(self, reason: str) -> None:
        self.flows = False
        reason = why_lost(reason)
        self.trouble = f"market data: {reason}"
        self._changed(f"its market data broke off: {reason}" if reason else "")

    def _received(self, text: bytes) -> None:
        if len(text) > LARGEST:
            self._complain("oversized", f"{len(text)} bytes")
            return
        try:
            events = self._events(text)
        except wire.UNREADABLE as error:
            self._complain("malformed", str(error))
            return
        if not self.flows:
            self.flows, self.trouble = True, ""
            self._changed("")
        for event in events:
            self._market(event)

    def _events(self, text: bytes) -> list[MarketInput]:
        message = wire.decode_message(text)
        name, _, kind = message.stream.partition("@")
        book = self.books.get(name.upper())
        now = clock.now_ns()
        if message.stream == SHUTDOWN:
            self._renew()
        elif book is None:
            if not wire.answers(text, AGAIN):
                self._complain("unknown", message.stream or "no stream")
        elif kind == "bookTicker":
            ticker = wire.decode_ticker(message.data)
            book.ticker(ticker.update_id, clock.boot_s())
            if self._is_new(message.stream, ticker.update_id) and book.symbol not in self._late:
                return [wire.quote(now, ticker)]
        elif kind == "trade":
            trade = wire.decode_trade(message.data)
            if self._is_new(message.stream, trade.trade_id) and book.symbol not in self._late:
                return [wire.trade(now, trade)]
        elif kind.startswith("depth"):
            change = wire.decode_depth(message.data)
            if self._is_late(book, change.event_ms):
                return []
            events = book.change(now, change)
            if not book.synchronised:
                self._wanted.set()
            return events
        else:
            self._complain("unknown", message.stream)
        return []

    def _is_late(self, book: BookSync, event_ms: int) -> bool:
        """Whether a symbol's data lags behind by the venue's clock. Its book begins anew when that
        is over; meanwhile the clock is measured again, since it may be ours that is off."""
        behind_ms = self._rest.clock.now_ms() - event_ms
        if not event_ms or behind_ms <= LATE_MS:
            self._late.discard(book.symbol)
            return False
        self._late.add(book.symbol)
        self._complain("late", f"{book.symbol} lags {behind_ms} ms by the venue's clock")
        book.restart()
        self._wanted.set()
        return True

    def _is_new(self, stream: str, number: int) -> bool:
        twice = self._feed is not None and self._feed.overlaps
        if twice and number <= self._last.get(stream, -1):
            return False
        self._last[stream] = number
        return True

    def _renew(self) -> None:
        """The venue is about to end this connection."""
        if self._feed is not None:
            self._feed.renew()

    def _complain(self, kind: str, text: str) -> None:
        """Count what cannot be used, and say so once a minute."""
        metrics.BAD_MESSAGES.labels(wire.VENUE, kind).inc()
        now = clock.boot_s()
        if now - self._complained_s.get(kind, -COMPLAINT_S) >= COMPLAINT_S:
            self._complained_s[kind] = now
            self._log.warning("market_message_unusable", kind=kind, text=text[:200])

    async def _watch_books(self) -> None:
        """Make a book anew, alone, whose changes stay away while its best bid and ask go on: hear
        its changes again, and take its snapshot."""
        while True:
            await anyio.sleep(LOOK_S)
            now_s = clock.boot_s()
            for book in self.books.values():
                if book.is_frozen(now_s):
                    book.thaw()
                    metrics.FROZEN_BOOKS.labels(wire.VENUE, book.symbol).inc()
                    self._log.warning("book_frozen", venue=wire.VENUE, symbol=book.symbol)
                    self._hear_again(f"{book.symbol.lower()}@{DEPTH}")
                    self._wanted.set()
                    break  # the venue takes few requests a second on a stream

    def _hear_again(self, stream: str) -> None:
        if self._feed is not None:
            for method in ("UNSUBSCRIBE", "SUBSCRIBE"):
                asked = {"method": method, "params": [stream], "id": AGAIN}
                self._feed.send(msgspec.json.encode(asked))

    async def _take_snapshots(self) -> None:
        """Fetch the book of each symbol that has none, again until it fits. One that cannot be got
        is asked for less and less often, and the others do not wait for it."""
        measured_s = -SNAPSHOT_PAUSE_S
        async with anyio.create_task_group() as group:
            while True:
                await self._wanted.wait()
                self._wanted = anyio.Event()
                if self._late and clock.boot_s() - measured_s >= SNAPSHOT_PAUSE_S:
                    await self._measure_clock()
                    measured_s = clock.boot_s()
                now_s, left_out = clock.boot_s(), self._late | self._asking
                for book in list(self.books.values()):
                    if book.synchronised or book.symbol in left_out or now_s < book.backoff.again_s:
                        continue
                    self._asking.add(book.symbol)
                    group.start_soon(self._take_snapshot, book)
                if any(not book.synchronised for book in self.books.values()):
                    with anyio.move_on_after(SNAPSHOT_PAUSE_S):
                        await self._wanted.wait()
                    self._wanted.set()

    async def _measure_clock(self) -> None:
        try:
            await self._rest.measure_clock()
        except (OSError, TimeoutError, ValueError) as error:
            self._log.warning("clock_not_measured", error=str(error))

    async def _take_snapshot(self, book: BookSync) -> None:
        try:
            async with self._slots:
                found = await self._rest.depth(book.symbol)
            events = book.snapshot(clock.now_ns(), found)
        except (OSError, TimeoutError, ValueError) as error:
            book.backoff.failed(clock.boot_s())
            metrics.NO_BOOK.labels(wire.VENUE).inc()
            self._log.warning("no_book", venue=wire.VENUE, symbol=book.symbol, error=str(error))
            return
        finally:
            self._asking.discard(book.symbol)
        book.backoff.succeeded()
        if not book.synchronised:  # it is older than the changes that wait
            book.backoff.again_s = clock.boot_s() + SNAPSHOT_PAUSE_S
        for event in events:
            self._market(event)
