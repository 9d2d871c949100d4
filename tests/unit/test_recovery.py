"""Recovery: following a journal leads where deciding did, and the venue's word mends the rest."""

from pathlib import Path

from books import RUN, UNDER_WAY, Books, journaled
from hypothesis import given, settings
from hypothesis import strategies as st
from journals import frame_ends
from scenes import COIN, NO, SECOND, YES, Puppet, Scene, coin, contract, quote, terms
from stories import SMALL, Broken, story, strategies

from betatrader.engine.engine import Engine
from betatrader.engine.strategy import Place
from betatrader.model.account import (
    CashFlow,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderFound,
    OrderRejected,
    PairsMerged,
    PositionTransfer,
    Reconciled,
    VenueAccount,
    VenueConnection,
    VenueOrder,
)
from betatrader.model.command import Alert, CancelOrder
from betatrader.model.ids import ClientOrderId
from betatrader.model.instruction import (
    ConfirmLimits,
    Fenced,
    Flatten,
    Halt,
    Resume,
    Started,
    TradingState,
)
from betatrader.model.limits import Limits, raised
from betatrader.model.market import InstrumentListed
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderState, Side
from betatrader.model.signal import Forecast
from betatrader.roles.recovering import recover
from betatrader.sim.invariants import check_account
from betatrader.store.journal_reader import Reader
from betatrader.venues.reconcile import missing_fills, order_reports, unexplained

BUY, SELL = Side.BUY, Side.SELL


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_following_a_journal_from_any_snapshot_leads_where_deciding_did(
    seed: int, share: float
) -> None:
    taken = story(seed, 120)
    cut = int(share * len(taken))
    decided = Engine(SMALL, strategies())
    for event, _ in taken[:cut]:
        decided.process(event)
    followed = Engine(SMALL, strategies())
    followed.restore(decided.snapshot())
    for event, step in taken[cut:]:
        decided.process(event)
        followed.follow(event)
        if step is not None:
            followed.follow(step)
    assert followed.snapshot() == decided.snapshot()
    started = Started(1 << 50, 99, TradingState.ACTIVE, reconcile=True)
    for engine in (decided, followed):
        engine.follow(started)
    for event, _ in story(seed + 1, 40):
        if not isinstance(event, Started):
            assert followed.process(event) == decided.process(event)


def test_a_strategy_that_failed_is_asked_no_more_after_recovery() -> None:
    scene, broken = Scene(), Broken()
    scene.engine.strategies.append(broken)
    scene.engine._connect()
    records: list[object] = []
    for _ in range(3):
        event = quote("9.99", "10.01")
        records += [event, scene.take(event)]
    again = Engine(Limits(), [Puppet(), Broken()])
    again.follow(InstrumentListed(0, coin()))
    for record in records:
        if record is not None:
            again.follow(record)  # type: ignore[arg-type]
    assert again.state.failed == ["broken"]
    assert [view.strategy for _, view in again._quote] == ["puppet"]


def test_a_forecast_of_an_unknown_instrument_is_followed_too() -> None:
    engine = Engine(Limits(), strategies())
    engine.follow(Forecast(SECOND, COIN, "return", 0.1, 0.5, SECOND, 2 * SECOND, "test"))
    assert engine.state.event_sequence == 1


def test_an_order_that_never_arrived_is_rejected_once_it_cannot_be_under_way() -> None:
    books = Books()
    order = books.place()
    assert [type(e) for e in books.reconcile(3.1)] == [OrderRejected]
    assert order.order not in books.state.orders.open


def test_an_order_that_the_venue_has_forgotten_is_canceled() -> None:
    books = Books()
    order = books.place()
    books.scene.take(OrderAccepted(SECOND, order.order))
    assert [type(e) for e in books.reconcile(9)] == [OrderCanceled]


def test_a_copy_of_a_journal_beside_it_is_not_recovered_from(tmp_path: Path) -> None:
    """Whatever sorts last: a copy that somebody has put away there tells of an older account."""
    journaled(tmp_path)
    whole = (tmp_path / RUN / "000001.btj").read_bytes()
    for name in (f"{RUN}.copy", "my copy", "zzz"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "000001.btj").write_bytes(whole[: frame_ends(whole)[2]])
    (tmp_path / "zzz" / "000001.btj").write_bytes(b"damaged")
    recovered = recover(tmp_path, Engine(Limits(), [Puppet()]), ())
    assert recovered is not None
    assert recovered[:2] == (RUN, len(list(Reader(tmp_path / RUN))))


def test_deposits_and_withdrawals_are_no_profit_and_no_loss() -> None:
    books = Books()
    books.ledger.cash -= 30 * SCALE
    [flow] = books.reconcile()
    assert isinstance(flow, CashFlow)
    assert books.state.equity() == books.state.portfolio.deposits == 70 * SCALE
    assert books.state.trading_state is TradingState.ACTIVE


def test_no_order_before_reconciliation_has_ended() -> None:
    scene = Scene()
    scene.take(Started(SECOND, 5, TradingState.ACTIVE, reconcile=True))
    assert scene.refused_by(terms(BUY, "9.90", "0.5")) == "reconciled"
    step = scene.take(Reconciled(SECOND, "SIM", ("fill x",)))
    assert step is not None
    scene.puppet.intents = [Place(terms(BUY, "9.90", "0.5"))]
    assert scene.refused_by(terms(BUY, "9.90", "0.5")) == ""


def started(scene: Scene, limits: Limits, at_s: int) -> None:
    state = scene.state
    event = Started(at_s * SECOND, at_s, state.trading_state, state.halt_reason, limits=limits)
    scene.take(event)


def test_raised_limits_wait_for_a_person() -> None:
    scene = Scene()
    started(scene, Limits(), 2)
    assert scene.state.trading_state is TradingState.ACTIVE
    more = Limits(daily_loss=21 * SCALE)
    for at_s in (3, 4):  # and a restart does not forget
        started(scene, more, at_s)
        assert scene.state.trading_state is TradingState.REDUCING
        assert "daily_loss" in scene.state.halt_reason
    scene.take(Resume(5 * SECOND, "i1", "test"))
    assert scene.state.trading_state is TradingState.REDUCING, "to resume is not to confirm"
    step = scene.take(ConfirmLimits(5 * SECOND, "i2", "test", "I have more now"))
    assert step is not None
    assert "confirm_limits by test: I have more now" in str(step.changes)
    assert scene.state.trading_state is TradingState.ACTIVE
    started(scene, more, 6)
    assert scene.state.trading_state is TradingState.ACTIVE


def test_limits_that_are_lowered_again_need_no_confirmation() -> None:
    scene = Scene()
    started(scene, Limits(), 2)
    started(scene, Limits(open_orders=21), 3)
    started(scene, Limits(open_orders=20), 4)
    assert scene.state.trading_state is TradingState.ACTIVE


def test_a_wider_choice_of_venues_is_a_raised_limit() -> None:
    only = Limits(venues={"puppet": ("SIM",)})
    assert raised(Limits(venues={"puppet": ("SIM", "ALT")}), only) == ("venues",)
    assert raised(Limits(open_orders=21), only) == ("open_orders", "venues"), "now anywhere"
    assert raised(Limits(venues={"puppet": ("SIM",), "another": ("ALT",)}), only) == ()
    assert raised(only, Limits()) == ()


def test_to_confirm_limits_ends_no_halt() -> None:
    scene = Scene()
    scene.take(Halt(SECOND, "i1", "test"))
    scene.take(ConfirmLimits(SECOND, "i2", "test"))
    assert scene.state.trading_state is TradingState.HALTED


def test_a_fenced_trader_sends_nothing_until_it_has_reconciled_again() -> None:
    scene = Scene()
    step = scene.take(Fenced(SECOND, "Redis is away"))
    assert step is not None
    assert "Redis is away" in str(step.changes)
    assert scene.refused_by(terms(BUY, "9.90", "0.5")) == "reconciled"
    scene.take(Reconciled(SECOND, "SIM"))
    assert scene.refused_by(terms(BUY, "9.90", "0.5")) == ""


def test_a_venue_that_was_away_is_compared_with_before_the_next_order() -> None:
    scene = Scene()
    asked = terms(BUY, "10.00", "0.5")
    step = scene.take(VenueConnection(2 * SECOND, "SIM", False, "cut"))
    assert step is not None
    assert step.changes == (Alert("error", "SIM is away: cut"),)
    assert scene.refused_by(asked) == "venue_connection"
    step = scene.take(VenueConnection(3 * SECOND, "SIM", True))
    assert step is not None
    assert step.changes == (Alert("info", "SIM is reached"),)
    assert scene.refused_by(asked) == "reconciled"
    scene.take(Reconciled(4 * SECOND, "SIM"))
    assert scene.refused_by(asked) == ""


def test_an_order_of_ours_that_no_journal_knows_is_taken_into_the_books_and_cancelled() -> None:
    scene = Scene()
    lost = VenueOrder(ClientOrderId("a" * 32), terms(BUY, "9.90", "0.5"), 0, OrderState.ACCEPTED)
    there = VenueAccount(parse("100"), {}, {lost.order: lost}, ())
    (found,) = order_reports(scene.state, there, "SIM", SECOND, UNDER_WAY)
    assert found == OrderFound(SECOND, lost.order, lost.terms, 0)
    step = scene.take(found)
    assert step is not None
    assert CancelOrder(lost.order, COIN, "not in our journal") in step.changes
    assert scene.state.orders.open[lost.order].state is OrderState.PENDING_CANCEL
    assert order_reports(scene.state, there, "SIM", SECOND, UNDER_WAY)[0].order == lost.order
    assert scene.take(found) is not None
    assert len(scene.state.orders.open) == 1, "found twice is found once"


def test_many_fills_of_orders_that_no_journal_knows_are_counted_once() -> None:
    scene = Scene()
    fills = tuple(
        Fill(SECOND, ClientOrderId(f"{n:032x}"), COIN, BUY, SCALE, 1, 0, True, f"t{n}")
        for n in range(1, 2_001)
    )
    there = VenueAccount(parse("100"), {}, {}, fills)
    for _ in range(3):
        for fill in missing_fills(scene.state, there, (0, 0)):
            scene.take(fill)
    assert scene.state.orders.fills == 2_000


def test_a_strategy_that_fails_as_it_only_watches_is_remembered() -> None:
    watching = Engine(SMALL, [Broken()])
    watching.follow(InstrumentListed(0, coin()))
    for _ in range(3):
        watching.follow(quote("9.99", "10.01"))
    assert watching.failed_watching == {"broken": "ZeroDivisionError: a mistake"}
    assert not watching.state.failed, "whether it goes on is for the leader to say"


def test_a_flatten_goes_on_where_a_new_epoch_begins() -> None:
    scene = Scene()
    scene.hold("0.5")
    scene.bid = "9.99"
    scene.take(Flatten(SECOND, "f", "test", "out"))
    assert scene.state.flattening
    scene.take(Started(2 * SECOND, 2, TradingState.HALTED, "out"))
    assert scene.state.flattening


def pairs_held() -> Scene:
    """Five YES for 2, and three NO for 1.50."""
    scene = Scene()
    for name in (YES, NO):
        scene.take(InstrumentListed(0, contract(name)))
    for at, (name, price, quantity) in enumerate(((YES, "0.40", "5"), (NO, "0.50", "3"))):
        given = ClientOrderId(f"{at:032x}")
        bought = Fill(SECOND, given, name, BUY, parse(price), parse(quantity), 0, True, f"T{at}")
        scene.take(bought)
    return scene


def test_pairs_that_became_cash_are_merged_and_not_moved_away() -> None:
    """The venue pays 1 a pair: a gain, since both cost 0.90 together."""
    scene = pairs_held()
    cash = scene.state.portfolio.cash
    there = VenueAccount(cash + parse("2.5"), {YES: parse("2.5"), NO: parse("0.5")}, {}, ())
    (merged,) = unexplained(scene.state, there, "SIM", SECOND)
    assert isinstance(merged, PairsMerged)
    assert {merged.instrument, merged.complement} == {YES, NO}
    assert merged.quantity == parse("2.5")
    before, deposits = scene.state.portfolio.realised, scene.state.portfolio.deposits
    step = scene.take(merged)
    assert step is not None
    assert scene.state.portfolio.cash == there.cash
    assert scene.state.portfolio.realised - before == parse("0.25")
    assert scene.state.portfolio.deposits == deposits
    assert sum(scene.state.holdings.shares[YES].values()) == parse("2.5")
    assert unexplained(scene.state, there, "SIM", SECOND) == []


def test_what_is_not_settled_is_compared_later() -> None:
    """The wallet has a trade minutes after its match: what differs by it is no movement."""
    scene = pairs_held()
    cash = scene.state.portfolio.cash
    before = VenueAccount(cash + parse("2"), {NO: parse("3")}, {}, (), moving=(YES,))
    assert unexplained(scene.state, before, "SIM", SECOND) == []
    assert all(check_account(scene.state, before, "SIM").values())
    there = {COIN: parse("1"), YES: parse("5")}
    gone = VenueAccount(cash, there, {}, (), moving=(YES,))
    found = unexplained(scene.state, gone, "SIM", SECOND)
    assert [(type(e), e.instrument) for e in found] == [
        (PositionTransfer, COIN),
        (PositionTransfer, NO),
    ], "what is settled is compared"
    merged = VenueAccount(cash + 1, {YES: parse("3"), NO: parse("1")}, {}, (), moving=(COIN,))
    assert unexplained(scene.state, merged, "SIM", SECOND) == [], "they may be merged pairs"


def test_shares_that_went_without_cash_were_not_merged() -> None:
    scene = pairs_held()
    there = VenueAccount(scene.state.portfolio.cash, {YES: parse("2")}, {}, ())
    found = unexplained(scene.state, there, "SIM", SECOND)
    assert [type(event) for event in found] == [PositionTransfer, PositionTransfer]


def test_a_deposit_beside_a_merge_is_a_deposit() -> None:
    scene = pairs_held()
    there = VenueAccount(scene.state.portfolio.cash + parse("10"), {YES: parse("2")}, {}, ())
    merged, deposit = unexplained(scene.state, there, "SIM", SECOND)
    assert isinstance(merged, PairsMerged)
    assert isinstance(deposit, CashFlow)
    assert (merged.quantity, deposit.amount) == (parse("3"), parse("7"))
