"""The paper venue: the simulated exchange in present time, behind the Venue protocol."""

from collections.abc import Iterable
from functools import partial

import anyio

from betatrader.model.account import VenueAccount
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.market import Resolution
from betatrader.model.order import Order
from betatrader.ops import clock
from betatrader.sim.custody import US
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.ledger import Ledger
from betatrader.sim.transit import NEVER
from betatrader.venues.paper_ledger import LedgerFile
from betatrader.venues.paper_stream import LedgerStream
from betatrader.venues.venue import Report

LONGEST_WAIT_S = 3600.0
SECOND_NS = 1_000_000_000


class PaperVenue:
    """Delivers what is due at the exchange, and its reports, when their time has come."""

    name = "PAPER"

    def __init__(
        self,
        exchange: SimulatedExchange,
        report: Report,
        books: LedgerFile | LedgerStream | None = None,
    ) -> None:
        self.exchange = exchange
        self.is_new = True
        """Whether the account was opened just now, and is empty."""
        self.under_way_ns = 2 * exchange.latency_ns + SECOND_NS
        self._report = report
        self._books = books
        self._stream = books if isinstance(books, LedgerStream) else None
        self._wake = anyio.Event()
        if books is not None:
            exchange.keep = books.keep
        if isinstance(books, LedgerFile):
            self._restore(books.ledger)

    async def open(self, epoch: int) -> None:
        """Come back with the books that Redis keeps; raises what the client raises."""
        if self._stream is not None:
            self._restore(await self._stream.load(epoch))

    def _restore(self, ledger: Ledger | None) -> None:
        self.is_new = ledger is None
        if ledger is not None:
            self.exchange.restore(ledger)

    def remember(self, orders: Iterable[Order]) -> None:
        """Nothing to remember: orders are known here by our ids."""

    async def account(self, orders: tuple[ClientOrderId, ...]) -> VenueAccount:
        """The ledger's word, once what it rests on is kept."""
        if self._stream is not None:
            await self._stream.settled()
        return self.exchange.account(orders)

    @property
    def busy(self) -> bool:
        """Whether anything is under way, or waits to be told."""
        return self.exchange.next_due_ns < NEVER or (
            self._stream is not None and self._stream.holds_something
        )

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
        """A market event, after the engine has taken it (they may share the book). A contract of
        before a restart that ended meanwhile is listed no more: the ledger alone knows of it."""
        if isinstance(event, Resolution) and event.instrument not in self.exchange.pools:
            self.exchange.settle(event.instrument, event.payout)
            return
        self.exchange.on_market(event)
        if self.exchange.next_due_ns < NEVER:
            self._wake.set()

    def advance(self, now_ns: int) -> None:
        """Deliver everything that is due by now."""
        while self.exchange.next_due_ns <= now_ns:
            for report in self.exchange.advance(now_ns):
                if self._stream is None:
                    self._report(report)  # type: ignore[arg-type]
                else:
                    self._stream.release(partial(self._report, report))  # type: ignore[arg-type]

    async def run(self) -> None:
        """Deliver in present time until cancelled."""
        async with anyio.create_task_group() as group:
            if self._stream is not None:
                group.start_soon(self._stream.run)
            await self._deliver()

    async def _deliver(self) -> None:
        while True:
            self.advance(clock.now_ns())
            due = self.exchange.next_due_ns
            wait_s = LONGEST_WAIT_S if due >= NEVER else max(0.0, (due - clock.now_ns()) / 1e9)
            self._wake = anyio.Event()
            with anyio.move_on_after(wait_s):
                await self._wake.wait()
