"""What users complain of in other systems, as tests of this one: how an order's end is learnt."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import anyio
import anyio.lowlevel
import pytest
from books import Books
from homes import Home
from msgspec.structs import replace
from scenes import COIN, SECOND, terms
from stops import STOP_AT

from betatrader.chaos.loop import Process, VirtualLoop
from betatrader.model.account import (
    CashFlow,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderInDoubt,
    PositionTransfer,
    VenueAccount,
)
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.order import OrderState, Side
from betatrader.ops import clock
from betatrader.roles.reconciling import Reconciler
from betatrader.sim.ledger import Ended

BUY, SELL = Side.BUY, Side.SELL


@pytest.mark.parametrize("route", ["stream", "poll", "position"])
@pytest.mark.parametrize("what", ["a stop sells", "a limit buys", "it is cancelled there"])
async def test_t18_an_end_is_learnt_by_any_of_three_routes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, route: str
) -> None:
    home = Home(tmp_path / "journal", monkeypatch)
    await home.start()
    order = home.guarded("0.9")
    if what == "a stop sells":
        home.quote(STOP_AT)
    else:
        home.propose(terms(BUY, "9.80", "0.4"))
        home.hear()
        [order] = home.of("puppet")
        if what == "a limit buys":
            home.quote("9.78")
        else:
            home.venue.cancel(CancelOrder(order.id, COIN), home.now_ns)
            home.reports += home.venue.advance(home.now_ns)
    assert order.id in home.scene.state.orders.open, "its report is under way"
    if route == "stream":
        home.hear()
    else:
        home.reports.clear()
        home.forgets = route == "position"
        await home.compare()
    state = home.scene.state
    assert order.id not in state.orders.open
    assert home.agrees()
    home.reports.clear()
    sales = home.venue.ledgers["us"].fill_count
    for bid in ("9.40", "9.00"):  # and nothing is sold for it a second time
        home.quote(bid)
        home.tick()
    if what == "a stop sells":
        assert home.venue.ledgers["us"].fill_count == sales
        assert home.of("guard") == home.of("stop") == []
    assert home.venue.ledgers["us"].shorted == 0


class Virtual:
    """The real reconciler in virtual time, at a venue that answers as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, under_way_s: int) -> None:
        self.loop = VirtualLoop(1)
        monkeypatch.setattr(clock, "now_ns", lambda: SECOND + int(self.loop.time() * SECOND))
        monkeypatch.setattr(clock, "boot_s", lambda: 1.0 + self.loop.time())
        self.books = Books()
        self.knows = False
        self.asked = 0
        self.told: list[str] = []
        self.taken: list[object] = []
        venue = SimpleNamespace(
            name="SIM", under_way_ns=under_way_s * SECOND, account=self._account
        )
        self.reconciler = Reconciler(venue, lambda: self.books.state, self.take)  # type: ignore[arg-type]
        self.reconciler.on_difference = self.told.append
        self.loop.spawn(Process("p"), self._keep)

    async def _keep(self) -> None:
        await self.reconciler.keep(60.0)

    def take(self, event: object) -> None:
        self.taken.append(type(event))
        self.books.scene.take(event)

    async def _account(self, orders: tuple[str, ...]) -> VenueAccount:
        self.asked += 1
        found = self.books.ledger.account(orders)  # type: ignore[arg-type]
        return found if self.knows else replace(found, orders={}, fills=())

    def go(self, seconds: float) -> None:
        self.loop.run_until(lambda: False, self.loop.time() + seconds)
        assert self.loop.unhandled == []


def test_t15_a_venue_that_answers_not_found_for_a_minute_and_then_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Virtual(monkeypatch, under_way_s=90)
    order = made.books.place()
    made.go(60.0)
    assert made.taken == [OrderInDoubt]
    assert made.books.state.orders.open[order.order].state is OrderState.IN_DOUBT
    assert made.asked > 50, "it was asked all the time"
    made.books.arrive(order)
    made.books.execute(order, "0.5", "T1")
    made.knows = True
    made.go(2.0)
    assert made.taken[:2] == [OrderInDoubt, Fill]
    assert made.books.state.orders.find(order.order).state is OrderState.FILLED  # type: ignore[union-attr]
    assert made.books.agree()


def test_t15_one_that_shows_only_after_it_counted_as_never_taken_is_booked_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Virtual(monkeypatch, under_way_s=13)
    order = made.books.place()
    made.go(60.0)
    ended = made.books.state.orders.closed[order.order]
    assert ended.state is OrderState.REJECTED, "after the longest time that it may be under way"
    made.books.arrive(order)
    made.books.execute(order, "0.5", "T1")
    made.knows = True
    made.go(61.0)  # the next look
    assert made.books.agree()
    assert made.books.state.orders.fills == 1
    assert ended.filled == order.terms.quantity
    assert any("fill" in text for text in made.told), "a person hears of it"


VENUE_ACTS = ("V1", "V2", "V3")
"""At the venue, in this order: it takes the order, fills a part, and fills or ends the rest."""

REPORTS = {"R1": "V1", "R2": "V2", "R3": "V3"}
"""Of which each is told after it has happened: in any order, and late."""

LOOKS = ("L", "P")
"""A reconciliation, and one whose balances are of before the venue's last act."""


def interleavings(done: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every order in which these may come."""
    acted = [one for one in VENUE_ACTS if one not in done]
    ready = [name for name, cause in REPORTS.items() if name not in done and cause in done]
    may = [*acted[:1], *ready, *(one for one in LOOKS if one not in done)]
    if not may:
        yield done
    for one in may:
        yield from interleavings((*done, one))


class Interleaved:
    """One order's life, in one of those orders, with the real reconciler."""

    def __init__(self, last: str) -> None:
        self.books = Books()
        self.books.scene.now_s = clock.now_ns() / 1e9
        self.order: Approved = self.books.place()
        self.last = last
        self.reports: dict[str, object] = {}
        self.before = self.answer = self.books.ledger.account(())
        self.lags = False
        self.asked = 0
        hours_ns = 3_600 * SECOND  # balances are believed at two looks so far apart
        venue = SimpleNamespace(name="SIM", under_way_ns=hours_ns, account=self._account)
        scene = self.books.scene
        self.moved: list[object] = []
        self.reconciler = Reconciler(venue, lambda: scene.state, self._take)  # type: ignore[arg-type]

    def _take(self, event: object) -> None:
        self.books.scene.take(event)
        if isinstance(event, PositionTransfer | CashFlow):
            self.moved.append(event)

    async def _account(self, orders: tuple[str, ...]) -> VenueAccount:
        self.asked += 1
        found = self.books.ledger.account(orders)  # type: ignore[arg-type]
        old = self.before
        return replace(found, cash=old.cash, positions=old.positions) if self.lags else found

    def at_venue(self, act: str) -> None:
        books, name = self.books, self.order.order
        self.before = books.ledger.account(())
        now = clock.now_ns()
        if act == "V1":
            books.arrive(self.order)
            self.reports["R1"] = OrderAccepted(now, name)
        elif act == "V3" and self.last == "cancel":
            books.ledger.apply(Ended(name, OrderState.CANCELED, "so"))
            self.reports["R3"] = OrderCanceled(now, name, "so")
        else:
            quantity, trade = ("0.2", "T2") if act == "V2" else ("0.3", "T3")
            self.reports["R" + act[1]] = books.execute(self.order, quantity, trade)

    async def look(self, *, lags: bool) -> None:
        self.lags = lags
        asked = self.asked
        self.reconciler.look_now()
        while self.asked == asked:
            await anyio.lowlevel.checkpoint()
        for _ in range(3):
            await anyio.lowlevel.checkpoint()

    async def act(self, one: str) -> None:
        if one in VENUE_ACTS:
            self.at_venue(one)
        elif one in REPORTS:
            self.books.scene.take(self.reports[one])
        else:
            await self.look(lags=one == "P")

    def never_more_than_the_venue(self) -> bool:
        ours = self.books.state.orders.find(self.order.order)
        assert ours is not None
        there = sum(fill.quantity for fill in self.books.ledger.fills)
        held = self.books.state.portfolio.quantity(COIN)
        return ours.filled <= there and held <= there


@pytest.mark.parametrize("last", ["fill", "cancel"])
async def test_t8_every_interleaving_of_order_update_fill_position_report_and_reconcile(
    last: str,
) -> None:
    ways = list(interleavings())
    assert len(ways) == len(set(ways)) == 840
    for way in ways:
        made = Interleaved(last)
        async with anyio.create_task_group() as group:
            group.start_soon(made.reconciler.keep, 3_600.0)
            for one in way:
                await made.act(one)
                assert made.never_more_than_the_venue(), way
            await made.look(lags=False)
            await made.look(lags=False)
            group.cancel_scope.cancel()
        ours = made.books.state.orders.closed[made.order.order]
        assert ours.state is (OrderState.FILLED if last == "fill" else OrderState.CANCELED), way
        assert made.books.state.orders.fills == len(made.books.ledger.fills), way
        assert made.books.agree(), way
        assert made.moved == [], "a balance of another moment is no movement"
