"""Counts each loss of a venue's connection, and tells where a venue is lost again and again.

One loss is told by the engine, with its reason. A connection that comes back at once each time
would look well at any moment, and no order would live for long.
"""

from collections import deque
from collections.abc import Callable

from betatrader.model.account import VenueConnection
from betatrader.ops import metrics

OFTEN, WITHIN_NS = 5, 600_000_000_000
"""So many losses of one venue within so long are told; then the count begins anew."""


class Reconnects:
    """Sees every `VenueConnection` of a trader that leads; `alert` gets a level and a sentence."""

    def __init__(self, alert: Callable[[str, str], None]) -> None:
        self._alert = alert
        self._lost: dict[str, deque[int]] = {}

    def note(self, event: VenueConnection) -> None:
        """Count it, where it is a loss."""
        if event.up:
            return
        metrics.VENUE_LOST.labels(event.venue).inc()
        lost = self._lost.setdefault(event.venue, deque(maxlen=OFTEN))
        lost.append(event.time_ns)
        if len(lost) == OFTEN and event.time_ns - lost[0] <= WITHIN_NS:
            lost.clear()
            minutes = WITHIN_NS // 60_000_000_000
            text = f"{event.venue} was lost {OFTEN} times in {minutes} minutes or less"
            self._alert("error", f"{text}, the last time: {event.reason}")
