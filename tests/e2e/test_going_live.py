"""The way to live, rehearsed: simulated venues stand where the real ones would, over sockets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running import run, until, up, venue_ledger
from test_setup import served

BUYER = """
from betatrader.engine.strategy import Place, Strategy
from betatrader.model.money import SCALE
from betatrader.model.order import OrderTerms, OrderType, Side


class Buyer(Strategy):
    name = "buyer"
    bought = 0

    def on_quote(self, view, market):
        if self.bought >= {most} or not market.ask or not view.may_add_risk:
            return None
        self.bought += 1
        lot = market.definition.lot
        quantity = 8 * SCALE * SCALE // market.ask // lot * lot
        terms = OrderTerms(market.id, Side.BUY, OrderType.LIMIT, market.ask, quantity)
        return [Place(terms, "a rehearsal")]
"""


@contextmanager
def shown(name: str, folder: Path) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """A simulated venue in the place of the real one: what it told, and the tables for it."""
    with served(name, folder) as (told, more):
        more.pop("BETATRADER_PAPER__VENUE")
        yield told, more


def buyer(folder: Path, most: int = 3) -> str:
    path = folder / "buyer.py"
    path.write_text(BUYER.replace("{most}", str(most)))
    return str(path)


def status() -> dict:
    found: dict = json.loads(run("status", "--json").stdout)
    return found


@pytest.mark.parametrize("name", ["binance", "polymarket"])
def test_paper_trades_on_the_live_market_without_a_key(
    own_home: Path, tmp_path: Path, name: str
) -> None:
    """Its orders fill inside, against the book that the venue shows; the venue hears of none."""
    with shown(name, own_home.parent) as (told, more):
        keys = [one for one in more if one.endswith(("__KEY", "__SECRET", "__PRIVATE_KEY"))]
        public = {one: value for one, value in more.items() if one not in keys}
        public["BETATRADER_PAPER__MARKET"] = "live"
        with up("up", "--strategy", buyer(tmp_path), **public) as running:
            running.runtime()
            found = until(lambda: status() if status()["fills"] else None, 30)
            assert found["mode"] == "PAPER"
            assert all(m["instrument"].endswith(name.upper()) for m in found["markets"])
            code, report, errors = running.end()
        assert code == 0, errors
        assert all(report["invariants"].values())

        assert venue_ledger(told["link"], told.get("account", "us")).orders == {}
