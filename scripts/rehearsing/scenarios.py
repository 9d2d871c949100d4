"""What is rehearsed: each scenario begins with a leader that trades, and ends with one.

A deploy goes as blue/green does at fly: green starts beside blue, is let in once its health check
passes, and then blue is told to end; a green that does not pass is taken away.
"""

import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from stage import BrokenRehearsal, Stage, Trader

from betatrader.model.errors import RefusedError, UsageError

SETTLED_S = 0.4
"""How long green stands ready before blue is told to end."""

NEVER_S = 3.0
"""How long a health check may fail before green is taken away."""

KILLED_AFTER_S = 0.01
KILL_TRIES = 4
AWAY_S = 1.0


class Scenario(NamedTuple):
    """`clean` says that blue ends by itself, so that the gap counts."""

    name: str
    play: Callable[[Stage], str]
    clean: bool = True


def _green(stage: Stage, version: str) -> Trader:
    green = stage.start(version)
    stage.until(lambda: green.is_ready() or not green.runs(), f"{green.name} ready")
    expect(green.runs(), f"{green.name} ended: {green.told()[-2:]}")
    time.sleep(SETTLED_S)
    return green


def _takes_over(stage: Stage, green: Trader) -> None:
    stage.until(lambda: green.said("leading"), f"{green.name} leading")
    stage.leader = green
    stage.goes_on()


def expect(holds: bool, text: str) -> None:
    """Raises BrokenRehearsal."""
    if not holds:
        raise BrokenRehearsal(text)


def to(version: str) -> Callable[[Stage], str]:
    """Blue/green to a version."""

    def play(stage: Stage) -> str:
        blue, green = stage.leader, _green(stage, version)
        stage.strike(blue, signal.SIGTERM)
        _takes_over(stage, green)
        expect(blue.ended() == 0, f"{blue.name} drained with {blue.process.returncode}")
        return f"{blue.name} handed over to {green.name}"

    return play


def unconfirmed(version: str) -> Callable[[Stage], str]:
    """The same across the schema step: nothing of the newer schema is written."""

    def play(stage: Stage) -> str:
        told = to(version)(stage)
        found = stage.shipped()
        expect(found == {1: False}, f"schema 2 is not confirmed, and Redis holds {found}")
        return f"{told}; all is written in schema 1"

    return play


def crashes(stage: Stage) -> str:
    """A build that ends at its start."""
    blue, green = stage.leader, stage.start("crashes")
    status = green.ended()
    expect(status != 0, "a broken build ended well")
    expect(blue.runs(), f"{blue.name} ended too")
    stage.goes_on()
    return f"{green.name} ended with {status}, and {blue.name} goes on"


def never_ready(stage: Stage) -> str:
    """A build whose health check never passes."""
    blue, green = stage.leader, stage.start("never ready")
    stage.until(lambda: green.said("starting"), f"{green.name} starting")
    deadline = time.monotonic() + NEVER_S
    while time.monotonic() < deadline:
        expect(not green.is_ready(), f"{green.name} is ready")
        time.sleep(0.1)
    stage.strike(green, signal.SIGKILL)
    green.ended()
    stage.goes_on()
    return f"{green.name} was taken away, and {blue.name} goes on"


def killed(version: str) -> Callable[[Stage], str]:
    """kill -9 of blue while it hands over. One that has drained before the kill reached it proves
    nothing: the next is struck sooner."""

    def play(stage: Stage) -> str:
        wait_s = KILLED_AFTER_S
        for _ in range(KILL_TRIES):
            blue, green = stage.leader, _green(stage, version)
            stage.strike(blue, signal.SIGTERM)
            time.sleep(wait_s)
            stage.strike(blue, signal.SIGKILL)
            status = blue.ended()
            expect(status in (0, -signal.SIGKILL), f"{blue.name} ended with {status}")
            _takes_over(stage, green)
            if status == -signal.SIGKILL:
                return f"{blue.name} was killed as it drained, {green.name} took over"
            wait_s /= 4
        raise BrokenRehearsal(f"blue drained before the kill, {KILL_TRIES} times")

    return play


def redis_gone(version: str) -> Callable[[Stage], str]:
    """Redis goes away as blue hands over, and comes back with its data."""

    def play(stage: Stage) -> str:
        blue, green = stage.leader, _green(stage, version)
        stage.kill_redis()
        stage.strike(blue, signal.SIGTERM)
        time.sleep(AWAY_S)
        stage.restart_redis()
        _takes_over(stage, green)
        status = blue.ended()
        return (
            f"{blue.name} ended with {status}, {green.name} leads once a lease may be given again"
        )

    return play


def confirmed(stage: Stage) -> str:
    """The step itself: the leader writes schema 2; whoever reads only 1 says so, and ends."""
    blue, behind = stage.leader, _green(stage, "this")
    stage.confirm(2)
    stage.until(lambda: stage.shipped().get(2), "schema 2 in Redis")
    status = behind.ended()
    expect(status == UsageError.exit_status, f"{behind.name} ended with {status}")
    expect(
        "has schema 2, and this version reads 1 to 1" in " ".join(behind.told()),
        f"{behind.name} said {behind.told()}",
    )
    late = stage.start("this")
    status = late.ended()
    expect(status == RefusedError.exit_status, f"{late.name} ended with {status}")
    said = late.told()
    expect(len(said) == 2 and "schema 2 is confirmed by a release" in said[0], f"it said {said}")
    expect(blue.runs(), f"{blue.name} ended")
    stage.goes_on()
    return f"{blue.name} writes schema 2; {behind.name} and {late.name} were refused: {said[0]}"


SIM = (
    Scenario("upgrade", to("patch")),
    Scenario("broken upgrade: crashes", crashes, clean=False),
    Scenario("broken upgrade: never ready", never_ready, clean=False),
    Scenario("rollback", to("this")),
    Scenario("upgrade to schema 2, not confirmed", unconfirmed("next")),
    Scenario("downgrade before schema 2 is confirmed", unconfirmed("this")),
    Scenario("blue killed in the handover", killed("next"), clean=False),
    Scenario("schema 2 confirmed, downgrade refused", confirmed, clean=False),
    Scenario("upgrade within schema 2", to("later")),
    Scenario("one release back after the step", to("next")),
    Scenario("Redis gone in the handover", redis_gone("later"), clean=False),
)
BINANCE = (
    Scenario("upgrade to schema 2, not confirmed", unconfirmed("next")),
    Scenario("downgrade before schema 2 is confirmed", unconfirmed("this")),
    Scenario("blue killed in the handover", killed("next"), clean=False),
)
VENUES = {"sim": SIM, "binance": BINANCE}
FIRST = "this"
