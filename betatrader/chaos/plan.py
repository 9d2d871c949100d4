"""What goes wrong in a run, and when: drawn from its seed, a few bytes, and to be shrunk."""

import random
from typing import NamedTuple

FIRST_S, LAST_S = 4.0, 34.0
"""Faults begin within this time."""

FEWEST, MOST = 5, 9
GUARDED = 0.34
"""The share of seeds whose account is near its limits."""


class Fault(NamedTuple):
    """One fault: its kind, when it comes (virtual seconds), how long it lasts, and how far it goes.

    `size` is a fraction in [0, 1): what it means depends on the kind.
    """

    kind: str
    at_s: float
    lasts_s: float
    size: float


class Plan(NamedTuple):
    """One run: `pair` is two traders under a strict lease, whose journal is shipped, or `local` (an
    order does not wait for Redis); else one trader alone with a solo lease and its disk. `guarded`:
    the account is near its limits, and an operator steps in."""

    seed: int
    pair: bool
    faults: tuple[Fault, ...]
    venue: str = "sim"
    guarded: bool = False
    local: bool = False

    @property
    def shipped(self) -> bool:
        """Whether an order waits until Redis has its record."""
        return self.pair and not self.local


TRADER = {"kill": 3, "kill_at_order": 5, "kill_in_write": 4, "pause": 2, "end": 2, "clock": 1}
VENUE = {
    "venue_restart": 1,
    "rate_limit": 1,
    "venue_cut": 2,
    "venue_away": 2,
    "lost": 2,
    "late": 2,
    "twice": 1,
    "unknown": 2,
    "lagging": 1,
}
PARTS = {
    "partial_outage_orders": 2,
    "partial_outage_cancels": 1,
    "partial_outage_queries": 2,
    "rate_limit_cancels": 1,
    "rate_limit_queries": 2,
    "clock_skew": 4,
}
"""Of a venue too, and drawn apart."""

MORE = 0.7
"""The share of seeds that have one or two of them besides their other faults."""

REDIS = {
    "redis_away": 2,
    "redis_hangs": 1,
    "redis_slow": 1,
    "redis_loses_answers": 1,
    "redis_full": 1,
}
CLOCK = "redis_clock"
"""The server's own clock is set, and set right again: a lease may end early, or late."""

CLOCKED = 0.35
"""The share of pairs where it is, once or twice."""

LOCAL = 0.2
"""The share of pairs whose journals do not wait for Redis."""

DISK = {"wipe": 2, "power_cut": 2, "disk_full": 1, "sync_fails": 1}
OPERATOR = {"halt": 2, "reduce": 2, "flatten": 1, "cancel_all": 1}
"""What is no fault: orders of a person."""

REDIS_LOSS = {"redis_empty": 2, "redis_older": 2}

LONGEST = {
    "pause": 5.0,
    "redis_hangs": 5.0,
    "redis_away": 4.0,
    "disk_full": 2.0,
    "sync_fails": 0.5,
    "venue_away": 4.0,
    "clock_skew": 30.0,
    "redis_clock": 6.0,
}
SETTLE_S = 8.0
"""After Redis has lost data the leader ships anew: to lose that leader too before it has is to
lose both homes, which nothing survives."""


def make(seed: int, venue: str = "sim") -> Plan:
    """The plan of a seed, at a venue (`venues.VENUES`)."""
    chance = random.Random(f"plan {seed}")  # noqa: S311  a seed, to be repeated
    pair = chance.random() < 0.75
    loses_redis = pair and chance.random() < 0.3
    kinds = {**TRADER, **VENUE, **REDIS}
    if loses_redis:
        kinds |= REDIS_LOSS
    else:
        kinds |= DISK if pair else {name: DISK[name] for name in DISK if name != "wipe"}
    count = chance.randint(FEWEST, MOST)
    times = sorted(chance.uniform(FIRST_S, LAST_S) for _ in range(count))
    faults: list[Fault] = []
    lost_at = harmed_at = -SETTLE_S
    for at in times:
        open_kinds = {
            name: weight
            for name, weight in kinds.items()
            if name in VENUE
            or (at >= lost_at + SETTLE_S and not (name in REDIS_LOSS and at < harmed_at + SETTLE_S))
        }
        kind = chance.choices(list(open_kinds), list(open_kinds.values()))[0]
        lasts = chance.uniform(0.1, LONGEST.get(kind, 3.0))
        faults.append(Fault(kind, round(at, 3), round(lasts, 3), round(chance.random(), 3)))
        if kind in REDIS_LOSS:
            lost_at = at
        elif kind not in VENUE:
            harmed_at = at + lasts
    guarded, orders = _operated(seed, faults)
    clocked = _of_its_clock(seed) if pair else []
    faults = sorted(faults + orders + _of_parts(seed) + clocked, key=lambda fault: fault.at_s)
    local = pair and random.Random(f"local {seed}").random() < LOCAL  # noqa: S311  a seed
    return Plan(seed, pair, tuple(faults), venue, guarded, local)


def _of_its_clock(seed: int) -> list[Fault]:
    """Steps of the server's clock, one after the other."""
    chance = random.Random(f"redis clock {seed}")  # noqa: S311  a seed, to be repeated
    if chance.random() >= CLOCKED:
        return []
    found, at = [], FIRST_S
    for _ in range(chance.randint(1, 2)):
        at, lasts = chance.uniform(at, LAST_S), chance.uniform(0.3, LONGEST[CLOCK])
        found.append(Fault(CLOCK, round(at, 3), round(lasts, 3), round(chance.random(), 3)))
        at = min(at + lasts, LAST_S)
    return found


def _of_parts(seed: int) -> list[Fault]:
    """What fails of a venue while the rest of it works, and its clock."""
    chance = random.Random(f"parts {seed}")  # noqa: S311  a seed, to be repeated
    if chance.random() >= MORE:
        return []
    found = []
    for kind in chance.choices(list(PARTS), list(PARTS.values()), k=chance.randint(1, 2)):
        at, lasts = chance.uniform(FIRST_S, LAST_S), chance.uniform(0.3, LONGEST.get(kind, 3.0))
        found.append(Fault(kind, round(at, 3), round(lasts, 3), round(chance.random(), 3)))
    return found


def _operated(seed: int, faults: list[Fault]) -> tuple[bool, list[Fault]]:
    """Whether a seed's account is guarded, and what its operator orders: shortly before something
    befalls a trader, where it is easiest forgotten."""
    chance = random.Random(f"operator {seed}")  # noqa: S311  a seed, to be repeated
    if chance.random() >= GUARDED:
        return False, []
    times = [fault.at_s for fault in faults if fault.kind in {**TRADER, **DISK}]
    count = chance.randint(1, 2)
    chosen = chance.sample(times, count) if len(times) > count else times or [FIRST_S]
    orders = []
    for at in chosen:
        [kind] = chance.choices(list(OPERATOR), list(OPERATOR.values()))
        early, lasts = chance.uniform(0.2, 1.0), chance.uniform(1.0, 4.0)
        orders.append(Fault(kind, round(at - early, 3), round(lasts, 3), round(chance.random(), 3)))
    return True, orders
