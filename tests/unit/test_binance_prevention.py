"""Orders of one account that would trade with each other: the simulated Binance prevents it as the
venue does, and the adapter tells which of them ended, and why."""

from typing import Any

import pytest
from binance_scenes import FOK, IOC, approved
from binance_served import COIN, Served

from betatrader.model.order import Side
from betatrader.ops import clock
from betatrader.venues.binance.account import SELF_TRADE
from betatrader.venues.binance.serve import prevention
from betatrader.venues.binance.serve.running import OWNER


def submit(served: Served, number: int, price: str, quantity: str, **terms: Any) -> list[str]:
    made = approved(number, price, quantity, **terms)
    served.loop.call_soon(lambda: served.venue.submit(made, clock.now_ns()))
    served.go(1.0)
    return sorted(served.since())


@pytest.mark.parametrize(
    ("mode", "told", "rests"),
    [
        ("EXPIRE_MAKER", ["OrderAccepted 3", "OrderExpired 2"], {"3"}),
        ("EXPIRE_TAKER", ["OrderAccepted 3", "OrderExpired 3"], {"2"}),
        ("EXPIRE_BOTH", ["OrderAccepted 3", "OrderExpired 2", "OrderExpired 3"], set()),
    ],
)
def test_no_order_trades_with_another_of_its_account(
    monkeypatch: pytest.MonkeyPatch, mode: str, told: list[str], rests: set[str]
) -> None:
    monkeypatch.setattr(prevention, "ALLOWED", (mode,))
    monkeypatch.setattr(prevention, "DEFAULT", mode)
    served = Served(monkeypatch)
    submit(served, 1, "50001", "0.01")  # it buys what is sold below
    submit(served, 2, "50000.5", "0.002")
    filled = served.server.exchange.ledgers[OWNER].fill_count
    assert submit(served, 3, "50000.5", "0.003", side=Side.SELL) == told
    assert served.reasons.count(SELF_TRADE) == len(told) - 1
    assert (served.rests(), served.server.exchange.ledgers[OWNER].fill_count) == (rests, filled)
    [mine] = [one for one in served.server.trading.of(OWNER).orders.values() if one.number == 2]
    shown = mine.queried()
    if "2" in rests:
        assert (shown["status"], "preventedMatchId" in shown) == ("NEW", False)
        return
    assert (shown["status"], shown["executedQty"]) == ("EXPIRED_IN_MATCH", "0.00000000")
    assert (shown["preventedMatchId"], shown["preventedQuantity"]) == (0, "0.00200000")
    report = mine.report("TRADE_PREVENTION", served.server.market.pool("BTCUSDT")[0])
    names = ("x", "X", "v", "A", "B", "U", "Cs", "pl", "pL", "pY", "w")
    assert [report[name] for name in names] == [
        "TRADE_PREVENTION",
        "EXPIRED_IN_MATCH",
        0,
        "0.00200000",
        "0.00200000",
        3,
        "BTCUSDT",
        "0.00200000",
        "50000.50000000",
        "100.00100000",
        False,
    ]


def test_what_others_offer_at_the_same_price_is_taken_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = Served(monkeypatch)
    submit(served, 1, "50001", "0.01")
    submit(served, 2, "50000", "0.002")
    told = submit(served, 3, "50000", "0.003", side=Side.SELL, time_in_force=IOC)
    assert told == ["Fill 3", "OrderAccepted 3"], "the market's own bid was there first"
    assert served.rests() == {"2"}


def test_one_that_must_be_filled_whole_is_not_filled_in_part_since_its_own_stand_in_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = Served(monkeypatch)
    submit(served, 1, "50001", "0.01")
    submit(served, 2, "50000.5", "0.002")
    ledger = served.server.exchange.ledgers[OWNER]
    filled, held = ledger.fill_count, ledger.positions[COIN]
    whole = {"side": Side.SELL, "time_in_force": FOK}
    submit(served, 3, "50000.5", "0.002", **whole)
    assert (ledger.fill_count, ledger.positions[COIN]) == (filled, held)
    assert (served.rests(), served.reasons[-1]) == ({"2"}, "UNFILLED_FOK_ORDER_EXPIRED")
    told = submit(served, 4, "50000", "0.002", **whole)
    assert told == ["Fill 4", "OrderAccepted 4", "OrderExpired 2"], "others can fill it whole"
