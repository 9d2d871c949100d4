"""T24 at the protocol of Binance: a stream that breaks falls back to REST, and returns."""

import asyncio
import gc
import os
from pathlib import Path

import anyio
import pytest

from betatrader.model.event import Event
from betatrader.model.market import BookDelta, BookSnapshot, InstrumentListed
from betatrader.model.money import SCALE, parse
from betatrader.model.secret import Secret
from betatrader.net import feed
from betatrader.net.live import LiveTransport
from betatrader.net.serving import serving
from betatrader.ops import clock
from betatrader.ops.process import resident_mb
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.binance import sign, wire
from betatrader.venues.binance.market import MarketStream
from betatrader.venues.binance.rest import Rest
from betatrader.venues.binance.serve.requests import Account
from betatrader.venues.binance.serve.running import KEY, SECRET
from betatrader.venues.binance.serve.server import BinanceServer

pytestmark = pytest.mark.asyncio

SIGNER = sign.signer_of(Secret(SECRET))
COIN = wire.instrument_id("BTCUSDT")
TIMES = int(os.environ.get("BETATRADER_RECONNECTS", "1000"))
MOST_MB = 4.0
"""What the process may grow by over four fifths of the losses: a socket that were left alive would
take some 20 kB each, and so 16 MB."""


class Stream:
    """The product's market stream over real sockets, at the simulated Binance in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feed, "FIRST_PAUSE_S", 0.0)
        account = Account(KEY, SECRET, "us")
        self.server = BinanceServer(
            SimulatedExchange(1_000_000), SCALE, [account], FaultyLink(Faults(), 1)
        )
        weights = self.server.weights
        weights.weight = weights.connections_in_5_min = 1 << 30  # the venue's limits are not asked
        self.server.play(InstrumentListed(0, wire.definition("BTCUSDT")))
        book = ((parse("50000"), SCALE),), ((parse("50001"), SCALE),)
        self.server.play(BookSnapshot(0, COIN, *book))
        self.turned = asyncio.Event()
        self.snapshots = 0

    def connect(self, transport: LiveTransport, port: int) -> None:
        rest = Rest(transport, f"http://127.0.0.1:{port}", Secret(KEY), SIGNER, 5_000)
        rest.limits.may_weigh = lambda *_, **__: True  # type: ignore[method-assign]
        self.stream = MarketStream(
            transport, f"ws://127.0.0.1:{port}", rest, self.shown, lambda _reason: self.turned.set()
        )
        self.stream._transport = transport

    def shown(self, event: Event) -> None:
        if isinstance(event, BookSnapshot):
            self.snapshots += 1
            self.turned.set()

    async def until(self, look) -> None:  # type: ignore[no-untyped-def]
        with anyio.fail_after(10):
            while not look():
                self.turned.clear()
                with anyio.move_on_after(0.02):
                    await self.turned.wait()

    async def come_back(self, number: int) -> None:
        """Wait for the subscription, show something on it, and for the book over REST."""
        await self.until(lambda: bool(self.server.market.subscribers))
        level = ((parse("49999"), SCALE + number),)
        self.server.play(BookDelta(clock.now_ns(), COIN, level, (), 0))
        await self.until(lambda: self.stream.flows and self.snapshots > number)

    def held(self) -> tuple[int, int]:
        """Open files and tasks."""
        return len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks())


async def test_t24_after_a_thousand_falls_back_to_rest_all_is_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Stream(monkeypatch)
    async with serving(made.server, "127.0.0.1", 0) as port, anyio.create_task_group() as group:
        group.start_soon(made.server.deliver)
        transport = LiveTransport()
        made.connect(transport, port)
        group.start_soon(made.stream.run, ["BTCUSDT"])
        await made.come_back(0)
        before, resident = made.held(), 0.0
        for number in range(1, TIMES + 1):
            made.server.cut_all()
            await made.until(lambda: not made.stream.flows)
            await made.come_back(number)
            if number == TIMES // 5:
                gc.collect()
                resident = resident_mb(os.getpid())
        assert len(made.server.market.subscribers) == 1, "one subscription, the last"
        await made.until(lambda: made.held() <= before)
        gc.collect()
        assert resident_mb(os.getpid()) - resident < MOST_MB
        group.cancel_scope.cancel()
    await transport.aclose()
