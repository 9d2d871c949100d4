"""What a venue refuses is told in its own words, nothing is lost, and the trader goes on."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import Up, run, until, up
from test_setup import served

CLUMSY = """
import json
from pathlib import Path

from betatrader.engine.strategy import Place, Strategy
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderTerms, OrderType, Side

CUE = Path(__file__).with_name("cue.json")


class Clumsy(Strategy):
    name = "clumsy"
    done = 0

    def on_tick(self, view, market):
        cue = json.loads(CUE.read_text()) if CUE.exists() else {"number": 0}
        if cue["number"] <= self.done or not market.bid or not market.id.startswith(cue["on"]):
            return None
        self.done = cue["number"]
        tick = market.definition.tick
        step = tick * 10 if parse(cue["off"]) else tick  # "off" is off the coarser tick, too
        price = market.bid * 9 // 10 // step * step + parse(cue["off"])
        quantity = parse(cue["cash"]) * SCALE // price // market.definition.lot
        quantity = quantity * market.definition.lot
        return [Place(OrderTerms(market.id, Side.BUY, OrderType.LIMIT, price, quantity))]
"""
"""Places one order below the bid for each cue: for so much cash, and off the price by so much."""


class Clumsy:
    """A trader with that strategy at a simulated venue, and what is done to both."""

    def __init__(self, run_: Up, folder: Path, told: dict[str, str], on: str) -> None:
        self.run = run_
        self.told = told
        self._folder = folder
        self._on = on
        self._number = 0

    def act(self, do: str, **given: str) -> None:
        act(self.told, do, **given)

    def order(self, cash: str = "6", off: str = "0") -> dict[str, Any]:
        """What became of one more order."""
        self._number += 1
        cue = {"number": self._number, "cash": cash, "off": off, "on": self._on}
        path = self._folder / "cue.part"
        path.write_text(json.dumps(cue))
        path.rename(self._folder / "cue.json")

        def ended() -> dict[str, Any] | None:
            found = self.orders()
            done = len(found) >= self._number and found[-1]["state"] not in OPEN
            return found[-1] if done else None

        return until(ended, 25)

    def orders(self) -> list[dict[str, Any]]:
        return json.loads(run("orders", "--json").stdout or "[]")

    def is_back(self) -> bool:
        """Whether the venue is reached again."""
        told = run("events").stdout
        return told.rfind("is reached") > told.rfind("is away") > 0

    def end(self) -> dict[str, Any]:
        """It still runs; its books are the venue's."""
        assert self.run.process.poll() is None
        status, report, errors = self.run.end()
        assert status == 0, errors
        assert report["invariants"]
        assert all(report["invariants"].values()), report["invariants"]
        assert "Traceback" not in errors
        return {"report": report, "errors": errors}


OPEN = ("SUBMITTED", "IN_DOUBT", "PENDING_CANCEL")


def act(told: dict[str, str], do: str, **given: str) -> None:
    query = "&".join(f"{name}={value}" for name, value in {"do": do, **given}.items())
    asked = urllib.request.Request(f"{told['stage']}?{query}", method="POST")
    with urllib.request.urlopen(asked, timeout=5) as answer:
        assert answer.status == 200


@pytest.fixture(params=["binance", "polymarket"])
def venue(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clumsy(own_home: Path, venue: str) -> Iterator[Clumsy]:
    folder = own_home.parent
    (folder / "clumsy.py").write_text(CLUMSY)
    with (
        served(venue, folder) as (told, more),
        up("up", "--strategy", str(folder / "clumsy.py"), **more) as started,
    ):
        started.runtime()
        yield Clumsy(started, folder, told, "BTCUSDT" if venue == "binance" else "")


TICK = {
    "binance": ({"symbol": "BTCUSDT", "tick": "1"}, "0.01", "Filter failure: PRICE_FILTER (-1013)"),
    "polymarket": ({"tick": "0.1"}, "0.01", "breaks minimum tick size rule: 0.1"),
}
MINIMUM = {
    "binance": ({"symbol": "BTCUSDT", "minimum": "50"}, "Filter failure: NOTIONAL (-1013)"),
    "polymarket": ({"minimum": "5000"}, "lower than the minimum: 5000"),
}
BALANCE = {
    "binance": "Account has insufficient balance for requested action. (-2010)",
    "polymarket": "not enough balance / allowance",
}
CLOSED = {
    "binance": "Market is closed. (-2010)",
    "polymarket": "the market is not yet ready to process new orders",
}
RIGHTS = {
    "binance": "Invalid API-key, IP, or permissions for action. (-2015)",
    "polymarket": "Unauthorized/Invalid api key",
}


RIGHTS_AT_START = {
    "binance": {
        "nothing": RIGHTS["binance"],
        "read": "the venue says enableSpotAndMarginTrading false",
        "withdraw": "may withdraw or transfer money",
    },
    "polymarket": {"sell": "the account is in closed only mode", "read": RIGHTS["polymarket"]},
}


def test_orders_that_the_venue_refuses(clumsy: Clumsy, venue: str) -> None:
    """The venue's rules have changed, and we have not heard of it."""
    rules, off, said = TICK[venue]
    clumsy.act("rules", **rules)
    assert said in clumsy.order(off=off)["reason"]
    back = {"symbol": "BTCUSDT", "tick": "0.01"} if venue == "binance" else {"tick": "0"}
    clumsy.act("rules", **back)

    rules, said = MINIMUM[venue]
    clumsy.act("rules", **rules)
    assert said in clumsy.order()["reason"]
    back = {"symbol": "BTCUSDT", "minimum": "5"} if venue == "binance" else {"minimum": "5"}
    clumsy.act("rules", **back)

    clumsy.act("deposit", amount="-97")
    assert BALANCE[venue] in clumsy.order()["reason"]
    clumsy.act("deposit", amount="97")

    clumsy.act("status", symbol="BTCUSDT", condition=clumsy.told.get("market", ""), open="false")
    assert CLOSED[venue] in clumsy.order()["reason"]
    assert {order["state"] for order in clumsy.orders()} == {"REJECTED"}
    clumsy.end()


WRONG = {
    "binance": [
        ({"SECRET": "not-the-secret"}, "Signature for this request is not valid. (-1022)"),
        ({"KEY": "kZ4r" * 16}, "Invalid API-key, IP, or permissions for action. (-2015)"),
        ({"KEY": "tooShort4aKey"}, "API-key format invalid. (-2014)"),
        ({"SYMBOLS": '["NOPEUSDT"]'}, "Invalid symbol."),
    ],
    "polymarket": [
        (
            {"API_KEY": "ab" * 18, "API_SECRET": "c2VjcmV0", "API_PASSPHRASE": "open-sesame"},
            "Unauthorized/Invalid api key (HTTP 401)",
        ),
        ({"MARKETS": f'["0x{"ab" * 32}"]', "FOLLOW": "[]"}, "market not found (HTTP 404)"),
    ],
}


def test_wrong_keys_and_what_is_not_listed(own_home: Path, venue: str) -> None:
    with served(venue, own_home.parent) as (_, more):
        for wrong, said in WRONG[venue]:
            table = f"BETATRADER_{venue.upper()}__"
            given = {**more, **{f"{table}{name}": value for name, value in wrong.items()}}
            done = run("setup", venue, **given)
            assert (done.returncode, "Traceback" in done.stderr) == (1, False)
            failed = [line for line in done.stdout.splitlines() if line.startswith("fail")]
            assert len(failed) == 1, done.stdout
            assert said in failed[0], done.stdout
            assert not any(
                value in done.stdout + done.stderr for value in SECRETS & {*wrong.values()}
            )
        wrong, said = WRONG[venue][0]
        given = {**more, **{f"{table}{name}": value for name, value in wrong.items()}}
        ended = run("up", "--for", "5s", **given)
        assert ended.returncode == 3, ended.stderr
        assert said in ended.stderr


SECRETS = {"not-the-secret", "c2VjcmV0", "open-sesame"}


def test_keys_that_have_expired_or_may_not_trade(own_home: Path, venue: str) -> None:
    with served(venue, own_home.parent) as (told, more):
        assert run("setup", venue, **more).returncode == 0  # and so it has an account
        for may, said in RIGHTS_AT_START[venue].items():
            act(told, "key", may=may)
            done = run("setup", venue, **more)
            assert (done.returncode, "Traceback" in done.stderr) == (1, False)
            assert said in done.stdout, done.stdout


def test_keys_that_expire_under_way(clumsy: Clumsy, venue: str) -> None:
    clumsy.act("key", may="read")
    reason = clumsy.order()["reason"]  # a refused heartbeat may come before the order
    assert RIGHTS[venue] in reason or reason.startswith("protection: ")
    clumsy.act("key", may="nothing")
    until(lambda: RIGHTS[venue] in run("events").stdout, 25)
    assert clumsy.order()["reason"].startswith("venue_connection: ")
    assert clumsy.run.process.poll() is None
    if venue == "binance":
        clumsy.act("key", may="trade")
        until(clumsy.is_back, 40)
        clumsy.end()


def test_pages_instead_of_answers(clumsy: Clumsy, venue: str) -> None:
    """Also where an order would be answered: it is in doubt until the venue's books tell."""
    posts = "/order" if venue == "polymarket" else "/api"
    for page in ("gateway", "challenge", "page"):
        clumsy.act("show", page=page, count="1", under=posts)
        found = clumsy.order()
        if venue == "polymarket":
            assert found["state"] == "REJECTED"
            refused = "an HTML page with status 403"
            assert found["reason"] == (
                refused if page == "challenge" else "the venue never took it"
            )
        else:
            assert found["state"] == "ACCEPTED"  # orders take another way
    clumsy.act("show", page="gateway", count="10")
    clumsy.act("cut")
    until(lambda: "is away" in run("events").stdout, 25)
    until(clumsy.is_back, 40)
    assert "an HTML page" in clumsy.end()["errors"]
