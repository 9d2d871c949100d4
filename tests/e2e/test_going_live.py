"""The way to live, rehearsed: simulated venues stand where the real ones would, over sockets."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from listening import overheard
from running import run, until, up, venue_ledger
from test_setup import served

from betatrader.model.money import SCALE

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
        tick, lot = market.definition.tick, market.definition.lot
        price = market.ask + max(2, market.ask // 200 // tick) * tick
        quantity = 8 * SCALE * SCALE // price // lot * lot
        terms = OrderTerms(market.id, Side.BUY, OrderType.LIMIT, price, quantity)
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


def allow(stage: str, variables: dict[str, str]) -> None:
    """A person's override: days cannot be waited for here."""
    stated = run("live", "allow", stage, "--reason", "a rehearsal", **variables)
    assert stated.returncode == 0, stated.stderr


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


def told(kind: str) -> list[dict]:
    """What the audit has booked of one kind."""
    return [
        change
        for event in json.loads(run("events", "--json").stdout)
        if event["kind"] == "Step"
        for change in event["changes"]
        if change["kind"] == kind
    ]


@pytest.mark.parametrize("name", ["binance", "polymarket"])
def test_shadow_signs_each_order_and_sends_none(own_home: Path, tmp_path: Path, name: str) -> None:
    """Every byte that the trader sends is read: no request of an order is among them."""
    with shown(name, own_home.parent) as (_, more), overheard(more) as (led, listeners):
        led["BETATRADER_MODE"] = "shadow"
        allow("shadow", led)
        with up("up", "--strategy", buyer(tmp_path), **led) as running:
            running.runtime()
            found = until(lambda: status() if status()["fills"] else None, 30)
            assert found["mode"] == "SHADOW"
            assert "SHADOW" in run("status").stdout
            code, report, errors = running.end()
        assert (code, report["mode"]) == (0, "SHADOW"), errors
        signed = [one["text"] for one in told("signed")]
        assert len(signed) == report["orders"] > 0
        digest = "sha256:" if name == "binance" else "0x"
        assert all(text.startswith(digest) and text.endswith(", not sent") for text in signed)
        sent = {variable: bytes(one.sent) for variable, one in listeners.items()}
    if name == "binance":
        assert sent.pop("BETATRADER_BINANCE__API") == b"", "orders go there, and nobody went there"
        assert b"GET /api/v3/depth" in sent["BETATRADER_BINANCE__REST"]
    else:
        assert b"GET /clob-markets/" in sent["BETATRADER_POLYMARKET__CLOB"]
    for order in (b"POST /order", b"DELETE /order", b"POST /api/v3", b"DELETE /api/v3"):
        assert order not in b"".join(sent.values())


@pytest.mark.parametrize("name", ["binance", "polymarket"])
def test_micro_trades_the_minimum_a_few_times_a_day_and_comes_back(
    own_home: Path, tmp_path: Path, name: str
) -> None:
    """Real orders over the venue's protocol; killed in between, it takes its account up again."""
    with shown(name, own_home.parent) as (told_by_venue, more):
        more["BETATRADER_MODE"] = "live"
        more["BETATRADER_LIVE__MICRO_ORDERS_A_DAY"] = "2"
        allow("micro", more)
        command = ("up", "--live", "--strategy", buyer(tmp_path, most=100_000))
        with up(*command, **more) as running:
            runtime = running.runtime()
            until(lambda: status()["denials"].get("daily_orders") and status()["fills"], 30)
            found = status()
            assert (found["mode"], found["orders"]) == ("LIVE", 2)
            assert "LIVE" in run("status").stdout
            os.kill(runtime.roles["trading"], signal.SIGKILL)
            until(lambda: status()["run"] != found["run"], 15)
            until(lambda: status()["denials"].get("daily_orders", 0) > 0, 30)
            assert status()["orders"] == 2
            assert status()["fills"] >= found["fills"]
            limits = json.loads(run("limits", "show", "--json").stdout)
            assert [one["used"] for one in limits if one["name"] == "micro_orders_a_day"] == ["2"]
            code, report, errors = running.end()
        assert (code, report["mode"]) == (0, "LIVE"), errors
        assert all(report["invariants"].values())
        if name == "binance":
            ledger = venue_ledger(told_by_venue["link"], told_by_venue["account"])
            assert sum(1 for _ in ledger.orders) == 2
            worth = [terms.price * terms.quantity // SCALE for terms in ledger.orders.values()]
            assert all(5 * SCALE <= one <= 6 * SCALE for one in worth), "the venue's minimum is 5"
    assert not (own_home / "journal").exists(), "paper's books are elsewhere"
    assert json.loads(run("journal", "verify", "--json").stdout)["run"] == report["run"]


def test_either_half_of_going_live_alone_trades_nothing(own_home: Path) -> None:
    tables = {"BETATRADER_BINANCE__SYMBOLS": '["BTCUSDT"]'}
    for command, more, said in (
        (("up",), {"BETATRADER_MODE": "live"}, "--live is not on the command line"),
        (("up", "--live"), {}, 'says mode = "paper"'),
        (("--role", "trading"), {"BETATRADER_MODE": "live"}, "--live is not on the command line"),
        (("--role", "trading", "--live"), {}, 'says mode = "paper"'),
        (("demo",), {"BETATRADER_MODE": "live"}, "--live is not on the command line"),
        (("up", "--venue", "binance-sim"), {"BETATRADER_MODE": "shadow"}, "--venue is for"),
    ):
        refused = run(*command, **{**tables, **more})
        assert (refused.returncode, refused.stderr.count("\n")) == (6, 2), refused.stderr
        assert said in refused.stderr
    assert not (own_home / "live").exists()


def test_each_step_asks_for_the_record_of_the_one_before(own_home: Path, tmp_path: Path) -> None:
    with shown("binance", own_home.parent) as (_, more):
        steps = (("shadow", "shadow", ()), ("live", "micro", ("--live",)))
        for mode, stage, flag in steps:
            tables = {**more, "BETATRADER_MODE": mode}
            refused = run("up", *flag, **tables)
            assert (refused.returncode, refused.stderr.count("\n")) == (6, 2), refused.stderr
            assert f"{stage} at BINANCE 127.0.0.1 needs the record" in refused.stderr
            assert f"betatrader live allow {stage} --reason" in refused.stderr
        standing = json.loads(run("live", "status", "--json", **more).stdout)
        lacks = {one["stage"]: one["open"] for one in standing["places"]["BINANCE 127.0.0.1"]}
        assert lacks == {"paper": True, "shadow": False, "micro": False, "full": False}
        assert run("live", "allow", "shadow", "--reason", " ", **more).returncode == 2

        allow("shadow", more)
        assert "allowed by" in run("live", "status", **more).stdout
        strategy = buyer(tmp_path)
        with up("up", "--strategy", strategy, **more, BETATRADER_MODE="shadow") as running:
            running.runtime()
            until(lambda: status()["fills"], 30)
            [override] = told("allowed")
            assert "shadow allowed by" in override["text"]
            assert "a rehearsal" in override["text"]
            running.end()
        shadow = json.loads(run("live", "status", "--json", **more).stdout)
        _, step, *_ = shadow["places"]["BINANCE 127.0.0.1"]
        assert (step["days"], step["unexplained"]) == (1, 0)
        assert step["signed"] == step["orders"] > 0
        assert step["fills"] > 0
        shipped = {"BETATRADER_JOURNAL__DURABILITY": "shipped", "BETATRADER_LEASE__MODE": "strict"}
        away = run("live", "allow", "micro", "--reason", "x", **more, **shipped)
        assert away.returncode == 4, "Redis has the record too, and is not there"


def test_the_daily_ceiling_is_kept_over_a_restart_and_raised_by_a_person_alone(
    own_home: Path, tmp_path: Path
) -> None:
    with shown("binance", own_home.parent) as (_, more):
        more["BETATRADER_MODE"] = "live"
        more["BETATRADER_LIVE__MICRO_ORDERS_A_DAY"] = "9"
        allow("micro", more)
        command = ("up", "--live", "--strategy", buyer(tmp_path, most=100_000))
        with up(*command, **more, BETATRADER_LIVE__DAILY_USD="7") as running:
            running.runtime()
            until(lambda: status()["denials"].get("daily_bought") and status()["fills"], 30)
            assert status()["orders"] == 1, "a second one would go over 7 USD"
            running.end()
        with up(*command, **more, BETATRADER_LIVE__DAILY_USD="12") as running:
            running.runtime()
            found = status()
            assert found["trading_state"] == "REDUCING"
            assert "(daily_bought)" in found["reason"]
            assert run("limits", "confirm", "--reason", "a good day").returncode == 0
            until(lambda: status()["orders"] == 2 and status()["denials"]["daily_bought"] > 1, 30)
            assert "LIVE" in run("limits", "show").stdout
            code, report, errors = running.end()
        assert (code, report["orders"]) == (0, 2), errors
