"""Stops at the simulated venue: out of the book until the market has come to them."""

import pytest
from exchange_scene import Venue
from msgspec.structs import replace
from scenes import COIN, SECOND, quote, terms

from betatrader.model.account import Fill, OrderAccepted, OrderCanceled, OrderRejected
from betatrader.model.command import CancelOrder
from betatrader.model.ids import ClientOrderId
from betatrader.model.market import PublicTrade
from betatrader.model.money import parse
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce

BUY, SELL = Side.BUY, Side.SELL


def stop(side: Side, price: str, trigger: str, held: TimeInForce = TimeInForce.GTC) -> OrderTerms:
    asked = terms(side, price, "1", kind=OrderType.STOP, time_in_force=held)
    return replace(asked, trigger=parse(trigger))


def market() -> Venue:
    """A coin at 10.00 to 10.02, of which one is held."""
    venue = Venue()
    venue.now = 9 * SECOND
    venue.market(quote("10.00", "10.02"))
    assert venue.fills(terms(BUY, "10.02", "1")) == [("10.02", "1", False)]
    return venue


def filled(venue: Venue) -> list[tuple[str, int]]:
    return [(r.order, r.price) for r in venue.reports() if isinstance(r, Fill)]


@pytest.mark.parametrize("by", ["a quote", "a trade"])
def test_a_sale_waits_until_the_market_has_fallen_to_its_trigger(by: str) -> None:
    venue = market()
    name = venue.order(stop(SELL, "9.50", "9.90"))
    assert [type(report) for report in venue.reports()] == [OrderAccepted]
    assert venue.exchange.resting() == {name}
    venue.market(quote("9.91", "9.93", 2.0))
    assert filled(venue) == [], "though it would sell far lower"
    if by == "a quote":
        venue.market(quote("9.90", "9.92", 3.0))
    else:
        venue.market(PublicTrade(3 * SECOND, COIN, parse("9.90"), parse("0.1"), False))
    best = parse("9.90" if by == "a quote" else "9.91")
    assert filled(venue) == [(name, best)], "at the best that is bid"
    assert venue.exchange.resting() == set()


def test_a_buy_waits_until_the_market_has_risen() -> None:
    venue = market()
    name = venue.order(stop(BUY, "10.50", "10.20"))
    venue.reports()
    venue.market(quote("10.10", "10.12", 2.0))
    assert filled(venue) == []
    venue.market(quote("10.20", "10.22", 3.0))
    assert filled(venue) == [(name, parse("10.22"))]


def test_where_the_market_has_gone_through_its_price_it_rests() -> None:
    venue = market()
    name = venue.order(stop(SELL, "9.50", "9.90"))
    venue.reports()
    venue.market(quote("9.00", "9.02", 2.0))
    assert filled(venue) == []
    assert venue.exchange.resting() == {name}
    venue.market(quote("9.50", "9.52", 3.0))
    assert filled(venue) == [(name, parse("9.50"))]


def test_one_that_takes_any_price_ends_with_what_there_is() -> None:
    venue = market()
    name = venue.order(stop(SELL, "0.01", "9.90", TimeInForce.IOC))
    venue.reports()
    venue.market(quote("9.00", "9.02", 2.0, size="0.4"))
    told = [type(report) for report in venue.reports()]
    assert told == [Fill, OrderCanceled]
    assert name not in venue.exchange.resting()


def test_one_that_would_be_triggered_at_once_is_refused() -> None:
    venue = market()
    venue.order(stop(SELL, "9.50", "10.00"))
    [report] = venue.reports()
    assert isinstance(report, OrderRejected)
    assert report.reason == "the stop would be triggered at once"


def test_what_it_is_to_sell_is_locked_and_free_once_it_is_cancelled() -> None:
    venue = market()
    name = venue.order(stop(SELL, "9.50", "9.90"))
    venue.reports()
    venue.order(terms(SELL, "10.10", "1"))
    [report] = venue.reports()
    assert isinstance(report, OrderRejected)
    venue.exchange.cancel(CancelOrder(ClientOrderId(name), COIN), venue.now)
    assert [type(report) for report in venue.reports()] == [OrderCanceled]
    venue.market(quote("9.00", "9.02", 2.0))
    assert filled(venue) == []
    venue.order(terms(SELL, "10.10", "1"))
    assert [type(report) for report in venue.reports()] == [OrderAccepted]
