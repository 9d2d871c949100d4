"""The paper venue: the simulated exchange in present time, behind the Venue protocol."""

import anyio

from betatrader.model.command import Approved, CancelOrder
from betatrader.ops import clock
from betatrader.sim.exchange import NEVER, SimulatedExchange
from betatrader.venues.venue import Report

LONGEST_WAIT_S = 3600.0


class PaperVenue:
    """Delivers what is due at the exchange, and its reports, when their time has come."""

    def __init__(self, exchange: SimulatedExchange, report: Report) -> None:
        self.exchange = exchange
        self._report = report
        self._wake = anyio.Event()

    def submit(self, command: Approved, now_ns: int) -> None:
        """The order arrives one latency later."""
        self.exchange.submit(command, now_ns)
        self._wake.set()

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        """The cancel arrives one latency later."""
        self.exchange.cancel(command, now_ns)
        self._wake.set()

    def market(self, event: object) -> None:
        """A market event, after the engine has taken it (they may share the book)."""
        self.exchange.on_market(event)
        if self.exchange.next_due_ns < NEVER:
            self._wake.set()

    def advance(self, now_ns: int) -> None:
        """Deliver everything that is due by now."""
        while self.exchange.next_due_ns <= now_ns:
            for report in self.exchange.advance(now_ns):
                self._report(report)  # type: ignore[arg-type]

    async def run(self) -> None:
        """Deliver in present time until cancelled."""
        while True:
            self.advance(clock.now_ns())
            due = self.exchange.next_due_ns
            wait_s = LONGEST_WAIT_S if due >= NEVER else max(0.0, (due - clock.now_ns()) / 1e9)
            self._wake = anyio.Event()
            with anyio.move_on_after(wait_s):
                await self._wake.wait()
