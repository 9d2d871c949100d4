"""A disk that turns read-only under a running trader: the end is clear, and nothing rests on."""

import json
import subprocess
import sys
from pathlib import Path

from running import approved, environment, lines, run, until, venue_ledger

from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.roles.venue_process import served

RESTS = Path(__file__).with_name("rests.py")

LAUNCHER = [sys.executable, str(Path(__file__).with_name("read_only_disk.py"))]


def test_a_disk_that_turns_read_only_ends_the_trader_and_nothing_rests_on(own_home: Path) -> None:
    turned = Path(f"{own_home}.read-only")
    with (
        EmbeddedRedis(own_home.parent / "own", own_home.parent) as server,
        served("sim", environment(), None) as link,
    ):
        venue = link["BETATRADER_PAPER__LINK"]
        trader = subprocess.Popen(
            [*LAUNCHER, "--role", "trading"],
            env=environment(
                REDIS_URL=server.url,
                BETATRADER_HEALTH__PORT="0",
                BETATRADER_STRATEGIES=f"[{{name = '{RESTS}'}}]",
                **link,
            ),
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            until(lambda: venue_ledger(venue).working, 20)
            turned.touch()
            _, errors = trader.communicate(timeout=20)
        finally:
            trader.kill()
            trader.wait()
        assert trader.returncode == 1, errors[-2000:]
        said = lines(errors)
        assert len(said) == 2, errors[-2000:]
        assert "cannot be written: Read-only file system" in said[0]
        ledger = venue_ledger(venue)
        assert ledger.orders
        assert not ledger.working, "what rested was cancelled"
        assert set(ledger.orders) <= approved(own_home), "each was in the journal before it left"

        refused = subprocess.run(
            [*LAUNCHER, "--role", "trading"],
            env=environment(REDIS_URL=server.url, BETATRADER_HEALTH__PORT="0", **link),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert refused.returncode == 1, "and it does not begin on one"
        assert "Read-only file system" in refused.stderr
        assert len(lines(refused.stderr)) == 2, refused.stderr[-2000:]
    verified = run("journal", "verify", "--json")
    assert json.loads(verified.stdout)["torn_bytes"] == 0
