"""What users complain of in other systems, each as a test of this one: of orders; T1 to T39 number
them.

Those of recovery stand in `test_complaints_recovery.py`, of the market in
`test_complaints_market.py`, of money in `test_complaints_money.py`, of what is stored in
`test_complaints_store.py`, and of sockets in `tests/integration/test_link_complaints.py`.
"""

from types import SimpleNamespace

import anyio
import pytest
from complaints import cancelled, filled, rest, tick
from hypothesis import given
from hypothesis import strategies as st
from scenes import COIN, SECOND, Scene, coin, quote, terms

from betatrader.model.account import (
    CancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderInDoubt,
    OrderRejected,
    VenueAccount,
    VenueOrder,
)
from betatrader.model.command import (
    Alert,
    CancelOrder,
    SubmitOrder,
)
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.instruction import CancelAll, Halt
from betatrader.model.market import (
    InstrumentListed,
)
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderState, OrderType, Side, TimeInForce
from betatrader.roles.desks import RemoteDesk
from betatrader.sim.exchange import SimulatedExchange
from betatrader.venues.reconcile import order_reports

BUY, SELL = Side.BUY, Side.SELL
LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK


@pytest.mark.parametrize("kind", [LIMIT, MARKET])
@pytest.mark.parametrize("life", [GTC, IOC, FOK])
@pytest.mark.parametrize("price", ["9.90", "10.01"])
def test_t2_for_each_order_type_a_query_finds_what_a_submit_made(
    kind: OrderType, life: TimeInForce, price: str
) -> None:
    venue = SimulatedExchange()
    venue.deposit(100 * SCALE)
    venue.on_market(InstrumentListed(0, coin()))
    venue.on_market(quote("9.99", "10.01"))
    name = ClientOrderId("a" * 32)
    asked = terms(BUY, price, "0.5", COIN, kind, life)
    venue.submit(SubmitOrder(name, StrategyId("s"), asked), SECOND)
    venue.deliver(SECOND)
    if life is FOK and price == "9.90":  # refused, and so never one of its orders
        assert not venue.account((name,)).orders
        return
    found = venue.account((name,)).orders[name]
    assert found.terms == asked
    rests = kind is LIMIT and life is GTC and price == "9.90"
    taken = price == "10.01"
    assert (found.state is OrderState.ACCEPTED) == rests
    assert (found.state is OrderState.FILLED) == taken


def test_t7_what_replaces_an_order_is_an_order_of_its_own() -> None:
    scene = Scene()
    first = rest(scene, "9.90", "0.5")
    scene.state.fold(CancelOrder(first.order, COIN))
    second = rest(scene, "9.91", "0.5")
    assert first.order != second.order
    scene.take(OrderCanceled(SECOND, first.order))
    assert set(scene.state.orders.open) == {second.order}, "one cancel counts for one order"
    step = scene.take(Halt(SECOND, "i", "me"))
    assert step is not None
    assert cancelled(list(step.changes)) == [second.order]


def test_t7_one_id_that_stands_for_two_orders_cancels_both_and_a_person_is_told() -> None:
    scene = Scene()
    order = rest(scene, "9.90", "0.5")
    there = VenueOrder(order.order, order.terms, 0, OrderState.ACCEPTED)
    account = VenueAccount(parse("100"), {}, {order.order: there}, (), doubled=(order.order,))
    [found] = order_reports(scene.state, account, "SIM", SECOND, SECOND)
    step = scene.take(found)
    assert step is not None
    assert cancelled(list(step.changes)) == [order.order]
    assert any(isinstance(c, Alert) and "twice" in c.text for c in step.changes)
    scene.take(OrderCanceled(2 * SECOND, order.order))  # one of them; the other works on
    still = VenueAccount(parse("100"), {}, {order.order: there}, ())
    [other] = order_reports(scene.state, still, "SIM", 9 * SECOND, SECOND)
    step = scene.take(other)
    assert step is not None
    assert cancelled(list(step.changes)) == [order.order]


def test_t10_two_orders_filled_by_one_trade_count_both() -> None:
    scene = Scene()
    one, two = rest(scene, "9.90", "0.3"), rest(scene, "9.91", "0.4")
    for order in (one, two, one, two):
        scene.fill(order, trade="T1")
    assert scene.state.orders.fills == 2
    assert scene.state.portfolio.quantity(COIN) == parse("0.7")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sell", "fill", "accept", "doubt", "cancel", "gone", "buy"]),
            st.integers(0, 5),
            st.integers(1, 60),
        ),
        max_size=25,
    )
)
def test_t20_exits_that_rest_or_are_unknown_never_exceed_the_position(
    moves: list[tuple[str, int, int]],
) -> None:
    scene = Scene()
    scene.hold("0.9")
    for number, (move, which, lots) in enumerate(moves):
        asked = terms(SELL, f"10.{10 + which}", f"0.{lots:02d}")
        orders = list(scene.state.orders.open.values())
        order = orders[which % len(orders)] if orders else None
        if move == "sell":
            scene.propose(asked)
        elif move == "buy":
            scene.propose(terms(BUY, "9.90", "0.05"))
        elif order is not None and move == "fill":
            part = min(order.remaining, lots * SCALE // 100)
            scene.take(filled(order, part, f"T{number}"))
        elif order is not None and move == "accept":
            scene.take(OrderAccepted(SECOND, order.id))
        elif order is not None and move == "doubt":
            scene.take(OrderInDoubt(SECOND, order.id, "no answer"))
        elif order is not None and move == "cancel":
            scene.state.fold(CancelOrder(order.id, COIN))
        elif order is not None:
            scene.take(OrderCanceled(SECOND, order.id))
        offered = scene.state.orders.open_quantity(COIN, SELL)
        assert offered <= scene.state.portfolio.quantity(COIN)


def test_t21_after_a_partial_fill_and_a_cancel_the_rest_is_sold_and_no_more() -> None:
    scene = Scene()
    scene.hold("0.9")
    exit_order = rest(scene, "10.10", "0.9", SELL)
    scene.fill(exit_order, "0.4", "T2")
    scene.state.fold(CancelOrder(exit_order.order, COIN))
    assert scene.refused_by(terms(SELL, "10.11", "0.5")) == "short_sale", "it may still fill"
    scene.take(OrderCanceled(SECOND, exit_order.order))
    assert scene.refused_by(terms(SELL, "10.12", "0.6")) == "short_sale"
    last = rest(scene, "10.12", "0.5", SELL)
    scene.fill(last, trade="T3")
    assert scene.state.portfolio.quantity(COIN) == 0
    assert scene.state.portfolio.realised == parse("0.04") + parse("0.06") + 0


@pytest.mark.parametrize("cancelling", [False, True])
def test_t36_nothing_after_acceptance_turns_success_into_failure(cancelling: bool) -> None:
    scene = Scene()
    order = rest(scene)
    if cancelling:
        scene.state.fold(CancelOrder(order.order, COIN))
    scene.take(OrderRejected(SECOND, order.order, "the look for its hash failed"))
    assert order.order in scene.state.orders.open
    assert scene.refused_by(terms(BUY, "9.90", "2")) == "order_notional"
    scene.fill(order)
    assert scene.state.orders.closed[order.order].state is OrderState.FILLED


@pytest.mark.parametrize("state", [OrderState.REJECTED, None])
def test_t36_what_was_accepted_and_is_gone_at_the_venue_was_cancelled(
    state: OrderState | None,
) -> None:
    scene = Scene()
    order = rest(scene)
    scene.take(OrderInDoubt(SECOND, order.order, "no answer"))
    there = {}
    if state is not None:
        there[order.order] = VenueOrder(order.order, order.terms, 0, state, "so")
    account = VenueAccount(100 * SCALE, {}, there, ())
    reports = order_reports(scene.state, account, "SIM", 9 * SECOND, SECOND)
    assert [type(report) for report in reports] == [OrderCanceled]


@pytest.mark.parametrize("sweep", [CancelAll, Halt])
def test_t37_what_arrives_after_all_was_cancelled_is_found_and_cancelled(
    sweep: type[CancelAll] | type[Halt],
) -> None:
    scene = Scene()
    late = scene.propose(terms(BUY, "9.90", "0.5"))
    step = scene.take(sweep(2 * SECOND, "i", "me"))
    assert step is not None
    assert cancelled(list(step.changes)) == [late.order]
    scene.take(CancelRejected(2 * SECOND, late.order, "no such open order"))
    scene.take(OrderAccepted(3 * SECOND, late.order))
    assert cancelled(tick(scene, 3.5)) == [late.order]
    assert cancelled(tick(scene, 4.5)) == [], "the answer is waited for"
    scene.take(OrderCanceled(5 * SECOND, late.order))
    assert not scene.state.orders.open


async def test_t37_a_trader_that_ends_takes_it_off_too_though_its_clock_stands() -> None:
    scene = Scene()
    late = scene.propose(terms(BUY, "9.90", "0.5"))
    scene.take(CancelAll(2 * SECOND, "drain", "betatrader", "stopping", keeps_stops=True))
    scene.take(CancelRejected(2 * SECOND, late.order, "no such open order"))
    scene.take(OrderAccepted(3 * SECOND, late.order))
    sent: list[str] = []

    def take(event: object) -> None:
        step = scene.take(event)
        gone = cancelled(list(step.changes)) if step is not None else []
        sent.extend(gone)
        for order in gone:
            scene.take(OrderCanceled(4 * SECOND, order))

    venue = SimpleNamespace(name="SIM", busy=False)
    desk = RemoteDesk(SimpleNamespace(make=lambda *_: venue), lambda: scene.state, take)  # type: ignore[arg-type]
    with anyio.fail_after(2):
        await desk.settle()
    assert sent == [late.order]


def test_t37_what_is_made_afterwards_may_rest() -> None:
    scene = Scene()
    scene.take(CancelAll(SECOND, "i", "me"))
    scene.now_s = 2.0
    rest(scene)
    assert tick(scene, 3.0) == []


def test_an_end_is_not_told_before_the_fills_that_the_venue_counts() -> None:
    """Else risk would let another order take the place of what this one has bought."""
    scene = Scene()
    order = rest(scene, "9.90", "0.5")
    there = VenueOrder(order.order, order.terms, parse("0.3"), OrderState.CANCELED)
    account = VenueAccount(0, {}, {order.order: there}, ())
    now, under_way = scene.state.now_ns, 3 * SECOND
    assert order_reports(scene.state, account, "SIM", now, under_way) == []
    late = order_reports(scene.state, account, "SIM", now + 4 * SECOND, under_way)
    assert [type(event) for event in late] == [OrderCanceled], "it does not wait for ever"
    scene.fill(order, "0.3")
    assert [type(e) for e in order_reports(scene.state, account, "SIM", now, under_way)] == [
        OrderCanceled
    ]


def test_an_order_of_which_no_fill_is_ever_told_keeps_no_start_from_its_end() -> None:
    scene = Scene()
    order = rest(scene, "9.90", "0.5")
    there = VenueOrder(order.order, order.terms, parse("0.5"), OrderState.FILLED)
    account = VenueAccount(0, {}, {order.order: there}, ())
    since, under_way = scene.state.orders.open[order.order].updated_ns, 3 * SECOND
    assert order_reports(scene.state, account, "SIM", since + 30 * SECOND, under_way) == []
    [end] = order_reports(scene.state, account, "SIM", since + 31 * SECOND, under_way)
    assert isinstance(end, OrderCanceled)
    assert "no fill" in end.reason
    scene.take(end)
    scene.fill(order)
    assert scene.state.portfolio.quantity(order.terms.instrument) == parse("0.5"), (
        "late, and counts"
    )
