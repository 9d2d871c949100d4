"""The three roles as a person runs them: they trade, are watched, steered, killed and stopped."""

import json
import os
import signal
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from running import all_gone, family, lines, redis_server_of, run, until, up

from betatrader.ops.process import alive, resident_mb

HEAVY = ("onnxruntime", "numpy", "pandas", "pyarrow", "torch")


def maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_a_run_trades_keeps_its_invariants_and_reports(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Market data to fill across three processes; each holds only its own; all is gone after."""
    with up("up", "--for", "20s") as running:
        runtime = running.runtime()
        for role in ("trading", "jobs"):
            held = maps(runtime.roles[role])
            assert not [name for name in HEAVY if f"/{name}" in held]
        assert "/onnxruntime" in maps(runtime.roles["intel"])
        with capsys.disabled():
            held = ", ".join(f"{r} {resident_mb(pid):.0f} MB" for r, pid in runtime.roles.items())
            print(f"\nresident memory: {held}")
        for role, port in runtime.ports.items():
            for path in ("livez", "readyz", "metrics"):
                with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=2) as answer:
                    assert answer.status == 200, (role, path)
                    shown = answer.read()
                if (role, path) == ("trading", "readyz"):
                    assert isinstance(json.loads(shown)["stale"], list)
        pids = family(running.process.pid)
        status, report, errors = running.end(number=None)
    assert status == 0
    assert lines(errors) == []
    assert report["mode"] == "PAPER"
    assert report["fills"] > 0
    assert report["signals"] > 0
    assert report["events"] > 3_000
    assert len(report["invariants"]) >= 12
    assert all(report["invariants"].values())
    assert set(report["roles"]) == {"trading", "intel", "jobs"}
    assert report["roles"]["trading"]["rss_mb"] <= 80
    assert all(role["health"] == "ok" for role in report["roles"].values())
    assert all(role["ready_ms"] > 0 for role in report["roles"].values())
    assert all_gone(pids)
    assert list(Path(os.environ["XDG_RUNTIME_DIR"]).glob("betatrader/*")) == []
    kept = own_home / "reports" / report["run"]
    assert json.loads((kept / "report.json").read_text()) == report

    _the_run_can_be_looked_at_after_its_end(report)


def _the_run_can_be_looked_at_after_its_end(report: dict) -> None:
    fills = json.loads(run("fills", "--json").stdout)
    assert len(fills) == report["fills"]
    orders = json.loads(run("orders", "--json").stdout)
    assert len(orders) == report["orders"] + report["risk_denials"]
    assert {o["id"] for o in orders} >= {f["order"] for f in fills}
    assert len(json.loads(run("positions", "--json").stdout)) == len(report["positions"])
    assert json.loads(run("signals", "--json").stdout)
    events = json.loads(run("events", "--json").stdout)
    assert {event["kind"] for event in events} >= {"Started", "CashFlow", "Step", "Fill"}
    status = json.loads(run("status", "--json").stdout)
    assert (status["live"], status["final"], status["pnl"]) == (False, True, report["pnl"])
    assert json.loads(run("limits", "show", "--json").stdout)
    for command in (["status"], ["orders"], ["fills"], ["events"], ["limits", "show"]):
        shown = run(*command)
        assert (shown.returncode, bool(shown.stdout.strip())) == (0, True), command


def test_halt_flatten_and_resume_from_another_terminal() -> None:
    with up() as running:
        running.runtime()
        until(lambda: json.loads(run("positions", "--json").stdout), 25)
        began = time.monotonic()
        halted = run("halt", "--reason", "a test", "--json")
        assert halted.returncode == 0, halted.stderr
        answer = json.loads(halted.stdout)
        assert answer["acknowledged"]
        assert answer["state"] == "HALTED"
        assert answer["acknowledged_ms"] < 1_000
        until(lambda: _status()["open_orders"] == 0, 1.5)
        assert time.monotonic() - began < 5
        assert "HALTED" in _status()["why_not"]

        flat = run("flatten", "--json", "--reason", "a test")
        assert flat.returncode == 0, flat.stderr
        assert json.loads(flat.stdout)["flat"]
        assert _status()["positions"] == []
        assert _status()["trading_state"] == "HALTED"

        assert json.loads(run("resume", "--json").stdout)["state"] == "ACTIVE"
        assert json.loads(run("reduce", "--json").stdout)["state"] == "REDUCING"
        assert json.loads(run("cancel-all", "--json").stdout)["acknowledged"]
        assert json.loads(run("halt", "--json").stdout)["state"] == "HALTED"
        jobs = json.loads(run("jobs", "list", "--json").stdout)
        assert {job["job"] for job in jobs} == {"pnl_report", "stream_upkeep"}
        done = run("jobs", "run", "pnl_report", "--json")
        assert json.loads(done.stdout)["status"] == "done", done.stderr
        assert json.loads(run("jobs", "history", "pnl_report", "--json").stdout)
        assert run("doctor").returncode == 0
        status, report, _ = running.end()
    assert status == 0
    assert all(report["invariants"].values())

    with up() as running:
        running.runtime()
        assert _status()["trading_state"] == "HALTED", "HALTED outlives a restart"
        status, again, _ = running.end()
    assert (status, again["orders"]) == (0, report["orders"]), "the account goes on, halted"


def _status() -> dict:
    found: dict = json.loads(run("status", "--json").stdout)
    return found


def test_killing_intel_stops_neither_trading_nor_the_report() -> None:
    with up() as running:
        runtime = running.runtime()
        until(lambda: _status()["signals"] > 0, 25)
        killed = runtime.roles["intel"]
        os.kill(killed, signal.SIGKILL)
        until(lambda: _status()["roles"]["intel"].get("pid") not in (None, killed), 20)
        before = _status()["signals"]
        until(lambda: _status()["signals"] > before + 5, 20)
        status, report, _ = running.end()
    assert status == 0
    assert report["roles"]["intel"]["restarts"] == 1
    assert report["roles"]["trading"]["restarts"] == 0
    assert all(report["invariants"].values())


def test_a_trader_that_dies_comes_back_with_its_account() -> None:
    with up() as running:
        runtime = running.runtime()
        first = until(lambda: _status() if _status()["fills"] else None, 30)
        os.kill(runtime.roles["trading"], signal.SIGKILL)
        until(lambda: _status()["run"] != first["run"], 10)
        until(lambda: _status()["events"] > first["events"] + 100, 10)
        status, report, _ = running.end()
    assert status == 0
    assert report["roles"]["trading"]["restarts"] == report["recoveries"] == 1
    assert report["run"] != first["run"]
    assert report["fills"] >= first["fills"]
    assert report["orders"] >= first["orders"]
    assert all(report["invariants"].values())


def test_after_kill_9_the_last_state_is_shown_from_what_is_on_disk() -> None:
    with up() as running:
        running.runtime()
        until(lambda: _status()["fills"] > 0, 25)
        known = _status()["run"]
        running.process.kill()
        running.process.wait(10)
    until(lambda: not _status()["live"], 10)
    found = _status()
    assert found["run"] == known
    fills = json.loads(run("fills", "--json").stdout)
    assert len(fills) >= found["fills"] > 0
    assert json.loads(run("replay", "--json").stdout)["same"], "what was journaled replays"


def test_a_run_that_is_stopped_while_it_starts_reports_nothing_of_another() -> None:
    with up("up", "--for", "1s") as running:
        _, first, _ = running.end(number=None)
    with up() as running:
        until(running.announced, 10)
        status, report, errors = running.end(number=signal.SIGTERM)
    assert report is None or report["run"] != first["run"]
    assert report is not None or (status == 1 and len(lines(errors)) >= 1)


def test_a_strategy_that_fails_is_named_in_the_report(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MINE.replace("self.memory = True", "raise ValueError('oh')"))
    with up("up", "--strategy", str(path), "--for", "3s") as running:
        status, report, errors = running.end(number=None)
    assert (status, report["failed"]) == (0, ["once"])
    assert "once failed" in report["why_not"]
    assert "ValueError: oh" in errors


def test_a_second_run_on_the_home_is_refused_and_names_the_first() -> None:
    with up() as running:
        running.runtime()
        second = run("up", "--for", "2s")
        assert second.returncode == 6
        assert f"pid {running.process.pid}" in second.stderr
        assert len(lines(second.stderr)) == 2
        running.end()


def test_kill_9_of_up_leaves_no_process_and_the_next_start_clears_the_rest() -> None:
    with up("demo") as running:
        running.runtime()
        pids = family(running.process.pid)
        assert len(pids) >= 4
        running.process.kill()
        assert all_gone(pids, 15)
        root = Path(os.environ["XDG_RUNTIME_DIR"]) / "betatrader"
        assert list(root.glob("demo-*"))
    with up("demo", "--for", "2s") as running:
        status, report, _ = running.end(number=None)
        assert (status, report["mode"]) == (0, "PAPER")
    assert list(root.glob("*")) == []


def test_sigterm_of_a_demo_reports_and_cleans_up(own_home: Path) -> None:
    with up("demo") as running:
        running.runtime()
        status, report, errors = running.end(number=signal.SIGTERM)
    assert status == 0
    assert all(report["invariants"].values())
    assert lines(errors) == []
    assert (own_home / "reports" / report["run"] / "report.json").exists()
    assert not alive(report["roles"]["trading"]["pid"])


def test_redis_going_away_for_a_while_stops_no_role(own_home: Path) -> None:
    """The server is stopped for seconds and goes on: every role is still the same process."""
    with up() as running:
        runtime = running.runtime()
        server = redis_server_of(running)
        os.kill(server, signal.SIGSTOP)
        time.sleep(4)
        assert all(alive(pid) for pid in runtime.roles.values())
        os.kill(server, signal.SIGCONT)
        until(lambda: _status()["signals"] > 0, 25)
        status, report, _ = running.end()
    assert status == 0
    assert all(role["restarts"] == 0 for role in report["roles"].values())
    assert all(report["invariants"].values())


def test_a_killed_redis_of_ours_comes_back_and_the_report_is_whole(own_home: Path) -> None:
    with up("up") as running:
        running.runtime()
        killed = redis_server_of(running)
        os.kill(killed, signal.SIGKILL)
        until(lambda: redis_server_of(running) not in (0, killed), 15)
        until(lambda: run("halt", "--reason", "a test").returncode == 0, 20)
        until(lambda: json.loads(run("status", "--json").stdout)["redis"] == "ok", 20)
        status, report, errors = running.end()
    assert (status, report["trading_state"]) == (0, "HALTED"), errors
    assert all(report["invariants"].values())


def test_where_redis_is_gone_at_the_end_the_report_is_from_the_disk(own_home: Path) -> None:
    """The server's folder is lost too, so that it does not come back."""
    with up("up") as running:
        running.runtime()
        until(lambda: any(_orders(path) for path in own_home.glob("reports/*/summary.json")), 20)
        (own_home / "redis").rename(own_home / "lost")
        os.kill(redis_server_of(running), signal.SIGKILL)
        status, report, errors = running.end()
    assert status == 4, errors
    assert report["orders"] > 0
    assert all(report["invariants"].values())


def _orders(path: Path) -> int:
    return int(json.loads(path.read_bytes())["orders"])


def test_a_redis_of_ones_own_is_used_and_left_running(own_home: Path) -> None:
    from betatrader.ops.embedded_redis import EmbeddedRedis

    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as server:
        with up("up", "--for", "3s", REDIS_URL=server.url) as running:
            running.runtime()
            assert not [p for p in family(running.process.pid) if "valkey" in maps(p)]
            status, report, errors = running.end(number=None)
        assert (status, lines(errors)) == (0, [])
        assert alive(server.pid)
        shown = json.loads(run("status", "--json", REDIS_URL=server.url).stdout)
        assert shown["run"] == report["run"]


def test_a_file_is_traded_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.btseg"
    made = run("data", "import", str(_excerpt()), "--to", "20", "--output", str(path))
    assert made.returncode == 0, made.stderr
    with up("up", "--data", str(path), "--speed", "5") as running:
        status, report, _ = running.end(number=None)
    assert (status, report["error"]) == (0, "")
    assert report["events"] > 1_000


def test_a_file_that_breaks_in_mid_run_stops_trading_and_reports(tmp_path: Path) -> None:
    path = tmp_path / "a.btseg"
    data = _excerpt().read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with up("up", "--data", str(path), "--speed", "20") as running:
        status, report, errors = running.end(number=None)
    assert status == 2
    assert all(report["invariants"].values())
    assert "breaks off" in report["error"]
    assert len(lines(errors)) <= 2


def _excerpt() -> Path:
    from betatrader.roles.feeds import excerpt

    return excerpt()


MINE = """
from betatrader.engine.strategy import Place, Strategy
from betatrader.model.money import parse
from betatrader.model.order import OrderTerms, OrderType, Side


class Once(Strategy):
    name = "once"
    memory = False

    def on_quote(self, view, market):
        if self.memory or not market.id.startswith("UP") or not market.ask:
            return None
        self.memory = True
        terms = OrderTerms(market.id, Side.BUY, OrderType.LIMIT, market.ask, parse("5"))
        return [Place(terms, "just once", stop=parse("0.01"))]
"""


def test_a_users_own_strategy_trades(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    with up("up", "--strategy", str(path), "--for", "5s") as running:
        status, report, errors = running.end(number=None)
    assert status == 0, errors
    assert report["orders"] == 1
    [order] = json.loads(run("orders", "--json").stdout)
    assert (order["strategy"], order["reason"]) == ("once", "just once")


@pytest.mark.parametrize("role", ["trading", "intel", "jobs"])
def test_a_role_alone_drains_on_sigterm_within_its_deadline(role: str, own_home: Path) -> None:
    import subprocess

    from running import PROGRAM, environment

    from betatrader.ops.embedded_redis import EmbeddedRedis

    with EmbeddedRedis(own_home / "redis", own_home.parent) as server:
        process = subprocess.Popen(
            [*PROGRAM, "--role", role],
            env=environment(REDIS_URL=server.url, BETATRADER_HEALTH__PORT="0"),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        logs = []
        for line in process.stderr:
            logs.append(json.loads(line))
            if logs[-1]["event"] == "ready":
                break
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=10)
    assert process.returncode == 0
    logs += [json.loads(line) for line in rest.splitlines() if line]
    assert logs[-1]["event"] == "drained"
    assert all(line["role"] == role and line["version"] and line["trace"] for line in logs)


@pytest.mark.parametrize(
    ("command", "venue"),
    [("up", "binance-sim"), ("demo", "polymarket-sim"), ("up", "polymarket-sim")],
    ids=["up-binance", "demo-polymarket", "up-polymarket"],
)
def test_a_simulated_venue_is_started_and_traded_over_its_own_protocol(
    own_home: Path, command: str, venue: str
) -> None:
    """`--venue` alone does: neither an address nor a key is given."""
    done = run(command, "--venue", venue, "--for", "8s", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["trading_state"], report["mode"], report["error"]) == ("ACTIVE", "PAPER", "")
    assert report["orders"] > 0
    assert report["invariants"]
    assert all(report["invariants"].values()), report["invariants"]
