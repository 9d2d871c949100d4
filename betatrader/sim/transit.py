"""What is under way to and from the simulated venue: each request and report takes one latency."""

from heapq import heappop, heappush
from typing import Any

from betatrader.model.account import Fill, OrderEvent
from betatrader.model.command import CancelOrder, SubmitOrder
from betatrader.sim.custody import US, Custody

NEVER = 1 << 62  # a time that does not come


class Transit(Custody):
    """Takes requests, lets them arrive in time, and brings reports back to their owners."""

    def __init__(self, latency_ns: int) -> None:
        super().__init__()
        self.latency_ns = latency_ns
        self.next_due_ns = NEVER
        self._due: list[tuple[int, int, str, Any]] = []
        self._outbox: dict[str, list[OrderEvent]] = {}
        self._sequence = 0

    def _arrive(self, command: SubmitOrder, now_ns: int, owner: str) -> None:
        """An order arrives: the venue's own."""
        raise NotImplementedError

    def _arrive_cancel(self, command: CancelOrder, now_ns: int, owner: str) -> None:
        """A cancel arrives: the venue's own."""
        raise NotImplementedError

    def submit(self, command: SubmitOrder, now_ns: int, owner: str = US) -> None:
        """Take an order under way; it arrives one latency later."""
        self._later(now_ns + self.latency_ns, owner, command)

    def cancel(self, command: CancelOrder, now_ns: int, owner: str = US) -> None:
        """Take a cancel under way; it arrives one latency later."""
        self._later(now_ns + self.latency_ns, owner, command)

    def advance(self, now_ns: int, owner: str = US) -> list[OrderEvent]:
        """Let time pass: requests that are due arrive, an owner's reports that are due return.

        Reports to others wait until they ask.
        """
        for whose, report in self.deliver(now_ns):
            self._outbox.setdefault(whose, []).append(report)
        return self._outbox.pop(owner, [])

    def deliver(self, now_ns: int) -> list[tuple[str, OrderEvent]]:
        """Let time pass: the reports that are due, with their owners."""
        reports: list[tuple[str, OrderEvent]] = []
        while self._due and self._due[0][0] <= now_ns:
            due, _, whose, item = heappop(self._due)
            if isinstance(item, SubmitOrder):
                self._arrive(item, due, whose)
            elif isinstance(item, CancelOrder):
                self._arrive_cancel(item, due, whose)
            else:
                reports.append((whose, item))
        self.next_due_ns = self._due[0][0] if self._due else NEVER
        return reports

    def matched(self) -> list[tuple[str, Fill]]:
        """Fills that nobody was told of yet, with their owners."""
        return [(whose, item) for _, _, whose, item in sorted(self._due) if isinstance(item, Fill)]

    def step_clock(self, by_ns: int) -> None:
        """The venue's clock is set: what is under way takes as long as it did."""
        self._due = [(due + by_ns, *rest) for due, *rest in self._due]
        self.next_due_ns = self._due[0][0] if self._due else NEVER

    def _return_ns(self, now_ns: int) -> int:
        return now_ns + self.latency_ns

    def _report(self, report: OrderEvent, owner: str) -> None:
        self._later(report.time_ns, owner, report)

    def _later(self, due_ns: int, owner: str, item: object) -> None:
        self._sequence += 1
        heappush(self._due, (due_ns, self._sequence, owner, item))
        if due_ns < self.next_due_ns:
            self.next_due_ns = due_ns
