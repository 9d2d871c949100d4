"""Each risk check alone: one order that it refuses, and one just inside that it lets through."""

import msgspec
import pytest
from msgspec.structs import replace
from scenes import COIN, NO, SECOND, YES, Scene, coin, contract, quote, terms

from betatrader.engine.checks import CHECKS
from betatrader.engine.engine import Engine
from betatrader.engine.exposure import event_loss
from betatrader.engine.strategy import Place
from betatrader.model.account import OrderAccepted, OrderInDoubt, Protection
from betatrader.model.command import Alert, Approved, CancelOrder, Warned
from betatrader.model.ids import InstrumentId
from betatrader.model.instruction import Flatten, Halt, Started, TimerFired, TradingState
from betatrader.model.limits import Limits
from betatrader.model.market import InstrumentListed
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderType, Side, TimeInForce
from betatrader.model.signal import Forecast

BUY, SELL = Side.BUY, Side.SELL
WIDE = Limits(
    order_notional=10_000 * SCALE,
    position_notional=10_000 * SCALE,
    position_event=10_000 * SCALE,
    position_venue=10_000 * SCALE,
    total_notional=10_000 * SCALE,
)


def test_the_checks_have_names_of_their_own() -> None:
    names = [check.__name__ for check in CHECKS]
    assert len(set(names)) == len(names) == 35


@pytest.mark.parametrize(
    ("check", "asked"),
    [
        ("tick", terms(BUY, "9.995", "1")),
        ("tick", terms(BUY, "0", "1")),
        ("lot", terms(BUY, "10.00", "0.005")),
        ("lot", terms(BUY, "10.00", "0")),
        ("order_notional", terms(BUY, "10.00", "1.01")),
        ("min_notional", terms(BUY, "10.00", "0.09")),
        ("collar", terms(BUY, "10.52", "0.5")),
        ("short_sale", terms(SELL, "10.00", "0.5")),
        ("", terms(BUY, "10.00", "1")),
        ("", terms(BUY, "10.51", "0.5")),
    ],
)
def test_one_order_against_the_defaults(check: str, asked: object) -> None:
    assert Scene().refused_by(asked) == check  # type: ignore[arg-type]


def test_the_venues_minimum_quantity_binds_what_rests_and_of_pairs_what_takes_too() -> None:
    scene, least = Scene(), parse("0.4")
    for listed in (coin(), contract(YES)):
        scene.take(InstrumentListed(0, replace(listed, min_quantity=least, min_notional=0)))
    assert scene.refused_by(terms(BUY, "10.00", "0.39")) == "min_quantity"
    assert scene.refused_by(terms(BUY, "10.00", "0.4")) == ""
    assert scene.refused_by(terms(BUY, "10.00", "0.3", kind=OrderType.MARKET)) == "min_quantity"
    assert scene.refused_by(terms(BUY, "0.40", "0.39", YES)) == "min_quantity"
    takes = terms(BUY, "0.42", "0.39", YES, time_in_force=TimeInForce.IOC)
    assert scene.refused_by(takes) == ""


def test_a_buy_that_takes_has_a_least_value_of_its_own_and_what_rests_or_is_sold_does_not() -> None:
    """As Polymarket has it: one dollar, which it tells nowhere."""
    scene = Scene()
    for name in (YES, NO):
        listed = replace(contract(name), min_notional=0, min_taken=SCALE)
        scene.take(InstrumentListed(0, listed))
    ioc = TimeInForce.IOC
    assert scene.refused_by(terms(BUY, "0.42", "2.38", YES, time_in_force=ioc)) == "min_notional"
    assert scene.refused_by(terms(BUY, "0.42", "2.39", YES, time_in_force=ioc)) == ""
    rests = scene.propose(terms(BUY, "0.30", "1", YES))
    assert isinstance(rests, Approved)
    scene.fill(rests)
    assert scene.refused_by(terms(SELL, "0.50", "1", YES, time_in_force=ioc)) == ""


def test_an_unknown_instrument() -> None:
    assert Scene().refused_by(terms(BUY, "1", "1", "NONE.SIM")) == "instrument"  # type: ignore[arg-type]


def test_a_strategy_trades_on_its_venues_alone_and_may_sell_what_it_holds_elsewhere() -> None:
    scene = Scene(Limits(venues={"puppet": ("ALT", "SIM"), "another": ("ALT",)}))
    scene.hold("0.5")
    bound = Scene(Limits(venues={"puppet": ("ALT",)}))
    assert bound.refused_by(terms(BUY, "9.90", "0.5")) == "venue_allowed"
    refused = bound.propose(terms(BUY, "9.90", "0.5"))
    assert (refused.limit, refused.actual) == ("one of ALT", "SIM")  # type: ignore[union-attr]
    scene.engine = Engine(bound.engine.limits, [scene.puppet], scene.state)
    assert scene.refused_by(terms(BUY, "9.90", "0.5")) == "venue_allowed"
    assert scene.refused_by(terms(SELL, "10.10", "0.5")) == ""


def test_t39_no_order_while_the_dead_man_switch_is_not_known_to_be_armed() -> None:
    scene, asked = Scene(), terms(BUY, "9.90", "0.5")
    scene.hold("0.5")
    assert scene.take(Protection(SECOND, "SIM", 3 * SECOND)) is None
    scene.take(Protection(SECOND, "ALT", 0, "another venue's is no concern"))
    assert scene.refused_by(asked) == ""
    scene.now_s = 3.0
    refused = scene.propose(terms(BUY, "9.90", "0.4"))
    assert (refused.check, refused.actual) == ("protection", "0 ms late")  # type: ignore[union-attr]
    scene.take(Protection(3 * SECOND, "SIM", 5 * SECOND))
    assert scene.refused_by(terms(BUY, "9.90", "0.4")) == ""
    step = scene.take(Protection(3 * SECOND, "SIM", 0, "the heartbeat failed"))
    assert step is not None
    text = "SIM: the dead-man switch is not armed: the heartbeat failed"
    assert step.changes == (Alert("error", text),)
    assert scene.refused_by(terms(SELL, "10.10", "0.5")) == "protection", "it would rest"


def test_t39_a_stop_takes_at_once_and_needs_no_switch() -> None:
    scene = Scene()
    scene.hold("0.5", stop=parse("9.50"))
    scene.take(Protection(SECOND, "SIM", 0))
    step = scene.quote("9.49", "9.51")
    assert step is not None
    assert isinstance(step.changes[0], Approved)


def test_after_a_start_no_switch_is_known_to_be_armed() -> None:
    scene = Scene()
    scene.take(Protection(SECOND, "SIM", 9 * SECOND))
    scene.take(Started(SECOND, 2, TradingState.ACTIVE))
    assert scene.refused_by(terms(BUY, "9.90", "0.5")) == "protection"


def test_a_refusal_tells_the_limit_and_the_actual_value() -> None:
    refused = Scene().propose(terms(BUY, "10.00", "1.01"))
    assert (refused.limit, refused.actual) == ("10", "10.1")  # type: ignore[union-attr]


def test_a_contract_costs_less_than_one() -> None:
    scene = Scene()
    scene.take(quote("0.97", "0.99", 1.0, YES))
    assert scene.refused_by(terms(BUY, "1.00", "5", YES)) == "tick"
    order = scene.propose(terms(BUY, "0", "5", YES, OrderType.MARKET))
    assert order.terms.price == parse("0.99")


def test_the_collar_is_never_narrower_than_five_ticks() -> None:
    assert Scene().refused_by(terms(BUY, "0.47", "10", YES)) == ""
    assert Scene().refused_by(terms(BUY, "0.48", "10", YES)) == "collar"


def test_a_market_order_reaches_as_far_as_the_collar_and_no_further() -> None:
    order = Scene().propose(terms(BUY, "0", "0.5", kind=OrderType.MARKET))
    assert isinstance(order, Approved)
    assert order.terms.price == parse("10.51")


def test_no_order_without_a_quote() -> None:
    scene = Scene()
    scene.take(quote("0", "0", 1.0, YES))
    assert scene.refused_by(terms(BUY, "0.42", "10", YES)) == "collar"


def test_quantity() -> None:
    scene = Scene(Limits(order_quantity=parse("0.5")))
    assert scene.refused_by(terms(BUY, "10.00", "0.51")) == "order_quantity"
    assert scene.refused_by(terms(BUY, "10.00", "0.5")) == ""


def test_a_position_counts_what_is_held_and_every_open_buy() -> None:
    scene = Scene()
    scene.hold("1")
    assert isinstance(scene.propose(terms(BUY, "9.99", "0.9")), Approved)
    assert scene.refused_by(terms(BUY, "9.99", "0.2")) == "position_notional"


def test_an_order_in_doubt_counts_at_its_worst() -> None:
    scene = Scene()
    scene.hold("1")
    doubtful = scene.propose(terms(BUY, "9.99", "0.9"))
    scene.take(OrderInDoubt(SECOND, doubtful.order, "no answer"))
    assert scene.refused_by(terms(BUY, "9.99", "0.2")) == "position_notional"


def test_the_total_counts_all_instruments() -> None:
    scene = Scene(Limits(total_notional=15 * SCALE))
    scene.hold("0.9")
    assert scene.refused_by(terms(BUY, "0.42", "20", YES)) == "total_notional"
    assert scene.refused_by(terms(BUY, "0.42", "10", YES)) == ""


def test_an_event_may_cost_so_much_over_all_its_contracts() -> None:
    scene = Scene(Limits(position_event=6 * SCALE))
    scene.fill(scene.propose(terms(BUY, "0.42", "10", YES)))  # type: ignore[arg-type]
    assert isinstance(scene.propose(terms(BUY, "0.41", "4", YES)), Approved)
    refused = scene.propose(terms(BUY, "0.41", "3", YES))
    assert (refused.check, refused.actual) == ("position_event", "6.87")  # type: ignore[union-attr]
    assert isinstance(scene.propose(terms(BUY, "9.90", "0.9")), Approved), "another event"


def test_yes_and_no_of_an_event_net() -> None:
    scene = Scene(Limits(position_event=5 * SCALE))
    scene.fill(scene.propose(terms(BUY, "0.42", "10", YES)))  # type: ignore[arg-type]
    assert scene.refused_by(terms(BUY, "0.60", "2", NO)) == "", "one of both pays"
    scene.fill(scene.propose(terms(BUY, "0.60", "8", NO)), trade="t2")  # type: ignore[arg-type]
    assert isinstance(scene.propose(terms(SELL, "0.41", "2", YES)), Approved)
    refused = scene.propose(terms(SELL, "0.41", "8", YES))
    assert refused.check == "position_event"  # type: ignore[union-attr]
    scene.engine = Engine(Limits(position_event=SCALE), [scene.puppet], scene.state)
    scene.puppet.intents = []
    assert scene.take(Flatten(SECOND, "i", "me", "")) is not None
    assert scene.refused_by(terms(BUY, "0.60", "2", NO)) == "trading_state"


def test_exclusive_contracts_net_to_the_worst_of_their_outcomes() -> None:
    """At most one of three candidates wins: of their NO at most one is lost."""
    scene, names = Scene(Limits(position_event=6 * SCALE, open_positions=9)), []
    for who in ("ANN", "BOB", "EVE"):
        yes, no = InstrumentId(f"{who}-YES.SIM"), InstrumentId(f"{who}-NO.SIM")
        for one, other in ((yes, no), (no, yes)):
            listed = msgspec.structs.replace(
                contract(YES if one == yes else NO),
                id=one,
                complement=other,
                event=who,
                exclusive="MAYOR",
            )
            scene.take(InstrumentListed(SECOND, listed))
        scene.take(quote("0.29", "0.30", 1.0, yes))
        scene.take(quote("0.70", "0.71", 1.0, no))
        names.append((yes, no))
    (ann, not_ann), (_, not_bob), (_, not_eve) = names
    for number, no in enumerate((not_ann, not_bob, not_eve)):
        order = scene.propose(terms(BUY, "0.71", "8", no))
        assert isinstance(order, Approved), "the second and the third lower what may be lost"
        scene.fill(order, trade=f"t{number}")
    state = scene.state
    held = state.markets[not_ann].definition
    marks = 3 * 8 * parse("0.70")
    assert event_loss(state, held) == max(0, marks - 2 * 8 * SCALE), "one of the three wins"
    more = terms(BUY, "0.30", "4", ann)
    assert event_loss(state, held, more) == marks - 16 * SCALE + parse("1.2"), "Bob or Eve wins"
    assert isinstance(scene.propose(more), Approved)
    assert event_loss(state, held) == marks - 16 * SCALE + parse("1.2"), "it is bound, and nets not"


def test_an_order_that_lowers_what_an_event_may_cost_passes_above_the_limit() -> None:
    scene = Scene()
    scene.fill(scene.propose(terms(BUY, "0.42", "20", YES)))  # type: ignore[arg-type]
    scene.engine = Engine(Limits(position_event=2 * SCALE), [scene.puppet], scene.state)
    assert scene.refused_by(terms(BUY, "0.42", "3", YES)) == "position_event"
    assert scene.refused_by(terms(BUY, "0.60", "5", NO)) == ""
    assert scene.refused_by(terms(SELL, "0.40", "5", YES)) == ""


def test_a_venue_holds_so_much_and_another_is_counted_apart() -> None:
    scene = Scene(Limits(position_venue=12 * SCALE))
    elsewhere = msgspec.structs.replace(coin(), id="COIN.ALT")
    scene.take(InstrumentListed(SECOND, elsewhere))
    scene.take(quote("9.99", "10.01", 1.0, elsewhere.id))
    scene.hold("0.5")
    assert isinstance(scene.propose(terms(BUY, "9.99", "0.4")), Approved)
    refused = scene.propose(terms(BUY, "0.42", "8", YES))
    assert refused.check == "position_venue"  # type: ignore[union-attr]
    assert scene.refused_by(terms(BUY, "0.42", "5", YES)) == ""
    assert scene.refused_by(terms(BUY, "9.99", "0.9", elsewhere.id)) == ""


def test_open_positions_count_what_is_being_bought() -> None:
    scene = Scene(Limits(open_positions=2))
    scene.hold("0.5")
    scene.propose(terms(BUY, "0.41", "10", YES))
    assert scene.refused_by(terms(BUY, "0.59", "10", NO)) == "open_positions"
    assert scene.refused_by(terms(BUY, "9.99", "0.5")) == ""


def test_buying_power_keeps_cash_for_open_buys_and_fees() -> None:
    scene = Scene(WIDE, cash="10")
    assert scene.refused_by(terms(BUY, "10.00", "1")) == "buying_power"
    assert isinstance(scene.propose(terms(BUY, "9.98", "0.5")), Approved)
    assert scene.refused_by(terms(BUY, "10.00", "0.51")) == "buying_power"
    assert scene.refused_by(terms(BUY, "10.00", "0.4")) == ""


def test_open_orders_are_counted_and_what_reduces_is_let_through() -> None:
    scene = Scene(Limits(open_orders=1))
    scene.hold("1")
    scene.propose(terms(BUY, "9.00", "0.2"))
    assert scene.refused_by(terms(BUY, "9.01", "0.2")) == "open_orders"
    assert scene.refused_by(terms(SELL, "10.10", "0.5")) == ""


def test_no_order_meets_one_of_our_own() -> None:
    scene = Scene()
    scene.hold("1")
    scene.propose(terms(SELL, "10.05", "0.5"))
    assert scene.refused_by(terms(BUY, "10.05", "0.2")) == "self_trade"
    assert scene.refused_by(terms(BUY, "10.04", "0.2")) == ""


def test_the_same_shares_are_not_offered_twice() -> None:
    scene = Scene()
    scene.hold("1")
    scene.propose(terms(SELL, "10.05", "0.7"))
    assert scene.refused_by(terms(SELL, "10.06", "0.4")) == "short_sale"
    assert scene.refused_by(terms(SELL, "10.06", "0.3")) == ""


def test_where_the_venue_nets_a_sell_counts_the_complements_buys() -> None:
    scene = Scene()
    for name in (YES, NO):
        scene.take(InstrumentListed(SECOND, contract(name, nets=True)))
    bought = scene.propose(terms(BUY, "0.42", "10", YES))
    scene.fill(bought)  # type: ignore[arg-type]
    scene.propose(terms(BUY, "0.59", "4", NO))
    assert scene.refused_by(terms(SELL, "0.41", "7", YES)) == "short_sale"
    assert isinstance(scene.propose(terms(SELL, "0.41", "6", YES)), Approved)
    assert scene.refused_by(terms(BUY, "0.59", "2", NO)) == "netting"


def test_stale_data() -> None:
    scene = Scene()
    scene.take(quote("0.40", "0.42", 7.1, YES))
    stale = terms(BUY, "0.60", "5", NO)
    scene.now_s = 7.2
    assert scene.refused_by(stale) == "stale_data"
    scene.take(quote("0.58", "0.60", 7.2, NO))
    assert scene.refused_by(stale) == ""


def test_a_stale_forecast_and_none_at_all() -> None:
    scene = Scene()
    asked = terms(BUY, "10.00", "0.5")
    assert scene.refused_by(asked, uses_forecast=True) == "stale_forecast"
    scene.take(Forecast(SECOND, COIN, "return", 0.1, 0.5, SECOND, 2 * SECOND, "m"))
    assert scene.refused_by(asked, uses_forecast=True) == ""
    scene.now_s = 2.1
    asked = terms(BUY, "10.00", "0.4")
    assert scene.refused_by(asked, uses_forecast=True) == "stale_forecast"
    assert scene.refused_by(terms(BUY, "10.00", "0.4")) == ""


def test_losses_refuse_new_risk_before_they_halt() -> None:
    scene = Scene(
        Limits(
            order_notional=90 * SCALE,
            position_notional=99 * SCALE,
            total_notional=200 * SCALE,
            daily_loss=5 * SCALE,
            drawdown=SCALE // 25,
        )
    )
    scene.hold("5")
    scene.state.day_equity += 6 * SCALE
    scene.state.trading_state = type(scene.state.trading_state).ACTIVE
    proposal = terms(BUY, "10.00", "0.2")
    from betatrader.engine import checks
    from betatrader.engine.proposal import Proposal

    asked = Proposal(scene.state, scene.engine.limits, "0" * 32, "puppet", proposal)  # type: ignore[arg-type]
    assert checks.daily_loss(asked) is not None
    assert checks.drawdown(asked) is None
    scene.state.equity_high += 6 * SCALE
    assert checks.drawdown(asked) is not None


def test_orders_and_cancels_of_a_minute_are_bounded_and_a_close_goes_through() -> None:
    scene = Scene(msgspec.structs.replace(Limits(), orders_per_minute=4))
    first = scene.propose(terms(BUY, "9.90", "0.2"))
    assert isinstance(first, Approved)
    scene.state.fold(CancelOrder(first.order, COIN))
    assert scene.refused_by(terms(BUY, "9.91", "0.2")) == ""
    assert scene.refused_by(terms(BUY, "9.92", "0.2")) == ""
    assert scene.refused_by(terms(BUY, "9.93", "0.2")) == "order_rate"
    scene.take(TimerFired(61 * SECOND, "tick"))
    scene.now_s = 61.0
    assert scene.refused_by(terms(BUY, "9.93", "0.2")) == ""


def test_the_same_order_is_not_proposed_twice_before_it_is_answered() -> None:
    scene = Scene()
    order = scene.propose(terms(BUY, "9.90", "0.2"))
    assert scene.refused_by(terms(BUY, "9.90", "0.2")) == "duplicate_intent"
    assert scene.refused_by(terms(BUY, "9.90", "0.3")) == ""
    scene.take(OrderAccepted(SECOND, order.order))
    assert scene.refused_by(terms(BUY, "9.90", "0.2")) == ""


def test_at_four_fifths_of_a_limit_a_person_is_told_once_a_minute() -> None:
    scene = Scene()

    def warned(quantity: str) -> list[str]:
        scene.puppet.intents = [Place(terms(BUY, "9.00", quantity))]
        step = scene.quote()
        assert step is not None
        return [change.check for change in step.changes if isinstance(change, Warned)]

    assert warned("0.85") == []
    assert warned("0.95") == ["order_notional", "position_notional"]
    assert scene.state.warned == {"order_notional": SECOND, "position_notional": SECOND}


def test_at_four_fifths_of_a_loss_limit_a_person_is_told_before_it_halts_and_buys_or_not() -> None:
    """The clock's tick looks: a position may fall for long before anything else is ordered."""
    scene = Scene(msgspec.structs.replace(Limits(), daily_loss=5 * SCALE, drawdown=SCALE // 20))
    scene.hold("1")

    def warned(lost: str, at_s: float) -> list[Warned]:
        scene.state.day_equity = scene.state.equity() + parse(lost)
        step = scene.take(TimerFired(int(at_s * SECOND), "tick"))
        changes = step.changes if step is not None else ()
        return [change for change in changes if isinstance(change, Warned)]

    assert warned("4", 2) == []
    assert warned("4.1", 3) == [Warned("daily_loss", "4", "4.1")]
    assert warned("4.2", 62) == [], "once a minute"
    assert warned("4.3", 63) == [Warned("daily_loss", "4", "4.3")]
    high = scene.state.equity_high = scene.state.equity() * 100 // 95 - SCALE // 100
    fall = high - scene.state.equity()
    [more] = warned("0", 64)
    assert (more.check, parse(more.actual)) == ("drawdown", fall)
    scene.take(Halt(65 * SECOND, "i", "me"))
    assert warned("4.9", 130) == [], "it is halted"
