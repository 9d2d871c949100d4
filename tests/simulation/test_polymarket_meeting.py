"""The adapter and the simulated Polymarket meet in memory: after any run the books agree exactly.

Orders of every kind, cancels, lost answers, failed trades and a restart, in virtual time.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from betatrader.chaos.loop import Process, VirtualLoop
from betatrader.config.venues import Polymarket
from betatrader.engine.state import State, fold_submit
from betatrader.model.account import (
    CashFlow,
    Fill,
    OrderEvent,
    PairsMerged,
    PositionTransfer,
    VenueAccount,
)
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId
from betatrader.model.market import (
    BookSnapshot,
    InstrumentListed,
    PublicTrade,
    Quote,
    Resolution,
)
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderState, OrderTerms, OrderType, Side, TimeInForce
from betatrader.model.secret import Secret
from betatrader.net.transport import Answer, Handler, NoAnswerError, Request
from betatrader.ops import clock
from betatrader.sim.ledger import Merged, Settled
from betatrader.venues.polymarket.venue import PolymarketVenue
from betatrader.venues.reconcile import missing_fills, order_reports, unexplained

scene = pytest.importorskip("poly_scene", reason="the simulated Polymarket is not here yet")

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
        self.settings = Polymarket(
            markets=(scene.CONDITION,),
            private_key=Secret(scene.PRIVATE),
            signature_type=signature_type,
            funder=FUNDER if signature_type else "",
            **settings,
        )
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
        self.made.append(ClientOrderId(f"{len(self.made) + 1:032x}"))
        command = Approved(self.made[-1], StrategyId("s"), terms)

        def send() -> None:
            self.state.now_ns = clock.now_ns()  # as it is where an event has led to the order
            fold_submit(self.state, command)
            self.venue.submit(command, self.state.now_ns)

        self.do(send)

    def buy(self, name: InstrumentId, price: str, size: str) -> None:
        """Take so much at once."""
        terms = OrderTerms(name, Side.BUY, OrderType.LIMIT, parse(price), parse(size))
        self.made.append(ClientOrderId(f"{len(self.made) + 1:032x}"))
        command = Approved(self.made[-1], StrategyId("s"), terms)
        self.do(
            lambda: (fold_submit(self.state, command), self.venue.submit(command, clock.now_ns()))
        )

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


@pytest.mark.parametrize("seed", range(12))
def test_after_any_run_the_books_agree_exactly(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    meeting = Meeting(monkeypatch, seed, seed % 4)
    if seed % 3 == 1:
        meeting.core.fail_trades(5)
    for step in range(60):
        if seed % 3 == 2 and meeting.chance.random() < 0.1:
            kinds = ["lost", "never came", "error", "html"]
            meeting.core.state.troubles.next.append(meeting.chance.choice(kinds))
        if step == 40 and seed % 3 != 1:  # what fails meanwhile is found in the balances alone
            meeting.restart()
        meeting.act()
        meeting.move(meeting.chance.choice([scene.YES_ID, scene.NO_ID]))
    account = meeting.settle()
    assert unexplained(meeting.state, account, "POLYMARKET", clock.now_ns()) == []
    working = {n for n, o in account.orders.items() if o.state is OrderState.ACCEPTED}
    assert set(meeting.state.orders.open) == working
    assert any(isinstance(event, Fill) for event in meeting.events)
    if seed % 3 == 1:
        assert any(isinstance(event, PositionTransfer) for event in meeting.events)


RELAYED = {"relayer_key": Secret("a key of the relayer"), "relayer": "http://relayer"}
TROUBLES = ["", "lost", "never came", "error", "html"]


@pytest.mark.parametrize("wallet", [1, 2, 3], ids=["proxy", "safe", "deposit wallet"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_pairs_are_merged_once_whatever_becomes_of_the_answer(
    monkeypatch: pytest.MonkeyPatch, wallet: int, trouble: str
) -> None:
    meeting = Meeting(monkeypatch, 1, wallet, merge=True, **RELAYED)
    meeting.buy(scene.YES_ID, "0.52", "10")
    meeting.buy(scene.NO_ID, "0.50", "7")
    if trouble:
        meeting.core.state.troubles.next.append(trouble)
    meeting.settle()
    meeting.go(180)
    merged = [entry for entry in meeting.entries if isinstance(entry, Merged)]
    assert [entry.quantity for entry in merged] == [parse("7")]
    account = meeting.settle()
    (found,) = unexplained(meeting.state, account, "POLYMARKET", clock.now_ns())
    assert isinstance(found, PairsMerged)
    assert found.quantity == parse("7")
    meeting.state.fold(found)
    assert unexplained(meeting.state, account, "POLYMARKET", clock.now_ns()) == []
    assert meeting.state.portfolio.cash == meeting.ledger().cash


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_winner_is_redeemed_and_the_books_need_no_word_of_it(
    monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    meeting = Meeting(monkeypatch, 1, 2, **RELAYED)
    meeting.core.state.exchange.pays_at_end = False
    meeting.buy(scene.YES_ID, "0.52", "10")
    meeting.settle()
    if trouble:
        meeting.core.state.troubles.next.append(trouble)
    for name, payout in ((scene.YES_ID, SCALE), (scene.NO_ID, 0)):
        meeting.do(lambda n=name, p=payout: meeting.core.play(Resolution(clock.now_ns(), n, p)))
    before = meeting.ledger().cash
    meeting.go(180)
    assert {event.instrument for event in meeting.heard if isinstance(event, Resolution)} == {
        scene.YES_ID,
        scene.NO_ID,
    }
    paid = [entry for entry in meeting.entries if isinstance(entry, Settled)]
    assert [(entry.instrument, entry.payout) for entry in paid] == [(scene.YES_ID, SCALE)]
    assert meeting.ledger().cash == before + parse("10")
    account = meeting.settle()
    assert unexplained(meeting.state, account, "POLYMARKET", clock.now_ns()) == []
    assert meeting.state.portfolio.cash == meeting.ledger().cash


def test_a_winner_is_redeemed_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = Meeting(monkeypatch, 1, 3, **RELAYED)
    meeting.core.state.exchange.pays_at_end = False
    meeting.buy(scene.NO_ID, "0.50", "10")
    meeting.settle()
    for name, payout in ((scene.YES_ID, 0), (scene.NO_ID, SCALE)):
        meeting.do(lambda n=name, p=payout: meeting.core.play(Resolution(clock.now_ns(), n, p)))
    meeting.restart()
    meeting.go(120)
    assert [type(entry) for entry in meeting.entries if isinstance(entry, Settled)] == [Settled]


def test_what_is_offered_is_not_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue would cancel the offer."""
    meeting = Meeting(monkeypatch, 1, 2, merge=True, **RELAYED)
    meeting.buy(scene.YES_ID, "0.52", "10")
    terms = OrderTerms(scene.YES_ID, Side.SELL, OrderType.LIMIT, parse("0.90"), parse("6"))
    offer = Approved(ClientOrderId("f" * 32), StrategyId("s"), terms)
    meeting.do(
        lambda: (fold_submit(meeting.state, offer), meeting.venue.submit(offer, clock.now_ns()))
    )
    meeting.buy(scene.NO_ID, "0.50", "10")
    meeting.settle()
    meeting.go(120)
    merged = [entry for entry in meeting.entries if isinstance(entry, Merged)]
    assert [entry.quantity for entry in merged] == [parse("4")]
    assert ClientOrderId("f" * 32) in meeting.state.orders.open


def test_without_a_relayer_key_a_person_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    meeting = Meeting(monkeypatch, 1, 0)
    meeting.core.state.exchange.pays_at_end = False
    meeting.buy(scene.YES_ID, "0.52", "10")
    meeting.settle()
    for name, payout in ((scene.YES_ID, SCALE), (scene.NO_ID, 0)):
        meeting.do(lambda n=name, p=payout: meeting.core.play(Resolution(clock.now_ns(), n, p)))
    meeting.go(120)
    assert capsys.readouterr().out.count("redeem_by_hand") == 1
