"""An adapter and the simulator of its venue, with real sockets between them, on one loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import poly_scene
from binance_scenes import name

from betatrader.config.venues import Binance, Polymarket
from betatrader.engine.state import State, fold_submit
from betatrader.model.account import OrderEvent, VenueAccount, VenueConnection
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.event import Event
from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    InstrumentStatus,
    Quote,
)
from betatrader.model.money import SCALE
from betatrader.model.order import OrderTerms
from betatrader.model.secret import Secret
from betatrader.net.live import LiveTransport
from betatrader.net.serving import serving
from betatrader.ops import clock
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.binance import wire
from betatrader.venues.binance.serve.requests import Account
from betatrader.venues.binance.serve.running import KEY, OWNER, SECRET
from betatrader.venues.binance.serve.server import BinanceServer
from betatrader.venues.binance.venue import BinanceVenue
from betatrader.venues.polymarket.serve.hosting import addresses
from betatrader.venues.polymarket.venue import PolymarketVenue
from betatrader.venues.reconcile import order_reports


def open_files() -> int:
    """The sockets and files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Floor:
    """What was told, what was shown, and our books of it."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.venue: Any = None
        self.told: list[Any] = []
        self.shown: list[Any] = []
        self.state = State()
        self._made = 0

    def take(self, event: Event) -> None:
        self.told.append(event)
        self.state.fold(event)

    def market(self, event: Any) -> None:
        self.shown.append(event)
        if isinstance(event, InstrumentListed | InstrumentStatus):
            self.state.fold(event)

    async def until(self, look: Callable[[], Any], seconds: float = 8.0) -> Any:
        """What `look` finds, as soon as it finds something true."""
        with anyio.fail_after(seconds):
            while not (found := look()):
                await anyio.sleep(0.005)
        return found

    @property
    def ups(self) -> int:
        """How often the venue was reached."""
        return sum(isinstance(event, VenueConnection) and event.up for event in self.told)

    def submit(self, terms: OrderTerms) -> ClientOrderId:
        """Send an order that risk has let through."""
        self._made += 1
        command = Approved(name(self._made), StrategyId("s"), terms)
        self.state.now_ns = clock.now_ns()
        fold_submit(self.state, command)
        self.venue.submit(command, self.state.now_ns)
        return command.order

    def cancel(self, order: ClientOrderId, instrument: InstrumentId) -> None:
        self.venue.cancel(CancelOrder(order, instrument), clock.now_ns())

    def fate(self, order: ClientOrderId) -> list[str]:
        """The kinds of what was told of an order."""
        return [type(e).__name__ for e in self.told if getattr(e, "order", None) == order]

    async def reports(self, *asked: ClientOrderId) -> list[OrderEvent]:
        """What a look at the venue's books says of our orders, where that is news."""
        account: VenueAccount = await self.venue.account(asked)
        found = order_reports(
            self.state, account, self.venue.name, clock.now_ns(), self.venue.under_way_ns
        )
        for event in found:
            self.take(event)
        return found

    def of(self, instrument: InstrumentId, kind: type) -> list[Any]:
        """What was shown of an instrument."""
        return [e for e in self.shown if isinstance(e, kind) and e.instrument == instrument]


@asynccontextmanager
async def _running(made: Floor, core: Any, *work: Callable[[], Any]) -> AsyncIterator[Floor]:
    async with anyio.create_task_group() as group:
        group.start_soon(core.deliver)
        for one in (made.venue.run, *work):
            group.start_soon(one)
        yield made
        group.cancel_scope.cancel()


@asynccontextmanager
async def binance_floor(*symbols: str, silent: bool = False) -> AsyncIterator[Floor]:
    """Binance with these symbols, whose markets move all the time."""
    account = Account(KEY, SECRET, OWNER)
    server = BinanceServer(
        SimulatedExchange(1_000_000), 10**6 * SCALE, [account], FaultyLink(Faults(), 1)
    )
    server.market.silent = silent
    names = [wire.instrument_id(symbol) for symbol in symbols]
    for symbol, instrument in zip(symbols, names, strict=True):
        server.play(InstrumentListed(0, wire.definition(symbol)))
        levels = ((50_000 * SCALE, SCALE),), ((50_001 * SCALE, SCALE),)
        server.play(BookSnapshot(0, instrument, *levels, 1))

    async def move() -> None:
        for size in range(SCALE, 2 * SCALE):
            for instrument in names:
                now, level = clock.now_ns(), (50_000 * SCALE, size)
                server.play(BookDelta(now, instrument, (level,), ()))
                server.play(Quote(now, instrument, *level, 50_001 * SCALE, SCALE))
            await anyio.sleep(0.01)

    made = Floor(server)
    async with serving(server, "127.0.0.1", 0) as port:
        base = f"127.0.0.1:{port}"
        settings = Binance(
            symbols=symbols,
            rest=f"http://{base}",
            stream=f"ws://{base}",
            api=f"ws://{base}/ws-api/v3",
            key=Secret(KEY),
            secret=Secret(SECRET),
        )
        made.venue = BinanceVenue(settings, LiveTransport(), made.take, made.market)
        async with _running(made, server, move):
            if not silent:
                await made.until(lambda: made.venue.connected and len(made.shown) > 10)
            yield made


@asynccontextmanager
async def polymarket_floor() -> AsyncIterator[Floor]:
    """Polymarket with one market."""
    server = poly_scene.server(latency_ns=1_000_000)
    made = Floor(server)
    async with serving(server, "127.0.0.1", 0) as port:
        await server.run(poly_scene.market(clock.now_ns()))
        settings = Polymarket(
            markets=(poly_scene.CONDITION,),
            private_key=Secret(poly_scene.PRIVATE),
            **{n: a for n, a in addresses(port).items() if n not in ("venue", "stage", "follow")},
        )
        transport = LiveTransport()
        made.venue = PolymarketVenue(settings, transport, made.take, made.market)
        try:
            async with _running(made, server):
                books = (poly_scene.YES_ID, poly_scene.NO_ID)
                await made.until(
                    lambda: made.venue.connected and all(made.of(b, BookSnapshot) for b in books)
                )
                yield made
        finally:
            await transport.aclose()


async def tasks_are(count: int) -> None:
    """Wait until no more tasks are left than that."""
    with anyio.fail_after(5):
        while len(asyncio.all_tasks()) > count:
            await anyio.sleep(0.01)
