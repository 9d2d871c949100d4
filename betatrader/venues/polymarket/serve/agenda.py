"""What is to happen at a later time, on the clock that the caller keeps."""

from collections.abc import Callable
from heapq import heappop, heappush

NEVER = 1 << 62
"""A time that does not come."""


class Agenda:
    """Things to do, each at its time, and those of one time in the order in which they came."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    @property
    def next_due_ns(self) -> int:
        """When the next thing is due."""
        return self._due[0][0] if self._due else NEVER

    def at(self, due_ns: int, act: Callable[[], None]) -> None:
        """Do this at that time."""
        self._count += 1
        heappush(self._due, (due_ns, self._count, act))

    def run_next(self) -> None:
        """Do the next thing now."""
        heappop(self._due)[2]()
