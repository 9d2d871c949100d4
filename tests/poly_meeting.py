"""The adapter and the simulated Polymarket in one memory, in virtual time, with books between."""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import anyio
import poly_scene as scene
import pytest

from betatrader.chaos.loop import Process, VirtualLoop
from betatrader.config.venues import Polymarket
from betatrader.engine.state import State, fold_submit
from betatrader.model.account import (
    CashFlow,
    Fill,
    OrderEvent,
    VenueAccount,
)
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId
from betatrader.model.market import (
    BookSnapshot,
    InstrumentListed,
    PublicTrade,
    Quote,
)
from betatrader.model.money import parse
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce
from betatrader.model.secret import Secret
from betatrader.net.transport import Answer, Handler, NoAnswerError, Request
from betatrader.ops import clock
from betatrader.venues.polymarket.venue import PolymarketVenue
from betatrader.venues.reconcile import missing_fills, order_reports

EPOCH_NS = 1_764_000_000_000_000_000
FUNDER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
ON_WAY_S = 0.003
GTC, FAK, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK


class End:
    """One end of a WebSocket; what is sent arrives in order."""

    def __init__(self) -> None:
        self.peer: End
        self.handler: Handler | None = None
        self.open = True
        self._last = 0.0

    def send(self, text: bytes) -> None:
        if self.open:
            loop = asyncio.get_running_loop()
            self._last = max(self._last + 1e-6, loop.time() + ON_WAY_S)
            loop.call_at(self._last, self.peer.hear, text)

    def hear(self, text: bytes) -> None:
        if self.open and self.handler is not None:
            self.handler.received(text)

    def close(self) -> None:
        for end in (self, self.peer):
            if end.open:
                end.open = False
                if end.handler is not None:
                    end.handler.lost("closed")


class Bridge:
    """The server's core as the adapter's transport."""

    def __init__(self, core: Any) -> None:
        self._core = core

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
    ) -> Answer:
        parts = urlsplit(url)
        names = {name.lower(): value for name, value in (headers or {}).items()}
        await asyncio.sleep(ON_WAY_S)
        answer = await self._core.answer(Request(method, parts.path, parts.query, names, body))
        await asyncio.sleep(ON_WAY_S)
        if answer is None:
            raise NoAnswerError("cut")
        return answer

    async def connect(self, url: str, handler: Handler, *, timeout_s: float = 5.0) -> End:
        here, there = End(), End()
        here.peer, there.peer, here.handler = there, here, handler
        await asyncio.sleep(ON_WAY_S)
        there.handler = self._core.open(Request("GET", urlsplit(url).path, "", {}, b""), there)
        return here

    async def aclose(self) -> None:
        return None


class Meeting:
    """A trader's books, the adapter, and the venue with a market that moves at random."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, seed: int, signature_type: int, **settings: Any
    ) -> None:
        self.loop = VirtualLoop(seed)
        self.chance = random.Random(seed)
        monkeypatch.setattr(clock, "now_ns", lambda: EPOCH_NS + int(self.loop.time() * 1e9))
        monkeypatch.setattr(clock, "boot_s", lambda: 1.0 + self.loop.time())
        self.core = scene.server(latency_ns=2_000_000)
        self.state = State()
        self.events: list[Any] = []
        self.heard: list[Any] = []
        self.entries: list[Any] = []
        self.core.state.exchange.keep = lambda _owner, entry: self.entries.append(entry)
        self.made: list[ClientOrderId] = []
        given = {
            "markets": (scene.CONDITION,),
            "private_key": Secret(scene.PRIVATE),
            "signature_type": signature_type,
            "funder": FUNDER if signature_type else "",
        }
        self.settings = Polymarket(**{**given, **settings})
        self.loop.spawn(Process("venue"), self.core.deliver)
        self.do(lambda: [self.core.play(event) for event in scene.market(clock.now_ns())])
        self.start()
        self.state.fold(CashFlow(clock.now_ns(), "POLYMARKET", scene.CASH))

    def start(self) -> None:
        """A process begins, and knows its orders of before."""
        self.venue = PolymarketVenue(self.settings, Bridge(self.core), self.take, self.market)
        orders = self.state.orders
        self.venue.remember([*orders.closed.values(), *orders.open.values()])
        self.loop.spawn(Process("trader"), self._run)
        self.go(3)
        assert self.venue.connected

    async def _run(self) -> None:
        with anyio.CancelScope() as self.scope:
            await self.venue.run()

    def restart(self) -> None:
        """The process ends, with what is under way, and another begins."""
        self.do(self.scope.cancel)
        self.go(1)
        self.start()

    def take(self, event: Any) -> None:
        self.events.append(event)
        self.state.fold(event)

    def market(self, event: Any) -> None:
        if isinstance(event, InstrumentListed) or event.instrument in self.state.markets:
            self.state.fold(event)
            self.heard.append(event)

    def go(self, seconds: float) -> None:
        self.loop.run_until(lambda: False, self.loop.time() + seconds)
        assert self.loop.unhandled == []

    def do(self, call: Callable[[], object]) -> None:
        self.loop.call_soon(call)
        self.go(self.chance.uniform(0.01, 0.4))

    def act(self) -> None:
        """An order of any kind, or a cancel of any order."""
        name = self.chance.choice([scene.YES_ID, scene.NO_ID])
        if self.made and self.chance.random() < 0.4:
            cancel = CancelOrder(self.chance.choice(self.made), name)
            self.do(lambda: self.venue.cancel(cancel, clock.now_ns()))
            return
        force = self.chance.choice([GTC, GTC, FAK, FOK])
        terms = OrderTerms(
            name,
            self.chance.choice([Side.BUY, Side.BUY, Side.SELL]),
            OrderType.LIMIT,
            parse(f"0.{self.chance.randint(44, 56)}"),
            parse(f"{self.chance.randint(500, 3000) / 100:.2f}"),
            force,
            force is GTC and self.chance.random() < 0.3,
        )
        self.place(terms)

    def place(self, terms: OrderTerms) -> ClientOrderId:
        """Send one order; returns its id."""
        order = ClientOrderId(f"{len(self.made) + 1:032x}")
        self.made.append(order)
        command = Approved(order, StrategyId("s"), terms)

        def send() -> None:
            self.state.now_ns = clock.now_ns()  # as it is where an event has led to the order
            fold_submit(self.state, command)
            self.venue.submit(command, self.state.now_ns)

        self.do(send)
        return order

    def buy(self, name: InstrumentId, price: str, size: str) -> None:
        """Take so much at once."""
        self.place(OrderTerms(name, Side.BUY, OrderType.LIMIT, parse(price), parse(size)))

    def ledger(self) -> Any:
        """The venue's books of our account."""
        return self.core.state.exchange.ledgers[self.venue.rest._signer.address]

    def move(self, name: InstrumentId) -> None:
        """The market moves, and trades."""
        bid = self.chance.randint(42, 54)
        ask = bid + self.chance.randint(1, 5)
        size, more = parse(str(self.chance.randint(5, 40))), parse("217.217767")
        bids, asks = ((parse(f"0.{bid}"), size),), ((parse(f"0.{ask}"), size),)
        price = parse(f"0.{self.chance.randint(40, 56)}")
        taker_buys = self.chance.random() < 0.5

        def play() -> None:
            now = clock.now_ns()
            self.core.play(BookSnapshot(now, name, bids, asks, 1))
            self.core.play(Quote(now, name, *bids[0], *asks[0], 1))
            self.core.play(PublicTrade(now, name, price, more, taker_buys, "t"))

        self.do(play)

    def account(self) -> VenueAccount:
        found: list[VenueAccount] = []

        async def ask() -> None:
            found.append(await self.venue.account(tuple(self.state.orders.open)))

        self.loop.spawn(Process("question"), ask)
        self.go(2)
        return found[0]

    def settle(self) -> VenueAccount:
        """Compare the books until nothing but balances can differ."""
        self.go(30)
        for _ in range(10):
            account = self.account()
            found: list[Fill] | list[OrderEvent] = missing_fills(self.state, account, (0, 0))
            found = found or order_reports(
                self.state, account, self.venue.name, clock.now_ns(), self.venue.under_way_ns
            )
            if not found:
                return account
            for event in found:
                self.state.fold(event)
        raise AssertionError("the books never agree")


RELAYED = {"relayer_key": Secret("a key of the relayer"), "relayer": "http://relayer"}
