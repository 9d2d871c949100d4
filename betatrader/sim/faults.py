"""What a link or a venue may do to a message: lose it, hold it back, say it twice. Pure."""

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


class FaultyLink:
    """Decides each message's fate from a seed; what is late is overtaken by what is not."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.faults = faults
        self._chance = random.Random(f"link {seed}")  # noqa: S311  a seed, to be repeated
        self.counts = {"lost": 0, "late": 0, "twice": 0, "unknown": 0}

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
