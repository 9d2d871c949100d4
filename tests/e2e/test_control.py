"""The operator's orders while Redis is away: straight to the trader, and journaled."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from running import Up, redis_server_of, run, until, up

from betatrader.model.account import OrderAccepted, OrderCanceled
from betatrader.model.instruction import NO_REASON, CancelAll, ConfirmLimits, Fenced, Flatten, Halt
from betatrader.ops.home import Runtime
from betatrader.store import keys
from betatrader.store.bus import FIELD, seal
from betatrader.store.journal_reader import Reader

TTL_S = 2

RESTS = """
from betatrader.engine.strategy import Place, Strategy
from betatrader.model.order import OrderTerms, OrderType, Side


class Rests(Strategy):
    name = "rests"
    placed = False

    def on_quote(self, view, market):
        if self.placed or not market.id.startswith("BTC") or not market.ask:
            return None
        self.placed = True
        price = market.ask * 96 // 100 // 1_000_000 * 1_000_000
        quantity = 8 * 10**16 // price // 1_000 * 1_000
        terms = OrderTerms(market.id, Side.BUY, OrderType.LIMIT, price, quantity)
        return [Place(terms, "to be cancelled")]
"""


def journaled(home: Path, kind: type) -> list:  # type: ignore[type-arg]
    """All records of a kind in a home's journals."""
    return [
        entry.record
        for folder in (home / "journal").glob("*")
        for entry in Reader(folder)
        if isinstance(entry.record, kind)
    ]


@contextmanager
def redis_away(running: Up) -> Iterator[None]:
    server = redis_server_of(running)
    os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)


@contextmanager
def resting(tmp_path: Path, own_home: Path, **more: str) -> Iterator[tuple[Up, Runtime]]:
    """A run with one order that rests far below the market."""
    path = tmp_path / "rests.py"
    path.write_text(RESTS)
    with up("up", "--strategy", str(path), **more) as running:
        runtime = running.runtime()
        until(lambda: journaled(own_home, OrderAccepted), 20)
        yield running, runtime


def ordered(*command: str) -> dict:  # type: ignore[type-arg]
    done = run(*command, "--json")
    assert done.returncode == 0, done.stderr
    found: dict = json.loads(done.stdout)  # type: ignore[type-arg]
    return found


def test_without_redis_the_command_reaches_the_trader_itself(
    tmp_path: Path, own_home: Path
) -> None:
    with resting(tmp_path, own_home) as (running, _):
        assert ordered("resume", "--reason", "first")["way"] == "redis"
        with redis_away(running):
            halted = ordered("halt", "--reason", "a test")
            assert (halted["way"], halted["state"], halted["canceled"]) == ("direct", "HALTED", 1)
            assert halted["acknowledged"]
            [halt] = journaled(own_home, Halt)
            assert (halt.author != "", halt.reason) == (True, "a test")
            until(lambda: journaled(own_home, OrderCanceled), 5)
            assert "by the trader itself" in run("cancel-all", "--direct").stdout
            assert ordered("flatten", "--direct")["flat"]
            assert ordered("resume", "--direct")["state"] == "ACTIVE"
        status, report, errors = running.end()
    assert (status, all(report["invariants"].values())) == (0, True), errors
    assert not list(own_home.glob("control-*")), "nobody takes orders here any more"


def test_limits_are_not_confirmed_by_who_does_not_say_why(tmp_path: Path, own_home: Path) -> None:
    with resting(tmp_path, own_home) as (running, runtime):
        redis = Redis.from_url(runtime.redis_url)
        stream = keys.instructions(redis.get(keys.RUN).decode())
        unsaid = ConfirmLimits(time.time_ns(), "unsaid", "ann")
        redis.xadd(stream, {FIELD: seal(unsaid, unsaid.id)})
        redis.close()
        for way in ([], ["--direct"]):
            assert run("limits", "confirm", *way).returncode == 2
            assert ordered("limits", "confirm", "--reason", "more saved", *way)["acknowledged"]
        status, _, errors = running.end()
    assert status == 0
    assert [one.reason for one in journaled(own_home, ConfirmLimits)] == ["more saved"] * 2
    assert NO_REASON in errors


def test_past_a_strict_lease_cancels_leave_and_flatten_is_refused(
    tmp_path: Path, own_home: Path
) -> None:
    strict = {"BETATRADER_LEASE__MODE": "strict", "BETATRADER_LEASE__TTL_SECONDS": f"{TTL_S}"}
    with resting(tmp_path, own_home, **strict) as (running, _):
        with redis_away(running):
            until(lambda: journaled(own_home, Fenced), 15)
            time.sleep(TTL_S)  # the lease is over by now; nothing happens then that one could await
            refused = run("flatten", "--direct")
            assert refused.returncode == 6
            assert "the lease may be over" in refused.stderr
            assert not journaled(own_home, Flatten), "what is refused is not obeyed"
            assert ordered("cancel-all", "--reason", "all off")["canceled"] == 1
            until(lambda: journaled(own_home, OrderCanceled), 5)
            assert any(order.reason == "all off" for order in journaled(own_home, CancelAll))
            assert ordered("halt", "--direct")["state"] == "HALTED"
        status, _, _ = running.end()
    assert status == 0


def test_a_trader_with_a_token_of_its_own_wants_that_one(tmp_path: Path, own_home: Path) -> None:
    token = {"BETATRADER_CONTROL_TOKEN": "a-token-of-the-test"}
    with up("up", **token) as running:
        running.runtime()
        assert not (own_home / "control-token").exists()
        refused = run("halt", "--direct", BETATRADER_CONTROL_TOKEN="another-long-token")
        assert (refused.returncode, refused.stdout) == (6, "")
        assert "the token is missing or wrong" in refused.stderr
        assert ordered("halt")["way"] == "redis"
        assert run("halt", "--direct").returncode == 4
        assert run("halt", "--direct", **token).returncode == 0
        _, _, errors = running.end()
    assert token["BETATRADER_CONTROL_TOKEN"] not in errors


def test_without_a_trader_the_direct_way_says_so(own_home: Path) -> None:
    done = run("halt", "--direct")
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 2
    assert str(own_home) in done.stderr


def test_status_is_told_without_redis_too(tmp_path: Path, own_home: Path) -> None:
    with resting(tmp_path, own_home) as (running, _), redis_away(running):
        told = run("status")
        found = json.loads(run("status", "--json").stdout)
    assert told.returncode == 0, told.stderr
    assert "REDIS IS AWAY" in told.stdout
    assert found["redis"].startswith("Redis at ")
    assert found["trading_state"] == "ACTIVE"
    assert {role["health"] for role in found["roles"].values()} == {"ok"}


def test_a_full_redis_does_not_hide_an_acknowledged_halt(tmp_path: Path, own_home: Path) -> None:
    with resting(tmp_path, own_home) as (running, runtime):
        filled = Redis.from_url(runtime.redis_url)
        filled.config_set("maxmemory", "1mb")
        until(lambda: json.loads(run("status", "--json").stdout)["redis"] != "ok", 20)
        assert ordered("halt", "--reason", "a test")["state"] == "HALTED"
        until(lambda: json.loads(run("status", "--json").stdout)["trading_state"] == "HALTED", 10)
        told = run("status").stdout
        assert "HALTED (a test)" in told
        assert "orders are flowing" not in told
        assert "takes nothing" in told
        filled.config_set("maxmemory", "256mb")
        filled.close()
        until(lambda: json.loads(run("status", "--json").stdout)["redis"] == "ok", 20)
        assert running.end()[0] == 0
