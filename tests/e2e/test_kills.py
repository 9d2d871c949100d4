"""kill -9 of the trader at random moments, over and over: the account is whole each time.

The judge is the venue's own ledger, which the trader's journal never touches. `BETATRADER_KILLS`
sets how many (10), `BETATRADER_KILL_SEED` when they come.
"""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

from running import PROGRAM, approved, environment, ledger_of, until

from betatrader.ops.embedded_redis import EmbeddedRedis

KILLS = int(os.environ.get("BETATRADER_KILLS", "10"))
SEED = int(os.environ.get("BETATRADER_KILL_SEED", "0")) or random.SystemRandom().randrange(1 << 30)


def test_no_kill_loses_or_doubles_anything(own_home: Path) -> None:
    print(f"BETATRADER_KILL_SEED={SEED} BETATRADER_KILLS={KILLS}")
    chance = random.Random(SEED)
    orders: set[str] = set()
    fills = 0
    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as server:
        for number in range(KILLS + 1):
            trader = _start(server.url)
            try:
                until(lambda: len(_summaries(own_home)) > number, 20)  # noqa: B023
                if number < KILLS:
                    time.sleep(chance.uniform(0.0, 1.5))
                    trader.send_signal(signal.SIGKILL)
                else:
                    until(lambda: _summaries(own_home)[-1]["fills"] > fills, 30)  # noqa: B023
                    trader.send_signal(signal.SIGTERM)
                assert trader.wait(20) == (-signal.SIGKILL if number < KILLS else 0)
            finally:
                trader.kill()
            ledger = ledger_of(own_home)
            assert orders <= set(ledger.orders), "the venue's own books never forget"
            orders, fills = set(ledger.orders), ledger.fill_count
    summary = _summaries(own_home)[-1]
    assert summary["invariants"]
    assert [name for name, holds in summary["invariants"].items() if not holds] == []
    assert len(_summaries(own_home)) == KILLS + 1
    assert orders <= approved(own_home), "every order at the venue is in a journal"
    assert summary["fills"] == fills > 0


def _start(url: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*PROGRAM, "--role", "trading"],
        env=environment(REDIS_URL=url, BETATRADER_HEALTH__PORT="0"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _summaries(home: Path) -> list[dict]:  # type: ignore[type-arg]
    """The last summary of each run, oldest run first."""
    found = sorted(home.glob("reports/*/summary.json"))
    return [json.loads(path.read_bytes()) for path in found]
