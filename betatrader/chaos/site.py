"""One venue of a simulated world: its exchange, its market, the way to it, and what strikes it."""

import asyncio
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from betatrader.chaos import venues
from betatrader.chaos.network import Network
from betatrader.chaos.plan import Fault
from betatrader.chaos.seams import EPOCH_S
from betatrader.chaos.venues import TICK
from betatrader.model.account import VenueAccount
from betatrader.model.ids import InstrumentId, venue_of
from betatrader.model.market import InstrumentListed, Quote
from betatrader.model.money import SCALE, Price, proceeds
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.sim.ledger import Ledger

if TYPE_CHECKING:
    from betatrader.chaos.world import World


class Site:
    """A venue on a network of its own, so that it is away alone."""

    def __init__(self, world: "World", name: str, network: Network) -> None:
        seed = world.plan.seed
        self.exchange = SimulatedExchange(2_000_000)
        self.link = FaultyLink(Faults(), seed)
        self.venue = venues.make(world.plan, name, self.exchange, self.link, network)
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
        world, venue = self._world, self.venue
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
            yield Quote(int((EPOCH_S + at) * 1e9), venue.name, Price(bid), size, Price(ask), size)

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
            case kind:
                share = 0.2 + 0.5 * fault.size
                link.faults = link.faults._replace(**{kind: share})
                await asyncio.sleep(fault.lasts_s)
                link.faults = link.faults._replace(**{kind: 0.0})

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
