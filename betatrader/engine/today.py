"""What this day (UTC) has used up: the money that bought, and the orders that bought."""

from dataclasses import dataclass

DAY_NS = 86_400 * 1_000_000_000


@dataclass(slots=True)
class Today:
    """Counts of one day. The clock may lag at an edge: a day that has begun stays begun."""

    ends_ns: int = 0
    bought: int = 0
    """What all fills of buys have cost, without fees."""
    buys: int = 0
    """How many buys were approved."""

    def begin(self, time_ns: int) -> None:
        """Another day has begun."""
        self.ends_ns, self.bought, self.buys = (time_ns // DAY_NS + 1) * DAY_NS, 0, 0

    def fill(self, time_ns: int, paid: int) -> None:
        """A buy was filled."""
        if time_ns >= self.ends_ns:
            self.begin(time_ns)
        self.bought += paid

    def at(self, time_ns: int) -> "tuple[int, int]":
        """Money and orders that count at this moment: none once another day has begun."""
        return (0, 0) if time_ns >= self.ends_ns else (self.bought, self.buys)
