"""Accounts at two venues in one book: cash apart, each compared and given up on its own."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as named
from scenes import NO, SECOND, YES, Scene, coin, contract, quote, terms

from betatrader.engine.checks import CHECKS
from betatrader.engine.engine import Engine
from betatrader.engine.proposal import Proposal
from betatrader.engine.strategy import Place, View
from betatrader.model.account import (
    CashFlow,
    Fill,
    OrderAccepted,
    PositionTransfer,
    Reconciled,
    VenueAccess,
    VenueAccount,
    VenueConnection,
)
from betatrader.model.command import Approved, Booked, CancelOrder, Refused
from betatrader.model.event import decode_audit, encode
from betatrader.model.ids import InstrumentId, StrategyId
from betatrader.model.instruction import Fenced, Started, TimerFired, TradingState
from betatrader.model.market import InstrumentListed, Resolution
from betatrader.model.money import SCALE, parse
from betatrader.model.order import Side
from betatrader.sim.invariants import check_account, check_accounts
from betatrader.sim.ledger import Ledger
from betatrader.venues.reconcile import open_at, order_reports, unexplained, unspoken

BUY = Side.BUY
HERE, THERE = InstrumentId("COIN.ONE"), InstrumentId("COIN.TWO")
YES_TWO, NO_TWO = InstrumentId("YES.TWO"), InstrumentId("NO.TWO")


def two(one: str = "60", other: str = "30") -> Scene:
    """A scene whose account lies at ONE and at TWO, compared with both."""
    scene = Scene(cash="0")
    scene.take(Started(0, 2, TradingState.ACTIVE, reconcile=True, accounts=("ONE", "TWO")))
    for name in (HERE, THERE):
        scene.take(InstrumentListed(0, named(coin(), id=name)))
        scene.take(quote("9.99", "10.01", 1.0, name))
    for venue, cash in (("ONE", one), ("TWO", other)):
        scene.take(CashFlow(0, venue, parse(cash)))
        scene.take(Reconciled(SECOND, venue))
    return scene


def ask(scene: Scene, name: InstrumentId, quantity: str = "0.5") -> Approved | Refused:
    scene.puppet.intents = [Place(terms(BUY, "10.00", quantity, name), "test")]
    step = scene.take(quote("9.99", "10.01", scene.now_s, name))
    assert step is not None
    return next(c for c in step.changes if isinstance(c, Approved | Refused))


def buy(scene: Scene, name: InstrumentId, quantity: str = "0.5") -> Approved:
    order = ask(scene, name, quantity)
    assert isinstance(order, Approved)
    return order


def refused(scene: Scene, name: InstrumentId, quantity: str = "0.5") -> str:
    answer = ask(scene, name, quantity)
    return answer.check if isinstance(answer, Refused) else ""


def test_cash_lies_where_it_came_and_is_spent_where_the_instrument_is() -> None:
    scene = two()
    scene.fill(buy(scene, THERE))
    assert scene.state.portfolio.accounts == {"ONE": parse("60"), "TWO": parse("25")}
    assert scene.state.portfolio.cash == parse("85")
    assert scene.state.cash_at("TWO") == parse("25")


def test_an_order_is_held_to_the_cash_of_its_own_account() -> None:
    scene = two("60", "7")
    assert refused(scene, HERE, "0.9") == ""
    assert refused(scene, THERE, "0.9") == "buying_power"
    assert refused(scene, THERE, "0.5") == ""
    assert refused(scene, THERE, "0.2") == "buying_power", "what rests there binds its cash"


def test_a_venue_that_is_away_leaves_the_other_trading() -> None:
    scene = two()
    scene.take(VenueConnection(2 * SECOND, "ONE", False, "cut"))
    scene.now_s = 2.0
    assert refused(scene, HERE) == "venue_connection"
    assert refused(scene, THERE) == ""
    assert scene.state.may_add_risk
    scene.take(VenueConnection(3 * SECOND, "ONE", True))
    scene.now_s = 3.0
    assert refused(scene, HERE) == "reconciled"
    scene.take(Reconciled(3 * SECOND, "ONE"))
    assert refused(scene, HERE) == ""


def barred(scene: Scene, venue: str = "ONE") -> None:
    scene.take(VenueAccess(int(scene.now_s * SECOND), venue, False, "it sees us in Y"))


def test_a_venue_that_does_not_serve_us_leaves_the_other_trading() -> None:
    scene = two()
    scene.fill(buy(scene, HERE))
    barred(scene)
    view = View(scene.state, StrategyId("s"))
    may = {name: view.may_add_risk_in(scene.state.markets[name]) for name in (HERE, THERE)}
    assert may == {HERE: False, THERE: True}
    answer = ask(scene, HERE)
    assert isinstance(answer, Refused)
    assert (answer.check, answer.actual) == ("venue_access", "it sees us in Y")
    assert refused(scene, THERE) == ""
    scene.puppet.intents = [Place(terms(Side.SELL, "9.99", "0.5", HERE), "close")]
    step = scene.take(quote("9.99", "10.01", scene.now_s, HERE))
    assert step is not None
    [sale] = [c for c in step.changes if isinstance(c, Approved)]
    scene.fill(sale)  # what reduces may leave
    scene.take(VenueAccess(2 * SECOND, "ONE", True))
    scene.now_s = 2.0
    assert refused(scene, HERE) == ""


def test_what_would_buy_where_we_are_not_served_is_taken_off_the_book() -> None:
    scene = two()
    here, there = buy(scene, HERE), buy(scene, THERE)
    for order in (here, there):
        scene.take(OrderAccepted(SECOND, order.order))
    barred(scene)
    step = scene.take(TimerFired(2 * SECOND, "tick"))
    assert step is not None
    assert [c.order for c in step.changes if isinstance(c, CancelOrder)] == [here.order]


def test_that_we_are_not_served_is_in_the_journal_and_in_what_follows_it() -> None:
    scene = two()
    event = VenueAccess(SECOND, "ONE", False, "it sees us in Y")
    step = scene.take(event)
    assert step is not None
    assert step.changes == (Booked("access", "ONE", "no new orders: it sees us in Y"),)
    again = Engine(scene.engine.limits, [scene.puppet])
    again.restore(scene.engine.snapshot())
    assert again.state.barred == {"ONE": "it sees us in Y"}
    assert decode_audit(encode(event)) == event
    served = scene.take(VenueAccess(SECOND, "ONE", True))
    assert served is not None
    assert served.changes == (Booked("access", "ONE", "serves this address"),)


def test_a_process_that_begins_asks_by_itself_and_one_that_leads_again_goes_on() -> None:
    scene = two()
    barred(scene)
    scene.take(Started(SECOND, 3, TradingState.ACTIVE, reconcile=True))
    assert scene.state.barred == {"ONE": "it sees us in Y"}
    names = ("ONE", "TWO")
    scene.take(Started(SECOND, 4, TradingState.ACTIVE, reconcile=True, accounts=names))
    assert scene.state.barred == {}


def test_a_snapshot_from_before_blocks_had_accounts_is_read() -> None:
    scene = two()
    state, memories = msgspec.msgpack.decode(scene.engine.snapshot())
    del state["barred"]
    again = Engine(scene.engine.limits, [scene.puppet])
    again.restore(msgspec.msgpack.encode((state, memories)))
    assert again.state == scene.state


def test_where_neither_venue_serves_us_no_risk_is_let_through() -> None:
    scene = two()
    for venue in ("ONE", "TWO"):
        assert scene.state.may_add_risk
        barred(scene, venue)
    assert not scene.state.may_add_risk
    assert scene.state.trading_state is TradingState.ACTIVE


def test_only_the_markets_of_the_venue_that_went_away_count_as_unseen() -> None:
    scene = two()
    scene.take(VenueConnection(2 * SECOND, "ONE", False, "cut"))
    markets = scene.state.markets
    assert (markets[HERE].updated_ns, bool(markets[THERE].updated_ns)) == (0, True)


def test_quotes_that_grow_old_are_pulled_at_the_venue_that_is_reached() -> None:
    scene = two()
    here, there = buy(scene, HERE), buy(scene, THERE)
    for order in (here, there):
        scene.take(OrderAccepted(SECOND, order.order))
    scene.take(VenueConnection(2 * SECOND, "ONE", False, "cut"))
    step = scene.take(TimerFired(9 * SECOND, "tick"))
    assert step is not None
    assert [c.order for c in step.changes if isinstance(c, CancelOrder)] == [there.order]


def test_where_no_account_is_open_no_risk_is_let_through() -> None:
    scene = two()
    for venue in ("ONE", "TWO"):
        assert scene.state.may_add_risk
        scene.take(VenueConnection(2 * SECOND, venue, False, "cut"))
    assert not scene.state.may_add_risk


def test_a_lost_lease_asks_for_both_to_be_compared() -> None:
    scene = two()
    scene.take(Fenced(2 * SECOND, "over"))
    scene.now_s = 2.0
    assert scene.state.uncompared == ["ONE", "TWO"]
    scene.take(Reconciled(2 * SECOND, "TWO"))
    assert [refused(scene, HERE), refused(scene, THERE)] == ["reconciled", ""]


def test_a_venue_is_asked_for_its_own_orders_and_says_nothing_of_others() -> None:
    scene = two()
    here, there = buy(scene, HERE), buy(scene, THERE)
    assert [order.id for order in open_at(scene.state, "ONE")] == [here.order]
    account = VenueAccount(parse("60"), {}, {}, ())
    late = order_reports(scene.state, account, "ONE", 9 * SECOND, SECOND)
    assert [report.order for report in late] == [here.order], "TWO has not said that it knows none"
    assert there.order in scene.state.orders.open


def test_balances_are_compared_account_by_account() -> None:
    scene = two()
    scene.fill(buy(scene, THERE))
    assert unexplained(scene.state, VenueAccount(parse("60"), {}, {}, ()), "ONE", SECOND) == []
    moved = unexplained(scene.state, VenueAccount(parse("25"), {}, {}, ()), "TWO", SECOND)
    assert [(type(e), e.instrument) for e in moved if isinstance(e, PositionTransfer)] == [
        (PositionTransfer, THERE)
    ]
    [paid] = unexplained(scene.state, VenueAccount(parse("70"), {}, {}, ()), "ONE", SECOND)
    scene.take(paid)
    assert scene.state.cash_at("ONE") == parse("70")
    assert scene.state.cash_at("TWO") == parse("25")


def test_what_is_held_and_configured_no_more_is_not_booked_as_moved() -> None:
    scene = two()
    scene.fill(buy(scene, THERE))
    silent = VenueAccount(parse("25"), {}, {}, (), covers=())
    assert unexplained(scene.state, silent, "TWO", SECOND) == []
    assert unspoken(scene.state, silent, "TWO") == [THERE]
    assert all(check_account(scene.state, silent, "TWO").values())
    spoken = VenueAccount(parse("25"), {THERE: SCALE // 2}, {}, (), covers=(THERE,))
    assert unspoken(scene.state, spoken, "TWO") == []
    assert unexplained(scene.state, spoken, "TWO", SECOND) == []


def test_the_invariants_hold_of_each_account_by_itself() -> None:
    scene = two()
    scene.fill(buy(scene, THERE))
    here = check_account(scene.state, VenueAccount(parse("60"), {}, {}, ()), "ONE")
    there = check_account(
        scene.state, VenueAccount(parse("25"), {THERE: SCALE // 2}, {}, ()), "TWO"
    )
    assert all(here.values())
    assert all(there.values())
    wrong = check_account(scene.state, VenueAccount(parse("25"), {}, {}, ()), "TWO")
    assert not wrong["positions_equal_venue"]


def test_a_pair_and_a_payout_pay_into_the_account_of_their_venue() -> None:
    scene = two()
    for name, other in ((YES_TWO, NO_TWO), (NO_TWO, YES_TWO)):
        listed = contract(YES if name == YES_TWO else NO)
        made = named(listed, id=name, complement=other, nets=True)
        scene.take(InstrumentListed(0, made))
    for name, price, trade in ((YES_TWO, "0.4", "a"), (NO_TWO, "0.55", "b")):
        scene.take(fill_of(name, price, "10", trade))
    assert scene.state.cash_at("TWO") == parse("30.5")
    scene.take(fill_of(YES_TWO, "0.4", "10", "c"))
    scene.take(Resolution(2 * SECOND, YES_TWO, SCALE))
    assert scene.state.cash_at("TWO") == parse("36.5")
    assert scene.state.cash_at("ONE") == parse("60")


def fill_of(name: InstrumentId, price: str, quantity: str, trade: str) -> Fill:
    return Fill(SECOND, "f" * 32, name, BUY, parse(price), parse(quantity), 0, True, trade)  # type: ignore[arg-type]


def test_with_one_account_every_instrument_belongs_to_it() -> None:
    scene = Scene()
    scene.take(Started(0, 2, TradingState.ACTIVE, accounts=("PAPER",)))
    assert {scene.state.account_of(name) for name in scene.state.markets} == {"PAPER"}
    scene.take(CashFlow(0, "PAPER", SCALE))
    assert scene.state.cash_at("PAPER") == 101 * SCALE


def test_cash_of_books_from_before_accounts_had_names_lies_in_the_first() -> None:
    scene = Scene()
    old = scene.engine.snapshot()
    state, memories = msgspec.msgpack.decode(old)
    del state["portfolio"]["accounts"], state["accounts"]
    scene.engine.restore(msgspec.msgpack.encode((state, memories)))
    scene.take(Started(0, 2, TradingState.ACTIVE, reconcile=True, accounts=("PAPER",)))
    assert scene.state.portfolio.accounts == {"PAPER": 100 * SCALE}
    there = VenueAccount(parse("100"), {}, {}, ())
    assert unexplained(scene.state, there, "PAPER", SECOND) == []


def test_a_lease_that_is_ours_again_leaves_a_venue_away_that_is() -> None:
    scene = two()
    scene.take(VenueConnection(2 * SECOND, "ONE", False, "cut"))
    scene.take(Started(3 * SECOND, 3, TradingState.ACTIVE, reconcile=True))
    scene.take(Reconciled(3 * SECOND, "ONE"))
    assert scene.state.away == ["ONE"]
    assert not scene.state.is_open(HERE)


def test_an_account_that_is_no_more_holds_no_halt_up() -> None:
    scene = two()
    scene.take(Started(0, 3, TradingState.ACTIVE, accounts=("TWO",)))
    assert set(scene.state.agreed) == {"TWO"}


def test_a_second_account_leaves_the_first_where_it_was() -> None:
    scene = Scene(cash="0")
    scene.take(Started(0, 2, TradingState.ACTIVE, accounts=("ONE",)))
    scene.take(CashFlow(0, "ONE", parse("50")))
    scene.take(Started(0, 3, TradingState.ACTIVE, reconcile=True, accounts=("ONE", "TWO")))
    [found] = unexplained(scene.state, VenueAccount(parse("20"), {}, {}, ()), "TWO", SECOND)
    scene.take(found)
    assert (scene.state.cash_at("ONE"), scene.state.cash_at("TWO")) == (parse("50"), parse("20"))


@given(st.lists(st.tuples(st.sampled_from([HERE, THERE]), st.integers(1, 9)), max_size=12))
def test_no_way_through_risk_spends_what_lies_elsewhere(
    asked: list[tuple[InstrumentId, int]],
) -> None:
    scene = two("40", "12")
    for name, tenths in asked:
        order = ask(scene, name, f"0.{tenths}")
        if isinstance(order, Approved):
            del scene.state.orders.open[order.order]
            made = Proposal(
                scene.state, scene.engine.limits, order.order, order.strategy, order.terms
            )
            assert [check.__name__ for check in CHECKS if check(made)] == []
            scene.state.orders.submit(order, scene.state.now_ns)
            if tenths % 2:
                scene.fill(order, trade=f"t{tenths}{len(scene.state.orders.closed)}")
    assert min(scene.state.cash_at("ONE"), scene.state.cash_at("TWO")) >= 0


def test_a_snapshot_keeps_the_accounts_apart() -> None:
    scene = two()
    scene.take(VenueConnection(2 * SECOND, "ONE", False, "cut"))
    again = Engine(scene.engine.limits, [scene.puppet])
    again.restore(scene.engine.snapshot())
    assert again.state.cash_at("TWO") == parse("30")
    assert again.state.away == ["ONE"]
    assert not again.state.is_open(HERE)
    assert again.state.is_open(THERE)


@pytest.mark.parametrize("venue", ["ONE", "TWO"])
def test_a_view_tells_a_strategy_where_new_risk_is_let_through(venue: str) -> None:
    scene = two()
    scene.take(VenueConnection(2 * SECOND, venue, False, "cut"))
    view = View(scene.state, StrategyId("s"))
    may = {name: view.may_add_risk_in(scene.state.markets[name]) for name in (HERE, THERE)}
    assert may == {HERE: venue == "TWO", THERE: venue == "ONE"}


def test_each_ledger_is_compared_with_the_account_there() -> None:
    """What the sums hide is seen: cash that lies at the wrong venue, a fill counted at another."""
    scene = two()
    orders = [buy(scene, HERE), buy(scene, THERE)]
    ledgers = {}
    for order, (venue, cash) in zip(orders, (("ONE", "55"), ("TWO", "25")), strict=True):
        asked = order.terms
        what = (asked.instrument, asked.side, asked.price, asked.quantity, 0, False, f"t{venue}")
        fill = Fill(SECOND, order.order, *what)
        scene.take(fill)
        ledgers[venue] = Ledger(
            cash=parse(cash),
            positions={asked.instrument: asked.quantity},
            orders={order.order: asked},
            fills=[fill],
            fill_count=1,
        )

    def wrong(**other: Ledger) -> set[str]:
        venues = {name: (ledger, set()) for name, ledger in {**ledgers, **other}.items()}
        limits = scene.engine.limits
        found = check_accounts(scene.state, limits, venues, same_ids=True)
        return {name for name, holds in found.items() if not holds}

    one, other = ledgers["ONE"], ledgers["TWO"]
    assert wrong() == set()
    assert wrong(ONE=named(one, cash=one.cash - 1), TWO=named(other, cash=other.cash + 1)) == {
        "cash_equals_venue at ONE",
        "cash_equals_venue at TWO",
    }
    assert wrong(ONE=named(one, fills=[], fill_count=0)) == {"fills_equal_venues"}
    assert wrong(TWO=named(other, fills=[named(other.fills[0], trade_id="t")])) == {
        "fills_equal_venue at TWO"
    }
    assert wrong(TWO=named(other, fees=1)) == {"fees_equal_venues"}
    assert wrong(TWO=named(other, positions={})) == {"positions_equal_venue at TWO"}
    assert wrong(ONE=named(one, orders={})) == {"orders_known_to_venue at ONE"}
    del ledgers["TWO"]
    assert "no_other_account" in wrong()
