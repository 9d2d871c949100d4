"""What a link or a venue may do to a message: lose it, hold it back, say it twice; and which parts
of a venue are out of order. Pure."""

import random
from typing import NamedTuple


class Faults(NamedTuple):
    """Shares of messages, in 0..1, and how long a late one takes."""

    lost: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    late_s: float = 0.5
    unknown: float = 0.0
    """Of questions for the account: the share that does not see the orders of the last seconds."""
    down_orders: float = 0.0
    """Of new orders: the share that a partial outage leaves undone; half are left unanswered."""
    down_cancels: float = 0.0
    down_queries: float = 0.0
    limited_orders: float = 0.0
    """Of new orders: the share that meets the venue's rate limit."""
    limited_cancels: float = 0.0
    limited_queries: float = 0.0
    ahead_s: float = 0.0
    """How far the venue's clock is ahead of ours; behind it where negative."""


ORDERS, CANCELS, QUERIES = "orders", "cancels", "queries"
"""The parts of a venue that fail alone."""

SILENT, DOWN, LIMITED = "silent", "down", "limited"
"""What a request meets: nobody hears it; it is told that the part is down, or that it came too
often. Nothing was done."""


class FaultyLink:
    """Decides each message's fate from a seed; what is late is overtaken by what is not."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.faults = faults
        self._chance = random.Random(f"link {seed}")  # noqa: S311  a seed, to be repeated
        self._of_parts = random.Random(f"parts {seed}")  # noqa: S311  apart: the others stay as is
        self.counts = {"lost": 0, "late": 0, "twice": 0, "unknown": 0}
        self.counts |= {SILENT: 0, DOWN: 0, LIMITED: 0}

    @property
    def ahead_ns(self) -> int:
        """How far the venue's clock is ahead of ours."""
        return int(self.faults.ahead_s * 1e9)

    @property
    def fails(self) -> bool:
        """Whether any part of the venue is out of order now."""
        faults = self.faults
        return any(
            getattr(faults, f"{kind}_{part}")
            for kind in ("down", "limited")
            for part in (ORDERS, CANCELS, QUERIES)
        )

    def meets(self, part: str) -> str:
        """What the next request to a part meets: SILENT, DOWN, LIMITED; empty: it is heard."""
        found, chance = "", self._of_parts
        if chance.random() < getattr(self.faults, f"down_{part}"):
            found = chance.choice((SILENT, DOWN))
        elif chance.random() < getattr(self.faults, f"limited_{part}"):
            found = LIMITED
        if found:
            self.counts[found] += 1
        return found

    def deliveries(self) -> list[float]:
        """After how many seconds the next message arrives, each time that it does."""
        faults, chance = self.faults, self._chance
        if chance.random() < faults.lost:
            self.counts["lost"] += 1
            return []
        delays = [0.0]
        if chance.random() < faults.late:
            self.counts["late"] += 1
            delays = [chance.uniform(0.0, faults.late_s)]
        if chance.random() < faults.twice:
            self.counts["twice"] += 1
            delays.append(chance.uniform(0.0, faults.late_s))
        return delays

    def forgets(self) -> bool:
        """Whether an answer to a question does not know what is new."""
        found = self._chance.random() < self.faults.unknown
        self.counts["unknown"] += found
        return found
