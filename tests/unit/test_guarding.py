"""A stop that the venue keeps: for what is held, moved with it, and never in a sale's way."""

import pytest
from msgspec.structs import replace
from scenes import COIN, SECOND, Scene, coin, quote, terms

from betatrader.engine.guarding import outlives_us
from betatrader.engine.strategy import Place
from betatrader.model.account import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderInDoubt,
    OrderRejected,
    PositionTransfer,
)
from betatrader.model.command import Alert, Approved, CancelOrder, Refused, Step
from betatrader.model.instruction import CancelAll, Halt, Started, TimerFired, TradingState
from betatrader.model.limits import Limits, raised
from betatrader.model.market import InstrumentListed
from betatrader.model.money import SCALE, parse
from betatrader.model.order import Order, OrderState, OrderType, Side

BUY, SELL = Side.BUY, Side.SELL


def scene(*, stops: bool = True, replaces: bool = True, minimum: str = "1") -> Scene:
    """A coin whose venue keeps stops."""
    made = Scene()
    made.take(InstrumentListed(0, replace(coin(minimum), stops=stops, replaces=replaces)))
    return made


def tick(made: Scene, at_s: float = 2.0, bid: str = "10.00", ask: str = "10.01") -> list[object]:
    """A fresh quote and the clock: what the engine answers to the latter."""
    made.take(quote(bid, ask, at_s))
    step = made.take(TimerFired(int(at_s * SECOND), "tick"))
    return list(step.changes) if isinstance(step, Step) else []


def placed(made: Scene, at_s: float = 2.0) -> Approved:
    """The stop that a tick places, and the venue takes."""
    [stop] = [change for change in tick(made, at_s) if isinstance(change, Approved)]
    made.take(OrderAccepted(int(at_s * SECOND), stop.order))
    return stop


def guarded(**more: bool) -> tuple[Scene, Approved]:
    made = scene(**more)
    made.hold("0.5", stop=parse("9.00"))
    return made, placed(made)


def order(made: Scene, name: str) -> Order:
    found = made.state.orders.find(name)
    assert found is not None
    return found


def test_a_position_with_a_stop_gets_it_at_the_venue_at_the_next_tick() -> None:
    _, stop = guarded()
    assert stop.strategy == "guard"
    assert stop.terms == replace(
        terms(SELL, "8.55", "0.5", kind=OrderType.STOP), trigger=parse("9.00")
    ), "a twentieth, the collar, below the stop"


def test_what_is_at_the_venue_already_is_left_there() -> None:
    made, _ = guarded()
    assert tick(made, 3.0) == []


@pytest.mark.parametrize(
    "unfit",
    [{"stops": False}, {"minimum": "4.50"}],
    ids=["a venue that keeps none", "too small for the venue"],
)
def test_none_is_placed_where_none_can_be(unfit: dict[str, object]) -> None:
    made = scene(**unfit)  # type: ignore[arg-type]
    made.hold("0.5", stop=parse("9.00"))
    assert tick(made) == []
    assert isinstance(made.propose(terms(BUY, "9.90", "0.5")), Approved), "nothing to wait for"


def test_a_position_without_a_stop_needs_none() -> None:
    made = scene()
    made.hold("0.5")
    assert tick(made) == []


@pytest.mark.parametrize("known", ["sent", "in doubt"])
def test_nothing_is_bought_on_top_until_it_is_known_to_rest(known: str) -> None:
    made = scene()
    made.hold("0.5", stop=parse("9.00"))
    assert made.refused_by(terms(BUY, "9.90", "0.2")) == "stop_protection", "before it is sent"
    [stop] = tick(made)
    assert isinstance(stop, Approved)
    if known == "in doubt":
        made.take(OrderInDoubt(2 * SECOND, stop.order, "no answer"))
    assert made.refused_by(terms(BUY, "9.90", "0.2")) == "stop_protection"
    made.take(OrderAccepted(2 * SECOND, stop.order))
    assert isinstance(made.propose(terms(BUY, "9.90", "0.2")), Approved)


def test_a_refused_one_is_told_holds_back_buys_and_is_tried_again_later() -> None:
    made = scene()
    made.hold("0.5", stop=parse("9.00"))
    [stop] = tick(made)
    assert isinstance(stop, Approved)
    told = made.take(OrderRejected(2 * SECOND, stop.order, "no stops today"))
    assert told is not None
    [alert] = [change for change in told.changes if isinstance(change, Alert)]
    assert "no stops today" in alert.text
    assert tick(made, 10.0) == []
    assert made.refused_by(terms(BUY, "9.90", "0.2")) == "stop_protection"
    [again] = tick(made, 33.0)
    assert isinstance(again, Approved)


def test_our_own_stop_closes_where_the_venue_has_none() -> None:
    made = scene()
    made.hold("0.5", stop=parse("9.00"))
    [stop] = tick(made)
    assert isinstance(stop, Approved)
    made.take(OrderRejected(2 * SECOND, stop.order, "no stops today"))
    step = made.take(quote("8.99", "9.00", 3.0))
    assert step is not None
    [close] = step.changes
    assert isinstance(close, Approved)
    assert (close.strategy, close.terms.type) == ("stop", OrderType.MARKET)


def test_our_own_stop_waits_while_the_venues_can_sell_and_closes_below_its_price() -> None:
    made, stop = guarded()
    assert made.take(quote("8.99", "9.00", 3.0)) is None
    step = made.take(quote("8.55", "8.60", 3.1))
    assert step is not None
    assert step.changes == (CancelOrder(stop.order, COIN, "stop"),)
    made.take(OrderCanceled(int(3.2 * SECOND), stop.order))
    step = made.take(quote("8.55", "8.60", 3.3))
    assert step is not None
    [close] = step.changes
    assert isinstance(close, Approved)
    assert close.strategy == "stop"


def test_a_sale_of_ours_takes_its_place() -> None:
    made, stop = guarded()
    sale = made.propose(terms(SELL, "10.20", "0.5"))
    assert isinstance(sale, Approved)
    assert sale.replaces == stop.order
    assert order(made, stop.order).state is OrderState.PENDING_REPLACE
    made.take(OrderCanceled(3 * SECOND, stop.order))
    made.take(OrderAccepted(3 * SECOND, sale.order))
    assert tick(made, 4.0) == [], "what is offered for sale is locked: it cannot be guarded too"


def test_where_the_venue_cannot_replace_a_sale_is_refused_while_it_stands() -> None:
    made, _ = guarded(replaces=False)
    assert made.refused_by(terms(SELL, "10.20", "0.5")) == "short_sale"


def test_a_sale_that_has_another_to_replace_leaves_it_where_it_is() -> None:
    made, stop = guarded()
    sale = made.propose(terms(SELL, "10.20", "0.2"))
    assert isinstance(sale, Approved)
    made.take(OrderCanceled(3 * SECOND, stop.order))
    made.take(OrderAccepted(3 * SECOND, sale.order))
    placed(made, 4.0)
    larger = replace(terms(SELL, "10.30", "0.5"))
    assert made.refused_by(larger, replaces=sale.order) == "short_sale"


def test_what_a_sale_leaves_is_guarded_again() -> None:
    made, stop = guarded()
    sale = made.propose(terms(SELL, "10.20", "0.2"))
    assert isinstance(sale, Approved)
    made.take(OrderCanceled(3 * SECOND, stop.order))
    made.take(OrderAccepted(3 * SECOND, sale.order))
    assert placed(made, 4.0).terms.quantity == parse("0.3")


@pytest.mark.parametrize("replaces", [True, False])
def test_it_moves_with_what_is_held(replaces: bool) -> None:
    made, stop = guarded(replaces=replaces)
    made.hold("0.3", stop=parse("9.20"))
    [step] = tick(made, 3.0)
    if replaces:
        assert isinstance(step, Approved)
        assert step.replaces == stop.order
        assert (step.terms.quantity, step.terms.trigger) == (parse("0.8"), parse("9.20"))
    else:
        assert step == CancelOrder(stop.order, COIN, "what it guards has changed")
        made.take(OrderCanceled(3 * SECOND, stop.order))
        assert placed(made, 4.0).terms.quantity == parse("0.8")


def test_one_that_has_begun_to_sell_is_left_alone() -> None:
    made, stop = guarded()
    made.take(Fill(3 * SECOND, stop.order, COIN, SELL, parse("8.90"), parse("0.2"), 0, False, "t9"))
    assert tick(made, 4.0, "8.90", "8.91") == []
    made.bid, made.ask = "8.90", "8.91"
    assert made.refused_by(terms(SELL, "8.90", "0.3")) == "short_sale", "it is selling that"


def test_its_fill_ends_the_position_and_the_stop() -> None:
    made, stop = guarded()
    made.take(Fill(3 * SECOND, stop.order, COIN, SELL, parse("8.90"), parse("0.5"), 0, False, "t9"))
    assert made.state.portfolio.quantity(COIN) == 0
    assert made.state.markets[COIN].stop == 0
    assert tick(made, 4.0) == []


def test_where_nothing_is_held_any_more_it_is_cancelled() -> None:
    made, stop = guarded()
    made.take(PositionTransfer(3 * SECOND, COIN, -parse("0.5"), parse("10"), "withdrawn"))
    assert tick(made, 4.0) == [CancelOrder(stop.order, COIN, "nothing is left to guard")]


def test_a_halt_cancels_it_and_none_follows() -> None:
    made, stop = guarded()
    step = made.take(Halt(3 * SECOND, "h", "ann", ""))
    assert step is not None
    assert CancelOrder(stop.order, COIN, "halted by the operator") in step.changes
    made.take(OrderCanceled(3 * SECOND, stop.order))
    assert tick(made, 4.0) == []


def test_one_that_came_to_rest_after_the_halt_is_cancelled_too() -> None:
    """Its cancel may have overtaken it."""
    made = scene()
    made.hold("0.5", stop=parse("9.00"))
    [stop] = tick(made)
    assert isinstance(stop, Approved)
    made.take(Halt(3 * SECOND, "h", "ann", ""))
    made.take(CancelRejected(3 * SECOND, stop.order, "unknown order"))
    assert tick(made, 4.0) == [CancelOrder(stop.order, COIN, "nothing is left to guard")]


def test_cancel_all_takes_it_away_and_the_next_tick_guards_anew() -> None:
    made, stop = guarded()
    step = made.take(CancelAll(3 * SECOND, "c", "ann", "tidy"))
    assert step is not None
    assert CancelOrder(stop.order, COIN, "tidy") in step.changes
    made.take(OrderCanceled(3 * SECOND, stop.order))
    assert placed(made, 4.0).terms == stop.terms


def test_a_planned_end_leaves_it_and_so_does_the_next_start() -> None:
    made, stop = guarded()
    bid = made.propose(terms(BUY, "9.90", "0.2"))
    step = made.take(CancelAll(3 * SECOND, "drain", "betatrader", "stopping", keeps_stops=True))
    assert step is not None
    cancels = [change.order for change in step.changes if isinstance(change, CancelOrder)]
    assert cancels == [bid.order]
    made.take(OrderCanceled(3 * SECOND, bid.order))
    assert [outlives_us(one) for one in made.state.orders.open.values()] == [True]
    made.take(Started(4 * SECOND, 2, TradingState.ACTIVE))
    assert tick(made, 5.0) == []
    assert order(made, stop.order).state is OrderState.ACCEPTED


def test_data_that_stands_still_is_no_reason_to_take_it_away() -> None:
    made, _ = guarded()
    step = made.take(TimerFired(60 * SECOND, "tick"))
    assert step is None


def test_a_loss_that_is_being_confirmed_leaves_it_where_it_is() -> None:
    made, stop = guarded()
    made.state.agreed = {"": (0, 0)}
    made.state.day_equity += parse("1000")
    step = made.take(TimerFired(3 * SECOND, "tick"))
    assert step is not None
    assert not any(isinstance(change, CancelOrder) for change in step.changes)
    assert order(made, stop.order).state is OrderState.ACCEPTED


def test_none_is_placed_below_a_market_that_has_come_to_it() -> None:
    made = scene()
    made.hold("0.5", stop=parse("9.00"))
    made.state.markets[COIN].bid = parse("9.00")
    changes = made.take(TimerFired(2 * SECOND, "tick"))
    assert changes is None or not any(isinstance(c, Approved) for c in changes.changes)


def test_a_bid_above_it_is_no_trade_with_ourselves() -> None:
    made, _ = guarded()
    assert isinstance(made.propose(terms(BUY, "9.95", "0.2")), Approved)
    assert not isinstance(made.propose(terms(BUY, "9.94", "0.2")), Refused)


def test_a_buy_without_a_stop_is_placed_as_ever() -> None:
    made = scene()
    made.puppet.intents = [Place(terms(BUY, "9.90", "0.5"), "")]
    step = made.quote()
    assert step is not None
    assert isinstance(step.changes[0], Approved)


def test_a_strategy_whose_limits_ask_for_a_stop_buys_nothing_without() -> None:
    scene = Scene(Limits(stops={"puppet": SCALE // 10, "another": SCALE // 100}))
    asked = terms(BUY, "9.90", "0.5")
    assert scene.refused_by(asked) == "stop_required"
    refused = scene.propose(asked, stop=parse("8.90"))
    assert isinstance(refused, Refused)
    assert (refused.limit, refused.actual) == ("a stop within 0.1 of the price", "8.9")
    for above in ("9.90", "9.95"):
        assert scene.refused_by(asked, stop=parse(above)) == "stop_required"
    bought = scene.propose(asked, stop=parse("8.91"))
    assert isinstance(bought, Approved)
    scene.fill(bought)
    assert scene.refused_by(terms(SELL, "10.10", "0.5")) == "", "a sale needs none"


def test_a_stop_that_may_be_further_off_waits_for_a_person() -> None:
    held = Limits(stops={"puppet": SCALE // 10})
    assert raised(Limits(stops={"puppet": SCALE // 9}), held) == ("stops",)
    assert raised(Limits(), held) == ("stops",), "it needs none any more"
    assert raised(Limits(stops={"puppet": SCALE // 20, "another": SCALE}), held) == ()
    assert raised(held, Limits()) == ()
