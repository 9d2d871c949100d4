"""What is recorded of a venue, over real sockets, plays again as what the venue showed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from betatrader.config import Feed
from betatrader.config.venues import Binance
from betatrader.model.market import BookSnapshot, InstrumentListed, Quote
from betatrader.net.live import LiveTransport
from betatrader.ops import clock
from betatrader.roles import contracts, feeds
from betatrader.roles.recording import record
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.binance.serve import serve_binance

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def venue() -> AsyncIterator[Binance]:
    told: list[dict[str, str]] = []
    market = contracts.as_binance(Feed(generated=False), clock.now_ns())
    async with anyio.create_task_group() as group:

        async def serve() -> None:
            link = FaultyLink(Faults(), 1)
            await serve_binance(SimulatedExchange(0), 100, link, market, port=0, tell=told.append)

        group.start_soon(serve)
        with anyio.fail_after(10):
            while not told:
                await anyio.sleep(0.01)
        found = told[0]
        yield Binance(symbols=("BTCUSDT",), rest=found["rest"], stream=found["stream"])
        group.cancel_scope.cancel()


async def test_a_recording_plays_again(tmp_path: Path) -> None:
    target = tmp_path / "btc.jsonl.gz"
    async with venue() as settings:
        found = await record(
            settings, LiveTransport(), "BTCUSDT", target, 3.0, progress=lambda _count: None
        )
    assert found.messages > 50
    raw, decoded = (list(feeds.read_file(path)) for path in (found.raw, found.segment))
    assert msgspec.msgpack.encode(raw) == msgspec.msgpack.encode(decoded)
    assert found.events == len(raw)
    assert isinstance(raw[0], InstrumentListed)
    kinds = {type(event) for event in raw}
    assert {BookSnapshot, Quote} <= kinds
    assert not list(tmp_path.glob("*.part"))
