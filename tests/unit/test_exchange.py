"""The simulated venue fills as its rules say, and keeps a ledger of its own."""

import pytest
from exchange_scene import Venue, levels
from msgspec.structs import replace
from scenes import COIN, YES, coin, contract, quote, terms

from betatrader.model.account import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderRejected,
)
from betatrader.model.command import Approved, CancelOrder, SubmitOrder
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.market import (
    BookSnapshot,
    InstrumentListed,
    InstrumentStatus,
    Resolution,
)
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce
from betatrader.sim.exchange import SimulatedExchange

BUY, SELL = Side.BUY, Side.SELL
LATENCY = 5_000_000


@pytest.fixture
def venue() -> Venue:
    made = Venue()
    made.book({"9.99": "2", "9.98": "3"}, {"10.01": "1", "10.02": "4"})
    return made


def test_a_marketable_order_takes_the_levels_best_first(venue: Venue) -> None:
    assert venue.fills(terms(BUY, "10.02", "3")) == [("10.01", "1", False), ("10.02", "2", False)]


def test_what_was_taken_stays_taken_until_the_level_changes(venue: Venue) -> None:
    assert venue.fills(terms(BUY, "10.01", "1")) == [("10.01", "1", False)]
    assert venue.fills(terms(BUY, "10.01", "1", time_in_force=TimeInForce.IOC)) == []
    venue.delta({}, {"10.02": "5"})
    assert venue.fills(terms(BUY, "10.01", "1", time_in_force=TimeInForce.IOC)) == []
    venue.delta({}, {"10.01": "0.4"})
    assert venue.fills(terms(BUY, "10.01", "1", time_in_force=TimeInForce.IOC)) == [
        ("10.01", "0.4", False)
    ]


def test_a_resting_order_stands_behind_all_that_is_shown_and_only_trades_move_it_up(
    venue: Venue,
) -> None:
    venue.order(terms(BUY, "9.99", "1"))
    venue.trade("9.99", "1.5", buyer=False)
    assert venue.fills() == []
    venue.delta({"9.99": "0.1"}, {})
    assert venue.fills() == [], "what is cancelled in front of us does not move us up"
    venue.trade("9.99", "0.8", buyer=False)
    assert venue.fills() == [("9.99", "0.3", True)]
    venue.trade("9.99", "5", buyer=False)
    assert venue.fills() == [("9.99", "0.7", True)]


def test_a_trade_beyond_our_price_fills_us_at_our_price_up_to_its_size(venue: Venue) -> None:
    venue.order(terms(BUY, "9.99", "1"))
    venue.trade("9.98", "0.6", buyer=False)
    assert venue.fills() == [("9.99", "0.6", True)]


def test_a_trade_of_the_other_side_is_not_ours(venue: Venue) -> None:
    venue.order(terms(BUY, "9.99", "1"))
    venue.trade("9.99", "9", buyer=True)
    assert venue.fills() == []


def test_an_opposite_level_at_our_price_fills_us_up_to_the_size_shown(venue: Venue) -> None:
    venue.order(terms(BUY, "9.99", "1"))
    venue.delta({"9.99": "0"}, {"9.98": "0.4"})
    assert venue.fills() == [("9.99", "0.4", True)]


def test_an_opposite_quote_through_our_price_fills_us_at_our_price(venue: Venue) -> None:
    venue.order(terms(SELL, "10.01", "1"))
    venue.order(terms(BUY, "9.99", "1"))
    venue.reports()
    venue.market(quote("9.95", "9.97", size="0.25"))
    assert venue.fills() == [("9.99", "0.25", True)]


def test_orders_fill_by_price_then_time(venue: Venue) -> None:
    for owner in ("one", "two", "three"):
        venue.exchange.deposit(100 * SCALE, owner)
    for owner, price in (("one", "9.99"), ("two", "10.00"), ("three", "10.00")):
        venue.order(terms(BUY, price, "1"), owner)
    venue.trade("9.99", "1.5", buyer=False)
    held = [venue.exchange.ledgers[owner].held(COIN) for owner in ("one", "two", "three")]
    assert held == [0, SCALE, SCALE // 2]
    assert [type(r) for r in venue.exchange.advance(venue.now, "two")] == [OrderAccepted, Fill]


def test_an_owner_without_cash_is_refused(venue: Venue) -> None:
    venue.order(terms(BUY, "10.00", "1"), "pauper")
    assert venue.exchange.resting("pauper") == set()
    assert venue.exchange.ledgers["pauper"].refused == 1


def test_two_owners_trade_with_each_other(venue: Venue) -> None:
    venue.exchange.deposit(100 * SCALE, "other")
    venue.order(terms(BUY, "10.00", "1"), "other")
    venue.order(terms(BUY, "10.01", "1"))
    assert venue.fills() == [("10.01", "1", False)]
    assert venue.fills(terms(SELL, "10.00", "1")) == [("10", "1", False)]
    assert venue.exchange.ledgers["other"].held(COIN) == SCALE


@pytest.mark.parametrize(
    ("asked", "reports"),
    [
        (
            terms(BUY, "10.01", "3", time_in_force=TimeInForce.IOC),
            ["OrderAccepted", "Fill", "OrderCanceled"],
        ),
        (terms(BUY, "10.01", "3", time_in_force=TimeInForce.FOK), ["OrderRejected"]),
        (
            terms(BUY, "10.02", "3", time_in_force=TimeInForce.FOK),
            ["OrderAccepted", "Fill", "Fill"],
        ),
        (terms(BUY, "10.01", "3"), ["OrderAccepted", "Fill"]),
        (terms(BUY, "10.01", "1", post_only=True), ["OrderRejected"]),
        (terms(BUY, "10.00", "1", post_only=True), ["OrderAccepted"]),
        (
            terms(BUY, "10.05", "9", kind=OrderType.MARKET),
            ["OrderAccepted", "Fill", "Fill", "OrderCanceled"],
        ),
        (terms(BUY, "10.005", "1"), ["OrderRejected"]),
        (terms(BUY, "10.00", "0.001"), ["OrderRejected"]),
        (terms(BUY, "10.00", "101"), ["OrderRejected"]),
        (terms(SELL, "10.00", "1"), ["OrderRejected"]),
        (terms(BUY, "1", "1", "NONE.SIM"), ["OrderRejected"]),  # type: ignore[arg-type]
    ],
)
def test_types_and_times_in_force(venue: Venue, asked: OrderTerms, reports: list[str]) -> None:
    venue.order(asked)
    assert venue.kinds() == reports


def test_fees_are_the_instruments_for_maker_and_taker(venue: Venue) -> None:
    venue.order(terms(BUY, "10.01", "1"))
    fill = next(r for r in venue.reports() if isinstance(r, Fill))
    assert fill.fee == parse("0.01001")
    assert venue.exchange.ledgers["us"].fees == fill.fee


def test_a_duplicate_client_order_id_is_refused(venue: Venue) -> None:
    order = Approved(ClientOrderId("a" * 32), StrategyId("t"), terms(BUY, "9.00", "1"))
    for _ in range(2):
        venue.exchange.submit(order, venue.now)
    assert venue.kinds() == ["OrderAccepted", "OrderRejected"]


def test_a_cancel_takes_the_order_off_and_a_second_one_is_refused(venue: Venue) -> None:
    name = venue.order(terms(BUY, "9.00", "1"))
    venue.reports()
    for _ in range(2):
        venue.exchange.cancel(CancelOrder(name, COIN), venue.now)
    assert [type(r) for r in venue.reports()] == [OrderCanceled, CancelRejected]


def test_latency_delays_the_order_and_its_reports() -> None:
    venue = Venue(LATENCY)
    venue.book({"9.99": "2"}, {"10.01": "1"})
    venue.order(terms(BUY, "10.01", "1"))
    sent = venue.now
    assert venue.reports() == []
    venue.now = sent + LATENCY
    venue.reports()
    venue.now = sent + 2 * LATENCY
    assert [(type(r), r.time_ns - sent) for r in venue.reports()] == [
        (OrderAccepted, 2 * LATENCY),
        (Fill, 2 * LATENCY),
    ]


def test_a_late_market_may_be_gone_when_the_order_arrives() -> None:
    venue = Venue(LATENCY)
    venue.book({"9.99": "2"}, {"10.01": "1"})
    venue.order(terms(BUY, "10.01", "1", time_in_force=TimeInForce.IOC))
    venue.delta({}, {"10.01": "0", "10.03": "1"})
    venue.now += 2 * LATENCY
    assert venue.kinds() == ["OrderAccepted", "OrderCanceled"]


def test_on_a_live_market_another_snapshot_is_the_same_market_seen_again() -> None:
    venue = Venue()
    venue.exchange.follow_live()
    venue.book({"9.90": "1"}, {"10.10": "1"})
    name = venue.order(terms(BUY, "9.95", "0.5"))
    venue.book({"9.90": "1"}, {"10.10": "1"})
    assert venue.exchange.resting() == {name}
    venue.book({"9.80": "1"}, {"9.94": "2"})
    [fill] = [event for event in venue.reports() if isinstance(event, Fill)]
    assert (fill.order, fill.price, fill.maker) == (name, parse("9.95"), True)


def test_a_new_snapshot_ends_what_rests_and_says_so(venue: Venue) -> None:
    venue.order(terms(BUY, "9.00", "1"))
    venue.reports()
    venue.book({"9.99": "2"}, {"10.01": "1"})
    assert venue.kinds() == ["OrderCanceled"]


def test_resolution_expires_what_rests_and_pays_what_is_held(venue: Venue) -> None:
    venue.order(terms(BUY, "10.01", "1"))
    venue.order(terms(BUY, "9.00", "1"))
    venue.reports()
    cash = venue.exchange.ledgers["us"].cash
    venue.market(Resolution(venue.now, COIN, SCALE))
    assert [type(r) for r in venue.reports()] == [OrderExpired]
    assert venue.exchange.ledgers["us"].cash == cash + SCALE


def test_a_contracts_price_is_below_one(venue: Venue) -> None:
    from scenes import YES, contract

    venue.market(InstrumentListed(venue.now, contract(YES)))
    venue.order(terms(BUY, "1.00", "5", YES))
    assert [r.reason for r in venue.reports()] == ["a contract's price is below 1"]


def refusals(venue: Venue, asked: OrderTerms) -> list[str]:
    venue.order(asked)
    return [r.reason for r in venue.reports() if isinstance(r, OrderRejected)]


VALUE, QUANTITY = ["the value is below the minimum"], ["the quantity is below the minimum"]


def test_a_pair_has_a_least_value_and_quantity_for_buys_and_for_what_closes(venue: Venue) -> None:
    """As Binance's filters NOTIONAL and LOT_SIZE: a rest that is worth less cannot be sold."""
    assert refusals(venue, terms(BUY, "9.99", "0.10")) == VALUE
    assert refusals(venue, terms(BUY, "10.00", "0.10")) == []
    assert refusals(venue, terms(BUY, "10.01", "0.55")) == []
    assert refusals(venue, terms(SELL, "9.98", "0.10")) == VALUE
    assert refusals(venue, terms(SELL, "0.01", "0.10", kind=OrderType.MARKET)) == VALUE
    assert refusals(venue, terms(SELL, "0.01", "0.11", kind=OrderType.MARKET)) == [], "at the bid"
    venue.market(InstrumentListed(venue.now, replace(coin(), min_quantity=parse("0.30"))))
    assert refusals(venue, terms(SELL, "10.50", "0.29")) == QUANTITY
    assert refusals(venue, terms(SELL, "10.50", "0.30")) == []
    assert venue.exchange.ledgers["us"].refused == 4


def test_of_a_contract_only_what_is_paid_and_what_may_rest_has_a_least_size(venue: Venue) -> None:
    listed = replace(contract(YES), min_quantity=parse("5"), min_notional=0, min_taken=SCALE)
    venue.market(InstrumentListed(venue.now, listed))
    venue.market(BookSnapshot(venue.now, YES, levels({"0.40": "50"}), levels({"0.42": "50"})))
    ioc = TimeInForce.IOC
    assert refusals(venue, terms(BUY, "0.42", "4", YES)) == QUANTITY
    assert refusals(venue, terms(BUY, "0.42", "4", YES, time_in_force=ioc)) == []
    assert refusals(venue, terms(BUY, "0.42", "2", YES, time_in_force=ioc)) == VALUE
    assert refusals(venue, terms(BUY, "0.10", "5", YES)) == [], "what rests may be worth less"
    assert refusals(venue, terms(SELL, "0.43", "2", YES)) == QUANTITY
    assert refusals(venue, terms(SELL, "0.40", "2", YES, time_in_force=ioc)) == []


def test_the_ledger_notes_what_was_at_stake_as_buys_arrived(venue: Venue) -> None:
    venue.order(terms(BUY, "10.01", "1"))
    venue.order(terms(BUY, "9.00", "2"))
    ledger = venue.exchange.ledgers["us"]
    assert ledger.largest_stake == ledger.largest_total == parse("27.99")
    assert ledger.most_positions == 1


def test_a_closed_instrument_takes_no_orders(venue: Venue) -> None:
    venue.market(InstrumentStatus(venue.now, COIN, False))
    venue.order(terms(BUY, "9.00", "1"))
    assert isinstance(venue.reports()[0], OrderRejected)


def test_a_venue_that_restarts_cancels_what_rested_and_forgets_what_was_under_way() -> None:
    exchange = SimulatedExchange(1_000)
    exchange.on_market(InstrumentListed(0, coin()))
    exchange.on_market(quote("9.99", "10.01"))
    exchange.deposit(parse("100"))
    rests, travels = (
        SubmitOrder(ClientOrderId(name * 32), StrategyId("s"), terms(Side.BUY, "9.90", "1"))
        for name in "ab"
    )
    exchange.submit(rests, 0)
    exchange.advance(1_000)
    exchange.submit(travels, 2_000)
    exchange.restart()
    assert exchange.advance(10_000) == []
    assert exchange.resting() == set()
    assert set(exchange.ledgers["us"].orders) == {rests.order}
    assert exchange.ledgers["us"].ended[rests.order].reason == "the venue restarted"


def test_a_venue_that_limits_the_rate_refuses_for_good() -> None:
    exchange = SimulatedExchange(0)
    exchange.on_market(InstrumentListed(0, coin()))
    exchange.on_market(quote("9.99", "10.01"))
    exchange.deposit(parse("100"))
    exchange.refuses = "too many requests"
    order = SubmitOrder(ClientOrderId("a" * 32), StrategyId("s"), terms(Side.BUY, "9.90", "1"))
    exchange.submit(order, 0)
    (report,) = exchange.advance(0)
    assert report == OrderRejected(0, order.order, "too many requests")
    assert exchange.resting() == set()
