"""How long nobody trades where one trader follows another, with real processes.

The reference venue and Redis run in processes of their own, and two traders with a strict lease in
homes of their own: one leads, one waits. The leader is ended, by kill -9 or by SIGTERM (a clean
handover), the other takes over, and the first starts again as its standby, in its old home. The
times are read from the journals: all run on one machine's clock.

The first takeover is apart: the standby's home holds no journal yet, so that no order explains what
the account holds, and a balance is believed only at the venue's second word.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

from betatrader.bench.result import Result, at_most
from betatrader.model.account import OrderAccepted, Reconciled
from betatrader.model.command import Approved, Step
from betatrader.model.errors import UnreachableError, UsageError
from betatrader.model.instruction import Started
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.ops.process import die_with_parent
from betatrader.store.journal import Record
from betatrader.store.journal_reader import Reader

ROUNDS = 5
LEASE_S = 2.0
GOAL_KILLED_S = LEASE_S + 0.5
GOAL_HANDED_S = 0.25
WITHIN_S = 30.0
LOOK_S = 0.05
SETTLED_S = 1.0
"""How long the standby has been waiting when the leader ends."""

PROGRAM = (sys.executable, "-m", "betatrader")
QUICK = '[{name = "market_maker", parameters = {requote_seconds = 0.1}}]'
"""A strategy that soon has something to say: its first order shows that orders may leave."""

T = TypeVar("T")


class Takeover(NamedTuple):
    """Moments in seconds after the leader was told to end: its last order where that came later,
    the other's lease, its agreement with the venue, and its first order that the venue took."""

    last: float
    leading: float
    reconciled: float
    ordered: float


def run(progress: Callable[[str], None]) -> list[Result]:
    """Seconds, the median and the worst of five; raises UnreachableError."""
    with tempfile.TemporaryDirectory(prefix="bt-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(EmbeddedRedis(folder / "redis", folder))
        link = stack.enter_context(Venue(folder)).link
        started: list[Trader] = []

        def start() -> Trader:
            home = folder / ("blue", "green")[len(started) % 2]
            trader = Trader(home, server.url, link)
            started.append(stack.enter_context(trader))
            return trader

        def take_over(leader: Trader, how: signal.Signals) -> tuple[Trader, Takeover]:
            standby = start()
            until(lambda: standby.said("standby"), "the standby")
            time.sleep(SETTLED_S)
            took = _end(leader, standby, how)
            progress(f"failover: {how.name}: {_told(took)}")
            return standby, took

        leader = start()
        until(lambda: leader.first_order(0), "the first trader's first order")
        leader, new = take_over(leader, signal.SIGKILL)
        killed, handed = [], []
        for _ in range(ROUNDS):
            leader, took = take_over(leader, signal.SIGTERM)
            handed.append(took)
            leader, took = take_over(leader, signal.SIGKILL)
            killed.append(took)
    note = "the same where the standby's home is new"
    return [
        *_killed(killed),
        at_most("failover_killed_new_home_s", new.reconciled, "s", GOAL_KILLED_S, note),
        *_handed(handed),
    ]


def _end(leader: "Trader", standby: "Trader", how: signal.Signals) -> Takeover:
    ended_ns = time.time_ns()
    leader.process.send_signal(how)
    ordered_ns = until(lambda: standby.first_order(ended_ns), "the standby's first order")
    leader.process.wait(WITHIN_S)
    records = list(standby.records())
    leading_ns = next(r.time_ns for r in records if isinstance(r, Started))
    reconciled_ns = next(r.time_ns for r in records if isinstance(r, Reconciled))
    last_ns = max([ended_ns, *(r.time_ns for r in leader.records() if _orders(r))])
    moments = (last_ns, leading_ns, reconciled_ns, ordered_ns)
    return Takeover(*((moment - ended_ns) / 1e9 for moment in moments))


def _killed(found: list[Takeover]) -> Iterator[Result]:
    note = f"from kill -9 until orders may leave; lease {LEASE_S:g} s"
    yield from _both("failover_killed", [t.reconciled for t in found], GOAL_KILLED_S, note)
    yield from _both("failover_killed_lease", [t.leading for t in found], None, "of it: the lease")
    yield from _both("failover_killed_order", [t.ordered for t in found], None, "to an order taken")


def _handed(found: list[Takeover]) -> Iterator[Result]:
    gaps = [t.reconciled - t.last for t in found]
    note = "from SIGTERM, or an order after it, until orders of the other may leave"
    yield from _both("failover_handed", gaps, GOAL_HANDED_S, note)
    yield from _both("failover_handed_lease", [t.leading for t in found], None, "of it: the lease")
    yield from _both("failover_handed_order", [t.ordered for t in found], None, "to an order taken")


def _both(name: str, spans: list[float], goal: float | None, note: str) -> Iterator[Result]:
    for which, value in (("median", median(spans)), ("worst", max(spans))):
        full = f"{name}_{which}_s"
        if goal is None:
            yield Result(name=full, value=value, unit="s", note=note)
        else:
            yield at_most(full, value, "s", goal, note)


def _told(took: Takeover) -> str:
    return ", ".join(f"{name} {value:.3f} s" for name, value in took._asdict().items())


def until(look: Callable[[], T], what: str) -> T:
    """What `look` finds, as soon as it finds something true; raises UnreachableError."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(LOOK_S)
    raise UnreachableError(
        f"failover: {what} did not come in {WITHIN_S:.0f} s\n"
        "Is the machine busy? Try again; `betatrader up` shows whether a trader starts at all."
    )


def _orders(record: Record) -> bool:
    return isinstance(record, Step) and any(type(change) is Approved for change in record.changes)


def _environment(home: Path, **more: str) -> dict[str, str]:
    """Ours, without the configuration of whoever measures."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("BETATRADER_")}
    return {**kept, "BETATRADER_HOME": str(home), **more}


class _Process:
    """A process of ours with its output in a file, gone at the end whatever happens."""

    def __init__(self, arguments: list[str], home: Path, **more: str) -> None:
        home.mkdir(exist_ok=True)
        self._output = home / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603  our own program
                [*PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(home, **more),
                preexec_fn=die_with_parent,
            )

    def __enter__(self: "P") -> "P":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def lines(self) -> list[dict[str, object]]:
        """What it has said, line by line."""
        whole = self._output.read_text().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in whole if line.startswith("{")]


P = TypeVar("P", bound=_Process)


class Venue(_Process):
    """The reference venue, and where it is reached."""

    def __init__(self, folder: Path) -> None:
        super().__init__(["venue", "serve", "sim"], folder / "venue")
        self.link = ""

    def __enter__(self) -> "Venue":
        try:
            said = until(lambda: [x["link"] for x in self.lines() if "link" in x], "the venue")
        except BaseException:
            self.__exit__()
            raise
        self.link = str(said[0])
        return self


class Trader(_Process):
    """A trading role with a strict lease, and what its journal tells."""

    def __init__(self, home: Path, redis_url: str, link: str, durability: str = "shipped") -> None:
        self._before = len(list((home / "journal").glob("*")))
        super().__init__(
            ["--role", "trading"],
            home,
            REDIS_URL=redis_url,
            BETATRADER_HEALTH__PORT="0",
            BETATRADER_LEASE__MODE="strict",
            BETATRADER_JOURNAL__DURABILITY=durability,  # shipped: who takes over need not wait
            BETATRADER_LEASE__TTL_SECONDS=str(LEASE_S),
            BETATRADER_PAPER__LINK=link,
            BETATRADER_STRATEGIES=QUICK,
        )
        self._home = home

    def said(self, event: str) -> bool:
        """Whether its log has such a line."""
        return any(line.get("event") == event for line in self.lines())

    def records(self) -> Iterator[Record]:
        """Its own journal, as far as it is written."""
        for folder in sorted((self._home / "journal").glob("*"))[self._before :]:
            with suppress(UsageError):  # it is being opened
                yield from (entry.record for entry in Reader(folder))

    def first_order(self, after_ns: int) -> int:
        """When the venue took its first order after a moment; 0 where it has not yet."""
        taken = (r.time_ns for r in self.records() if isinstance(r, OrderAccepted))
        return next((time_ns for time_ns in taken if time_ns > after_ns), 0)
