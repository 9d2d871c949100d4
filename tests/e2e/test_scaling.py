"""What a small machine, and a shared server, do to a trader: no order and no lease is lost."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from running import lines, run, until, up

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
    """Each has its own lease and instructions: what halts the one leaves the other as it is. Of
    their account's limits each has its share, and a third finds none left."""
    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as server, ExitStack() as stack:
        places = [
            {
                "REDIS_URL": f"{server.url}?db={n}",
                "BETATRADER_HOME": str(own_home.parent / f"h{n}"),
                "BETATRADER_SHARD__SHARE": share,
            }
            for n, share in enumerate(("0.6", "0.4", "0.34"))
        ]
        third = places.pop()
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

        def limit(place: dict[str, str], name: str) -> str:
            rows = json.loads(run("limits", "show", "--json", **place).stdout)
            return str({row["name"]: row["limit"] for row in rows}[name])

        assert [limit(place, "daily_loss_usd") for place in places] == ["12", "8"]
        refused = run("--role", "trading", **third)
        assert refused.returncode == 6
        told = lines(refused.stderr)
        assert told[0].endswith(
            "the limits of account paper do not suffice: database 0 has 0.6, database 1 has 0.4; "
            "database 2 asks for 0.34"
        )
        assert len(told) == 2
        elsewhere = {**third, "BETATRADER_SHARD__ACCOUNT": "other"}
        stack.enter_context(up("up", **elsewhere)).runtime()
        shares = json.loads(run("limits", "shares", "--json", **places[0]).stdout)
        assert [(one["account"], one["database"], one["share"]) for one in shares] == [
            ("paper", 0, "0.6"),
            ("paper", 1, "0.4"),
            ("paper:other", 2, "0.34"),
        ]
        leading = run("limits", "shares", "--give-back", "1", **places[0])
        assert leading.returncode == 6
        assert "the trader of database 1 holds its lease" in leading.stderr
