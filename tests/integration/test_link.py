"""The reference venue over real sockets: what is lost on the way is found, and never resent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from scenes import Scene, coin, quote, terms

from betatrader.model.account import Fill, OrderInDoubt, VenueConnection
from betatrader.model.command import Approved, Step
from betatrader.model.event import Event
from betatrader.model.market import InstrumentListed
from betatrader.model.money import parse
from betatrader.model.order import OrderState, Side
from betatrader.ops import clock
from betatrader.roles.reconciling import Reconciler
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.gateway import Gateway
from betatrader.venues.link import client
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
        await self.until(lambda: self.scene.state.connected and bool(self.taken))

    def propose(self, price: str, quantity: str = "0.5") -> Approved:
        """An order of the engine's, sent; the market as the venue shows it stands at 9.99/10.01."""
        self.scene.now_s = clock.now_ns() / 1e9
        step = self._proposed(price, quantity)
        self._gateway.carry(step)
        order = next(c for c in step.changes if isinstance(c, Approved))
        self.sent.append(order.order)
        return order

    def _proposed(self, price: str, quantity: str) -> Step:
        from betatrader.engine.strategy import Place

        self.scene.puppet.intents = [Place(terms(Side.BUY, price, quantity), "test")]
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


pytestmark = pytest.mark.asyncio
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


async def test_an_order_is_accepted_and_another_filled_over_the_socket() -> None:
    async with floor() as made:
        rests, takes = made.propose("9.90"), made.propose("10.01")
        await made.until(lambda: made.state_of(takes) is OrderState.FILLED)
        await made.until(lambda: made.state_of(rests) is OrderState.ACCEPTED)
        ledger, resting = await made.venue.ledger()
        assert resting == {rests.order}
        assert ledger.cash == made.scene.state.portfolio.cash


async def test_t1_every_answer_lost_the_order_is_in_doubt_until_the_venue_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.3)
    async with floor(Faults(lost=1.0)) as made:
        takes = made.propose("10.01")
        await made.until(lambda: any(isinstance(e, OrderInDoubt) for e in made.taken))
        assert made.state_of(takes) is OrderState.IN_DOUBT
        await made.reconciler.at_start((1, 99), anyio.lowlevel.checkpoint)
        assert made.state_of(takes) is OrderState.FILLED
        assert made.exchange.ledgers["us"].cash == made.scene.state.portfolio.cash
        assert made.sent == [takes.order], "it was never sent again"


async def test_everything_twice_and_late_counts_once() -> None:
    async with floor(Faults(twice=1.0, late=0.7)) as made:
        order = made.propose("10.01")
        await made.until(lambda: sum(isinstance(e, Fill) for e in made.taken) == 2)
        assert made.scene.state.portfolio.quantity(coin().id) == order.terms.quantity
        assert made.scene.state.orders.fills == 1


async def test_t25_a_cut_between_send_and_answer_no_new_order_before_the_old_is_found() -> None:
    async with floor(Faults(lost=1.0)) as made:
        rests = made.propose("9.90")
        await made.until(lambda: rests.order in made.exchange.ledgers["us"].orders)
        made.listening.close()
        made.server.close()
        await made.until(lambda: not made.scene.state.connected)
        assert made.state_of(rests) is OrderState.IN_DOUBT
        asked = terms(Side.BUY, "9.80", "0.5")
        assert made.scene.refused_by(asked) == "venue_connection"
        made.listening = await made.server.listen(*made.venue.address)
        await made.until(lambda: made.scene.state.connected)
        assert made.scene.refused_by(asked) == "reconciled"
        async with anyio.create_task_group() as group:
            group.start_soon(made.reconciler.keep, 60.0)
            await made.until(lambda: not made.scene.state.reconciling)
            group.cancel_scope.cancel()
        assert made.state_of(rests) is OrderState.ACCEPTED
        assert made.scene.refused_by(asked) == ""


async def test_t15_not_found_for_a_while_and_then_filled() -> None:
    async with floor(Faults(lost=1.0, unknown=1.0)) as made:
        takes = made.propose("10.01")
        await made.until(lambda: takes.order in made.exchange.ledgers["us"].orders)
        async with anyio.create_task_group() as group:
            group.start_soon(made.reconciler.keep, 60.0)
            await made.until(lambda: made.state_of(takes) is OrderState.IN_DOUBT)
            await made.until(lambda: made.state_of(takes) is OrderState.FILLED)
            group.cancel_scope.cancel()
        assert made.link.counts["unknown"] >= 2
        assert made.sent == [takes.order]


async def test_t27_a_reconnect_is_an_event_with_its_reason() -> None:
    async with floor() as made:
        made.server.close()
        await made.until(lambda: sum(isinstance(e, VenueConnection) for e in made.taken) == 3)
        away = [e for e in made.taken if isinstance(e, VenueConnection)][1]
        assert (away.up, away.reason) == (False, "closed by the venue")
