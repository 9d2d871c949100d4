"""One venue of a simulated world: its exchange, its market, the way to it, and what strikes it."""

import asyncio
import contextvars
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from betatrader.chaos import venues
from betatrader.chaos.network import Network
from betatrader.chaos.plan import Fault
from betatrader.chaos.seams import EPOCH_S, OF_VENUE, VenueClock
from betatrader.chaos.venues import TICK
from betatrader.model.account import VenueAccount
from betatrader.model.ids import InstrumentId, venue_of
from betatrader.model.market import InstrumentListed, Quote
from betatrader.model.money import SCALE, Price, proceeds
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.sim.ledger import Ledger

FIELDS = {
    "partial_outage_orders": "down_orders",
    "partial_outage_cancels": "down_cancels",
    "partial_outage_queries": "down_queries",
    "rate_limit_cancels": "limited_cancels",
    "rate_limit_queries": "limited_queries",
}
"""What a fault of one part of a venue is in the link's faults."""

if TYPE_CHECKING:
    from betatrader.chaos.world import World


class Site:
    """A venue on a network of its own, so that it is away alone."""

    def __init__(self, world: "World", name: str, network: Network) -> None:
        seed = world.plan.seed
        self.exchange = SimulatedExchange(2_000_000)
        self.link = FaultyLink(Faults(), seed)
        self.clock = VenueClock()
        self._ahead_s = 0.0
        token = OF_VENUE.set(self.clock)
        self.context = contextvars.copy_context()
        """In which the venue's code runs, by its own clock."""
        self.venue = venues.make(world.plan, name, self.exchange, self.link, network)
        OF_VENUE.reset(token)
        self.network = network
        self._world = world
        self._lagging_until = 0.0
        self._accounts: list[tuple[int, dict[InstrumentId, int]]] = []
        self._real_account = self.exchange.account
        self.exchange.account = self._account  # type: ignore[method-assign]

    @property
    def account(self) -> str:
        """The venue's name, as our books have it."""
        return venue_of(self.venue.name)

    @property
    def ledger(self) -> Ledger:
        """The venue's books of our account."""
        return self.exchange.ledgers[self.venue.owner]

    def worth(self) -> int:
        """Our account by the venue's books, at its bids."""
        ledger = self.exchange.ledgers.get(self.venue.owner)
        if ledger is None:
            return 0
        held = ((self.exchange.bid(name), n) for name, n in ledger.positions.items())
        return ledger.cash + sum(proceeds(bid, quantity) for bid, quantity in held)

    def desk(self, role: Any) -> Any:
        """The desk of a trading role here."""
        return next(one for one in role.standby.desks if one.venue.name == self.account)

    def market(self) -> Iterator[object]:
        """A random walk, quoted a few times a second for as long as the run needs it."""
        world, venue, clock = self._world, self.venue, self.clock
        chance = random.Random(f"market {world.plan.seed}")  # noqa: S311  a seed, to be repeated
        for listed in venue.listed():
            yield InstrumentListed(world.now_ns(), listed)
        middle, at = venue.middle, world.loop.time()
        mid = middle
        while True:
            at = max(at + chance.uniform(0.15, 0.45), world.loop.time())
            if at > world.quotes_until:
                return
            mid += chance.choice((-2, -1, 0, 0, 1, 2)) * TICK
            mid = min(max(mid, middle * 9 // 10), middle * 11 // 10)
            bid, ask = mid - TICK * chance.randint(1, 2), mid + TICK * chance.randint(1, 2)
            size = SCALE * SCALE * chance.randint(1, 5) // middle
            self._step_clock()
            now_ns = int((EPOCH_S + at + clock.ahead_s) * 1e9)
            yield Quote(now_ns, venue.name, Price(bid), size, Price(ask), size)

    async def strike(self, fault: Fault, end: float) -> None:
        """A fault of the venue, or of the way to it."""
        link = self.link
        match fault.kind:
            case "venue_cut":
                self.venue.cut_all()
            case "venue_away":
                self.network.refusing = True
                self.venue.cut_all()
                await asyncio.sleep(fault.lasts_s)
                self.network.refusing = False
            case "venue_restart":
                self.venue.restart()
            case "rate_limit":
                self.exchange.refuses = "too many requests"
                await asyncio.sleep(fault.lasts_s)
                self.exchange.refuses = ""
            case "lagging":
                self._lagging_until = end
            case "clock_skew":
                self._set_clock((fault.size - 0.5) * 2 * self.venue.most_skew_s)
                await asyncio.sleep(fault.lasts_s)
                self._set_clock(0.0)
            case kind:
                share = 0.5 + 0.5 * fault.size if kind in FIELDS else 0.2 + 0.5 * fault.size
                name = FIELDS.get(kind, kind)
                link.faults = link.faults._replace(**{name: share})
                await asyncio.sleep(fault.lasts_s)
                link.faults = link.faults._replace(**{name: 0.0})

    def _set_clock(self, ahead_s: float) -> None:
        """Set the venue's clock: the reference venue's only in what it says, a protocol's also in
        what it takes for late."""
        if self.venue.served is None:
            self.link.faults = self.link.faults._replace(ahead_s=ahead_s)
            return
        self._ahead_s = ahead_s

    def _step_clock(self) -> None:
        """Set it between two quotes: one under way has the time of the clock as it was."""
        by_s, self.clock.ahead_s = self._ahead_s - self.clock.ahead_s, self._ahead_s
        if by_s:
            self.exchange.step_clock(int(by_s * 1e9))

    def remember(self) -> None:
        """What a lagging balance shows."""
        ledger = self.exchange.ledgers.get(self.venue.owner)
        if ledger is not None:
            self._accounts.append((ledger.cash, dict(ledger.positions)))
            del self._accounts[:-8]

    def _account(self, asked: Any, owner: str = "us") -> VenueAccount:
        found = self._real_account(asked, owner)
        if self._world.loop.time() < self._lagging_until and self._accounts:
            cash, positions = self._accounts[0]
            found = msgspec.structs.replace(found, cash=cash, positions=positions)
        return found
