"""Stops on Binance's wire: STOP_LOSS_LIMIT with a stop price, and what comes back of it."""

import msgspec
import pytest
from binance_scenes import symbol
from binance_served import COIN, Served

from betatrader.chaos.loop import Process
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.market import Quote
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce
from betatrader.ops import clock
from betatrader.venues.binance import orders, rules
from betatrader.venues.binance.serve.running import OWNER

NAME = ClientOrderId("5" * 32)
STOP = OrderTerms(
    COIN, Side.SELL, OrderType.STOP, parse("45000"), parse("0.001"), trigger=parse("48000")
)


def test_a_stop_is_a_stop_loss_limit() -> None:
    assert orders.placing(NAME, STOP, "EXPIRE_MAKER") == {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "newClientOrderId": NAME,
        "newOrderRespType": "RESULT",
        "quantity": "0.001",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "type": "STOP_LOSS_LIMIT",
        "timeInForce": "GTC",
        "stopPrice": "48000",
        "price": "45000",
    }


@pytest.mark.parametrize("wrong", [{"trigger": 0}, {"time_in_force": TimeInForce.IOC}])
def test_one_without_a_stop_price_or_that_does_not_rest_has_no_form(wrong: dict) -> None:
    with pytest.raises(orders.UnmappableError, match="a stop rests"):
        orders.placing(NAME, msgspec.structs.replace(STOP, **wrong), "")


def test_what_the_venue_lists_is_read_as_the_same() -> None:
    listed = orders.OrderInfo(
        "BTCUSDT",
        7,
        NAME,
        status="NEW",
        side="SELL",
        type="STOP_LOSS_LIMIT",
        price="45000.00000000",
        orig_qty="0.00100000",
        stop_price="48000.00000000",
    )
    assert orders.terms_of(listed) == STOP


@pytest.mark.parametrize(
    ("kinds", "keeps"), [(["LIMIT", "STOP_LOSS_LIMIT"], True), (["LIMIT", "MARKET"], False)]
)
def test_whether_a_pair_keeps_stops_is_the_venues_word(kinds: list[str], keeps: bool) -> None:
    told = msgspec.convert(symbol(orderTypes=kinds), rules.Symbol)
    assert rules.rules_of(told).spot.stops is keeps


def test_the_venue_sells_at_the_stop_with_nobody_there_to_ask_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = Served(monkeypatch)
    served.place(1, "50001")
    stop = Approved(
        NAME, StrategyId("guard"), msgspec.structs.replace(STOP, quantity=parse("0.0009"))
    )
    served.loop.call_soon(lambda: served.venue.submit(stop, clock.now_ns()))
    served.go(1.0)
    assert served.since() == ["OrderAccepted 5"]
    low = Quote(clock.now_ns(), COIN, parse("47999"), SCALE, parse("48001"), SCALE, 9)
    served.loop.spawn(Process("market"), served.server.run, [low])
    served.go(1.0)
    assert "Fill 5" in served.since()
    assert served.rests() == set()


def test_of_one_that_is_refused_while_its_cancel_is_under_way_nothing_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each request has its own answer: the refusal is not taken for that of the cancel."""
    served = Served(monkeypatch)
    served.place(1, "50001")
    high = msgspec.structs.replace(STOP, quantity=parse("0.0009"), trigger=parse("60000"))
    stop = Approved(NAME, StrategyId("guard"), high)

    def both() -> None:
        served.venue.submit(stop, clock.now_ns())
        served.venue.cancel(CancelOrder(NAME, COIN), clock.now_ns())

    served.loop.call_soon(both)
    served.go(1.0)
    assert sorted(served.since()) == ["CancelRejected 5", "OrderRejected 5"]
    assert served.server.trading.of(OWNER).open() == []
