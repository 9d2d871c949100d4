"""The paper venue: the simulated exchange in present time, behind the Venue protocol."""

import anyio

from betatrader.model.account import VenueAccount
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.market import Resolution
from betatrader.ops import clock
from betatrader.sim.exchange import NEVER, US, SimulatedExchange
from betatrader.venues.paper_ledger import LedgerFile
from betatrader.venues.venue import Report

LONGEST_WAIT_S = 3600.0
SECOND_NS = 1_000_000_000


class PaperVenue:
    """Delivers what is due at the exchange, and its reports, when their time has come."""

    name = "PAPER"

    def __init__(
        self, exchange: SimulatedExchange, report: Report, books: LedgerFile | None = None
    ) -> None:
        self.exchange = exchange
        self.under_way_ns = 2 * exchange.latency_ns + SECOND_NS
        self._report = report
        self._books = books
        self._wake = anyio.Event()
        if books is not None:
            exchange.keep = books.keep
            if books.ledger is not None:
                exchange.restore(books.ledger)

    @property
    def is_new(self) -> bool:
        """Whether the account was opened just now, and is empty."""
        return self._books is None or self._books.ledger is None

    async def account(self, orders: tuple[ClientOrderId, ...]) -> VenueAccount:
        """The ledger's word."""
        return self.exchange.account(orders)

    def settle_lost(self, lost: list[InstrumentId], now_ns: int) -> list[Resolution]:
        """The market of these contracts ended with the process that made it: each is settled at
        its last trade. Returns what to tell the trader."""
        fills = self.exchange.ledgers[US].fills
        last = {fill.instrument: fill.price for fill in fills}
        ended = [Resolution(now_ns, name, last.get(name, 0)) for name in lost]
        for event in ended:
            self.exchange.settle(event.instrument, event.payout)
        return ended

    def close(self) -> None:
        """Close the books."""
        if self._books is not None:
            self._books.close()

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
