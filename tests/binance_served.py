"""The Binance adapter at the simulator of its venue, in virtual time."""

import anyio
import pytest
from binance_scenes import EPOCH_NS, approved, instead

from betatrader.chaos.loop import Process, VirtualLoop
from betatrader.config.venues import Binance
from betatrader.model.event import Event
from betatrader.model.market import BookSnapshot, InstrumentListed, Quote
from betatrader.model.money import SCALE
from betatrader.model.secret import Secret
from betatrader.net.direct import Direct
from betatrader.ops import clock
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.binance import wire
from betatrader.venues.binance.serve.requests import Account
from betatrader.venues.binance.serve.running import KEY, OWNER, SECRET
from betatrader.venues.binance.serve.server import BinanceServer
from betatrader.venues.binance.venue import BinanceVenue

COIN = wire.instrument_id("BTCUSDT")


class Served:
    """The adapter at the simulator, in virtual time."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, symbols: tuple[str, ...] = ("BTCUSDT",)
    ) -> None:
        self.symbols = symbols
        self.loop = VirtualLoop(1)
        monkeypatch.setattr(clock, "now_ns", lambda: EPOCH_NS + int(self.loop.time() * 1e9))
        monkeypatch.setattr(clock, "boot_s", lambda: 1.0 + self.loop.time())
        self.told: list[Event] = []
        self.shown: list[Event] = []
        self.loop.spawn(Process("p"), self._run)
        self.go(2.0)
        self.since()

    async def _run(self) -> None:
        account = Account(KEY, SECRET, OWNER)
        self.server = BinanceServer(
            SimulatedExchange(1_000_000), 10**6 * SCALE, [account], FaultyLink(Faults(), 1)
        )
        levels = ((50_000 * SCALE, SCALE),), ((50_001 * SCALE, SCALE),)
        quoted = (50_000 * SCALE, SCALE, 50_001 * SCALE, SCALE)
        names = [wire.instrument_id(symbol) for symbol in self.symbols]
        opening = [
            *(InstrumentListed(EPOCH_NS, wire.definition(symbol)) for symbol in self.symbols),
            *(BookSnapshot(EPOCH_NS, name, *levels, 1) for name in names),
            *(Quote(EPOCH_NS + 500_000_000, name, *quoted, 2) for name in names),
        ]
        places = {"rest": "http://x", "stream": "ws://x", "api": "ws://x/ws-api/v3"}
        settings = Binance(symbols=self.symbols, key=Secret(KEY), secret=Secret(SECRET), **places)
        self.venue = BinanceVenue(
            settings, Direct(self.server), self.told.append, self.shown.append
        )
        async with anyio.create_task_group() as group:
            group.start_soon(self.server.deliver)
            group.start_soon(self.server.run, opening)
            await anyio.lowlevel.checkpoint()
            await self.venue.run()

    def go(self, seconds: float) -> None:
        self.loop.run_until(lambda: False, self.loop.time() + seconds)
        assert self.loop.unhandled == []

    def replace(self, old: int, new: int, price: str, **terms: object) -> list[str]:
        made = instead(old, new, price, "0.001", **terms)
        self.loop.call_soon(lambda: self.venue.submit(made, clock.now_ns()))
        self.go(1.0)
        return self.since()

    def place(self, number: int, price: str) -> list[str]:
        made = approved(number, price, "0.001")
        self.loop.call_soon(lambda: self.venue.submit(made, clock.now_ns()))
        self.go(1.0)
        return self.since()

    def since(self) -> list[str]:
        found = [f"{type(e).__name__} {getattr(e, 'order', '')[-1:]}" for e in self.told]
        self.reasons = [getattr(event, "reason", "") for event in self.told]
        self.told.clear()
        return found

    def rests(self) -> set[str]:
        return {name[-1] for name in self.server.exchange.resting(OWNER)}
