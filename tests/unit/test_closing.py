"""Selling a whole position: once, not at every quote; and what no order can sell is let be."""

from msgspec.structs import replace
from scenes import SECOND, Scene, coin, quote, terms

from betatrader.model.account import OrderFound, OrderInDoubt, OrderRejected
from betatrader.model.command import Alert, Approved, CancelOrder, Refused, Step
from betatrader.model.ids import ClientOrderId
from betatrader.model.instruction import Flatten, TimerFired
from betatrader.model.market import InstrumentListed
from betatrader.model.money import parse
from betatrader.model.order import OrderType, Side


def falling(made: Scene, count: int, begins_s: float = 2.0, step_s: float = 0.01) -> list[object]:
    """What the engine answers to quotes below a stop of 9."""
    found: list[object] = []
    for number in range(count):
        answer = made.take(quote("8.90", "8.95", begins_s + number * step_s))
        found += answer.changes if isinstance(answer, Step) else []
    return found


def sales(changes: list[object]) -> list[Approved]:
    return [one for one in changes if isinstance(one, Approved)]


def test_an_order_in_doubt_is_asked_for_and_not_cancelled_at_each_quote() -> None:
    made = Scene()
    made.hold("1", stop=parse("9.00"))
    resting = made.propose(terms(Side.SELL, "11.00", "1"))
    assert isinstance(resting, Approved)
    made.take(OrderInDoubt(SECOND, resting.order, "no answer"))
    changes = falling(made, 100)
    assert [one for one in changes if isinstance(one, CancelOrder)] == []
    assert sales(changes) == [], "the same coins are not offered twice"


def test_a_buy_in_doubt_holds_a_stops_sale_back_for_a_second_not_for_a_quote() -> None:
    made = Scene()
    made.hold("1", stop=parse("9.00"))
    resting = made.propose(terms(Side.BUY, "9.50", "0.5"), stop=parse("9.00"))
    assert isinstance(resting, Approved)
    made.take(OrderInDoubt(SECOND, resting.order, "no answer"))
    refusals = [one for one in falling(made, 300) if isinstance(one, Refused)]
    assert {one.check for one in refusals} == {"self_trade"}
    assert len(refusals) == 3, "three seconds"


def test_a_sale_that_the_venue_refuses_is_told_and_tried_again_a_second_later() -> None:
    made = Scene()
    made.hold("1", stop=parse("9.00"))
    [sale] = sales(falling(made, 1))
    step = made.take(OrderRejected(int(2.01 * SECOND), sale.order, "market is halted"))
    assert isinstance(step, Step)
    assert [one.text for one in step.changes if isinstance(one, Alert)] == [
        "COIN.SIM is not sold, and tried again: market is halted"
    ]
    assert sales(falling(made, 90, 2.02)) == []
    assert len(sales(falling(made, 5, 3.02))) == 1


def test_less_than_the_venue_takes_is_dust_to_a_stop_and_to_flatten() -> None:
    made = Scene()
    made.hold("1", stop=parse("9.00"))
    made.take(InstrumentListed(SECOND, coin("20")))
    assert sales(falling(made, 50)) == []
    step = made.take(Flatten(3 * SECOND, "i", "ann", "x"))
    assert isinstance(step, Step)
    assert sales(list(step.changes)) == []
    assert not made.state.flattening, "there is nothing left that an order could sell"
    made.take(InstrumentListed(3 * SECOND, coin("5")))
    made.take(Flatten(4 * SECOND, "j", "ann", "x"))
    assert [o.terms.type for o in made.state.orders.open.values()] == [OrderType.MARKET]


def test_a_clock_that_is_set_back_makes_no_quote_old() -> None:
    made = Scene()
    made.now_s = 100.0
    made.quote()
    made.now_s = 60.0
    made.quote()
    assert made.refused_by(terms(Side.BUY, "9.90", "0.5")) == ""


def test_an_order_that_was_found_where_nothing_is_traded_any_more_is_counted_and_harms_nobody() -> (
    None
):
    made = Scene()
    name = ClientOrderId("ab" * 16)
    gone = replace(terms(Side.BUY, "5", "1"), instrument="GONE.SIM")
    made.take(OrderFound(SECOND, name, gone, 0))
    assert made.refused_by(terms(Side.BUY, "9.90", "0.5")) == ""
    near = terms(Side.BUY, "9.90", "0.9")  # each check is asked, by name
    assert made.refused_by(near) == ""
    made.take(TimerFired(2 * SECOND, "tick"))
    assert made.state.failed == []
    assert made.state.orders.open[name].terms.instrument == "GONE.SIM"
