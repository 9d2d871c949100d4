"""Wire to wire: from the bytes of a market message to the bytes of a signed order, per venue.

The adapter is the real one, logged on at the venue's simulator in this process; what it would hear
of the market are the recorded bytes. The whole way is measured: decode, book, strategy, every risk
check, order, journal, sign, encode, up to the call that hands the bytes to the socket.
"""

import asyncio
import gc
import gzip
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import msgspec

from betatrader.bench import wire_ccxt
from betatrader.bench.beside import Beside, beside
from betatrader.bench.result import Result, at_least, at_most, quantile
from betatrader.bench.tape import DEPOSIT, RICH, SETUP, Silent
from betatrader.bench.wire_ccxt import Ccxt
from betatrader.config.venues import Binance
from betatrader.engine.engine import Engine
from betatrader.model.account import CashFlow
from betatrader.model.errors import BetatraderError
from betatrader.model.instruction import Started, TradingState
from betatrader.model.market import InstrumentListed
from betatrader.model.secret import Secret
from betatrader.net.direct import Direct
from betatrader.net.transport import Answer, Core, Handler, Socket
from betatrader.ops import clock
from betatrader.roles.trader import Trader
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.store.journal import Journal
from betatrader.strategies.market_maker import MarketMaker, Parameters
from betatrader.venues.binance import orders, wire
from betatrader.venues.binance.serve.requests import Account
from betatrader.venues.binance.serve.running import KEY, OWNER, SECRET
from betatrader.venues.binance.serve.server import BinanceServer
from betatrader.venues.binance.sign import signed_parameters, signer_of
from betatrader.venues.binance.venue import BinanceVenue
from betatrader.venues.gateway import Gateway

MESSAGES = 20_000
GOAL_P50_US, GOAL_P99_US = 100.0, 400.0
GOAL_SIGN_US, GOAL_BOOKS_PER_S = 15.0, 20_000
SIGNED = 3_000
PART = 2_500
"""Messages of one turn, ours or the library's beside us."""

SNAPSHOT = b'{"lastUpdateId"'
ORDER = b'"newOrderRespType"'
"""In the request of a new order, also of one that takes another's stead."""
EVENT_MS = re.compile(rb'"E":(\d+)')
TURNS = 6
"""Of the loop after each message, in which the venue answers: no part of what is measured."""


class Tap:
    """Notes when bytes are handed to a socket, holds the market's line, and gives its book."""

    def __init__(self, core: Core, book: bytes) -> None:
        self._inner = Direct(core)
        self._book = book
        self.sent_ns = 0
        self.sent = b""
        self.market: Handler | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
    ) -> Answer:
        """As the transport inside, but for the book."""
        if "/api/v3/depth" in url:
            return Answer(200, self._book)
        return await self._inner.request(
            method, url, headers=headers, body=body, timeout_s=timeout_s
        )

    async def connect(self, url: str, handler: Handler, *, timeout_s: float = 5.0) -> Socket:
        """A line; what it sends is noted."""
        socket = await self._inner.connect(url, handler, timeout_s=timeout_s)
        if "/stream" in url:
            self.market = handler
        return _Watched(self, socket)

    async def aclose(self) -> None:
        """Nothing is kept."""


class _Watched:
    def __init__(self, tap: Tap, socket: Socket) -> None:
        self._tap = tap
        self._socket = socket

    def send(self, text: bytes) -> None:
        if not self._tap.sent_ns:
            self._tap.sent_ns = time.perf_counter_ns()
            self._tap.sent = text
        self._socket.send(text)

    def close(self) -> None:
        self._socket.close()


def recorded(path: Path) -> list[bytes]:
    """The raw messages of a Binance recording, receive times left out."""
    with gzip.open(path, "rb") as lines:
        return [line.partition(b" ")[2].rstrip(b"\n") for line in lines]


def _of_today(messages: list[bytes]) -> list[bytes]:
    """The same with event times from now on: the adapter shows nothing that is of the past."""
    first = next(int(found[1]) for message in messages if (found := EVENT_MS.search(message)))
    shift = clock.now_ns() // 1_000_000 - first
    return [
        EVENT_MS.sub(lambda found: b'"E":%d' % (int(found[1]) + shift), message)
        for message in messages
    ]


def _snapshot(messages: list[bytes]) -> bytes:
    return next(message for message in messages if message.startswith(SNAPSHOT))


def binance(path: Path, progress: Callable[[str], None]) -> list[Result]:
    """All figures of Binance on this recording."""
    messages = _of_today(recorded(path))
    progress(f"wire: {MESSAGES:,} messages of Binance, market maker, journal on")
    spans, others = anyio.run(
        _wire_to_wire, messages, progress, backend_options={"use_uvloop": True}
    )
    if not spans:
        raise BetatraderError("wire: no message led to an order, so that nothing was measured")
    note = f"{len(spans)} messages that caused an order"
    signed, theirs = _signed(), wire_ccxt.signed(SIGNED)
    rate = _books(messages)
    return [
        at_most("wire_binance_p50_us", quantile(spans, 0.5) / 1e3, "us", GOAL_P50_US, note),
        at_most("wire_binance_p99_us", quantile(spans, 0.99) / 1e3, "us", GOAL_P99_US),
        Result(name="wire_binance_p999_us", value=quantile(spans, 0.999) / 1e3, unit="us"),
        *others.results("binance", spans),
        Result(
            name="wire_binance_sign_us",
            value=signed,
            unit="us",
            baseline=theirs,
            ratio=signed / theirs if theirs else None,
            goal=GOAL_SIGN_US,
            met=signed <= GOAL_SIGN_US,
            note=f"one order built and signed (HMAC); ccxt {theirs:.0f} us" if theirs else "",
        ),
        at_least("wire_binance_books_per_s", rate, "1/s", GOAL_BOOKS_PER_S, "decode and book"),
    ]


def _served() -> BinanceServer:
    exchange = SimulatedExchange(0)
    exchange.on_market(InstrumentListed(0, wire.definition("BTCUSDT")))
    account = Account(KEY, SECRET, OWNER)
    server = BinanceServer(exchange, DEPOSIT, [account], FaultyLink(Faults(), 1))
    server.weights.orders_in_10_s = server.weights.weight = 1_000_000
    server.market.silent = True
    return server


async def _wire_to_wire(
    messages: list[bytes], progress: Callable[[str], None]
) -> tuple[list[int], Beside]:
    """Spans in ns, ascending, of the messages that led to an order, and the library that heard the
    same."""
    server = _served()
    tap = Tap(server, _snapshot(messages))
    rules = await tap.request("GET", "http://x/api/v3/exchangeInfo?symbol=BTCUSDT")
    others = beside(lambda: Ccxt(rules.body, _snapshot(messages)), "ccxt", progress)
    engine = Engine(RICH, [MarketMaker(Parameters(requote_seconds=0.0))])
    with tempfile.TemporaryDirectory(prefix="bt-bench-") as folder:
        journal = Journal(Path(folder), "bench", "0", SETUP)
        trader = Trader(engine, "bench", Silent(), journal)  # type: ignore[arg-type]
        settings = Binance(
            symbols=("BTCUSDT",),
            rest="http://x",
            stream="ws://x",
            api="ws://x/ws-api/v3",
            key=Secret(KEY),
            secret=Secret(SECRET),
        )
        venue = BinanceVenue(settings, tap, trader.take, trader.take)
        trader.connect(Gateway(venue))
        trader.take(Started(clock.now_ns(), 1, TradingState.ACTIVE))
        trader.take(CashFlow(clock.now_ns(), "BINANCE", DEPOSIT))
        async with anyio.create_task_group() as group:
            group.start_soon(server.deliver)
            group.start_soon(venue.run)
            spans = await _played(messages, tap, venue, others)
            group.cancel_scope.cancel()
        server.close()
        journal.close()
    return sorted(spans), others


async def _played(
    messages: list[bytes], tap: Tap, venue: BinanceVenue, others: Beside
) -> list[int]:
    """In turns, a part each."""
    with anyio.fail_after(10):
        while not venue.connected:
            if tap.market is not None:
                tap.market.received(messages[0])  # it counts as reached once data flow
            await anyio.sleep(0.01)
    market, spans = tap.market, list[int]()
    assert market is not None
    gc.collect()
    gc.freeze()
    played = [one for one in messages[:MESSAGES] if not one.startswith(SNAPSHOT)]
    for first in range(0, len(played), PART):
        part, ordered = played[first : first + PART], set[int]()
        for place, message in enumerate(part):
            tap.sent_ns = 0
            began = time.perf_counter_ns()
            market.received(message)
            if tap.sent_ns:
                if ORDER in tap.sent:
                    spans.append(tap.sent_ns - began)
                    ordered.add(place)
                for _ in range(TURNS):
                    await asyncio.sleep(0)
        others.play(part, ordered)
    gc.unfreeze()
    return spans


def _signed() -> float:
    """Microseconds, at the median, to build and sign one order over the WebSocket API."""
    from betatrader.model.ids import ClientOrderId, InstrumentId
    from betatrader.model.money import SCALE
    from betatrader.model.order import OrderTerms, OrderType, Side

    signer = signer_of(Secret(SECRET))
    terms = OrderTerms(
        InstrumentId("BTCUSDT.BINANCE"), Side.BUY, OrderType.LIMIT, 58_000 * SCALE, SCALE // 5_000
    )
    spans = []
    for number in range(SIGNED):
        name = ClientOrderId(f"{number:032x}")
        began = time.perf_counter_ns()
        parameters = orders.placing(name, terms, "EXPIRE_MAKER")
        parameters["recvWindow"], parameters["timestamp"] = 2_000, 1_700_000_000_000 + number
        signed = signed_parameters(signer, KEY, parameters)
        msgspec.json.encode({"id": number, "method": "order.place", "params": signed})
        spans.append(time.perf_counter_ns() - began)
    return quantile(sorted(spans), 0.5) / 1e3


def _books(messages: list[bytes]) -> float:
    """Depth messages a second of CPU: decoded, and applied to a book whose best is read."""
    from betatrader.engine.book import OrderBook

    depths = [m for m in messages if b'"depthUpdate"' in m]
    first = wire.snapshot(0, "BTCUSDT", wire.decode_snapshot(_snapshot(messages)))
    rates = []
    for _ in range(3):
        book = OrderBook()
        book.replace(first.bids, first.asks, first.update_id)
        gc.collect()
        gc.freeze()
        began = time.process_time_ns()
        for message in depths:
            event = wire.delta(0, wire.decode_depth(wire.decode_message(message).data))
            book.apply(event.bids, event.asks, event.update_id)
            _ = book.best_bid, book.best_ask
        rates.append(len(depths) * 1e9 / (time.process_time_ns() - began))
        gc.unfreeze()
    return sorted(rates)[1]
