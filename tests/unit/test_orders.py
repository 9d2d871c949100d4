"""The table of order states, and what late and repeated reports do."""

import itertools

import pytest

from betatrader.engine.orders import CLOSED_KEPT, UNKNOWN_KEPT, Orders, transition
from betatrader.model.account import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderEvent,
    OrderExpired,
    OrderFound,
    OrderInDoubt,
    OrderRejected,
)
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.errors import IllegalTransition
from betatrader.model.ids import (
    ClientOrderId,
    InstrumentId,
    StrategyId,
    client_order_id,
)
from betatrader.model.order import TRANSITIONS, Order, OrderState, OrderTerms, OrderType, Side

ID = client_order_id(StrategyId("s"), 1, 1)
TERMS = OrderTerms(InstrumentId("A.SIM"), Side.BUY, OrderType.LIMIT, 50, 100)


def fill(quantity: int, trade_id: str) -> Fill:
    return Fill(2, ID, TERMS.instrument, Side.BUY, 50, quantity, 0, True, trade_id)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(OrderState, OrderState)))
def test_every_pair_of_states_is_legal_or_refused(before: OrderState, after: OrderState) -> None:
    order = Order(ID, StrategyId("s"), TERMS, 0, state=before)
    if after in TRANSITIONS[before]:
        transition(order, after, 1)
        assert order.state is after
    elif before is after is OrderState.PARTIALLY_FILLED:
        transition(order, after, 1)
    else:
        with pytest.raises(IllegalTransition):
            transition(order, after, 1)
        assert order.state is before


def test_a_fill_seen_twice_counts_once() -> None:
    orders = Orders()
    orders.submit(Approved(ID, StrategyId("s"), TERMS), 0)
    for _ in range(2):
        if orders.is_new_fill(fill(40, "t1")):
            orders.take_fill(fill(40, "t1"))
    assert orders.open[ID].filled == 40


def test_a_late_fill_is_counted_and_does_not_reopen_the_order() -> None:
    orders = Orders()
    orders.submit(Approved(ID, StrategyId("s"), TERMS), 0)
    assert orders.take(OrderCanceled(1, ID))
    assert orders.is_new_fill(fill(40, "t1"))
    orders.take_fill(fill(40, "t1"))
    assert orders.closed[ID].state is OrderState.CANCELED
    assert orders.closed[ID].filled == 40
    assert not orders.take(OrderAccepted(3, ID))


def test_ids_are_32_hexadecimal_digits_and_repeatable() -> None:
    assert ClientOrderId("5b45d3ad".replace("5b45d3ad", ID[:8]) + f"{1:012x}{1:012x}") == ID
    assert len(ID) == 32
    with pytest.raises(ValueError):
        client_order_id(StrategyId("s"), 1 << 48, 0)


def test_an_order_that_works_after_its_end_is_as_old_as_it_was() -> None:
    """Venues that name an order by its hash make that of its id and its time."""
    orders = Orders()
    orders.submit(Approved(ID, StrategyId("s"), TERMS), 7)
    orders.take(OrderCanceled(8, ID))
    orders.adopt(OrderFound(99, ID, TERMS, 0, "0xab"), StrategyId("s"))
    assert (orders.open[ID].created_ns, orders.open[ID].venue_id) == (7, "0xab")


def opened(*events: OrderEvent) -> tuple[Orders, list[bool]]:
    orders = Orders()
    orders.submit(Approved(ID, StrategyId("s"), TERMS), 0)
    return orders, [orders.take(event) for event in events]


def state(orders: Orders) -> OrderState:
    order = orders.find(ID)
    assert order is not None
    return order.state


def test_a_doubt_ends_with_the_venues_word_and_is_noted_once() -> None:
    orders, took = opened(OrderInDoubt(1, ID, "late"), OrderInDoubt(2, ID, "late"))
    assert took == [True, False]
    assert state(orders) is OrderState.IN_DOUBT
    assert orders.open_quantity(TERMS.instrument, Side.BUY) == 100
    assert orders.take(OrderAccepted(3, ID))
    assert state(orders) is OrderState.ACCEPTED
    assert not orders.take(OrderAccepted(4, ID)), "said twice"


def test_a_doubt_of_a_partly_filled_order_ends_in_partly_filled() -> None:
    orders, _ = opened()
    orders.is_new_fill(fill(40, "t1"))
    orders.take_fill(fill(40, "t1"))
    orders.take(OrderInDoubt(3, ID, "late"))
    assert orders.take(OrderAccepted(4, ID))
    assert state(orders) is OrderState.PARTIALLY_FILLED


def test_a_cancel_that_is_refused_leaves_the_order_as_it_was() -> None:
    orders, _ = opened(OrderAccepted(1, ID))
    assert not orders.take(CancelRejected(2, ID, "none asked for"))
    orders.cancel(CancelOrder(ID, TERMS.instrument), 2)
    orders.cancel(CancelOrder(ID, TERMS.instrument), 3)
    assert state(orders) is OrderState.PENDING_CANCEL
    assert orders.resting() == []
    assert orders.take(CancelRejected(4, ID, "too late"))
    assert state(orders) is OrderState.ACCEPTED


def test_a_fill_while_a_cancel_is_under_way_keeps_it_under_way() -> None:
    orders, _ = opened(OrderAccepted(1, ID))
    orders.cancel(CancelOrder(ID, TERMS.instrument), 2)
    orders.is_new_fill(fill(40, "t1"))
    orders.take_fill(fill(40, "t1"))
    assert state(orders) is OrderState.PENDING_CANCEL
    orders.is_new_fill(fill(60, "t2"))
    orders.take_fill(fill(60, "t2"))
    assert state(orders) is OrderState.FILLED


def test_a_rejection_tells_why_and_comes_too_late_for_an_order_that_works() -> None:
    orders, took = opened(OrderRejected(1, ID, "no funds"))
    assert took == [True]
    assert orders.closed[ID].reason == "no funds"
    orders, took = opened(OrderAccepted(1, ID), OrderRejected(2, ID, "no"))
    assert took == [True, False]
    assert state(orders) is OrderState.ACCEPTED


def test_an_order_expires() -> None:
    orders, _ = opened(OrderExpired(1, ID, "resolved"))
    assert state(orders) is OrderState.EXPIRED


def test_reports_on_unknown_orders_change_nothing() -> None:
    orders = Orders()
    assert not orders.take(OrderAccepted(1, ID))
    assert not orders.take(OrderEvent(1, ID))
    orders.take_fill(fill(1, "t"))
    orders.cancel(CancelOrder(ID, TERMS.instrument), 1)
    assert orders == Orders(today=orders.today), "but for what was bought, whoever ordered it"
    assert orders.today.bought == 1
    opened_orders, took = opened(OrderEvent(1, ID))
    assert took == [False]
    assert state(opened_orders) is OrderState.SUBMITTED


def test_a_fill_that_is_told_again_counts_once_however_long_ago_its_order_ended() -> None:
    """Orders are forgotten, then their trade ids: from then on a fill of theirs is not believed."""
    orders, made = Orders(), CLOSED_KEPT + UNKNOWN_KEPT + 2

    def fill(number: int, trade: str = "t") -> Fill:
        name = client_order_id(StrategyId("s"), 1, number)
        return Fill(1, name, TERMS.instrument, Side.BUY, 50, 1, 0, True, trade)

    for number in range(made):
        told = fill(number)
        orders.submit(Approved(told.order, StrategyId("s"), TERMS), 0)
        assert orders.is_new_fill(told)
        orders.take(OrderCanceled(1, told.order))
    assert orders.find(fill(made - CLOSED_KEPT - 1).order) is None
    assert len(orders.closed) == CLOSED_KEPT
    assert len(orders.seen_fills) <= CLOSED_KEPT + UNKNOWN_KEPT + 1
    assert not any(orders.is_new_fill(fill(number)) for number in range(made))
    assert orders.is_forgotten(fill(0).order)
    assert not orders.is_new_fill(fill(0, "another")), "nobody can say whether it was counted"
    assert orders.is_new_fill(fill(made - CLOSED_KEPT - 1, "another")), "its others are known"
    assert orders.is_new_fill(fill(made)), "one that was never heard of is a new one's"


def test_epoch_and_counter_have_bounds() -> None:
    with pytest.raises(ValueError, match="epoch"):
        client_order_id(StrategyId("s"), 1 << 48, 0)
    with pytest.raises(ValueError, match="counter"):
        client_order_id(StrategyId("s"), 0, 1 << 48)
