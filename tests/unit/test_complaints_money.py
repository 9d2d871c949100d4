"""What users complain of in other systems, as tests of this one: fees, profit, the kill switch."""

import msgspec
import pytest
from complaints import cancelled, filled, rest, tick
from hypothesis import given
from hypothesis import strategies as st
from scenes import COIN, SECOND, YES, Scene, terms
from stories import SMALL, story, strategies

from betatrader.engine.engine import Engine
from betatrader.engine.strategy import Place
from betatrader.model.account import (
    CashFlow,
    PositionTransfer,
    Reconciled,
    VenueAccount,
)
from betatrader.model.command import (
    Approved,
    CheckBooks,
    Step,
)
from betatrader.model.ids import InstrumentId
from betatrader.model.instruction import Flatten, TimerFired, TradingState
from betatrader.model.limits import Limits
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderType, Side, TimeInForce
from betatrader.venues.reconcile import unexplained

BUY, SELL = Side.BUY, Side.SELL
LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK


@pytest.mark.parametrize("fee", [0, 12_345, -6_789])
def test_t22_a_fee_that_is_nothing_or_a_rebate_counts_to_the_last_unit(fee: int) -> None:
    scene = Scene()
    order = rest(scene, "9.90", "0.5")
    scene.take(filled(scene.state.orders.open[order.order], parse("0.5"), "T1", fee))
    portfolio = scene.state.portfolio
    assert portfolio.cash == 100 * SCALE - parse("4.95") - fee
    assert portfolio.fees == fee
    assert scene.state.equity() - portfolio.deposits == scene.state.unrealised() - fee


def test_t22_a_fee_taken_out_of_what_was_bought_is_its_cost() -> None:
    scene = Scene()
    order = rest(scene, "9.90", "0.5")
    fill = filled(scene.state.orders.open[order.order], parse("0.5"), "T1", 0)
    scene.take(msgspec.structs.replace(fill, kept=parse("0.0005")))
    portfolio = scene.state.portfolio
    assert scene.state.orders.closed[order.order].filled == parse("0.5")
    assert portfolio.quantity(COIN) == parse("0.4995")
    assert portfolio.cash == 100 * SCALE - parse("4.95")
    assert portfolio.positions[COIN].cost == parse("4.95")
    assert scene.state.holdings.of(order.strategy, COIN) == parse("0.4995")
    assert scene.state.equity() - portfolio.deposits == scene.state.unrealised()


def test_t22_a_fee_in_a_third_asset_costs_what_that_was_bought_for() -> None:
    scene = Scene(Limits(order_notional=90 * SCALE, position_notional=90 * SCALE))
    scene.hold("2")  # of the coin, at 10: what the fee is taken out of
    scene.puppet.intents = [Place(terms(BUY, "0.40", "5", YES), "test")]
    step = scene.quote()
    assert step is not None
    order = next(c for c in step.changes if isinstance(c, Approved))
    fill = filled(scene.state.orders.open[order.order], parse("5"), "T1", 0)
    scene.take(msgspec.structs.replace(fill, paid_in=COIN, paid=parse("0.1")))
    portfolio = scene.state.portfolio
    assert portfolio.quantity(COIN) == parse("1.9")
    assert (portfolio.fees, portfolio.positions[COIN].cost) == (SCALE, 19 * SCALE)
    gains = portfolio.realised + scene.state.unrealised() - portfolio.fees
    assert scene.state.equity() == portfolio.deposits + gains
    shares = scene.state.holdings.shares
    assert sum(shares[COIN].values()) == parse("1.9")


def test_t22_a_fee_in_an_asset_that_is_not_in_our_books_changes_nothing_there() -> None:
    scene = Scene()
    order = rest(scene, "9.90", "0.5")
    fill = filled(scene.state.orders.open[order.order], parse("0.5"), "T1", 0)
    scene.take(msgspec.structs.replace(fill, paid_in=InstrumentId("POINTS.SIM"), paid=SCALE))
    assert scene.state.portfolio.fees == 0
    assert scene.state.portfolio.quantity(InstrumentId("POINTS.SIM")) == 0


def test_t22_what_leaves_without_an_order_is_neither_cash_nor_a_loss() -> None:
    scene, points = Scene(), InstrumentId("POINTS.SIM")
    order = rest(scene, "9.90", "0.5")
    scene.fill(order)
    ours = {COIN: parse("0.5")}
    for left in ("7", "6.9"):
        account = VenueAccount(scene.state.portfolio.cash, {**ours, points: parse(left)}, {}, ())
        [moved] = unexplained(scene.state, account, "SIM", SECOND)
        scene.take(moved)
        assert scene.state.portfolio.quantity(points) == parse(left)
    portfolio = scene.state.portfolio
    assert portfolio.cash == 100 * SCALE - parse("4.95")
    assert scene.state.equity() - portfolio.deposits == scene.state.unrealised()


@given(st.integers(0, 1_000))
def test_t23_equity_is_deposits_and_gains_less_fees_at_each_event(seed: int) -> None:
    engine = Engine(SMALL, strategies())
    for event, _ in story(seed, 60):
        engine.process(event)
        state, portfolio = engine.state, engine.state.portfolio
        gained = portfolio.realised + state.unrealised() - portfolio.fees
        assert state.equity() == portfolio.deposits + gained


def losing(agreed: bool) -> tuple[Scene, Step]:
    """An account whose books show the daily loss reached, with an order that rests."""
    scene = Scene(Limits(order_notional=90 * SCALE, position_notional=90 * SCALE))
    scene.take(Reconciled(SECOND, "SIM"))
    rest(scene, "9.00", "0.5")
    scene.hold("8")
    scene.now_s = 4.0
    if agreed:
        scene.take(Reconciled(2 * SECOND, "SIM"))
    step = scene.quote("7.40", "7.42")
    assert step is not None
    return scene, step


def test_t30_the_kill_switch_acts_on_books_that_the_venue_has_confirmed_and_says_so() -> None:
    scene, _ = losing(agreed=True)
    assert scene.state.trading_state is TradingState.HALTED
    assert "by our books, equal to the venue's 2 s ago" in scene.state.halt_reason


def test_t30_books_with_fills_since_are_compared_first_and_what_rests_is_cancelled() -> None:
    scene, step = losing(agreed=False)
    assert scene.state.trading_state is TradingState.ACTIVE
    assert any(isinstance(c, CheckBooks) and c.reason for c in step.changes)
    assert len(cancelled(list(step.changes))) == 1
    assert scene.quote("7.40", "7.42") is None, "asked once"
    assert scene.refused_by(terms(BUY, "7.42", "1")) == "daily_loss"
    scene.take(Reconciled(5 * SECOND, "SIM"))
    assert scene.state.trading_state is TradingState.HALTED
    assert "equal to the venue's 0 s ago" in scene.state.halt_reason


def test_t30_where_the_venue_contradicts_its_word_counts_as_profit_and_nothing_is_halted() -> None:
    scene, _ = losing(agreed=False)
    more = PositionTransfer(5 * SECOND, COIN, parse("0.5"), parse("7.40"), "a fill was told short")
    scene.take(more)
    step = scene.take(Reconciled(5 * SECOND, "SIM", ("transfer",)))
    assert step is not None
    assert CheckBooks("") in step.changes
    assert scene.state.trading_state is TradingState.ACTIVE
    assert scene.state.doubted_ns == 0


def test_t30_a_deposit_meanwhile_covers_no_more_than_what_was_in_doubt() -> None:
    scene, _ = losing(agreed=False)
    lost = scene.state.day_equity - scene.state.equity()
    before = scene.state.day_equity
    scene.take(CashFlow(5 * SECOND, "SIM", 100 * SCALE))
    assert scene.state.day_equity == before + 100 * SCALE - lost


def test_t30_a_venue_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    scene, _ = losing(agreed=False)
    scene.take(TimerFired(8 * SECOND, "tick"))
    assert scene.state.trading_state is TradingState.ACTIVE
    scene.take(TimerFired(9 * SECOND, "tick"))
    assert scene.state.trading_state is TradingState.HALTED
    assert "has not confirmed in 5 s" in scene.state.halt_reason
    before = scene.state.day_equity
    scene.take(CashFlow(10 * SECOND, "SIM", SCALE))
    assert scene.state.day_equity == before + SCALE, "the doubt is over: a deposit is a deposit"


def test_t30_where_nothing_was_ever_compared_there_is_nobody_to_ask() -> None:
    scene = Scene(Limits(position_notional=90 * SCALE, daily_loss=90 * SCALE))
    scene.hold("0.5")
    scene.state.equity_high = 130 * SCALE
    scene.quote()
    assert "drawdown" in scene.state.halt_reason
    assert "never compared" in scene.state.halt_reason


def test_a_part_of_a_lot_that_a_fee_left_holds_no_flattening_up() -> None:
    scene = Scene()
    order = rest(scene, "9.90", "0.5")
    fill = filled(scene.state.orders.open[order.order], parse("0.5"), "T1", 0)
    scene.take(msgspec.structs.replace(fill, kept=parse("0.005")))
    step = scene.take(Flatten(SECOND, "i", "me", "news"))
    assert step is not None
    [sale] = [change for change in step.changes if isinstance(change, Approved)]
    assert sale.terms.quantity == parse("0.49"), "whole lots"
    scene.fill(sale, trade="T2")
    tick(scene, 3.0)
    assert scene.state.portfolio.quantity(COIN) == parse("0.005")
    assert not scene.state.flattening, "nothing more can be sold"


def test_a_part_of_a_lot_that_a_stop_left_is_not_offered_again_and_again() -> None:
    scene = Scene()
    order = scene.propose(terms(BUY, "9.90", "0.5"), stop=parse("9.50"))
    assert isinstance(order, Approved)
    fill = filled(scene.state.orders.open[order.order], parse("0.5"), "T1", 0)
    scene.take(msgspec.structs.replace(fill, kept=parse("0.005")))
    step = scene.quote("9.40", "9.42")
    assert step is not None
    [sale] = [change for change in step.changes if isinstance(change, Approved)]
    scene.fill(sale, trade="T2")
    assert scene.state.portfolio.quantity(COIN) == parse("0.005")
    assert [scene.quote(bid, "9.42") for bid in ("9.39", "9.38")] == [None, None]


@pytest.mark.parametrize("side", [BUY, Side.SELL])
def test_t22_a_fill_of_which_the_fee_takes_all_or_of_nothing_moves_no_position(side: Side) -> None:
    scene = Scene()
    scene.hold("0.5")
    order = rest(scene, "9.90" if side is BUY else "10.10", "0.5", side)
    fill = filled(scene.state.orders.open[order.order], parse("0.01"), "T2")
    nothing = msgspec.structs.replace(fill, quantity=0, fee=0, trade_id="T3")
    if side is BUY:
        cost = parse("0.099")
        scene.take(msgspec.structs.replace(fill, kept=fill.quantity))
        assert scene.state.portfolio.positions[COIN].cost == parse("5") + cost
    scene.take(nothing)
    assert scene.state.portfolio.quantity(COIN) == parse("0.5")
    assert scene.state.portfolio.realised == 0
