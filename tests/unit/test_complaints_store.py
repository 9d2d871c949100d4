"""What users complain of in other systems, as tests of this one: what is stored, and read again."""

from pathlib import Path

import msgspec
from books import RUN, UNDER_WAY
from complaints import rest
from hypothesis import given
from hypothesis import strategies as st
from scenes import COIN, SECOND, Scene, coin, quote, terms
from stories import SMALL, story, strategies

from betatrader.cli.main import program
from betatrader.cli.running import up
from betatrader.engine.engine import Engine
from betatrader.model import event as events
from betatrader.model.account import (
    CancelRejected,
    CashFlow,
    Fill,
    OrderCanceled,
    PositionTransfer,
    VenueAccount,
    VenueOrder,
)
from betatrader.model.command import (
    CancelOrder,
    Step,
)
from betatrader.model.ids import ClientOrderId
from betatrader.model.instruction import Started, TradingState
from betatrader.model.limits import Limits
from betatrader.model.market import (
    InstrumentListed,
)
from betatrader.model.money import parse
from betatrader.model.order import OrderState, OrderType, Side, TimeInForce
from betatrader.roles.recovering import recover
from betatrader.store.journal import Journal, Setup
from betatrader.venues.reconcile import missing_fills, order_reports, unexplained

BUY, SELL = Side.BUY, Side.SELL
LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK


def test_t12_nothing_that_starts_a_trader_offers_to_delete_what_it_knows() -> None:
    """An option that is new here must not: that is what this list is for."""
    of_program = {option.name for option in program.params}
    of_up = {option.name for option in up.params}
    assert of_program == {"role", "config_path", "version", "live"}
    usual = {"seconds", "data", "strategy", "speed", "venue", "config_path", "as_json"}
    assert of_up == usual | {"live"}


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


def test_t17_orders_and_fills_of_other_hands_are_left_alone_and_stop_nothing() -> None:
    scene = Scene()
    by_hand = ClientOrderId("made by hand")
    rests = VenueOrder(by_hand, terms(BUY, "9.90", "0.5"), 0, OrderState.ACCEPTED)
    fill = Fill(SECOND, by_hand, COIN, BUY, parse("10"), parse("1"), 0, True, "t1")
    there = VenueAccount(parse("90"), {COIN: parse("1")}, {by_hand: rests}, (fill,))
    assert missing_fills(scene.state, there, (0, 0)) == []
    assert order_reports(scene.state, there, "SIM", SECOND, UNDER_WAY) == []
    moved, paid = unexplained(scene.state, there, "SIM", SECOND)
    assert isinstance(moved, PositionTransfer)
    assert isinstance(paid, CashFlow)
