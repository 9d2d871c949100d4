"""Ten million events and a million orders through one trader: does its memory grow?

The recording is played over and over with the journal on, in a temporary folder on disk; as in the
trading role it is synced, closed files are compressed, and the oldest go. The growth is the slope
of resident memory over the second half of the events (least squares, sampled often), times that
half: one sample says little, since the allocator gives and takes in megabytes.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from betatrader.bench.churn import Churn, Ending
from betatrader.bench.result import Result, at_least, at_most
from betatrader.bench.tape import RICH, SETUP, opened, repeated
from betatrader.engine.engine import Engine
from betatrader.model.errors import UsageError
from betatrader.model.event import Event, MarketInput
from betatrader.model.instruction import TimerFired
from betatrader.ops.process import resident_mb
from betatrader.roles.trader import Trader
from betatrader.store import journal
from betatrader.store.journal import Journal
from betatrader.venues.gateway import Gateway

ASKED = "BETATRADER_SOAK_EVENTS"
RUN = f"{1:0{journal.RUN_DIGITS}x}"
EVENTS = 10_000_000
FEWEST = 1_000_000
EVENTS_AN_ORDER = 10
"""At most: a million orders in ten million events."""

EVENTS_A_TURN = 6
"""An order takes a turn and a half."""
TICK_NS = 1_000_000_000
SAMPLES = 200
TOLD = 20
GOAL_MB = 1.0
KEEP_BYTES = 64 * 2**20


def run(recorded: list[MarketInput], progress: Callable[[str], None]) -> list[Result]:
    """Growth over the second half in 2^20 bytes, and the rate; raises UsageError.

    `BETATRADER_SOAK_EVENTS` sets how many events (10,000,000).
    """
    events = _asked()
    with tempfile.TemporaryDirectory(prefix="bt-soak-") as name:
        engine, venue = Engine(RICH, [Churn(EVENTS_A_TURN)]), Ending()
        kept = Journal(Path(name) / RUN, RUN, "0", SETUP)
        trader = opened(engine, recorded, Gateway(venue), kept)
        venue.report = trader.take
        began = time.perf_counter()
        samples = _play(trader, kept, ticking(repeated(recorded)), events, progress)
        spent = time.perf_counter() - began
        kept.close()
    half = [(at, mb) for at, mb in samples if at > events // 2]
    growth = slope(half) * (events - events // 2)
    state = engine.state.orders
    note = (
        f"{venue.orders:,} orders, {state.fills:,} fills; {half[0][1]:.1f} MB at half, "
        f"{half[-1][1]:.1f} MB at the end, {max(mb for _, mb in samples):.1f} MB at most"
    )
    return [
        at_most(f"soak_growth_last_{events - events // 2}_events_mb", growth, "MB", GOAL_MB, note),
        Result(name="soak_events_per_s", value=events / spent, unit="1/s", note="journal on"),
        at_least("soak_orders", float(venue.orders), "orders", events / EVENTS_AN_ORDER),
    ]


def _asked() -> int:
    text = os.environ.get(ASKED, str(EVENTS))
    if not text.isdecimal() or int(text) < FEWEST:
        raise UsageError(f"{ASKED}={text} is no number of events\nGive {FEWEST:,} or more.")
    return int(text)


def ticking(events: Iterator[MarketInput]) -> Iterator[Event]:
    """With a tick of the engine's clock each second, as the trading role gives it."""
    due_ns = 0
    for event in events:
        if event.time_ns >= due_ns:
            due_ns = event.time_ns + TICK_NS
            yield TimerFired(event.time_ns, "tick")
        yield event


def _play(
    trader: Trader,
    kept: Journal,
    events: Iterator[Event],
    count: int,
    progress: Callable[[str], None],
) -> list[tuple[int, float]]:
    """Events taken and resident memory, at equal distances."""
    samples: list[tuple[int, float]] = []
    each = count // SAMPLES
    for number in range(1, SAMPLES + 1):
        for event in islice(events, each):
            trader.take(event)
        _tend(kept)
        samples.append((number * each, resident_mb(os.getpid())))
        if not number % (SAMPLES // TOLD):
            at, mb = samples[-1]
            progress(f"soak: {at:,} events, {trader.engine.state.orders.sent:,} sent, {mb:.1f} MB")
    if trader.broken is not None:
        raise trader.broken
    return samples


def _tend(kept: Journal) -> None:
    """What `roles.trading` does in a thread."""
    if kept.sync():
        root = kept.folder.parent
        journal.pack_closed(root, kept.folder.name, kept.number)
        journal.retain(root, KEEP_BYTES)


def slope(samples: list[tuple[int, float]]) -> float:
    """Of the straight line that fits (events, megabytes) best; at least two samples."""
    middle = sum(at for at, _ in samples) / len(samples)
    mean = sum(mb for _, mb in samples) / len(samples)
    moved = sum((at - middle) * (mb - mean) for at, mb in samples)
    return moved / sum((at - middle) ** 2 for at, _ in samples)
