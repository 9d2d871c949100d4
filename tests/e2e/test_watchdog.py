"""A trader whose event loop stands still is ended, and its supervisor starts the next."""

import json
import os
import signal
import time
from pathlib import Path

from running import run, until, up

from betatrader.ops.process import alive

STALLS_ONCE = """
from pathlib import Path

from betatrader.engine.strategy import Strategy


class Stalls(Strategy):
    name = "stalls"
    calls = 0

    def on_quote(self, view, market):
        self.calls += 1
        if self.calls == 50 and not Path({mark!r}).exists():
            Path({mark!r}).touch()
            while True:
                pass
"""


def test_a_strategy_that_spins_costs_seconds_not_the_run(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "stalls.py"
    path.write_text(STALLS_ONCE.format(mark=str(mark)))
    with up("up", "--strategy", str(path), BETATRADER_WATCHDOG__STALL_SECONDS="1") as running:
        first = running.runtime().roles["trading"]
        until(mark.exists, 20)
        until(lambda: not alive(first), 10)
        until(lambda: _trader()["pid"] not in (None, first), 20)
        status, report, errors = running.end()
    assert status == 0, errors
    assert report["roles"]["trading"]["restarts"] == 1
    assert all(report["invariants"].values())
    [line] = [json.loads(at) for at in errors.splitlines() if '"event":"stalled"' in at]
    assert (line["role"], line["level"], line["after_s"]) == ("trading", "critical", 1.0)
    assert "stalls.py" in line["stack"]
    assert "on_quote" in line["stack"]


def test_a_trader_that_was_paused_is_not_ended_for_it() -> None:
    with up("up", BETATRADER_WATCHDOG__STALL_SECONDS="1") as running:
        trader = running.runtime().roles["trading"]
        for _ in range(8):  # in some of them the watchdog wakes first, and finds no beat
            os.kill(trader, signal.SIGSTOP)
            time.sleep(1.1)
            os.kill(trader, signal.SIGCONT)
            time.sleep(0.13)
        until(lambda: _trader()["health"] == "ok", 10)
        status, report, _ = running.end()
    assert (status, report["roles"]["trading"]["restarts"]) == (0, 0)


def _trader() -> dict:
    """As `status` shows it; Redis may be late on a busy machine, and `status` then ends with 4."""
    done = run("status", "--json")
    assert done.returncode in (0, 4), done.stderr
    found: dict = json.loads(done.stdout)["roles"].get("trading", {}) if done.stdout else {}
    return {"pid": None, "health": "away", **found}
