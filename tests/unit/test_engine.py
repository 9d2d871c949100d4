"""The engine is a deterministic state machine: it folds, restores and repeats bit for bit."""

import hashlib
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import COIN, NO, SECOND, YES, Scene, quote, terms
from stories import SMALL, Broken, story, strategies

from betatrader.engine.engine import Engine
from betatrader.engine.market import Market
from betatrader.engine.orders import UNKNOWN_KEPT
from betatrader.engine.state import State
from betatrader.engine.strategy import Ask, Cancel, Intents, Place, Strategy, View
from betatrader.model.account import Fill, OrderAccepted, OrderCanceled
from betatrader.model.command import (
    Alert,
    Approved,
    CancelOrder,
    RequestForecast,
    StateChanged,
    Step,
)
from betatrader.model.event import Event, encode
from betatrader.model.instruction import (
    Flatten,
    Halt,
    Reduce,
    Resume,
    Started,
    TimerFired,
    TradingState,
)
from betatrader.model.limits import Limits
from betatrader.model.market import InstrumentListed, InstrumentStatus, Resolution
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderState, Side
from betatrader.model.signal import Forecast
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.generator import binary_market
from betatrader.sim.session import Session


def digest(taken: list[tuple[Event, Step | None]]) -> str:
    found = hashlib.sha256()
    for _, step in taken:
        found.update(encode(step))
    return found.hexdigest()


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 400))
def test_folding_the_records_of_any_prefix_gives_the_state_of_process(seed: int, cut: int) -> None:
    taken = story(seed, 120)[: cut * 2]
    replica, engine = State(), Engine(SMALL, strategies())
    for event, step in taken:
        engine.process(event)
        replica.fold(event)
        if step is not None:
            replica.fold(step)
    assert encode(replica) == encode(engine.state)


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_restore_from_a_snapshot_at_any_point_gives_the_same_steps(seed: int, share: float) -> None:
    taken = story(seed, 120)
    cut = int(share * len(taken))
    first = Engine(SMALL, strategies())
    for event, _ in taken[:cut]:
        first.process(event)
    second = Engine(SMALL, strategies())
    second.restore(first.snapshot())
    for event, step in taken[cut:]:
        assert second.process(event) == step


def test_the_same_events_give_the_same_steps() -> None:
    assert digest(story(3, 200)) == digest(story(3, 200))
    assert any(step is not None for _, step in story(3, 200))


def test_steps_are_numbered_without_gaps_and_name_their_event() -> None:
    steps = [step for _, step in story(5, 200) if step is not None]
    told = [s for s in steps if any(not isinstance(c, RequestForecast) for c in s.changes)]
    assert [step.sequence for step in told] == list(range(1, len(told) + 1))
    assert all(one.event < two.event for one, two in pairwise(steps))


def test_a_quote_that_leads_to_nothing_gives_no_step() -> None:
    assert Scene().quote() is None


def test_an_order_is_in_flight_before_it_is_answered() -> None:
    scene = Scene()
    order = scene.propose(terms(Side.BUY, "9.90", "0.5"))
    assert scene.state.orders.open[order.order].state is OrderState.SUBMITTED


def test_a_strategy_cancels_only_its_own_orders() -> None:
    scene = Scene()
    order = scene.propose(terms(Side.BUY, "9.90", "0.5"))
    scene.puppet.intents = [Cancel(order.order)]
    step = scene.quote()
    assert step is not None
    assert isinstance(step.changes[0], CancelOrder)
    scene.state.orders.open[order.order].strategy = "another"
    scene.puppet.intents = [Cancel(order.order)]
    assert scene.quote() is None


def test_halt_cancels_what_rests_refuses_what_comes_and_is_acknowledged() -> None:
    scene = Scene()
    order = scene.propose(terms(Side.BUY, "9.90", "0.5"))
    scene.take(OrderAccepted(SECOND, order.order))
    step = scene.take(Halt(SECOND, "id1", "me", "enough"))
    assert step is not None
    assert [type(change).__name__ for change in step.changes] == [
        "StateChanged",
        "CancelOrder",
        "Booked",
    ]
    assert scene.refused_by(terms(Side.BUY, "9.90", "0.5")) == "trading_state"
    scene.take(Resume(SECOND, "id2", "me", "again"))
    assert scene.refused_by(terms(Side.BUY, "9.90", "0.5")) == ""


def test_reducing_lets_only_what_reduces_through() -> None:
    scene = Scene()
    scene.hold("0.5")
    scene.take(Reduce(SECOND, "id", "me", ""))
    assert scene.refused_by(terms(Side.BUY, "9.90", "0.5")) == "trading_state"
    assert scene.refused_by(terms(Side.SELL, "10.10", "0.5")) == ""


def test_flatten_sells_what_is_held_and_stays_halted() -> None:
    scene = Scene()
    scene.hold("0.5")
    step = scene.take(Flatten(SECOND, "id", "me", ""))
    assert step is not None
    sold = [change for change in step.changes if isinstance(change, Approved)]
    assert [order.terms.side for order in sold] == [Side.SELL]
    scene.fill(sold[0], trade="t2")
    assert scene.state.trading_state is TradingState.HALTED
    assert not scene.state.flattening
    assert scene.state.portfolio.open_positions() == []


def test_flatten_waits_for_the_cancel_of_a_sell_that_rests() -> None:
    scene = Scene()
    scene.hold("0.5")
    offered = scene.propose(terms(Side.SELL, "10.10", "0.5"))
    step = scene.take(Flatten(SECOND, "id", "me", ""))
    assert step is not None
    assert not any(isinstance(change, Approved) for change in step.changes)
    scene.take(OrderCanceled(SECOND, offered.order))
    step = scene.take(TimerFired(2 * SECOND, "tick"))
    assert step is not None
    assert any(isinstance(change, Approved) for change in step.changes)


def test_the_stop_closes_the_position_when_the_price_goes_through_it() -> None:
    scene = Scene()
    scene.hold("1", stop=parse("9.50"))
    assert scene.quote("9.60", "9.62") is None
    step = scene.quote("9.49", "9.51")
    assert step is not None
    sale = step.changes[0]
    assert isinstance(sale, Approved)
    assert (sale.strategy, sale.terms.side, sale.terms.quantity) == ("stop", Side.SELL, SCALE)
    assert scene.quote("9.40", "9.42") is None, "one stop at a time"
    scene.fill(sale, trade="t2")
    assert scene.state.portfolio.open_positions() == []
    assert scene.state.markets["COIN.SIM"].stop == 0


def test_a_daily_loss_beyond_its_limit_halts_and_cancels() -> None:
    scene = Scene(Limits(order_notional=90 * SCALE, position_notional=90 * SCALE))
    scene.hold("8")
    resting = scene.propose(terms(Side.BUY, "9.00", "0.2"))
    step = scene.quote("7.40", "7.42")
    assert step is not None
    assert isinstance(step.changes[0], StateChanged)
    assert step.changes[0].state is TradingState.HALTED
    assert "daily loss" in step.changes[0].reason
    assert any(isinstance(c, CancelOrder) and c.order == resting.order for c in step.changes)


def test_a_drawdown_over_days_halts() -> None:
    scene = Scene(Limits(order_notional=90 * SCALE, position_notional=90 * SCALE))
    scene.hold("8")
    for day, price in enumerate(("9.00", "8.00", "7.40"), 1):
        scene.now_s = day * 86_400.0 + 1
        scene.quote(price, f"{float(price) + 0.02:.2f}")
    assert scene.state.trading_state is TradingState.HALTED
    assert "drawdown" in scene.state.halt_reason


def test_resolution_pays_out_and_ends_the_contract() -> None:
    scene = Scene()
    order = scene.propose(terms(Side.BUY, "0.42", "10", YES))
    assert isinstance(order, Approved)
    scene.fill(order)
    scene.take(Resolution(2 * SECOND, YES, SCALE))
    assert scene.state.portfolio.cash == 100 * SCALE + parse("5.8")
    assert scene.refused_by(terms(Side.BUY, "0.42", "10", YES)) == "instrument"


def test_ended_contracts_are_forgotten_and_their_gains_are_not() -> None:
    engine = Engine(Limits(), strategies())
    session = Session(engine, SimulatedExchange())
    session.feed(Started(0, 1, TradingState.ACTIVE))
    session.deposit(100 * SCALE, 0)
    begin = 0
    for loop in range(14):
        for arrival in binary_market(9, loop):
            for event in arrival.events:
                session.feed(msgspec.structs.replace(event, time_ns=begin + event.time_ns))
        begin = engine.state.now_ns + SECOND
    portfolio = engine.state.portfolio
    assert len(engine.state.markets) <= 18
    assert len(session.exchange.pools) <= 18
    assert all(len(strategy.memory) <= 18 for strategy in engine.strategies)
    assert portfolio.cash == portfolio.deposits + portfolio.realised - portfolio.fees


def test_a_market_that_is_closed_takes_no_order() -> None:
    scene = Scene()
    scene.take(InstrumentStatus(SECOND, NO, False))
    assert scene.refused_by(terms(Side.BUY, "0.60", "5", NO)) == "instrument"


def test_an_unknown_record_cannot_be_folded() -> None:
    with pytest.raises(TypeError, match="no fold for Place"):
        State().fold(Place(terms(Side.BUY, "1", "1")))


def test_a_book_that_lags_behind_the_quotes_does_not_move_the_top() -> None:
    from betatrader.model.market import BookDelta

    scene = Scene()
    new = msgspec.structs.replace(quote("9.98", "10.00"), update_id=100)
    scene.take(new)
    old = ((parse("9.50"), SCALE),)
    scene.take(BookDelta(SECOND, new.instrument, old, (), 99))
    assert scene.state.markets[new.instrument].bid == parse("9.98")
    scene.take(BookDelta(SECOND, new.instrument, (), (), 101))
    assert scene.state.markets[new.instrument].bid == parse("9.50")


def test_a_fill_of_an_unknown_order_is_booked_and_alerted() -> None:
    scene = Scene()
    step = scene.take(
        Fill(SECOND, "f" * 32, "COIN.SIM", Side.BUY, 10 * SCALE, SCALE, 0, True, "t")  # type: ignore[arg-type]
    )
    assert step is not None
    assert any(isinstance(change, Alert) for change in step.changes)
    assert scene.state.portfolio.quantity("COIN.SIM") == SCALE  # type: ignore[arg-type]
    assert scene.state.holdings.of("unknown", "COIN.SIM") == SCALE  # type: ignore[arg-type]


def test_news_of_instruments_that_were_never_listed_is_kept_out_of_the_markets() -> None:
    scene = Scene()
    scene.take(Forecast(SECOND, "X.SIM", "return", 0.1, 1.0, 1, 2 * SECOND, "m"))  # type: ignore[arg-type]
    scene.take(Fill(SECOND, "f" * 32, "X.SIM", Side.BUY, SCALE, SCALE, 0, True, "t"))  # type: ignore[arg-type]
    assert "X.SIM" not in scene.state.markets
    assert scene.state.equity() == 100 * SCALE, "valued at its cost"
    with pytest.raises(KeyError):
        scene.take(quote("1", "2", 1.0, "X.SIM"))  # type: ignore[arg-type]


def test_a_late_fill_of_a_contract_that_ended_is_settled_at_once() -> None:
    scene = Scene()
    order = scene.propose(terms(Side.BUY, "0.42", "10", YES))
    scene.take(Resolution(2 * SECOND, YES, SCALE))
    scene.fill(order)  # type: ignore[arg-type]
    assert scene.state.portfolio.open_positions() == []
    assert scene.state.portfolio.cash == 100 * SCALE + parse("5.8")


def test_new_rules_of_a_listed_instrument_replace_the_old() -> None:
    from scenes import coin

    scene = Scene()
    scene.take(InstrumentListed(SECOND, coin(minimum="9")))
    assert scene.refused_by(terms(Side.BUY, "10.00", "0.5")) == "min_notional"


def test_where_the_venue_nets_flatten_cancels_the_complements_buys_first() -> None:
    from scenes import contract

    scene = Scene()
    for name in (YES, NO):
        scene.take(InstrumentListed(SECOND, contract(name, nets=True)))
    scene.fill(scene.propose(terms(Side.BUY, "0.42", "10", YES)))  # type: ignore[arg-type]
    resting = scene.propose(terms(Side.BUY, "0.59", "4", NO))
    step = scene.take(Flatten(SECOND, "i", "me", ""))
    assert step is not None
    assert not any(isinstance(change, Approved) for change in step.changes)
    scene.take(OrderCanceled(SECOND, resting.order))
    step = scene.take(TimerFired(2 * SECOND, "tick"))
    assert step is not None
    assert any(isinstance(change, Approved) for change in step.changes)


def test_flatten_leaves_what_cannot_be_sold_until_it_can() -> None:
    scene = Scene()
    scene.hold("0.5")
    scene.take(quote("0", "0"))
    step = scene.take(Flatten(SECOND, "i", "me", ""))
    assert step is not None
    assert not any(isinstance(change, Approved) for change in step.changes)
    assert scene.state.flattening
    scene.quote()
    step = scene.take(TimerFired(2 * SECOND, "tick"))
    assert step is not None
    assert any(isinstance(change, Approved) for change in step.changes)


def test_netting_moves_what_is_held_of_both() -> None:
    from scenes import contract

    scene = Scene()
    for name in (YES, NO):
        scene.take(InstrumentListed(SECOND, contract(name, nets=True)))
    scene.fill(scene.propose(terms(Side.BUY, "0.42", "10", YES), stop=parse("0.10")))  # type: ignore[arg-type]
    assert scene.state.markets[YES].held
    scene.fill(scene.propose(terms(Side.BUY, "0.60", "10", NO)), trade="t2")  # type: ignore[arg-type]
    assert not scene.state.markets[YES].held
    assert scene.state.markets[YES].stop == 0
    assert scene.state.holdings.shares == {}


def test_a_stop_cancels_what_stands_in_its_way_where_the_venue_nets() -> None:
    from scenes import contract

    scene = Scene()
    for name in (YES, NO):
        scene.take(InstrumentListed(SECOND, contract(name, nets=True)))
    scene.fill(scene.propose(terms(Side.BUY, "0.42", "10", YES), stop=parse("0.30")))  # type: ignore[arg-type]
    resting = scene.propose(terms(Side.BUY, "0.59", "4", NO))
    step = scene.take(quote("0.29", "0.31", 1.0, YES))
    assert step is not None
    assert [(type(c), c.order) for c in step.changes] == [(CancelOrder, resting.order)]  # type: ignore[union-attr]
    scene.take(OrderCanceled(SECOND, resting.order))
    step = scene.take(quote("0.29", "0.31", 1.0, YES))
    assert step is not None
    assert step.changes[0].strategy == "stop"  # type: ignore[union-attr]


def test_the_clocks_tick_asks_about_what_is_alive_alone() -> None:
    from betatrader.engine.strategy import Strategy

    asked = []

    class Ticking(Strategy):
        name = "ticking"

        def on_tick(self, view, market):  # type: ignore[no-untyped-def]
            asked.append(market.id)

    scene = Scene()
    scene.engine.strategies.append(Ticking())
    scene.engine._connect()
    scene.take(Resolution(SECOND, YES, 0))
    scene.take(TimerFired(2 * SECOND, "tick"))
    assert asked == ["COIN.SIM", NO]


def test_replicas_pass_over_answers_that_change_nothing() -> None:
    scene = Scene()
    step = scene.take(
        Fill(SECOND, "f" * 32, "COIN.SIM", Side.BUY, SCALE, SCALE, 0, True, "t")  # type: ignore[arg-type]
    )
    replica = State()
    replica.fold(step)
    assert replica.step_sequence == step.sequence  # type: ignore[union-attr]


def test_a_stop_is_armed_by_its_own_orders_fill_and_never_lowered() -> None:
    scene = Scene()
    scene.hold("0.5", stop=parse("9.50"))
    late = scene.propose(terms(Side.BUY, "9.98", "0.3"), stop=parse("9.40"))
    sold = scene.propose(terms(Side.SELL, "10.05", "0.5"))
    scene.fill(sold, trade="t2")  # type: ignore[arg-type]
    assert scene.state.markets["COIN.SIM"].stop == 0  # type: ignore[index]
    scene.fill(late, trade="t3")  # type: ignore[arg-type]
    assert scene.state.markets["COIN.SIM"].stop == parse("9.40")  # type: ignore[index]
    lower = scene.propose(terms(Side.BUY, "9.97", "0.2"), stop=parse("9.00"))
    scene.fill(lower, trade="t4")  # type: ignore[arg-type]
    assert scene.state.markets["COIN.SIM"].stop == parse("9.40")  # type: ignore[index]


def test_reduce_does_not_lift_a_halt() -> None:
    scene = Scene()
    scene.take(Halt(SECOND, "a", "me", "enough"))
    step = scene.take(Reduce(SECOND, "b", "me", "to be safe"))
    assert step is not None
    assert scene.state.trading_state is TradingState.HALTED
    assert scene.state.halt_reason == "enough"


def test_a_fill_told_twice_is_no_news() -> None:
    scene = Scene()
    order = scene.hold("0.5")
    assert scene.fill(order) is None


def test_denials_do_not_push_filled_orders_out_of_memory() -> None:
    scene = Scene()
    order = scene.hold("0.5")
    for _ in range(2_500):
        scene.propose(terms(Side.BUY, "10.00", "50"))
    scene.fill(order)
    assert scene.state.portfolio.quantity("COIN.SIM") == SCALE // 2  # type: ignore[arg-type]
    assert len(scene.state.orders.denied) == 500


def test_fills_of_unknown_orders_do_not_pile_up() -> None:
    scene = Scene()
    for number in range(UNKNOWN_KEPT + 50):
        name = f"{number:032x}"
        scene.take(Fill(SECOND, name, "COIN.SIM", Side.BUY, SCALE, 1, 0, True, "t"))  # type: ignore[arg-type]
    assert len(scene.state.orders.seen_fills) == UNKNOWN_KEPT


def test_a_fill_of_an_order_that_is_long_forgotten_is_told_and_not_booked() -> None:
    scene = Scene()
    scene.state.orders.forgotten = f"{7:024x}"
    late = Fill(SECOND, f"{7:032x}", "COIN.SIM", Side.BUY, SCALE, 1, 0, True, "t")  # type: ignore[arg-type]
    step = scene.take(late)
    assert step is not None
    [alert] = step.changes
    assert isinstance(alert, Alert)
    assert "long ended" in alert.text
    assert scene.state.portfolio.quantity("COIN.SIM") == 0  # type: ignore[arg-type]


def test_a_step_of_requests_alone_bears_the_number_of_the_one_before() -> None:
    scene = Scene()
    numbers = []
    for intents in (
        [Ask(COIN, 1, ())],
        [Place(terms(Side.BUY, "9.00", "0.5"))],
        [Ask(COIN, 1, ())],
    ):
        scene.puppet.intents = intents
        step = scene.quote()
        assert step is not None
        numbers.append(step.sequence)
    assert [number - numbers[0] for number in numbers] == [0, 1, 1]


def test_a_strategy_that_fails_is_asked_no_more_and_the_others_go_on() -> None:
    scene = Scene()
    broken = Broken()
    scene.engine.strategies.append(broken)
    scene.engine._connect()
    scene.puppet.intents = [Place(terms(Side.BUY, "9.10", "0.5"))]
    first = scene.quote()
    assert first is not None
    scene.quote()
    step = scene.quote()
    assert step is not None
    assert [type(change).__name__ for change in step.changes] == [
        "StrategyFailed",
        "Alert",
        "CancelOrder",
    ]
    assert "ZeroDivisionError: a mistake" in step.changes[0].error  # type: ignore[union-attr]
    assert scene.refused_by(terms(Side.BUY, "9.90", "0.5")) == ""
    assert broken.quotes == 3
    again = Engine(Limits(), [scene.puppet, broken])
    again.restore(scene.engine.snapshot())
    again.process(quote("9.99", "10.01"))
    assert broken.quotes == 3, "a restored engine remembers"


class Late(Strategy):
    """Fails at the clock's tick."""

    name = "late"

    def on_tick(self, view: View, market: Market) -> Intents:
        raise ValueError("too late")


def test_a_strategy_may_fail_on_any_event() -> None:
    scene = Scene()
    scene.engine.strategies.append(Late())
    scene.engine._connect()
    step = scene.take(TimerFired(SECOND, "tick"))
    assert step is not None
    assert step.changes[0].error == "ValueError: too late"  # type: ignore[union-attr]


def test_what_is_no_intent_fails_its_strategy() -> None:
    scene = Scene()
    scene.puppet.intents = ["nonsense"]
    step = scene.quote()
    assert step is not None
    assert step.changes[0].error == "TypeError: str is no intent"  # type: ignore[union-attr]


def test_an_ended_instrument_with_an_open_order_is_not_forgotten() -> None:
    scene = Scene()
    order = scene.propose(terms(Side.BUY, "0.42", "10", YES))
    for number in range(20):
        old = msgspec.structs.replace(
            scene.state.markets[NO].definition, id=f"OLD{number}.SIM", complement=YES
        )
        scene.take(InstrumentListed(SECOND, old))
        scene.take(Resolution(SECOND, old.id, 0))
    scene.take(Resolution(SECOND, YES, 0))
    assert order.order in scene.state.orders.open
    for number in range(20, 40):
        old = msgspec.structs.replace(
            scene.state.markets[NO].definition, id=f"OLD{number}.SIM", complement=YES
        )
        scene.take(InstrumentListed(SECOND, old))
        scene.take(Resolution(SECOND, old.id, 0))
    assert YES in scene.state.markets
    assert len(scene.state.markets) <= 20


def test_a_trade_moves_the_clock_only_forward() -> None:
    from betatrader.model.market import PublicTrade

    scene = Scene()
    for at, expected in ((5, 5), (3, 5)):
        scene.take(PublicTrade(at * SECOND, "COIN.SIM", SCALE, SCALE, True))  # type: ignore[arg-type]
        assert scene.state.now_ns == expected * SECOND


def test_a_complements_orders_of_the_other_kind_do_not_stand_in_the_way() -> None:
    from scenes import contract

    scene = Scene()
    for name in (YES, NO):
        scene.take(InstrumentListed(SECOND, contract(name, nets=True)))
    scene.fill(scene.propose(terms(Side.BUY, "0.42", "10", YES)))  # type: ignore[arg-type]
    step = scene.take(Flatten(SECOND, "i", "me", ""))
    assert step is not None
    assert any(isinstance(change, Approved) for change in step.changes)


def test_a_strategy_may_listen_to_nothing() -> None:
    from betatrader.engine.strategy import Strategy

    engine = Engine(Limits(), [Strategy()])
    engine.process(Started(0, 1, TradingState.ACTIVE))
    base = Strategy()
    assert base.on_tick(None, None) is None  # type: ignore[arg-type]
    base.restore(base.snapshot())
    assert base.memory is None


def test_while_halted_a_stop_does_not_sell() -> None:
    scene = Scene()
    scene.hold("1", stop=parse("9.50"))
    scene.take(Halt(SECOND, "i", "me", "enough"))
    assert scene.quote("9.40", "9.42") is None
    scene.take(Resume(SECOND, "i", "me", ""))
    step = scene.quote("9.40", "9.42")
    assert step is not None
    assert step.changes[0].strategy == "stop"  # type: ignore[union-attr]
