"""The machine is gone and everything on it: the trader goes on from what Redis has."""

import json
import shutil
import signal
import subprocess
from pathlib import Path

from running import PROGRAM, environment, run, until

from betatrader.ops.embedded_redis import EmbeddedRedis

SETTINGS = {
    "BETATRADER_HEALTH__PORT": "0",
    "BETATRADER_LEASE__MODE": "strict",
    "BETATRADER_LEASE__TTL_SECONDS": "1",
    "BETATRADER_JOURNAL__DURABILITY": "shipped",
}


def summaries(home: Path) -> list[dict]:  # type: ignore[type-arg]
    found = sorted(home.glob("reports/*/summary.json"))
    return [json.loads(path.read_bytes()) for path in found]


def start(url: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*PROGRAM, "--role", "trading"],
        env=environment(REDIS_URL=url, **SETTINGS),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_orders_fills_and_the_paper_ledger_outlive_the_disk(own_home: Path) -> None:
    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as server:
        fills = 0
        for _ in range(3):
            trader = start(server.url)
            try:
                until(lambda: any(s["fills"] > fills for s in summaries(own_home)), 40)  # noqa: B023
                last = summaries(own_home)[-1]
                assert last["fills"] > fills, "the history of the run before is still there"
                fills = last["fills"]
            finally:
                trader.kill()
                trader.wait(10)
            shutil.rmtree(own_home)
        trader = start(server.url)
        try:
            until(lambda: any(s["fills"] > fills for s in summaries(own_home)), 40)
            trader.send_signal(signal.SIGTERM)
            assert trader.wait(20) == 0
        finally:
            trader.kill()
    end = summaries(own_home)[-1]
    assert end["invariants"]
    assert [name for name, holds in end["invariants"].items() if not holds] == []
    assert end["fills"] > fills


def test_solo_and_shipped_contradict_each_other(own_home: Path) -> None:
    own_home.mkdir(parents=True)
    (own_home / "betatrader.toml").write_text('[journal]\ndurability = "shipped"\n')
    ended = run("config", "check")
    assert ended.returncode == 3
    assert "journal.durability" in ended.stderr + ended.stdout


def test_simulate_prints_what_a_machine_can_read() -> None:
    seeds = 3
    ended = run("simulate", "--seeds", str(seeds), "--json")
    report = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert report["seeds"] == seeds
    assert report["failing"] == []
    assert report["orders"] >= 50 * seeds
    assert report["simulated_hours"] > 0
    assert sum(report["faults"].values()) >= 5 * seeds
