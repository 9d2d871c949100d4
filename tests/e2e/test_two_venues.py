"""One trader at two venues: one that falls silent leaves the other trading, and comes back."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from running import PROGRAM, Up, environment, run, until, up, venue_ledger
from test_refusals import act

from betatrader.model.secret import Secret
from betatrader.roles import venue_process
from betatrader.sim.ledger import Ledger
from betatrader.venues.polymarket.sign import Signer

BOTH = """
from betatrader.engine.strategy import Place, Strategy
from betatrader.model.money import SCALE
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce


class Both(Strategy):
    name = "both"
    last_ns = 0

    def on_quote(self, view, market):
        if view.now_ns < self.last_ns + 300_000_000 or not 0 < market.bid < market.ask:
            return None
        if not view.may_add_risk_in(market) or view.orders(market.id):
            return None
        self.last_ns = view.now_ns
        tick, lot, rests = market.definition.tick, market.definition.lot, False
        price = market.ask + max(2, market.ask // 200 // tick) * tick
        if view.position(market.id):
            price, rests = market.bid * 9 // 10 // tick * tick, True
        quantity = 8 * SCALE * SCALE // price // lot * lot
        terms = OrderTerms(
            market.id, Side.BUY, OrderType.LIMIT, price, quantity, TimeInForce.GTC, rests
        )
        return [Place(terms, "one that takes, then one that rests")]
"""


class Served:
    """A simulated venue, in a process that can be stopped and let go on."""

    def __init__(self, name: str, folder: Path, stack: ExitStack) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "venue", "serve", name],
            env=environment(BETATRADER_HOME=str(folder / name)),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        stack.callback(self.process.wait, 10)
        stack.callback(self.process.kill)
        stack.callback(self.process.stdout.close)
        told = json.loads(self.process.stdout.readline())
        self.settings = venue_process.settings(name, told)
        self.told: dict[str, str] = told
        self._link, self._account = told["link"], told.get("account", "")
        if name == "polymarket":
            key = Secret(self.settings["BETATRADER_POLYMARKET__PRIVATE_KEY"])
            self._account = Signer(key, 137, 0, "").address

    @property
    def ledger(self) -> Ledger:
        return venue_ledger(self._link, self._account)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """It answers nothing, and closes nothing."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)


@contextmanager
def both(folder: Path) -> Iterator[tuple[Served, Served, dict[str, str]]]:
    with ExitStack() as stack:
        venues = [Served(name, folder, stack) for name in ("binance", "polymarket")]
        yield (*venues, venue_process.together([venue.settings for venue in venues]))  # type: ignore[misc]


def accounts() -> dict[str, dict[str, Any]]:
    told = run("status", "--json")
    if told.returncode:
        return {}
    return {one["venue"]: one for one in json.loads(told.stdout)["accounts"]}


def traded(venue: Served, more_than: int) -> bool:
    return len(venue.ledger.orders) > more_than


def test_a_venue_that_falls_silent_leaves_the_other_trading(own_home: Path) -> None:
    with both(own_home.parent) as (binance, polymarket, more), up("up", **more) as running:
        running.runtime()
        until(lambda: traded(binance, 0) and traded(polymarket, 0), 30)
        with binance.silent():
            until(lambda: accounts().get("BINANCE", {}).get("away"), 40)
            assert not accounts()["POLYMARKET"]["away"]
            done = len(polymarket.ledger.orders)
            until(lambda: traded(polymarket, done), 30)
        until(lambda: not accounts()["BINANCE"]["away"] and accounts()["BINANCE"]["compared"], 40)
        done = len(binance.ledger.orders)
        until(lambda: traded(binance, done), 30)
        status, report, errors = running.end()
        ledgers = [binance.ledger, polymarket.ledger]
    assert status == 0, errors
    assert all(report["invariants"].values())
    assert report["fills"] == sum(ledger.fill_count for ledger in ledgers)
    assert all(not ledger.working for ledger in ledgers)


def test_a_venue_that_does_not_answer_at_the_start_is_taken_up_later(own_home: Path) -> None:
    with both(own_home.parent) as (binance, polymarket, more):
        with binance.silent(), up("up", **more) as first:
            until(lambda: traded(polymarket, 0), 40)
            told = accounts()
            assert (told["BINANCE"]["compared"], told["POLYMARKET"]["compared"]) == (False, True)
            until(lambda: accounts()["BINANCE"]["away"], 30)
            os.kill(binance.process.pid, signal.SIGCONT)
            until(lambda: traded(binance, 0), 60)
            status, report, errors = first.end()
        assert status == 0, errors
        assert all(report["invariants"].values())


def test_books_of_a_venue_that_is_no_more_configured_are_not_left_to_nobody(own_home: Path) -> None:
    with both(own_home.parent) as (_, polymarket, more):
        with up("up", **more) as running:
            until(lambda: traded(polymarket, 0), 40)
            running.end()
        alone = {**more, venue_process.VENUES: '["polymarket"]'}
        with up("up", **alone) as running:
            status, report, errors = running.end(number=None)
    assert (status, report) == (3, None)
    assert "hold an account at BINANCE, and this trades at POLYMARKET" in errors
    assert "Traceback" not in errors


def news(running: Up) -> str:
    """What the metrics of the trader say of venues that do not serve it."""
    port = running.runtime().ports["trading"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()


def test_a_venue_that_does_not_serve_us_leaves_the_other_trading(own_home: Path) -> None:
    """Polymarket's page says blocked from the start: no order of ours ever arrives there."""
    with both(own_home.parent) as (binance, polymarket, more):
        act(polymarket.told, "region", served="false")
        with up("up", **more) as running:
            running.runtime()
            until(lambda: traded(binance, 0), 40)
            until(lambda: accounts()["POLYMARKET"]["compared"], 20)
            done = len(binance.ledger.orders)
            until(lambda: traded(binance, done), 30)
            told = accounts()
            assert "Polymarket sees this machine at 127.0.0.1" in told["POLYMARKET"]["barred"]
            assert told["BINANCE"]["barred"] == ""
            assert "NO NEW ORDERS: Polymarket sees this machine" in run("status").stdout
            assert json.loads(run("status", "--json").stdout)["trading_state"] == "ACTIVE"
            assert "POLYMARKET: no new orders: Polymarket sees this machine" in run("events").stdout
            assert 'bt_venue_barred{venue="POLYMARKET"} 1.0' in news(running)
            assert 'bt_venue_barred{venue="BINANCE"} 0.0' in news(running)
            assert polymarket.ledger.orders == {}
            status, report, errors = running.end()
    assert status == 0, errors
    assert all(report["invariants"].values())


def test_live_at_both_venues_from_the_first_orders_to_a_clean_end(own_home: Path) -> None:
    """Real orders and fills over each venue's protocol; what rests at SIGTERM is gone after it."""
    strategy = own_home.parent / "both.py"
    strategy.write_text(BOTH)
    with both(own_home.parent) as (binance, polymarket, more):
        del more[venue_process.VENUES]
        more |= {
            "BETATRADER_MODE": "live",
            "BETATRADER_LIVE__MICRO_ORDERS_A_DAY": "30",
            "BETATRADER_LIVE__DAILY_USD": "90",
        }
        allowed = run("live", "allow", "micro", "--reason", "a rehearsal", **more)
        assert allowed.returncode == 0, allowed.stderr
        with up("up", "--live", "--strategy", str(strategy), **more) as running:
            running.runtime()
            confirmed = ("limits", "confirm", "--reason", "a rehearsal")
            until(lambda: run(*confirmed).returncode == 0, 20)
            for venue in (binance, polymarket):
                until(lambda venue=venue: venue.ledger.fill_count and venue.ledger.working, 40)
            assert set(accounts()) == {"BINANCE", "POLYMARKET"}
            assert json.loads(run("status", "--json").stdout)["mode"] == "LIVE"
            status, report, errors = running.end(number=signal.SIGTERM)
        ledgers = [binance.ledger, polymarket.ledger]
    assert (status, report["mode"]) == (0, "LIVE"), errors
    assert all(report["invariants"].values()), report["invariants"]
    assert all(not ledger.working for ledger in ledgers), "nothing rests any more"
    assert all(ledger.fill_count for ledger in ledgers)
    assert report["fills"] == sum(ledger.fill_count for ledger in ledgers)
    assert report["orders"] == sum(len(ledger.orders) for ledger in ledgers)
    places = json.loads(run("live", "status", "--json", **more).stdout)["places"]
    assert {name.split()[0] for name in places} == {"BINANCE", "POLYMARKET"}
