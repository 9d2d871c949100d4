"""What became of it, counted: the venue's ledger beside the journals of all traders."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from scenarios import Scenario, expect
from stage import Moment, Stage, Trader, environment

MS = 1_000_000

GOAL_GAP_MS = 250.0
"""How long nobody may order on a clean handover: the median of a run's, since one of them may meet
a machine that is busy with something else."""

EACH_GAP_MS = 1000.0
"""What each of them must keep besides: half of the lease (2 s), so that it was handed over, and
not waited for."""


class Record(NamedTuple):
    """One record of a journal, and which trader wrote it."""

    kind: str
    at_ns: int
    text: str
    trader: str


class Window(NamedTuple):
    """When a scenario was played, and the orders that the venue had before it."""

    scenario: Scenario
    note: str
    began_ns: int
    ended_ns: int
    orders_before: int


class Outcome(NamedTuple):
    """One scenario. `gap_ms` is from blue's last order, or the signal to end, until green might
    send its first; None where blue did not end by itself."""

    name: str
    note: str
    orders: int
    lost: int
    doubled: int
    unexplained: int
    gap_ms: float | None
    window: Window
    records: list[Record]
    moments: list[Moment]


def read(stage: Stage) -> list[Record]:
    """Every journal, read by the newest version."""
    homes = [home for home in stage.homes() if (home / "journal").is_dir()]
    done = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name("told.py")), *map(str, homes)],
        env=environment(stage.trees["later"]),
        capture_output=True,
        text=True,
        timeout=60,
    )
    expect(done.returncode == 0, f"the journals cannot be read: {done.stderr[-500:]}")
    told = json.loads(done.stdout)
    early = {
        text
        for records in told.values()
        for kind, _, text in records
        if kind == "added" and text != "2"
    }
    expect(not early, f"what schema 2 adds stands in journals of schema {', '.join(early)}")
    return sorted(
        (
            Record(kind, at_ns, text, _writer(stage, home, at_ns))
            for home, records in told.items()
            for kind, at_ns, text in records
        ),
        key=lambda record: record.at_ns,
    )


def _writer(stage: Stage, home: str, at_ns: int) -> str:
    own = [trader for trader in stage.traders if str(trader.home) == home]
    return ([t for t in own if t.began_ns <= at_ns] or own)[-1].name


def judge(
    stage: Stage, windows: list[Window], records: list[Record], orders: list[str]
) -> list[Outcome]:
    """Each scenario counted; `orders` are those that the venue took, in their order."""
    ends = [window.orders_before for window in windows[1:]] + [len(orders)]
    return [
        _outcome(window, orders[window.orders_before : end], records, stage.moments, set(orders))
        for window, end in zip(windows, ends, strict=True)
    ]


def _outcome(
    window: Window,
    taken: list[str],
    records: list[Record],
    moments: list[Moment],
    at_venue: set[str],
) -> Outcome:
    made = Counter(r.text for r in records if r.kind == "approved")
    here = [r for r in records if window.began_ns <= r.at_ns < window.ended_ns]
    believed = {r.text for r in here if r.kind == "accepted"}
    lost = [name for name in taken if name not in made] + sorted(believed - at_venue)
    doubled = [name for name in taken if made[name] > 1]
    shown = [m for m in moments if window.began_ns <= m.at_ns < window.ended_ns]
    return Outcome(
        name=window.scenario.name,
        note=window.note,
        orders=len(taken),
        lost=len(lost),
        doubled=len(doubled) + len(taken) - len(set(taken)),
        unexplained=sum(r.kind == "unexplained" for r in here),
        gap_ms=_gap(here, shown) if window.scenario.clean else None,
        window=window,
        records=here,
        moments=shown,
    )


def _gap(records: list[Record], moments: list[Moment]) -> float:
    told = next(m for m in moments if m.what == signal.SIGTERM.name)
    last = [r.at_ns for r in records if r.kind == "approved" and r.trader == told.trader]
    free = next(r.at_ns for r in records if r.kind == "reconciled" and r.trader != told.trader)
    return (free - max([told.at_ns, *last])) / MS


class Books(NamedTuple):
    """The whole run: the last trader's account beside the venue's."""

    orders: int
    fills: int
    fills_booked: int
    resting: int
    refused: int
    seconds: float
    unequal: list[str]
    """The invariants that do not hold: of cash, fees, positions and more."""


def gap_ms(outcomes: list[Outcome]) -> float | None:
    """The median of the clean handovers; None where there was none."""
    gaps = [one.gap_ms for one in outcomes if one.gap_ms is not None]
    return median(gaps) if gaps else None


def too_long(outcomes: list[Outcome]) -> list[str]:
    """The clean handovers that took too long, and "the median" where that did."""
    gap = gap_ms(outcomes)
    each = [o.name for o in outcomes if o.gap_ms is not None and o.gap_ms > EACH_GAP_MS]
    return [*each, *(["the median"] if gap is not None and gap > GOAL_GAP_MS else [])]


def sound(books: Books, outcomes: list[Outcome]) -> bool:
    """Whether nothing was lost or doubled, the books are equal, and no handover took too long."""
    counted = all(o.orders > 0 and not (o.lost or o.doubled or o.unexplained) for o in outcomes)
    equal = not books.unequal and books.fills == books.fills_booked and not books.resting
    return counted and equal and not too_long(outcomes)


def end(stage: Stage, began: float) -> tuple[Books, list[str]]:
    """End the leader, and compare; besides, every order that the venue took."""
    leader: Trader = stage.leader
    stage.strike(leader, signal.SIGTERM)
    expect(leader.ended() == 0, f"{leader.name} drained with {leader.process.returncode}")
    ledger = stage.ledger()
    newest = max((leader.home / "reports").iterdir(), key=lambda path: path.name)
    summary: dict[str, Any] = json.loads((newest / "summary.json").read_bytes())
    expect(bool(summary["invariants"]), f"{leader.name} could not compare its books")
    books = Books(
        orders=len(ledger.orders),
        fills=ledger.fill_count,
        fills_booked=summary["fills"],
        resting=len(ledger.working),
        refused=ledger.refused,
        seconds=round(time.monotonic() - began, 1),
        unequal=[name for name, holds in summary["invariants"].items() if not holds],
    )
    return books, list(ledger.orders)
