"""Wire to wire at Polymarket: from a message of the market channel to a signed order's bytes.

The adapter is the real one, at the venue's simulator in this process. An order leaves by a request,
so that the task switch to whatever sends it is part of what is measured.
"""

import asyncio
import gc
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import anyio

from betatrader.bench import wire_official
from betatrader.bench.beside import beside
from betatrader.bench.result import Result, at_least, at_most, quantile
from betatrader.bench.tape import DEPOSIT, RICH, SETUP, Silent
from betatrader.bench.wire_official import KEY, TOKEN, Official
from betatrader.config import Feed
from betatrader.config.venues import Polymarket
from betatrader.engine.engine import Engine
from betatrader.model.account import CashFlow
from betatrader.model.command import Approved
from betatrader.model.errors import BetatraderError
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.instruction import Started, TradingState
from betatrader.model.money import parse
from betatrader.model.order import OrderTerms, OrderType, Side
from betatrader.net.direct import Direct
from betatrader.net.transport import Answer, Core, Handler, Socket
from betatrader.ops import clock
from betatrader.roles import contracts
from betatrader.roles.trader import Trader
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.store.journal import Journal
from betatrader.strategies.market_maker import MarketMaker, Parameters
from betatrader.venues.gateway import Gateway
from betatrader.venues.pace import Bucket
from betatrader.venues.polymarket.forms import Rules, form_of
from betatrader.venues.polymarket.ids import Ids
from betatrader.venues.polymarket.market import MarketStream
from betatrader.venues.polymarket.serve.server import PolymarketServer
from betatrader.venues.polymarket.serve.state import Rules as VenueRules
from betatrader.venues.polymarket.sign import Signer
from betatrader.venues.polymarket.venue import PolymarketVenue
from betatrader.venues.venue import Timed

EVENTS = 4_000
"""Of one contract; then the next begins, at a venue and with books of its own."""

PART = 25
"""So many events happen at the venue before their messages are heard, one by one: its work for each
is another machine's, and would leave our processor's caches cold."""

DECISIONS, MOST_RUNS = 2_000, 40
"""So many messages that lead to an order are measured: a hundredth of them is twenty."""

TURNS = 16
"""Of the loop after each event and each message: in these the venue hears and answers, so that no
message waits for it."""

SIGNED = 1_000
GOAL_P50_US, GOAL_P99_US = 150.0, 400.0
GOAL_FASTER, GOAL_FASTER_AS_INSTALLED = 0.1, 0.01
"""Of the official client's time, at most: with coincurve beside it, and as it installs."""

GOAL_BOOKS_PER_S = 20_000
SENDS = ("http://x/order", "http://x/orders")
"""Where orders go, one or several in a request."""


class Counted(PolymarketVenue):
    """The adapter, and how often it was given orders."""

    given = 0

    def submit(self, command: Approved, now_ns: int) -> None:
        """As the adapter."""
        self.given += 1
        super().submit(command, now_ns)

    def submit_many(self, orders: Sequence[Timed]) -> None:
        """As the adapter."""
        self.given += 1
        super().submit_many(orders)


class Tap:
    """Notes when a market message is heard that an order follows from, and when the request that
    carries it is handed over."""

    def __init__(self, core: Core) -> None:
        self.spans: dict[int, int] = {}
        """In ns, by the places in `frames` of the messages that caused an order."""
        self.frames: list[bytes] = []
        """What the market channel has said."""
        self.tokens: tuple[str, ...] = ()
        self.heard: Handler | None = None
        self.venue: Counted | None = None
        self.waits = False
        self.unheard: deque[bytes] = deque()
        self._inner = Direct(core)
        self._began = 0
        self._awaited = False
        """Whether the last message led to an order that has not left yet."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
    ) -> Answer:
        """As the transport inside."""
        if self._awaited and method == "POST" and url in SENDS:
            self.spans[len(self.frames) - 1] = time.perf_counter_ns() - self._began
            self._awaited = False
        await asyncio.sleep(0)  # the venue is not heard before the loop's next turn
        return await self._inner.request(
            method, url, headers=headers, body=body, timeout_s=timeout_s
        )

    async def connect(self, url: str, handler: Handler, *, timeout_s: float = 5.0) -> Socket:
        """A line; the market's is listened to."""
        if url.endswith("/market"):
            self.heard = handler
            return await self._inner.connect(url, self, timeout_s=timeout_s)
        return await self._inner.connect(url, handler, timeout_s=timeout_s)

    def received(self, text: bytes) -> None:
        """One message of the market: it waits until `hear`, once `waits` is set."""
        if self.waits:
            self.unheard.append(text)
        else:
            self.hear(text)

    def hear(self, text: bytes) -> None:
        """Hand a message to the adapter."""
        self.frames.append(text)
        venue = self.venue
        if self.heard is None or venue is None:
            return
        given = venue.given
        self._awaited = False
        self._began = time.perf_counter_ns()
        self.heard.received(text)
        self._awaited = venue.given > given

    def lost(self, reason: str) -> None:
        """The market's line has ended."""
        if self.heard is not None:
            self.heard.lost(reason)

    async def aclose(self) -> None:
        """Nothing is kept."""


def run(progress: Callable[[str], None]) -> list[Result]:
    """All figures of Polymarket, on generated contracts."""
    progress(f"wire: contracts at Polymarket, {EVENTS:,} events each, market maker, journal on")
    spans = list[int]()
    others = beside(Official, "polymarket-client or py-clob-client-v2", progress)
    for seed in range(1, MOST_RUNS + 1):
        tap = anyio.run(_wire_to_wire, Feed(seed=seed), backend_options={"use_uvloop": True})
        spans += tap.spans.values()
        others.play(tap.frames, tap.spans)
        if len(spans) >= DECISIONS:
            break
    if not spans:
        raise BetatraderError("wire: no message led to an order, so that nothing was measured")
    spans.sort()
    signed = _signed()
    return [
        at_most(
            "wire_polymarket_p50_us",
            quantile(spans, 0.5) / 1e3,
            "us",
            GOAL_P50_US,
            f"{len(spans)} messages that caused an order",
        ),
        at_most("wire_polymarket_p99_us", quantile(spans, 0.99) / 1e3, "us", GOAL_P99_US),
        Result(name="wire_polymarket_p999_us", value=quantile(spans, 0.999) / 1e3, unit="us"),
        *others.results("polymarket", spans),
        _beside(
            "wire_polymarket_sign_us",
            signed,
            wire_official.signed(SIGNED // 5),
            GOAL_FASTER,
            "official client, with coincurve beside it",
        ),
        _beside(
            "wire_polymarket_sign_beside_as_installed_us",
            signed,
            wire_official.signed_as_installed(SIGNED // 40),
            GOAL_FASTER_AS_INSTALLED,
            "official client, as it installs",
        ),
        at_least(
            "wire_polymarket_books_per_s",
            _books(tap.frames, tap.tokens),
            "1/s",
            GOAL_BOOKS_PER_S,
            "messages of the market channel, decoded and applied",
        ),
    ]


def _beside(name: str, ours: float, theirs: float | None, share: float, whose: str) -> Result:
    if theirs is None:
        return Result(name=name, value=ours, unit="us", note=f"{whose}: not installed")
    return Result(
        name=name,
        value=ours,
        unit="us",
        baseline=theirs,
        ratio=ours / theirs,
        goal=share * theirs,
        met=ours <= share * theirs,
        note=f"{whose}: {theirs:,.0f} us",
    )


async def _wire_to_wire(feed: Feed) -> Tap:
    exchange = SimulatedExchange(0)
    rules = VenueRules(DEPOSIT, enforce_limits=False)
    server = PolymarketServer(exchange, rules, FaultyLink(Faults(), 1))
    now_ns = clock.now_ns()
    events = list(islice(contracts.as_polymarket(feed, now_ns), EVENTS))
    tap = Tap(server)
    tap.tokens = tuple(name.rpartition(".")[0] for name in contracts.tokens(feed, now_ns))
    engine = Engine(RICH, [MarketMaker(Parameters(requote_seconds=0.0))])
    with tempfile.TemporaryDirectory(prefix="bt-bench-") as folder:
        journal = Journal(Path(folder), "bench", "0", SETUP)
        trader = Trader(engine, "bench", Silent(), journal)  # type: ignore[arg-type]
        settings = Polymarket(
            markets=(contracts.condition(feed, now_ns),),
            clob="http://x",
            market_socket="ws://x/ws/market",
            user_socket="ws://x/ws/user",
            private_key=KEY,
        )
        venue = tap.venue = Counted(settings, tap, trader.take, trader.take)
        venue.remember([])
        for kind in ("order", "cancel"):  # hours of a market pass here in seconds
            venue.rest.limits.buckets[kind] = Bucket(1e9, 1e9)
        trader.connect(Gateway(venue))
        trader.take(Started(now_ns, 1, TradingState.ACTIVE))
        trader.take(CashFlow(now_ns, "POLYMARKET", DEPOSIT))
        for event in events[:4]:
            server.play(event)
        async with anyio.create_task_group() as group:
            group.start_soon(server.deliver)
            group.start_soon(venue.run)
            with anyio.fail_after(10):
                while not venue.connected:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            gc.collect()
            gc.freeze()
            tap.spans.clear()
            tap.waits = True
            for first in range(4, len(events), PART):
                for event in events[first : first + PART]:
                    server.play(event)
                    await _turns()
                while tap.unheard:
                    tap.hear(tap.unheard.popleft())
                    await _turns()
            gc.unfreeze()
            group.cancel_scope.cancel()
        server.close()
        journal.close()
    return tap


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def _signed() -> float:
    """Microseconds, at the median, to build and sign one order."""
    ids, rules = Ids(Signer(KEY, 137, 0), 0), Rules(parse("0.01"), parse("5"), neg_risk=False)
    terms = OrderTerms(
        InstrumentId(f"{TOKEN}.POLYMARKET"),
        Side.BUY,
        OrderType.LIMIT,
        parse("0.56"),
        parse("21.04"),
    )
    spans = []
    for number in range(SIGNED):
        name = ClientOrderId(f"{number:032x}")
        began = time.perf_counter_ns()
        ids.sign(name, terms, number, form_of(terms, rules), rules)
        spans.append(time.perf_counter_ns() - began)
    return quantile(sorted(spans), 0.5) / 1e3


def _books(frames: list[bytes], tokens: tuple[str, ...]) -> float:
    """Messages a second of CPU: decoded, and applied to the books of both tokens."""
    nobody: Any = None
    rates = []
    for _ in range(3):
        stream = MarketStream(nobody, "ws://x", nobody, lambda _: None)
        stream.listen(tokens)
        gc.collect()
        gc.freeze()
        began = time.process_time_ns()
        for frame in frames:
            stream.received(frame)
        rates.append(len(frames) * 1e9 / (time.process_time_ns() - began))
        gc.unfreeze()
    return sorted(rates)[1]
