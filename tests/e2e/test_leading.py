"""Two traders on one account: the lease lets one send, and the other takes over."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from running import PROGRAM, approved, environment, ledger_of, until

from betatrader.ops.embedded_redis import EmbeddedRedis

TTL_S = 2.0


class Trader:
    """A trading role of its own home, which may be started again."""

    def __init__(self, url: str, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes]
        self._url = url
        self._log = home.parent / f"{home.name}.log"

    def environment(self, mode: str, ttl_s: float) -> dict[str, str]:
        return environment(
            REDIS_URL=self._url,
            BETATRADER_HEALTH__PORT="0",
            BETATRADER_HOME=str(self.home),
            BETATRADER_LEASE__MODE=mode,
            BETATRADER_LEASE__TTL_SECONDS=str(ttl_s),
        )

    def start(self, mode: str = "strict", ttl_s: float = TTL_S) -> "Trader":
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [*PROGRAM, "--role", "trading"],
                env=self.environment(mode, ttl_s),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        return self

    def said(self, event: str) -> list[dict]:  # type: ignore[type-arg]
        """Its log lines of one event."""
        lines = [line for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def says(self, event: str, times: int = 1, within_s: float = 15) -> None:
        until(lambda: len(self.said(event)) >= times, within_s)

    def ends(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def approved_since(self, time_ns: int) -> set[str]:
        """Orders that its engine approved after a moment, sent or not."""
        return approved(self.home, time_ns)

    def at_the_venue(self) -> set[str]:
        return set(ledger_of(self.home).orders)


@pytest.fixture
def stage(own_home: Path) -> Iterator[tuple[EmbeddedRedis, Trader, Trader]]:
    """A server and two traders; nothing of them is left afterwards."""
    folder = own_home.parent
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedRedis(folder / "own", folder))
        pair = [Trader(server.url, folder / name) for name in ("blue", "green")]
        for one in pair:
            stack.callback(lambda one=one: hasattr(one, "process") and one.process.kill())  # type: ignore[misc]
        yield server, *pair


Stage = tuple[EmbeddedRedis, Trader, Trader]


def test_kill_9_and_a_clean_end_hand_the_lease_on_with_a_growing_epoch(stage: Stage) -> None:
    _, blue, green = stage
    blue.start().says("leading")
    green.start().says("standby")
    assert green.said("ready"), "a standby is ready: a deploy does not wait for leadership"
    assert not green.said("leading")
    assert blue.ends() == 0
    green.says("leading", within_s=TTL_S + 5)

    blue.start().says("standby")
    killed = time.monotonic()
    green.ends(signal.SIGKILL)
    blue.says("leading", 2, 2 * TTL_S + 5)  # nothing fences: it waits for the former to be over
    print(f"takeover after kill -9: {time.monotonic() - killed:.2f} s, lease {TTL_S} s")
    assert blue.ends() == 0
    first, third = (line["epoch"] for line in blue.said("leading"))
    assert first < green.said("leading")[0]["epoch"] < third


def test_a_paused_leader_wakes_fenced_sends_nothing_and_ends(stage: Stage) -> None:
    _, blue, green = stage
    blue.start().says("leading")
    green.start().says("standby")
    blue.process.send_signal(signal.SIGSTOP)
    green.says("leading", within_s=TTL_S + 10)
    woke_ns = time.time_ns()
    blue.process.send_signal(signal.SIGCONT)
    assert blue.process.wait(20) != 0
    assert blue.said("lease_lost")
    assert not blue.approved_since(woke_ns) & blue.at_the_venue()
    assert green.ends() == 0


def test_a_strict_leader_is_fenced_while_redis_hangs_and_reconciles_when_it_answers(
    stage: Stage,
) -> None:
    server, blue, _ = stage
    blue.start(ttl_s=6).says("leading")
    until(lambda: blue.said("reconciled"), 10)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        until(lambda: any("no order leaves" in a["text"] for a in blue.said("alert")), 8)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    blue.says("reconciled", 2)
    before_ns = time.time_ns()
    until(lambda: blue.approved_since(before_ns) & blue.at_the_venue(), 20)
    assert not blue.said("lease_lost")
    assert blue.ends() == 0


def test_a_solo_trader_goes_on_without_redis(stage: Stage) -> None:
    server, blue, _ = stage
    blue.start("solo", ttl_s=1).says("ready")
    os.kill(server.pid, signal.SIGSTOP)
    stopped_ns = time.time_ns()
    time.sleep(4)
    os.kill(server.pid, signal.SIGCONT)
    went_on_ns = time.time_ns()
    blue.says("lease_taken_again")
    assert blue.ends() == 0
    made_meanwhile = blue.approved_since(stopped_ns + 10**9) - blue.approved_since(went_on_ns)
    assert made_meanwhile & blue.at_the_venue()


def test_a_second_trader_on_the_home_is_refused(stage: Stage) -> None:
    _, blue, _ = stage
    blue.start("solo").says("ready")
    second = subprocess.run(
        [*PROGRAM, "--role", "trading"],
        env=blue.environment("solo", TTL_S),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 6
    assert "another trader works in" in second.stderr
    assert blue.ends() == 0
