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
            assert 'bt_venue_barred{venue="POLYMARKET"} 1.0' in news(running)
            assert 'bt_venue_barred{venue="BINANCE"} 0.0' in news(running)
            assert polymarket.ledger.orders == {}
            status, report, errors = running.end()
    assert status == 0, errors
    assert all(report["invariants"].values())
