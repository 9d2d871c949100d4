"""What `durability = "shipped"` adds to an order: from the offer of its record until it may leave,
beside one bare round trip of redis-py that appends as much, in turns on one private server."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import anyio
from msgspec.structs import replace

from betatrader.bench.result import Result, at_most, quantile
from betatrader.bench.tape import RICH, SETUP, Answering, opened
from betatrader.engine.engine import Engine
from betatrader.model.command import Approved, Step
from betatrader.model.event import MarketInput, encode
from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId
from betatrader.model.money import SCALE, Price, Quantity
from betatrader.model.order import OrderTerms, OrderType, Side
from betatrader.ops import clock
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.store import functions
from betatrader.store.bus import FIELD
from betatrader.store.connection import Client, client
from betatrader.store.journal import Journal
from betatrader.store.shipping import Shipper
from betatrader.strategies.market_maker import MarketMaker, Parameters
from betatrader.venues.gateway import Gateway

ROUNDS, WARM_UP, PAIRS = 600, 100, 9
EVENTS = 40_000
GOAL = 1.3


def run(recorded: list[MarketInput], progress: Callable[[str], None]) -> list[Result]:
    """`shipping_round_trip_ratio`: ours over bare, p50 of each run; and the whole way of an order
    from its event, journaled and shipped, to the gateway's door."""
    progress(f"shipping: {PAIRS} pairs of {ROUNDS} orders, and {EVENTS:,} events")
    with tempfile.TemporaryDirectory(prefix="bt-bench-") as name:
        folder = Path(name)
        with EmbeddedRedis(folder / "data", folder) as server:
            pairs = anyio.run(_pairs, server.url, backend_options={"use_uvloop": True})
            whole = anyio.run(
                _whole_way, server.url, recorded, folder, backend_options={"use_uvloop": True}
            )
    ratios = [quantile(sorted(ours), 0.5) / quantile(sorted(bare), 0.5) for ours, bare in pairs]
    spans = sorted(span for ours, _ in pairs for span in ours)
    bare = median(quantile(sorted(one), 0.5) for _, one in pairs) / 1e3
    note = f"bare {bare:.0f} us, p50"
    return [
        at_most("shipping_round_trip_ratio", median(ratios), "ratio", GOAL, note),
        Result(name="shipping_adds_p50_us", value=quantile(spans, 0.5) / 1e3, unit="us"),
        Result(name="shipping_adds_p99_us", value=quantile(spans, 0.99) / 1e3, unit="us"),
        Result(name="shipping_adds_p999_us", value=quantile(spans, 0.999) / 1e3, unit="us"),
        *(
            Result(
                name=f"shipped_event_to_gateway_{name}_us",
                value=quantile(whole, share) / 1e3,
                unit="us",
                note=f"{len(whole)} events that led to an order, journaled and shipped",
            )
            for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
        ),
    ]


async def _pairs(url: str) -> list[tuple[list[int], list[int]]]:
    redis = client(url)
    try:
        await functions.load(redis)
        pairs = []
        for number in range(PAIRS):
            if number % 2:
                ours = await _ours(redis, number + 1)
                bare = await _bare(redis)
            else:
                bare = await _bare(redis)
                ours = await _ours(redis, number + 1)
            pairs.append((ours, bare))
        return pairs
    finally:
        await redis.aclose()


def _record(number: int) -> Step:
    """The Step of one order, as large as a real one."""
    terms = OrderTerms(
        InstrumentId("BTCUSDT.BINANCE"),
        Side.BUY,
        OrderType.LIMIT,
        Price(58_000 * SCALE),
        Quantity(SCALE // 5_000),
    )
    order = Approved(ClientOrderId(f"{number:032x}"), StrategyId("market_maker"), terms, "quote")
    return Step(number, number, number, (order,))


async def _ours(redis: Client, epoch: int) -> list[int]:
    shipper = Shipper(redis, lambda: b"")
    acknowledged = asyncio.Event()
    spans: list[int] = []
    began = 0

    def told(_number: int) -> None:
        """Here the gateway sends the order."""
        spans.append(time.perf_counter_ns() - began)
        acknowledged.set()

    shipper.on_acknowledged = told
    shipper.begin(epoch)
    async with anyio.create_task_group() as group:
        group.start_soon(shipper.run)
        await acknowledged.wait()  # of the snapshot
        for number in range(ROUNDS):
            acknowledged.clear()
            record = _record(number)
            began = time.perf_counter_ns()
            shipper.offer(record)
            await acknowledged.wait()
        group.cancel_scope.cancel()
    return spans[WARM_UP:]


async def _bare(redis: Client) -> list[int]:
    spans = []
    for number in range(ROUNDS):
        data = encode(_record(number))
        began = time.perf_counter_ns()
        await redis.xadd("bare", {FIELD: data})
        spans.append(time.perf_counter_ns() - began)
    return spans[WARM_UP:]


class _Door(Answering):
    """A venue that notes when an order leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.left_ns = 0
        self.left = asyncio.Event()

    def submit(self, command: Approved, now_ns: int) -> None:
        """Accept it."""
        self.left_ns = time.perf_counter_ns()
        self.left.set()
        super().submit(command, now_ns)


async def _whole_way(url: str, recorded: list[MarketInput], folder: Path) -> list[int]:
    """Spans in ns, ascending, from an event to its first order's leaving."""
    redis, door, spans = client(url), _Door(), list[int]()
    engine = Engine(RICH, [MarketMaker(Parameters(requote_seconds=0.0))])
    journal = Journal(folder / "journal", "bench", "0", SETUP)
    trader = opened(engine, recorded, Gateway(door), journal)
    door.report = trader.take
    shipper = Shipper(redis, lambda: b"")
    trader.ship(shipper, hold=True)
    shipper.begin(PAIRS + 1)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(shipper.run)
            for event in recorded[:EVENTS]:
                now = replace(event, time_ns=clock.now_ns())  # an old order is not sent any more
                door.left.clear()
                made = engine.state.orders.submitted
                began = time.perf_counter_ns()
                trader.take(now)
                if engine.state.orders.submitted > made:
                    with anyio.move_on_after(1.0):
                        await door.left.wait()
                        spans.append(door.left_ns - began)
            group.cancel_scope.cancel()
    finally:
        await redis.aclose()
        journal.close()
    return sorted(spans)
