"""The table of order states, and what late and repeated reports do."""

import itertools

import pytest

from betatrader.engine.orders import Orders, transition
from betatrader.model.account import Fill, OrderAccepted, OrderCanceled
from betatrader.model.command import Approved
from betatrader.model.errors import IllegalTransition
from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId, client_order_id
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
