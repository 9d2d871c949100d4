"""One figure of a benchmark, in the shape that `betatrader bench --json` prints."""

import msgspec


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`ratio` is value over baseline; `met` says whether the goal is reached, None without one."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    goal: float | None = None
    met: bool | None = None
    note: str = ""


def at_most(name: str, value: float, unit: str, goal: float, note: str = "") -> Result:
    """A figure that should not exceed its goal."""
    return Result(name=name, value=value, unit=unit, goal=goal, met=value <= goal, note=note)


def at_least(name: str, value: float, unit: str, goal: float, note: str = "") -> Result:
    """A figure that should reach its goal."""
    return Result(name=name, value=value, unit=unit, goal=goal, met=value >= goal, note=note)


def quantile(ordered: list[int] | list[float], share: float) -> float:
    """The value below which this share of an ascending list lies; 0 for an empty one."""
    if not ordered:
        return 0.0
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])
