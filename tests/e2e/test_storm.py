"""kill -9 of the leader (its disk wiped now and then), the standby, Redis and intel, over and over.

Two traders of homes of their own share one account at a venue in a process of its own. The judge is
that venue's ledger. `BETATRADER_KILLS` sets how many (10 here, 50 in .ci/run), and
`BETATRADER_KILL_SEED` which and when.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import storm_judge
from msgspec.structs import replace
from running import PROGRAM, environment, until, venue_ledger

from betatrader.engine.engine import Engine
from betatrader.model.secret import Secret
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.roles import venue_process
from betatrader.sim.ledger import Ledger
from betatrader.venues.polymarket.sign import Signer

KILLS = int(os.environ.get("BETATRADER_KILLS", "50" if os.environ.get("CI") else "10"))
VENUES = {
    "sim": KILLS - 2 * (KILLS * 3 // 10),
    "binance": KILLS * 3 // 10,
    "polymarket": KILLS * 3 // 10,
}
"""Kills at each venue."""
SEED = int(os.environ.get("BETATRADER_KILL_SEED", "0")) or random.SystemRandom().randrange(1 << 30)
WATCHED = ("largest_stake", "largest_total", "most_positions", "most_open", "refused")
FAULTS = ["--lost", "0.02", "--late", "0.05", "--twice", "0.05", "--unknown", "0.1"]
TARGETS = {"leader": 5, "leader, wiped": 3, "standby": 2, "redis": 3, "intel": 1}
SETTINGS = {
    "BETATRADER_HEALTH__PORT": "0",
    "BETATRADER_LEASE__MODE": "strict",
    "BETATRADER_LEASE__TTL_SECONDS": "2",
    "BETATRADER_JOURNAL__DURABILITY": "shipped",
    "BETATRADER_PAPER__CASH_USD": "100000",
    "BETATRADER_RISK__DAILY_LOSS_USD": "90000",
    "BETATRADER_RISK__DRAWDOWN": "1",
}

TAKER = Path(__file__).resolve().parents[2] / "scripts/rehearsing/taker.py"
"""Takes what stands: a recorded pair alone fills few quotes."""


class Role:
    """A process that is started again whenever it has ended."""

    def __init__(self, role: str, home: Path, **more: str) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None
        self._role = role
        self._more = {"BETATRADER_HOME": str(home), **SETTINGS, **more}
        self._log = home.parent / f"{home.name}-{role}.log"
        self._said = 0  # bytes in the log as this process began

    def keep_running(self) -> None:
        if self.process is not None and self.process.poll() is None:
            return
        self._said = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [*PROGRAM, "--role", self._role],
                env=environment(**self._more),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def last_epoch(self) -> int:
        """The epoch under which the running process leads; 0 where it does not."""
        epoch = 0
        if self.process is None or self.process.poll() is not None:
            return epoch
        for line in self._log.read_bytes()[self._said :].decode().splitlines():
            if '"event":"leading"' in line:
                epoch = json.loads(line)["epoch"]
        return epoch


class Storm:
    def __init__(self, venue: str, folder: Path, stack: ExitStack) -> None:
        self.chance = random.Random(SEED)
        self.server = stack.enter_context(EmbeddedRedis(folder / "own", folder))
        self.venue = subprocess.Popen(
            [*PROGRAM, "venue", "serve", venue, *FAULTS],
            env=environment(BETATRADER_HOME=str(folder / "venue"), **SETTINGS),
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(self.venue.wait, 10)
        stack.callback(self.venue.kill)
        assert self.venue.stdout is not None
        stack.callback(self.venue.stdout.close)
        told = json.loads(self.venue.stdout.readline())
        names = [str(TAKER), "market_maker", "forecast_edge"]
        more = {
            "REDIS_URL": self.server.url,
            "BETATRADER_STRATEGIES": f"[{', '.join(f'{{name = {n!r}}}' for n in names)}]",
            **venue_process.settings(venue, told),
        }
        self.link, self.account = told["link"], told.get("account", "us")
        self.signer: Signer | None = None
        if venue == "polymarket":
            key = Secret(more["BETATRADER_POLYMARKET__PRIVATE_KEY"])
            self.signer = Signer(key, 137, 0, "")
            self.account = self.signer.address
        self.traders = [Role("trading", folder / name, **more) for name in ("blue", "green")]
        self.intel = Role("intel", folder / "intel", **more)
        for role in (*self.traders, self.intel):
            stack.callback(role.kill)

    def leader(self) -> Role:
        return max(self.traders, key=Role.last_epoch)

    def keep_running(self) -> None:
        for role in (*self.traders, self.intel):
            role.keep_running()

    def an_order_arrives(self) -> bool:
        """Whether the venue has more orders than at the last kill; all is kept running."""
        self.keep_running()
        return len(self.ledger().orders) > self.orders

    def an_order_was_filled(self) -> bool:
        """Whether there is a fill at the venue; all is kept running."""
        self.keep_running()
        return self.ledger().fill_count > 0

    def somebody_leads(self) -> bool:
        """Whether a process that runs has begun to lead; all are kept running."""
        self.keep_running()
        return self.leader().last_epoch() > 0

    def ledger(self) -> Ledger:
        return venue_ledger(self.link, self.account)

    def strike(self) -> str:
        target = self.chance.choices(list(TARGETS), list(TARGETS.values()))[0]
        leader = self.leader()
        if target == "redis":
            os.kill(self.server.pid, signal.SIGKILL)
            self.server.__exit__()
            time.sleep(self.chance.uniform(0, 0.5))
            self.server.__enter__()
        elif target == "intel":
            self.intel.end(signal.SIGKILL)
        elif target == "standby":
            next(trader for trader in self.traders if trader is not leader).end(signal.SIGKILL)
        else:
            leader.end(signal.SIGKILL)
            if target == "leader, wiped":
                shutil.rmtree(leader.home)
        self.orders = len(self.ledger().orders)
        return target

    orders = 0


@pytest.mark.parametrize("venue", VENUES)
def test_no_kill_of_anything_loses_or_doubles_an_order(own_home: Path, venue: str) -> None:
    print(f"BETATRADER_KILL_SEED={SEED} BETATRADER_KILLS={KILLS}")
    with ExitStack() as stack:
        storm = Storm(venue, own_home.parent, stack)
        for number in range(VENUES[venue]):
            until(storm.an_order_arrives, 30)
            time.sleep(storm.chance.uniform(0.0, 0.7))
            print(number, storm.strike())
        until(storm.an_order_arrives, 30)
        until(storm.an_order_was_filled, 60)  # in a short storm perhaps none was yet
        until(storm.somebody_leads, 30)  # an order of one that was killed may come last
        leader = storm.leader()
        standby = next(trader for trader in storm.traders if trader is not leader)
        standby.kill()
        assert leader.end(signal.SIGTERM) == 0
        ledger = storm.ledger()
        engine, signer = storm_judge.books(leader.home), storm.signer
        newest = max((leader.home / "reports").iterdir(), key=lambda path: path.name)
        summary = json.loads((newest / "summary.json").read_bytes())
    most = {name: getattr(ledger, name) for name in WATCHED}
    print(f"at the venue: {len(ledger.orders)} orders, {ledger.fill_count} fills, {most}")
    assert summary["invariants"]
    assert [name for name, holds in summary["invariants"].items() if not holds] == []
    assert summary["fills"] == ledger.fill_count > 0
    assert ledger.working == {}
    assert storm_judge.wrong(venue, engine, ledger, signer) == []
    _the_judge_sees(venue, engine, ledger, signer)


def _the_judge_sees(venue: str, engine: Engine, ledger: Ledger, signer: Signer | None) -> None:
    """The same ledger with one thing altered is found wrong, by its name."""
    name, terms = next(iter(ledger.orders.items()))
    altered = {
        "cash_equals_venue": replace(ledger, cash=ledger.cash + 1),
        "fees_equal_venue": replace(ledger, fees=ledger.fees + 1),
        "positions_equal_venue": replace(ledger, positions={terms.instrument: 1}),
        "fills_equal_venue": replace(ledger, fill_count=ledger.fill_count + 1),
        "every_order_is_one_of_ours": replace(ledger, orders={**ledger.orders, "f" * 32: terms}),
    }
    if signer is None:
        twice = {**ledger.orders, f"{name}#2": terms}
        altered["no_order_was_sent_twice"] = replace(ledger, orders=twice)
    for invariant, other in altered.items():
        assert invariant in storm_judge.wrong(venue, engine, other, signer)
