"""A reference venue in this process behind a real socket, and an engine at the other end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from scenes import Scene, coin, quote, terms

from betatrader.engine.strategy import Place
from betatrader.model.command import Approved, Step
from betatrader.model.event import Event
from betatrader.model.market import InstrumentListed
from betatrader.model.money import parse
from betatrader.model.order import OrderState, OrderTerms, Side
from betatrader.ops import clock
from betatrader.roles.reconciling import Reconciler
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.gateway import Gateway
from betatrader.venues.link.client import LinkVenue
from betatrader.venues.link.server import LinkServer


class Floor:
    """A venue in this process behind a real socket, and an engine at the other end."""

    def __init__(self, faults: Faults) -> None:
        self.exchange = SimulatedExchange(1_000_000)
        self.link = FaultyLink(faults, 1)
        self.server = LinkServer(self.exchange, parse("100"), self.link)
        self.scene = Scene(cash="100")
        self.taken: list[Event] = []
        self.sent: list[str] = []
        self.listening: asyncio.Server

    def take(self, event: Event) -> None:
        self.taken.append(event)
        step = self.scene.take(event)
        if step is not None:
            self._gateway.carry(step)
            self.sent += [c.order for c in step.changes if isinstance(c, Approved)]

    async def connect(self, group: anyio.abc.TaskGroup, port: int) -> None:
        self.venue = LinkVenue("127.0.0.1", port, "us", self.take, lambda event: None)
        self._gateway = Gateway(self.venue)
        self.reconciler = Reconciler(self.venue, lambda: self.scene.state, self.take)
        group.start_soon(self.venue.run)
        await self.until(lambda: not self.scene.state.away and bool(self.taken))

    def propose(self, price: str, quantity: str = "0.5") -> Approved:
        """An order of the engine's, sent; the market as the venue shows it stands at 9.99/10.01."""
        return self.send(terms(Side.BUY, price, quantity))

    def send(self, asked: OrderTerms) -> Approved:
        """The same at these terms."""
        self.scene.now_s = clock.now_ns() / 1e9
        step = self._proposed(asked)
        self._gateway.carry(step)
        order = next(c for c in step.changes if isinstance(c, Approved))
        self.sent.append(order.order)
        return order

    def _proposed(self, asked: OrderTerms) -> Step:
        self.scene.puppet.intents = [Place(asked, "test")]
        step = self.scene.quote()
        assert step is not None
        return step

    async def until(self, look: Callable[[], bool], seconds: float = 8) -> None:
        with anyio.fail_after(seconds):
            while not look():
                await anyio.sleep(0.01)

    def state_of(self, order: Approved) -> OrderState | None:
        found = self.scene.state.orders.find(order.order)
        return found.state if found is not None else None


NONE = Faults()


@asynccontextmanager
async def floor(faults: Faults = NONE) -> AsyncIterator[Floor]:
    made = Floor(faults)
    made.listening = await made.server.listen("127.0.0.1", 0)
    made.exchange.on_market(InstrumentListed(1, coin()))
    made.exchange.on_market(quote("9.99", "10.01"))
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(made.server.deliver)
            await made.connect(group, made.listening.sockets[0].getsockname()[1])
            yield made
            group.cancel_scope.cancel()
    finally:
        made.listening.close()
        made.server.close()
        await anyio.sleep(0.01)
