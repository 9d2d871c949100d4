"""Where a trader trades: the paper venue inside its own process, or a venue over a socket.

A desk is a venue with the market that it shows, and what the role must know of it at the start and
at the end.
"""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import anyio
import structlog

from betatrader import config as configuration
from betatrader.config import Config
from betatrader.engine.guarding import outlives_us
from betatrader.engine.state import State
from betatrader.engine.sweeping import WORKING
from betatrader.model.account import CancelRejected, CashFlow, VenueConnection
from betatrader.model.errors import UnreachableError
from betatrader.model.event import Event, MarketInput
from betatrader.model.instruction import CancelAll
from betatrader.model.instrument import BinaryContract
from betatrader.model.limits import Limits
from betatrader.ops import clock
from betatrader.roles import feeds
from betatrader.sim import invariants
from betatrader.sim.custody import US
from betatrader.sim.exchange import SimulatedExchange
from betatrader.store.connection import AWAY, Client
from betatrader.store.schema import Schema
from betatrader.venues.egress import NOBODY_ASKED, Egress
from betatrader.venues.link.client import LinkVenue
from betatrader.venues.paper import PaperVenue
from betatrader.venues.paper_ledger import LedgerFile
from betatrader.venues.paper_stream import LedgerStream
from betatrader.venues.reconcile import open_at
from betatrader.venues.venue import Venue

YIELD_EVERY = 200
"""Events that may be taken in a row where the feed is behind: others get their turn."""

REACH_S = 10.0
CLOSE_S = 1.0
PAUSE_S = 0.2

Take = Callable[[Event], None]


class Desk(Protocol):
    """What the trading role needs of the place where it trades."""

    @property
    def venue(self) -> Venue:
        """Where orders go."""

    on_question: Callable[[], None]
    """Called where the books are to be compared soon: the venue was away, or contradicts us."""

    outlives_us: bool
    """Whether what rests there rests on where this process ends."""

    async def egress(self) -> Egress | None:
        """Whether the venue serves this machine's address; None where it gives no answer."""

    async def run(self) -> None:
        """Carry reports, until cancelled."""

    async def open(self, epoch: int, *, is_new: bool) -> None:
        """Be ready for reconciliation; `is_new` says that we know of no account yet."""

    async def settle_lost(self) -> None:
        """Tell the trader of contracts that nobody else will."""

    async def feed(self) -> None:
        """Market events, until the market ends; raises UsageError where it breaks."""

    async def settle(self) -> None:
        """Return when nothing is under way."""

    async def verdicts(self, limits: Limits) -> dict[str, bool]:
        """Our books beside the venue's, each invariant by name; none where it does not answer."""

    def close(self) -> None:
        """Let go of it."""


class Ground(NamedTuple):
    """What a desk inside this process stands on."""

    config: Config
    home: Path
    redis: Client
    schema: Schema


class PaperDesk:
    """The simulated exchange in this process, on recorded and generated markets."""

    venue_type: type[PaperVenue] = PaperVenue
    outlives_us = False

    def __init__(self, ground: Ground, state: Callable[[], State], take: Take) -> None:
        config = ground.config
        self.on_question: Callable[[], None] = lambda: None
        exchange = SimulatedExchange(
            config.paper.latency_ms * 1_000_000,
            share_book=lambda name: state().markets[name].book,
        )
        shipped = config.journal.durability == "shipped"
        books = (
            LedgerStream(ground.redis, lambda: exchange.ledgers[US], ground.schema)
            if shipped
            else LedgerFile(ground.home / "paper" / "ledger.btl")
        )
        self.venue = self.venue_type(exchange, take, books)
        self._cash = configuration.units(config.paper.cash_usd)
        self._state = state
        self._take = take
        self._feed = config.feed
        self._source: Iterator[MarketInput] = iter(())

    async def egress(self) -> Egress | None:
        """It is inside this process."""
        return NOBODY_ASKED

    async def run(self) -> None:
        """Carry reports, until cancelled."""
        await self.venue.run()

    async def open(self, epoch: int, *, is_new: bool) -> None:
        """Open the market, and an account where there is none."""
        self._source = feeds.open_feed(self._feed, clock.now_ns())
        await self._open_books(epoch)
        if not self.venue.is_new:
            return
        self.venue.exchange.deposit(self._cash)
        if is_new:
            self._take(CashFlow(clock.now_ns(), self.venue.name, self._cash, "opening balance"))

    async def _open_books(self, epoch: int) -> None:
        while True:
            try:
                await self.venue.open(epoch)
            except AWAY as error:
                structlog.get_logger().warning("redis_away", what="paper ledger", error=str(error))
                await anyio.sleep(PAUSE_S)
            else:
                return

    async def settle_lost(self) -> None:
        """Contracts of a feed that ended with the process before this one."""
        lost = [
            seen.id
            for seen in self._state().markets.values()
            if isinstance(seen.definition, BinaryContract) and not seen.resolved
        ]
        for event in self.venue.settle_lost(lost, clock.now_ns()):
            self._take(event)

    async def feed(self) -> None:
        """Each event when its time has come: what was due at the venue before it comes before it,
        and the engine takes it before the venue, which may share its books."""
        venue, in_a_row = self.venue, 0
        for event in self._source:
            wait_s = (event.time_ns - clock.now_ns()) / 1e9
            in_a_row = in_a_row + 1 if wait_s <= 0 else 0
            if wait_s > 0 or in_a_row % YIELD_EVERY == 0:
                await anyio.sleep(max(0.0, wait_s))
            if venue.exchange.next_due_ns <= event.time_ns:
                venue.advance(event.time_ns)
            self._take(event)
            venue.market(event)

    async def settle(self) -> None:
        """Return when nothing is under way."""
        while self._state().orders.open or self.venue.busy:
            await anyio.sleep(0.01)
            self.venue.advance(clock.now_ns())

    async def verdicts(self, limits: Limits) -> dict[str, bool]:
        """Our books beside the venue's ledger."""
        exchange = self.venue.exchange
        ledger, resting = exchange.ledgers[US], exchange.resting()
        return invariants.check(self._state(), limits, ledger, resting=resting)

    def close(self) -> None:
        """Close the books."""
        self.venue.close()


class RemoteVenue(Venue, Protocol):
    """A venue of which a connection is kept open."""

    connected: bool
    changed: anyio.Event
    """Set, and renewed, where the connection begins or ends."""

    @property
    def trouble(self) -> str:
        """Why it is not reached, in the venue's words where it has said any."""

    @property
    def busy(self) -> bool:
        """Whether an order was sent and not answered yet."""

    async def run(self) -> None:
        """Stay connected until cancelled."""


class Choice(NamedTuple):
    """A remote venue that has not been made yet (`roles.choosing`)."""

    make: Callable[[Take, Take], RemoteVenue]
    """From the callables for reports and for the market."""
    hint: str
    """How to mend one that is not reached."""
    egress: Callable[[], Awaitable[Egress | None]]
    """Whether it serves this machine's address; None where that is not known."""
    close: Callable[[], Awaitable[None]]
    """Ends the connections that are kept."""


class RemoteDesk:
    """A venue in another process: the reference venue, or one with a real venue's protocol."""

    outlives_us = True

    def __init__(self, choice: Choice, state: Callable[[], State], take: Take) -> None:
        self.venue = choice.make(self._told, self._shown)
        self._choice = choice
        self._quiet = False
        self.on_question: Callable[[], None] = lambda: None
        self._state = state
        self._take = take

    async def egress(self) -> Egress | None:
        """Whether the venue serves this machine's address; None where it gives no answer."""
        return await self._choice.egress()

    def _shown(self, event: Event) -> None:
        if not self._quiet:
            self._take(event)

    def _told(self, event: Event) -> None:
        self._take(event)
        if isinstance(event, VenueConnection | CancelRejected):
            self.on_question()

    async def run(self) -> None:
        """Stay connected, until cancelled."""
        try:
            await self.venue.run()
        finally:
            with anyio.move_on_after(CLOSE_S, shield=True):
                await self._choice.close()

    async def open(self, epoch: int, *, is_new: bool) -> None:  # noqa: ARG002  its books are its own
        """Wait for the first connection, and take its cash as the opening balance where we knew
        of none; raises UnreachableError."""
        state = self._state()
        where = state.account(self.venue.name)
        orders = [*state.orders.open.values(), *state.orders.closed.values()]
        self.venue.remember([o for o in orders if state.account_of(o.terms.instrument) == where])
        try:
            with anyio.fail_after(REACH_S):
                while not self.venue.connected:
                    await self.venue.changed.wait()
                cash = (await self.venue.account(())).cash if is_new else 0
        except (OSError, TimeoutError) as error:
            why = self.venue.trouble or str(error) or "it does not answer"
            raise UnreachableError(
                f"the venue is not reached in {REACH_S:.0f} s: {why}\n{self._choice.hint}"
            ) from None
        if cash:
            self._take(CashFlow(clock.now_ns(), self.venue.name, cash, "opening balance"))

    async def settle_lost(self) -> None:
        """The venue tells of its contracts itself."""

    async def feed(self) -> None:
        """The market comes from the venue for as long as we run."""
        await anyio.sleep_forever()

    async def settle(self) -> None:
        """Return when nothing is under way, and nothing rests but what is to outlive us; the market
        is not followed any more."""
        self._quiet = True
        again_s = 0.0
        while True:
            await anyio.sleep(0.01)
            left = [o for o in open_at(self._state(), self.venue.name) if not outlives_us(o)]
            if not left and not self.venue.busy:
                return
            if any(o.state in WORKING for o in left) and clock.boot_s() >= again_s:
                # its cancel has overtaken it, and no tick of the engine takes it off any more
                again_s = clock.boot_s() + PAUSE_S
                stop = CancelAll(
                    clock.now_ns(), "drain", "betatrader", "stopping", keeps_stops=True
                )
                self._take(stop)

    async def verdicts(self, limits: Limits) -> dict[str, bool]:
        """Our books beside the venue's: its ledger where it shows that, else our account there."""
        state, venue = self._state(), self.venue
        try:
            if isinstance(venue, LinkVenue):
                ledger, resting = await venue.ledger()
                return invariants.check(state, limits, ledger, resting=resting)
            account = await venue.account(tuple(o.id for o in open_at(state, venue.name)))
            return invariants.check_account(state, account, venue.name)
        except (OSError, TimeoutError):
            return {}

    def close(self) -> None:
        """The connection ends with the process."""
