"""What is recorded of a venue, over real sockets, plays again as what the venue showed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from betatrader.config import Feed
from betatrader.config.venues import Binance, Polymarket
from betatrader.model.instrument import BinaryContract
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    InstrumentStatus,
    Quote,
)
from betatrader.net.live import LiveTransport
from betatrader.ops import clock
from betatrader.roles import contracts, feeds
from betatrader.roles.recording import record, record_polymarket
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.binance.serve import serve_binance
from betatrader.venues.polymarket.serve.hosting import serve_polymarket

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


@asynccontextmanager
async def polymarket() -> AsyncIterator[tuple[Polymarket, str]]:
    """Polymarket's simulator, and the market that it plays."""
    told: list[dict[str, str]] = []
    feed, start_ns = Feed(), clock.now_ns()
    market = contracts.as_polymarket(feed, start_ns)
    async with anyio.create_task_group() as group:

        async def serve() -> None:
            link = FaultyLink(Faults(), 1)
            exchange = SimulatedExchange(0)
            await serve_polymarket(exchange, 100, link, market, port=0, tell=told.append)

        group.start_soon(serve)
        with anyio.fail_after(10):
            while not told:
                await anyio.sleep(0.01)
        names = ("clob", "market_socket")
        settings = Polymarket(**{name: told[0][name] for name in names})
        yield settings, contracts.condition(feed, start_ns)
        group.cancel_scope.cancel()


async def test_a_recording_of_polymarket_plays_again(tmp_path: Path) -> None:
    target = tmp_path / "contract.jsonl.gz"
    async with polymarket() as (settings, condition):
        found = await record_polymarket(
            settings, LiveTransport(), condition, target, 4.0, progress=lambda _count: None
        )
    assert found.messages > 10
    raw, decoded = (list(feeds.read_file(path)) for path in (found.raw, found.segment))
    assert msgspec.msgpack.encode(raw) == msgspec.msgpack.encode(decoded)
    assert found.events == len(raw)
    listed = [event.definition for event in raw[:2] if isinstance(event, InstrumentListed)]
    assert [one.event for one in listed if isinstance(one, BinaryContract)] == [condition] * 2
    assert {BookSnapshot, BookDelta, InstrumentStatus} <= {type(event) for event in raw}
    assert not list(tmp_path.glob("*.part"))


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
