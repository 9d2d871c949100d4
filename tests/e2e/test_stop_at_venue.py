"""A stop that rests at the venue sells while nobody of ours is there."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from running import Up, all_gone, family, run, until, up
from test_refusals import act
from test_setup import served

HOLDS_SOME = """
from betatrader.engine.strategy import Place, Strategy
from betatrader.model.money import SCALE
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce


class HoldsSome(Strategy):
    name = "holds_some"

    def on_quote(self, view, market):
        if not market.id.startswith("BTC") or view.position(market.id) or view.orders(market.id):
            return None
        if not view.may_add_risk_in(market) or not 0 < market.bid < market.ask:
            return None
        definition = market.definition
        quantity = 9 * SCALE * SCALE // market.ask // definition.lot * definition.lot
        price = market.ask * 101 // 100 // definition.tick * definition.tick
        terms = OrderTerms(market.id, Side.BUY, OrderType.LIMIT, price, quantity, TimeInForce.GTC)
        return [Place(terms, "some", stop=market.bid * 9 // 10)]
"""


def guards(state: str) -> list[dict[str, Any]]:
    orders = json.loads(run("orders", "--json").stdout or "[]")
    return [one for one in orders if one["strategy"] == "guard" and one["state"] == state]


def kill_all(running: Up) -> None:
    """The children first: what outlives its parent is told to end, and would do so."""
    processes = [*family(running.process.pid), running.process.pid]
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    assert all_gone(processes)
    running.process.wait(10)


@pytest.mark.parametrize("planned", [False, True], ids=["killed", "told to end"])
def test_a_stop_at_binance_sells_while_the_trader_is_dead(own_home: Path, planned: bool) -> None:
    strategy = own_home.parent / "holds_some.py"
    strategy.write_text(HOLDS_SOME)
    command = ("up", "--strategy", str(strategy))
    with served("binance", own_home.parent) as (told, more):
        with up(*command, **more) as running:
            running.runtime()
            [stop] = until(lambda: guards("ACCEPTED"), 30)
            if planned:
                status, report, errors = running.end()
                assert status == 0, errors
                assert all(report["invariants"].values()), report["invariants"]
            else:
                kill_all(running)
        act(told, "trade", symbol="BTCUSDT", price="1")
        with up(*command, **more) as again:
            again.runtime()
            sold, *_ = until(lambda: json.loads(run("fills", "--json").stdout), 30)
            status, report, errors = again.end()
    assert status == 0, errors
    assert (sold["order"], sold["side"]) == (stop["id"], "SELL")
    assert all(report["invariants"].values()), report["invariants"]
