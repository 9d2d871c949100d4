"""An order of ours that other hands amend (`order/amend/keepPriority`), at the simulated Binance:
it goes by another client id there, asks for less, and stays ours to the last fill."""

from typing import Any

import pytest
from binance_scenes import approved, name
from binance_served import COIN, Served

from betatrader.chaos.loop import Process
from betatrader.model.account import Fill, OrderCanceled
from betatrader.model.market import PublicTrade
from betatrader.model.money import SCALE, parse
from betatrader.ops import clock
from betatrader.venues.binance.account import LOWERED
from betatrader.venues.binance.serve.requests import Account, Refusal
from betatrader.venues.binance.serve.running import KEY, OWNER, SECRET

US = Account(KEY, SECRET, OWNER)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    return Served(monkeypatch)


def ask(served: Served, method: str, **given: str) -> Any:
    """One request of other hands, with our key."""
    found: list[Any] = []

    async def asked() -> None:
        try:
            found.append(await served.server.done(method, US, {"symbol": "BTCUSDT", **given}))
        except Refusal as refusal:
            found.append(f"{refusal.text} ({refusal.code})")

    served.loop.spawn(Process("other"), asked)
    served.go(0.5)
    return found[0]


def amend(served: Served, quantity: str, **given: str) -> Any:
    return ask(served, "order.amend.keepPriority", newQty=quantity, **given)


def sold(served: Served, quantity: str) -> None:
    trade = PublicTrade(clock.now_ns(), COIN, parse("48000"), parse(quantity), False)
    served.loop.call_soon(served.server.play, trade)
    served.go(1.0)


def place(served: Served, number: int, quantity: str) -> None:
    made = approved(number, "49000", quantity)
    served.loop.call_soon(lambda: served.venue.submit(made, clock.now_ns()))
    served.go(1.0)
    served.since()


def test_what_is_filled_after_it_is_ours_and_its_end_is_told(served: Served) -> None:
    place(served, 1, "0.003")
    answer = amend(served, "0.002", origClientOrderId=name(1))
    amended = answer["amendedOrder"]
    assert (amended["origClientOrderId"], amended["qty"]) == (name(1), "0.00200000")
    assert (amended["status"], amended["preventedQty"]) == ("NEW", "0.00000000")
    assert amended["clientOrderId"] not in ("", name(1))
    assert served.since() == []
    look: list[Any] = []

    async def asked() -> None:
        look.append(await served.venue.account((name(1),)))

    served.loop.spawn(Process("q"), asked)
    served.go(2.0)
    assert (set(look[0].orders), look[0].foreign) == ({name(1)}, ())
    sold(served, "0.001")
    told = [event for event in served.told if isinstance(event, Fill)]
    assert [(fill.order, fill.quantity) for fill in told] == [(name(1), parse("0.001"))]
    sold(served, "0.005")
    last = served.told[-1]
    assert isinstance(last, OrderCanceled)
    assert (last.order, last.reason) == (name(1), LOWERED)
    fills = [event for event in served.told if isinstance(event, Fill)]
    assert sum(fill.quantity for fill in fills) == parse("0.002")
    ledger = served.server.exchange.ledgers[OWNER]
    assert (ledger.working, ledger.orders[name(1)].quantity) == ({}, parse("0.002"))


def test_it_keeps_its_place_and_is_listed(served: Served) -> None:
    place(served, 1, "0.003")
    place(served, 2, "0.003")
    number = str(ask(served, "order.status", origClientOrderId=name(1))["orderId"])
    answer = amend(served, "0.002", orderId=number, newClientOrderId=name(1))
    [row] = ask(served, "order.amendments", orderId=number)
    assert (row["origQty"], row["newQty"]) == ("0.00300000", "0.00200000")
    assert row["executionId"] == answer["executionId"]
    sold(served, "0.002")
    assert {event.order for event in served.told if isinstance(event, Fill)} == {name(1)}


@pytest.mark.parametrize(
    ("quantity", "refusal"),
    [
        ("0.003", "The requested action would change no state; rejecting. (-2038)"),
        ("0.004", "Order amend (quantity increase) is not supported. (-2038)"),
        ("0.000001", "Filter failure: LOT_SIZE (-1013)"),
        ("0.001", "Unknown order sent. (-2038)"),
    ],
)
def test_what_cannot_be_amended_is_refused_in_the_venues_words(
    served: Served, quantity: str, refusal: str
) -> None:
    place(served, 1, "0.003")
    sold(served, "0.001")
    assert amend(served, quantity, origClientOrderId=name(1)) == refusal
    assert amend(served, "0.001", origClientOrderId="nobodys") == "Unknown order sent. (-2038)"
    assert served.server.exchange.ledgers[OWNER].working == {name(1): 2 * SCALE // 1000}


def test_an_order_can_be_amended_ten_times(served: Served) -> None:
    place(served, 1, "0.003")
    number = str(ask(served, "order.status", origClientOrderId=name(1))["orderId"])
    for left in range(10):
        amend(served, f"0.00{29 - left}", orderId=number)
    told = amend(served, "0.001", orderId=number)
    assert told == "Filter failure: MAX_NUM_ORDER_AMENDS (-2038)"
