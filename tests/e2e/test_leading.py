"""Two traders on one account: the lease lets one send, and the other takes over."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

from running import PROGRAM, environment, until

from betatrader.ops.embedded_redis import EmbeddedRedis

TTL_S = 2.0


def trader(url: str, home: Path, mode: str = "strict") -> "subprocess.Popen[str]":
    log = (home.parent / f"{home.name}.log").open("a")
    with log:
        return _process(url, home, mode, log)


def _process(url: str, home: Path, mode: str, log: IO[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*PROGRAM, "--role", "trading"],
        env=environment(
            REDIS_URL=url,
            BETATRADER_HEALTH__PORT="0",
            BETATRADER_HOME=str(home),
            BETATRADER_LEASE__MODE=mode,
            BETATRADER_LEASE__TTL_SECONDS=str(TTL_S),
        ),
        stdout=subprocess.DEVNULL,
        stderr=log,
        text=True,
    )


def said(home: Path, event: str) -> list[dict]:  # type: ignore[type-arg]
    """The log lines of one event, by the trader of a home."""
    lines = (home.parent / f"{home.name}.log").read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def test_kill_9_and_a_clean_end_hand_the_lease_on_with_a_growing_epoch(own_home: Path) -> None:
    blue_home, green_home = own_home.parent / "blue", own_home.parent / "green"
    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as server:
        blue = trader(server.url, blue_home)
        until(lambda: said(blue_home, "ready"), 15)
        green = trader(server.url, green_home)
        until(lambda: said(green_home, "standby"), 15)
        assert said(green_home, "ready"), (
            "a standby is ready: a deploy does not wait for leadership"
        )
        assert not said(green_home, "leading")

        blue.send_signal(signal.SIGTERM)
        assert blue.wait(15) == 0
        until(lambda: said(green_home, "leading"), 5)

        blue = trader(server.url, blue_home)
        until(lambda: len(said(blue_home, "standby")) == 1, 15)
        killed = time.monotonic()
        green.kill()
        green.wait(5)
        until(lambda: len(said(blue_home, "leading")) == 2, TTL_S + 5)
        print(
            f"takeover after kill -9: {time.monotonic() - killed:.2f} s with a lease of {TTL_S} s"
        )
        blue.send_signal(signal.SIGTERM)
        assert blue.wait(15) == 0
    epochs = [
        said(home, "leading")[n]["epoch"]
        for home, n in ((blue_home, 0), (green_home, 0), (blue_home, 1))
    ]
    assert epochs == sorted(set(epochs))


def test_a_paused_leader_wakes_fenced_and_ends(own_home: Path) -> None:
    """The process sleeps past its lease, another leads, it wakes: it must send nothing."""
    blue_home, green_home = own_home.parent / "blue", own_home.parent / "green"
    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as server:
        blue = trader(server.url, blue_home)
        until(lambda: said(blue_home, "ready"), 15)
        green = trader(server.url, green_home)
        until(lambda: said(green_home, "standby"), 15)
        blue.send_signal(signal.SIGSTOP)
        until(lambda: said(green_home, "leading"), TTL_S + 10)
        blue.send_signal(signal.SIGCONT)
        assert blue.wait(20) != 0
        assert said(blue_home, "lease_lost")
        green.send_signal(signal.SIGTERM)
        assert green.wait(15) == 0


def test_a_second_trader_on_the_home_is_refused(own_home: Path) -> None:
    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as server:
        first = trader(server.url, own_home.parent / "blue", "solo")
        until(lambda: said(own_home.parent / "blue", "ready"), 15)
        second = subprocess.run(
            [*PROGRAM, "--role", "trading"],
            env={
                **os.environ,
                "REDIS_URL": server.url,
                "BETATRADER_HEALTH__PORT": "0",
                "BETATRADER_HOME": str(own_home.parent / "blue"),
            },
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert second.returncode == 6
        assert "another trader works in" in second.stderr
        first.send_signal(signal.SIGTERM)
        assert first.wait(15) == 0
