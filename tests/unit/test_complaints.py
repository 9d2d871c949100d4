"""What users complain of in other systems, each as a test of this one; T1 to T39 number them.

Those of recovery stand in `test_recovery.py`, those of sockets in `test_link_complaints.py`.
"""

import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import COIN, NO, SECOND, YES, Scene, coin, quote, terms
from stories import SMALL, story, strategies

from betatrader.cli.main import program
from betatrader.cli.running import up
from betatrader.engine.book import OrderBook
from betatrader.engine.engine import Engine
from betatrader.engine.strategy import Place, Strategy
from betatrader.engine.sweeping import standing_still
from betatrader.model import event as events
from betatrader.model.account import (
    CancelRejected,
    CashFlow,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderInDoubt,
    OrderRejected,
    PositionTransfer,
    Reconciled,
    VenueAccount,
    VenueConnection,
    VenueOrder,
)
from betatrader.model.command import (
    Alert,
    Approved,
    CancelOrder,
    CheckBooks,
    Refused,
    Step,
    SubmitOrder,
)
from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId
from betatrader.model.instruction import CancelAll, Flatten, Halt, Started, TimerFired, TradingState
from betatrader.model.limits import Limits
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    InstrumentStatus,
    PublicTrade,
)
from betatrader.model.money import SCALE, parse
from betatrader.model.order import Order, OrderState, OrderType, Side, TimeInForce
from betatrader.model.signal import Forecast
from betatrader.roles.desks import RemoteDesk
from betatrader.roles.recovering import recover
from betatrader.sim.exchange import SimulatedExchange
from betatrader.store.journal import Journal, Setup
from betatrader.venues.reconcile import order_reports, unexplained

BUY, SELL = Side.BUY, Side.SELL
LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK


def tick(scene: Scene, at_s: float) -> list[object]:
    """What the clock's tick leads to."""
    step = scene.take(TimerFired(int(at_s * SECOND), "tick"))
    return list(step.changes) if step is not None else []


def rest(scene: Scene, price: str = "9.90", quantity: str = "0.5", side: Side = BUY) -> Approved:
    """An order that the venue has accepted."""
    order = scene.propose(terms(side, price, quantity))
    assert isinstance(order, Approved)
    scene.take(OrderAccepted(int(scene.now_s * SECOND), order.order))
    return order


def cancelled(changes: list[object]) -> list[str]:
    return [change.order for change in changes if isinstance(change, CancelOrder)]


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


def test_t12_nothing_that_starts_a_trader_offers_to_delete_what_it_knows() -> None:
    """An option that is new here must not: that is what this list is for."""
    of_program = {option.name for option in program.params}
    of_up = {option.name for option in up.params}
    assert of_program == {"role", "config_path", "version", "live"}
    usual = {"seconds", "data", "strategy", "speed", "venue", "config_path", "as_json"}
    assert of_up == usual | {"live"}


RUN = "00000000001"


def test_t12_a_start_reads_the_journal_before_it_and_changes_no_byte_of_it(tmp_path: Path) -> None:
    setup = Setup(limits=msgspec.Raw(msgspec.msgpack.encode(Limits())), strategies=())
    log = Journal(tmp_path / RUN, RUN, "0", setup)
    for event in (
        Started(0, 1, TradingState.ACTIVE),
        InstrumentListed(0, coin()),
        quote("9.99", "10.01"),
    ):
        log.append(event)
    log.close()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.btj")}
    for _ in range(2):
        engine = Engine(Limits(), [])
        assert recover(tmp_path, engine, ()) is not None
        assert engine.state.markets[COIN].bid == parse("9.99")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.btj")} == before


def test_t13_where_a_stream_freezes_its_quotes_are_pulled_and_a_person_is_told() -> None:
    scene = Scene()
    frozen = rest(scene)
    scene.take(OrderAccepted(SECOND, scene.propose(terms(BUY, "0.41", "5", YES)).order))
    [alive] = [o for o in scene.state.orders.open if o != frozen.order]
    scene.take(quote("0.40", "0.42", 6.0, YES))
    assert tick(scene, 6.0) == [], "not yet"
    still = standing_still(scene.state, Limits(), int(6.1 * SECOND))
    assert (COIN in still, YES in still) == (True, False), "shown by /readyz"
    assert tick(scene, 6.1) == [
        CancelOrder(frozen.order, COIN, "market data is stale"),
        Alert("error", "COIN.SIM: market data is stale, 1 orders are cancelled"),
    ]
    assert tick(scene, 7.0) == [], "one cancel is under way"
    scene.take(CancelRejected(7 * SECOND, frozen.order, "try again"))
    assert cancelled(tick(scene, 8.0)) == [frozen.order]
    assert scene.state.orders.open[alive].state is OrderState.ACCEPTED


def test_t13_while_the_venue_is_away_no_cancel_is_tried_and_afterwards_it_is() -> None:
    scene = Scene()
    order = rest(scene)
    scene.take(VenueConnection(2 * SECOND, "SIM", False, "cut"))
    assert tick(scene, 9.0) == []
    scene.take(VenueConnection(9 * SECOND, "SIM", True))
    assert cancelled(tick(scene, 9.5)) == [order.order], "no data has come since"


def test_t13_an_order_in_doubt_is_asked_for_and_not_cancelled_again_and_again() -> None:
    scene = Scene()
    order = rest(scene)
    scene.take(OrderInDoubt(SECOND, order.order, "no answer"))
    assert tick(scene, 9.0) == []


def test_t17_a_cancel_of_what_is_gone_is_an_outcome_and_no_error() -> None:
    scene = Scene()
    order = rest(scene)
    scene.state.fold(CancelOrder(order.order, COIN))
    scene.fill(order)
    filled = scene.state.orders.closed[order.order]
    for report in (
        CancelRejected(SECOND, order.order, "no such open order"),
        OrderCanceled(SECOND, order.order),
        CancelRejected(SECOND, ClientOrderId("f" * 32), "whose is that?"),
        OrderCanceled(SECOND, ClientOrderId("f" * 32)),
    ):
        scene.take(report)
    assert filled.state is OrderState.FILLED
    assert scene.state.trading_state is TradingState.ACTIVE


def _values(info: msgspec.inspect.Type) -> st.SearchStrategy:
    match info:
        case msgspec.inspect.IntType():
            return st.integers(-(2**63), 2**63 - 1)
        case msgspec.inspect.FloatType():
            return st.floats(allow_nan=False)
        case msgspec.inspect.StrType():
            return st.text(max_size=8)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.EnumType():
            return st.sampled_from(list(info.cls))
        case msgspec.inspect.StructType():
            return st.builds(info.cls, **{f.name: _values(f.type) for f in info.fields})
        case msgspec.inspect.UnionType():
            return st.one_of(*(_values(one) for one in info.types))
        case msgspec.inspect.VarTupleType():
            return st.lists(_values(info.item_type), max_size=3).map(tuple)
        case msgspec.inspect.TupleType():
            return st.tuples(*(_values(one) for one in info.item_types))
        case msgspec.inspect.DictType():
            return st.dictionaries(_values(info.key_type), _values(info.value_type), max_size=2)
    raise AssertionError(f"no values for {info}")


RECORDS = _values(msgspec.inspect.type_info(events.Event | Step))


@given(RECORDS)
def test_t19_every_record_that_can_be_written_can_be_read(record: object) -> None:
    assert events.decode_audit(events.encode(record)) == record


@given(st.integers(0, 1_000), st.integers(1, 100))
def test_t19_every_state_that_can_be_written_can_be_read(seed: int, cut: int) -> None:
    engine = Engine(SMALL, strategies())
    for event, _ in story(seed, 30)[:cut]:
        engine.process(event)
    again = Engine(SMALL, strategies())
    again.restore(engine.snapshot())
    assert again.snapshot() == engine.snapshot()


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
            scene.take(_filled(order, part, f"T{number}"))
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


def _filled(order: Order, quantity: int, trade: str, fee: int = 0) -> Fill:
    done = order.terms
    return Fill(
        SECOND, order.id, done.instrument, done.side, done.price, quantity, fee, True, trade
    )


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


@pytest.mark.parametrize("fee", [0, 12_345, -6_789])
def test_t22_a_fee_that_is_nothing_or_a_rebate_counts_to_the_last_unit(fee: int) -> None:
    scene = Scene()
    order = rest(scene, "9.90", "0.5")
    scene.take(_filled(scene.state.orders.open[order.order], parse("0.5"), "T1", fee))
    portfolio = scene.state.portfolio
    assert portfolio.cash == 100 * SCALE - parse("4.95") - fee
    assert portfolio.fees == fee
    assert scene.state.equity() - portfolio.deposits == scene.state.unrealised() - fee


def test_t22_a_fee_taken_out_of_what_was_bought_is_its_cost() -> None:
    scene = Scene()
    order = rest(scene, "9.90", "0.5")
    fill = _filled(scene.state.orders.open[order.order], parse("0.5"), "T1", 0)
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
    fill = _filled(scene.state.orders.open[order.order], parse("5"), "T1", 0)
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
    fill = _filled(scene.state.orders.open[order.order], parse("0.5"), "T1", 0)
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


def test_t26_a_connection_is_up_for_orders_only_once_data_has_come_over_it() -> None:
    scene, asked = Scene(), terms(BUY, "0.41", "5", YES)
    scene.now_s, now = 10.0, 10 * SECOND
    scene.take(quote("0.40", "0.42", 9.0, YES))
    scene.take(VenueConnection(now, "SIM", False, "cut"))
    scene.take(VenueConnection(now, "SIM", True))
    scene.take(Reconciled(now, "SIM"))
    refused = scene.propose(asked)
    assert isinstance(refused, Refused)
    assert refused.check == "stale_data"
    assert refused.actual == "nothing since the venue was reached"
    scene.take(quote("0.40", "0.42", 10.0, YES))
    assert scene.refused_by(asked) == ""


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


class Onlooker(Strategy):
    """Notes every top of book that it is shown, whatever it is asked about."""

    name = "onlooker"

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def on_quote(self, view, market):  # type: ignore[no-untyped-def]
        self.seen.append((market.bid, market.ask))

    on_trade = on_forecast = on_tick = on_quote


def watched() -> tuple[Scene, Onlooker]:
    scene, onlooker = Scene(), Onlooker()
    scene.engine = Engine(Limits(), [scene.puppet, onlooker], scene.state)
    return scene, onlooker


CROSSING = [
    quote("10.03", "10.01", 2.0),
    BookSnapshot(2 * SECOND, COIN, ((parse("10.03"), 1),), ((parse("10.01"), 1),)),
    BookDelta(2 * SECOND, COIN, ((parse("10.03"), 1),), ((parse("10.01"), 1),)),
]


@pytest.mark.parametrize("crossing", CROSSING, ids=lambda event: type(event).__name__)
def test_t32_a_crossed_book_is_never_shown_to_a_strategy(crossing: object) -> None:
    scene, onlooker = watched()
    scene.hold("0.5", stop=parse("9.50"))
    onlooker.seen.clear()
    assert scene.take(crossing) is None
    scene.take(PublicTrade(2 * SECOND, COIN, parse("10"), 1, True))
    scene.take(Forecast(2 * SECOND, COIN, "return", 0.1, 0.5, SECOND, 9 * SECOND, "m"))
    assert onlooker.seen == []
    assert scene.state.markets[COIN].bid == parse("9.99"), "the last that was one stays"
    scene.take(quote("9.98", "10.00", 3.0))
    assert onlooker.seen == [(parse("9.98"), parse("10.00"))]


def test_t32_a_book_that_stays_crossed_is_a_stale_one() -> None:
    scene = Scene()
    order = rest(scene)
    for second in range(2, 8):
        scene.take(quote("10.03", "10.01", float(second)))
    assert cancelled(tick(scene, 7.0)) == [order.order]


@pytest.mark.parametrize("crossing", CROSSING, ids=lambda event: type(event).__name__)
def test_t32_who_follows_is_shown_what_who_decides_is_shown(crossing: object) -> None:
    taken = [crossing, TimerFired(2 * SECOND, "tick"), quote("9.98", "10.00", 3.0)]
    (scene, deciding), (replica, following) = watched(), watched()
    for event in taken:
        scene.take(event)
        replica.engine.follow(event)  # type: ignore[arg-type]
    assert deciding.seen == following.seen


@pytest.mark.parametrize(
    "fault", [quote("10.03", "10.01", 1.0), InstrumentStatus(SECOND, COIN, False)]
)
def test_t33_a_fault_in_one_instrument_leaves_the_others_untouched(fault: object) -> None:
    scene = Scene()
    order = scene.propose(terms(BUY, "0.41", "5", YES))
    scene.take(OrderAccepted(SECOND, order.order))
    before = msgspec.msgpack.encode(scene.state.markets[YES])
    scene.take(fault)
    assert tick(scene, 2.0) == []
    assert msgspec.msgpack.encode(scene.state.markets[YES]) == before
    scene.now_s = 2.0
    scene.puppet.intents = [Place(terms(BUY, "0.58", "5", NO))]
    step = scene.take(quote("0.58", "0.60", 2.0, NO))
    assert step is not None
    assert isinstance(step.changes[0], Approved)


def test_t34_one_symbol_at_two_venues_is_two_instruments() -> None:
    scene, elsewhere = Scene(), InstrumentId("COIN.ALT")
    scene.take(InstrumentListed(SECOND, msgspec.structs.replace(coin(), id=elsewhere)))
    scene.take(quote("7.99", "8.01", 1.0, elsewhere))
    here, there = rest(scene), scene.propose(terms(BUY, "7.90", "0.5", elsewhere))
    assert isinstance(there, Approved)
    scene.fill(there, trade="T1")
    scene.fill(here, "0.2", trade="T1")
    assert scene.state.portfolio.quantity(elsewhere) == parse("0.5")
    assert scene.state.portfolio.quantity(COIN) == parse("0.2")
    assert scene.state.markets[COIN].bid == parse("9.99")


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


def test_t38_the_cost_of_a_best_price_does_not_grow_with_the_book() -> None:
    deep, books = 100_000, []
    for levels in (10, deep):
        book = OrderBook()
        book.replace([(n, 1) for n in range(1, levels)], [(deep + n, 1) for n in range(levels)], 1)
        books.append(book)

    def taken(book: OrderBook) -> int:
        """Bytes that a look at the top needs at most."""
        tracemalloc.start()
        assert book.top() == (book.best_bid, 1, book.best_ask, 1)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    shallow = taken(books[0])
    assert taken(books[1]) <= shallow + 256 < 4_096


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


def test_a_part_of_a_lot_that_a_fee_left_holds_no_flattening_up() -> None:
    scene = Scene()
    order = rest(scene, "9.90", "0.5")
    fill = _filled(scene.state.orders.open[order.order], parse("0.5"), "T1", 0)
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
    fill = _filled(scene.state.orders.open[order.order], parse("0.5"), "T1", 0)
    scene.take(msgspec.structs.replace(fill, kept=parse("0.005")))
    step = scene.quote("9.40", "9.42")
    assert step is not None
    [sale] = [change for change in step.changes if isinstance(change, Approved)]
    scene.fill(sale, trade="T2")
    assert scene.state.portfolio.quantity(COIN) == parse("0.005")
    assert [scene.quote(bid, "9.42") for bid in ("9.39", "9.38")] == [None, None]


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
