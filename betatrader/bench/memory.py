"""What a closed order holds in the engine's memory, and that it is let go.

The engine remembers its last `CLOSED_KEPT` closed orders, so that late reports find theirs; older
ones stand in the journal alone. For the bytes of one, the measuring process lets it keep them all.
Each figure is the growth over 50,000 orders after a warm-up, in a process of its own: one by what
the system says is resident, one by what Python has allocated (`tracemalloc`).
"""

import gc
import multiprocessing
import os
import tracemalloc
from collections.abc import Callable, Iterator
from typing import NamedTuple

from betatrader.bench.churn import Churn, Ending
from betatrader.bench.result import Result, at_most
from betatrader.bench.tape import RICH, opened, repeated
from betatrader.engine import orders
from betatrader.engine.engine import Engine
from betatrader.model.event import MarketInput
from betatrader.model.market import Quote
from betatrader.ops.process import resident_mb
from betatrader.roles.trader import TIMINGS_KEPT, Trader
from betatrader.venues.gateway import Gateway

ORDERS = 50_000
WARM_UP = TIMINGS_KEPT + 5_000
GOAL_BYTES = 1024.0
GOAL_LEFT_BYTES = 16.0


class Growth(NamedTuple):
    """Bytes an order, and how many closed orders the engine remembers at the end."""

    bytes: float
    remembered: int


def run(recorded: list[MarketInput], progress: Callable[[str], None]) -> list[Result]:
    """Bytes a closed order, remembered and let go."""
    progress(f"memory: four times {ORDERS:,} closed orders")
    resident = _apart(recorded, keep_all=True, traced=False)
    traced = _apart(recorded, keep_all=True, traced=True)
    left = _apart(recorded, keep_all=False, traced=False)
    left_traced = _apart(recorded, keep_all=False, traced=True)
    note = f"of {ORDERS:,}, all remembered"
    purged = f"after {WARM_UP + ORDERS:,} orders the engine remembers {left.remembered:,}"
    return [
        at_most("memory_closed_order_resident_bytes", resident.bytes, "B", GOAL_BYTES, note),
        at_most("memory_closed_order_allocated_bytes", traced.bytes, "B", GOAL_BYTES, note),
        at_most("memory_purged_order_resident_bytes", left.bytes, "B", GOAL_LEFT_BYTES, purged),
        at_most(
            "memory_purged_order_allocated_bytes", left_traced.bytes, "B", GOAL_LEFT_BYTES, purged
        ),
    ]


def _apart(recorded: list[MarketInput], *, keep_all: bool, traced: bool) -> Growth:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (recorded, keep_all, traced))


def _measure(recorded: list[MarketInput], keep_all: bool, traced: bool) -> Growth:
    if traced:
        tracemalloc.start()
    engine, venue = Engine(RICH, [Churn(every=1)]), Ending()
    trader = opened(engine, recorded, Gateway(venue), None)
    venue.report = trader.take
    quotes = repeated([event for event in recorded if isinstance(event, Quote)])
    _play(trader, venue, quotes, WARM_UP)
    if keep_all:
        orders.CLOSED_KEPT = WARM_UP + ORDERS
    before = _held(traced=traced)
    _play(trader, venue, quotes, WARM_UP + ORDERS)
    grown = _held(traced=traced) - before
    return Growth(grown / ORDERS, len(engine.state.orders.closed))


def _play(trader: Trader, venue: Ending, quotes: Iterator[MarketInput], count: int) -> None:
    while venue.orders < count:
        trader.take(next(quotes))


def _held(*, traced: bool) -> float:
    gc.collect()
    if traced:
        return float(tracemalloc.get_traced_memory()[0])
    return resident_mb(os.getpid()) * 2**20
