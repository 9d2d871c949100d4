"""What users complain of in other systems, as tests of this one: recovery."""

from pathlib import Path

import msgspec
import pytest
from books import RUN, UNDER_WAY, Books, journaled
from complaints import cancelled
from journals import frame_ends
from scenes import COIN, SECOND, YES, Puppet, Scene, terms

from betatrader.engine.engine import Engine
from betatrader.model.account import (
    CancelRejected,
    CashFlow,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderInDoubt,
    OrderRejected,
    PositionTransfer,
    Reconciled,
    VenueAccount,
    VenueOrder,
)
from betatrader.model.command import Alert, Approved, CancelOrder, Step
from betatrader.model.event import encode
from betatrader.model.instruction import (
    CancelAll,
    Started,
    TimerFired,
    TradingState,
)
from betatrader.model.limits import Limits
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderState, Side
from betatrader.roles.recovering import recover
from betatrader.sim.ledger import Ended
from betatrader.store.journal_reader import Reader
from betatrader.venues.reconcile import missing_fills, order_reports

BUY, SELL = Side.BUY, Side.SELL


def test_t1_unknown_stays_unknown_until_the_venue_has_spoken() -> None:
    books = Books()
    order = books.place()
    assert [type(e) for e in books.reconcile(1.5)] == [OrderInDoubt]
    state = books.state.orders.open[order.order].state
    assert state is OrderState.IN_DOUBT
    assert books.reconcile(1.6) == []
    scene = books.scene
    assert scene.refused_by(terms(BUY, "10.00", "1")) == ""
    assert scene.refused_by(terms(BUY, "10.00", "0.9")) == "position_notional", "it counts in full"


def test_t1_a_late_fill_lands_on_an_order_in_doubt() -> None:
    books = Books()
    order = books.place()
    books.reconcile(1.5)
    books.arrive(order)
    books.execute(order, "0.5", "T1")
    assert [type(e) for e in books.reconcile(1.7)] == [Fill]
    assert books.state.orders.find(order.order).state is OrderState.FILLED  # type: ignore[union-attr]
    assert books.agree()


def test_t25_an_order_cut_off_between_send_and_answer_is_found_again() -> None:
    books = Books()
    order = books.place()
    books.arrive(order)
    assert [type(e) for e in books.reconcile()] == [OrderAccepted]
    assert books.state.orders.open[order.order].state is OrderState.ACCEPTED


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (OrderState.CANCELED, OrderCanceled),
        (OrderState.EXPIRED, OrderExpired),
        (OrderState.REJECTED, OrderRejected),
    ],
)
def test_t18_an_end_at_the_venue_ends_ours(state: OrderState, kind: type) -> None:
    books = Books()
    order = books.place()
    books.arrive(order)
    books.ledger.apply(Ended(order.order, state, "so"))
    [report] = books.reconcile()
    assert type(report) is kind
    assert report.reason == "so"
    assert order.order not in books.state.orders.open


def test_t28_a_cancel_of_what_still_works_ends_in_a_query() -> None:
    books = Books()
    order = books.place()
    books.arrive(order)
    books.reconcile()
    books.state.fold(CancelOrder(order.order, COIN))
    assert [type(e) for e in books.reconcile()] == [CancelRejected]
    assert books.state.orders.open[order.order].state is OrderState.ACCEPTED
    assert books.reconcile() == []


def test_t29_a_kill_after_any_record_of_the_fill_path_counts_each_fill_once(
    tmp_path: Path,
) -> None:
    """The journal ends after each record, or within the next; of what the venue did, as much or
    more had happened. Then we ask it, and hear its reports again."""
    order, told = journaled(tmp_path / "whole")
    whole = (tmp_path / "whole" / RUN / "000001.btj").read_bytes()
    records = [entry.record for entry in Reader(tmp_path / "whole" / RUN)]
    answered = [n for n, one in enumerate(records, 1) if isinstance(one, Step)]
    sent = next(n for n in answered if any(isinstance(c, Approved) for c in records[n - 1].changes))
    ends, root = frame_ends(whole), tmp_path / "cut"
    (root / RUN).mkdir(parents=True)
    assert len(records) >= sent + 4
    for kept in range(sent, len(records) + 1):
        heard = sum(report in records[:kept] for report in told)
        for happened in range(heard, len(told) + 1):
            for torn in (0, 9 * (kept < len(records))):
                (root / RUN / "000001.btj").write_bytes(whole[: ends[kept] + torn])
                books = Books()
                engine = books.scene.engine = Engine(Limits(), [Puppet()])
                recovered = recover(root, engine, ())
                assert recovered == (RUN, kept, torn, 0)
                for report in told[:happened]:
                    books.happen(order, report)
                engine.process(Started(SECOND, 2, TradingState.ACTIVE, reconcile=True))
                books.reconcile(1.5)
                assert books.state.orders.fills == max(0, happened - 1)
                assert books.agree()
                engine.process(Reconciled(SECOND, "SIM"))
                for report in told[happened:]:
                    books.happen(order, report)
                for report in told:
                    engine.process(report)
                assert books.reconcile(1.6) == []
                assert books.state.orders.fills == 2
                assert books.state.orders.find(order.order).state is OrderState.FILLED  # type: ignore[union-attr]
                assert books.agree()


def test_t5_reconciling_twice_is_the_same_as_once_byte_for_byte() -> None:
    books = Books()
    order = books.place()
    books.arrive(order)
    books.execute(order, "0.2", "T1")
    books.ledger.cash += 7 * SCALE
    books.ledger.positions[YES] = SCALE
    assert [type(e) for e in books.reconcile()] == [Fill, PositionTransfer, CashFlow]
    before = encode(books.state)
    assert books.reconcile() == []
    assert encode(books.state) == before


def test_t4_ten_restarts_make_nothing_up_where_venue_and_journal_agree() -> None:
    books = Books()
    order = books.place()
    books.arrive(order)
    books.scene.take(books.execute(order, "0.5", "T1"))
    for restart in range(10):
        again = Engine(Limits(), [Puppet()])
        again.restore(books.scene.engine.snapshot())
        books.scene.engine = again
        again.process(Started(2 * SECOND, 10 + restart, TradingState.ACTIVE, reconcile=True))
        assert books.reconcile() == []
        again.process(Reconciled(2 * SECOND, "SIM"))
        assert books.state.orders.fills == 1
        assert books.agree()


def test_t6_a_position_older_than_any_history_is_adopted_with_a_marked_basis() -> None:
    books = Books()
    books.ledger.positions[COIN] = parse("0.7")
    [transfer] = books.reconcile()
    assert isinstance(transfer, PositionTransfer)
    assert books.state.portfolio.positions[COIN].average_price == parse("9.99")
    assert books.state.equity() - books.state.portfolio.deposits == 0, "no profit and no loss"
    assert books.state.markets[COIN].held
    books.ledger.positions[COIN] = parse("0.2")
    books.reconcile()
    assert books.state.portfolio.quantity(COIN) == parse("0.2")
    books.ledger.positions[COIN] = 0
    books.reconcile()
    assert not books.state.markets[COIN].held
    books.ledger.positions["GONE.SIM"] = SCALE  # type: ignore[index]
    books.reconcile()
    assert books.agree()


def test_t16_ownership_goes_by_id_and_never_by_time() -> None:
    books = Books()
    ours = books.place()
    books.arrive(ours)
    stranger = "00000000" + f"{1:012x}" + f"{0:012x}"
    fill = Fill(SECOND, stranger, COIN, SELL, parse("10"), parse("0.5"), 0, True, "T9")  # type: ignore[arg-type]
    made = (books.state.epoch, books.state.order_counter)
    account = books.ledger.account(())
    old = msgspec.structs.replace(account, fills=(fill,))
    assert missing_fills(books.state, old, made) == [], "an order of ours that ended long ago"
    later = "00000000" + f"{1:012x}" + f"{77:012x}"
    new = msgspec.structs.replace(fill, order=later)
    assert missing_fills(books.state, msgspec.structs.replace(account, fills=(new,)), made) == [new]
    step = books.scene.take(new)
    assert step is not None
    assert any(isinstance(change, Alert) for change in step.changes)


def test_t37_an_order_that_works_long_after_it_ended_for_us_is_cancelled() -> None:
    scene = Scene()
    order = scene.propose(terms(BUY, "9.90", "0.5"))
    assert isinstance(order, Approved)
    scene.take(OrderRejected(2 * SECOND, order.order, "it never arrived"))
    works = VenueOrder(order.order, order.terms, parse("0.1"), OrderState.ACCEPTED)
    there = VenueAccount(parse("100"), {}, {order.order: works}, ())
    assert order_reports(scene.state, there, "SIM", 3 * SECOND, UNDER_WAY) == [], (
        "a report may be late"
    )
    (found,) = order_reports(scene.state, there, "SIM", 9 * SECOND, UNDER_WAY)
    scene.take(found)
    kept = scene.state.orders.open[order.order]
    assert (kept.filled, kept.state) == (parse("0.1"), OrderState.PENDING_CANCEL)
    assert order.order not in scene.state.orders.closed


@pytest.mark.parametrize("exists", [False, True])
def test_t28_a_cancel_that_is_refused_is_asked_about_each_time_and_ends_where_nothing_is_there(
    exists: bool,
) -> None:
    """All is cancelled, a tick a second, at a venue that refuses each cancel for a minute; and a
    person is told of it, though not each time."""
    books = Books()
    order = books.place()
    scene, name = books.scene, order.order
    scene.take(OrderAccepted(SECOND, name))
    if exists:
        books.arrive(order)
    cancels, asked = 0, 0
    alerts: list[str] = []
    step = scene.take(CancelAll(2 * SECOND, "i", "me"))
    for second in range(2, 62):
        if step is not None and cancelled(list(step.changes)):
            cancels += 1
            told = scene.take(CancelRejected(second * SECOND, name, "no such open order"))
            assert told is not None
            alerts += [change.text for change in told.changes if isinstance(change, Alert)]
            there = books.ledger.account((name,))
            for report in order_reports(scene.state, there, "SIM", second * SECOND, 13 * SECOND):
                scene.take(report)
            asked += 1
        step = scene.take(TimerFired((second + 1) * SECOND, "tick"))
    assert asked == cancels, "each ends in a query"
    assert (name in scene.state.orders.open) is exists
    if exists:
        assert cancels == 60, "one a second: what works there is not given up"
        assert [text.partition(" the book, ")[2] for text in alerts] == [
            "5 cancels of it were refused: no such open order",
            "60 cancels of it were refused: no such open order",
        ]
    else:
        assert cancels == 14, "as long as it may be under way, and then never again"
        assert len(alerts) == 1
        assert scene.state.orders.closed[name].state is OrderState.CANCELED
