"""What a small machine, and a shared server, do to a trader: no order and no lease is lost."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from running import run, until, up

from betatrader.bench import quota
from betatrader.ops.embedded_redis import EmbeddedRedis


@pytest.mark.parametrize("by", ["cgroup", "signals"])
def test_at_5_ms_in_every_80_it_trades_and_sends_nothing_past_its_deadline(
    by: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if by == "signals":
        monkeypatch.setattr(quota, "CGROUP", tmp_path / "none")
    found = quota.measure(5, 8.0)
    assert found.latencies_ms, "orders are taken"
    assert found.sent >= len(found.latencies_ms)
    assert (found.late, found.unheard) == (0, 0)


def test_two_traders_share_a_server_each_in_a_database_of_its_own(own_home: Path) -> None:
    """Each has its own lease and instructions: what halts the one leaves the other as it is."""
    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as server, ExitStack() as stack:
        places = [
            {"REDIS_URL": f"{server.url}?db={n}", "BETATRADER_HOME": str(own_home.parent / f"h{n}")}
            for n in (0, 1)
        ]
        for place in places:
            stack.enter_context(up("up", **place)).runtime()

        def states() -> list[str]:
            return [
                json.loads(run("status", "--json", **place).stdout)["trading_state"]
                for place in places
            ]

        assert states() == ["ACTIVE", "ACTIVE"]
        assert run("halt", "--reason", "one alone", **places[0]).returncode == 0
        until(lambda: states() == ["HALTED", "ACTIVE"], 10)
