"""The ladder to real money: paper, shadow, micro, full; and what each step needs of the one before.

Pure: a record goes in, what it lacks comes out, in sentences. docs/going-live.md says the same.
"""

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import msgspec

LEAST_S = 6 * 3600
"""A day (UTC) counts from so many seconds of trading on."""

DEARER_PPM = 2_500
"""How much more of their worth fills may cost than the simulated ones did: 0.25%."""

MILLION = 1_000_000


class Stage(StrEnum):
    """The steps, in their order."""

    PAPER = "paper"
    SHADOW = "shadow"
    MICRO = "micro"
    FULL = "full"


class Day(msgspec.Struct):
    """What one day at one stage and venue has shown; money in units of 10^-8 USD."""

    seconds: int = 0
    """Of trading: led, connected, the books compared."""
    orders: int = 0
    ordered: int = 0
    """What the orders were worth at their prices."""
    fills: int = 0
    filled: int = 0
    """What the fills were worth."""
    cost: int = 0
    """Fees, and how far each fill was from the middle of the market as it was reported."""
    signed: int = 0
    unfit: int = 0
    """Orders that had no form at the venue, so that they could not be signed."""
    unexplained: int = 0
    """Differences to the venue's books that no order of ours explains."""

    def add(self, other: "Day") -> None:
        """Count another day's in."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Record(msgspec.Struct):
    """All days at one venue: by stage, then by date."""

    days: dict[str, dict[str, Day]] = msgspec.field(default_factory=dict)

    def day(self, stage: Stage, date: str) -> Day:
        """One day, to be counted on."""
        return self.days.setdefault(stage, {}).setdefault(date, Day())

    def merge(self, other: "Record") -> None:
        """Take over each day of which another copy of the same record knows more."""
        for stage, days in other.days.items():
            ours = self.days.setdefault(stage, {})
            for date, day in days.items():
                if date not in ours or day.seconds > ours[date].seconds:
                    ours[date] = day


class Allowed(msgspec.Struct, frozen=True):
    """A person's stated override of what a stage needs, at these places."""

    id: str
    stage: str
    places: tuple[str, ...]
    author: str
    reason: str
    time_ns: int


class Need(NamedTuple):
    """What a stage asks of the one before."""

    of: Stage
    days: int
    fills: int = 0
    signed: int = 0


NEEDS = {
    Stage.SHADOW: Need(Stage.PAPER, days=3, fills=20),
    Stage.MICRO: Need(Stage.SHADOW, days=2, signed=20),
    Stage.FULL: Need(Stage.MICRO, days=5, fills=10),
}


def lacking(stage: Stage, record: Record) -> tuple[str, ...]:
    """What keeps from entering a stage, in sentences; nothing where the record has all of it."""
    need = NEEDS.get(stage)
    if need is None:
        return ()
    found, counted, since = _last(record, need)
    told = []
    if counted < need.days:
        hours = LEAST_S // 3600
        told.append(f"{counted} of {need.days} days with {hours} hours and more")
    if found.fills < need.fills:
        told.append(f"{found.fills} of {need.fills} fills")
    if found.signed < need.signed:
        told.append(f"{found.signed} of {need.signed} signed orders")
    if found.unfit:
        told.append(f"{found.unfit} orders without a form at the venue since {since}")
    if found.unexplained:
        told.append(f"{found.unexplained} differences that nothing explains since {since}")
    if stage is Stage.FULL:
        told += _apart(found, simulated(record))
    return tuple(f"{need.of}: {text}" for text in told)


def simulated(record: Record) -> Day:
    """All days of simulated fills together: what real ones are held to."""
    total = Day()
    for stage in (Stage.PAPER, Stage.SHADOW):
        for day in record.days.get(stage, {}).values():
            total.add(day)
    return total


def _last(record: Record, need: Need) -> tuple[Day, int, str]:
    """The days asked for, the last that count and all between: their sum, how many of them count,
    and the first one's date."""
    days = record.days.get(need.of, {})
    counted = sorted(date for date, day in days.items() if day.seconds >= LEAST_S)[-need.days :]
    since = counted[0] if len(counted) == need.days else min(days, default="")
    total = Day()
    for date, day in days.items():
        if date >= since:
            total.add(day)
    return total, len(counted), since


def _apart(real: Day, paper: Day) -> list[str]:
    """How far real fills are from the simulated ones, where that is too far."""
    if not paper.filled or not paper.ordered:
        return ["no simulated fills to compare with"]
    if not real.filled or not real.ordered:
        return []
    told = []
    costs, usual = real.cost * MILLION // real.filled, paper.cost * MILLION // paper.filled
    if costs > usual + DEARER_PPM:
        told.append(f"fills cost {_percent(costs)}, simulated ones {_percent(usual)}")
    share, common = real.filled * MILLION // real.ordered, paper.filled * MILLION // paper.ordered
    if 2 * share < common:
        told.append(f"{_percent(share)} was filled, of simulated orders {_percent(common)}")
    return told


def _percent(ppm: int) -> str:
    return f"{Decimal(ppm) / 10_000:.2f}%"
