"""What this day (UTC) has used up: the money that bought, and the orders that bought."""

import msgspec

DAY_NS = 86_400 * 1_000_000_000


class Today(msgspec.Struct):
    """Counts of one day. The clock may lag at an edge: a day that has begun stays begun."""

    day: int = 0
    bought: int = 0
    """What all fills of buys have cost, without fees."""
    buys: int = 0
    """How many buys were approved."""

    def fill(self, time_ns: int, paid: int) -> None:
        """A buy was filled."""
        self._roll(time_ns)
        self.bought += paid

    def order(self, time_ns: int) -> None:
        """A buy was approved."""
        self._roll(time_ns)
        self.buys += 1

    def at(self, time_ns: int) -> "tuple[int, int]":
        """Money and orders that count at this moment: none once another day has begun."""
        return (0, 0) if time_ns // DAY_NS > self.day else (self.bought, self.buys)

    def _roll(self, time_ns: int) -> None:
        day = time_ns // DAY_NS
        if day > self.day:
            self.day, self.bought, self.buys = day, 0, 0
