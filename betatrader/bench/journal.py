"""What the journal costs an order: event to command with it and without it, side by side."""

import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from betatrader.bench.result import Result, at_most, quantile
from betatrader.bench.tape import RICH, SETUP, Answering, opened
from betatrader.engine.engine import Engine
from betatrader.model.command import Approved, CancelOrder, Step
from betatrader.model.event import MarketInput
from betatrader.store.journal import Journal
from betatrader.strategies.market_maker import MarketMaker, Parameters
from betatrader.venues.gateway import Gateway

PAIRS = 5
GOAL_ADDED_US = 5.0
GOAL_P50_US, GOAL_P99_US = 15.0, 50.0


class _Stopwatch(Gateway):
    """Notes how long it took from the event's arrival until the command is at the gateway."""

    def __init__(self, venue: Answering) -> None:
        super().__init__(venue)
        self.began = 0
        self.spans: list[int] = []

    def carry(self, step: Step, ticket: int = 0, *, ordered: bool = False) -> bool:
        spent = time.perf_counter_ns() - self.began
        changes = step.changes
        if any(isinstance(change, Approved | CancelOrder) for change in changes):
            self.spans.append(spent)
        return super().carry(step, ordered=ordered)


def run(recorded: list[MarketInput], progress: Callable[[str], None]) -> list[Result]:
    """Quantiles with the journal on, and what it adds at the median over interleaved pairs."""
    progress(f"journal: {PAIRS} pairs, with and without")
    with_journal, without = [], []
    for _ in range(PAIRS):
        without.append(_spans(recorded, journaled=False))
        with_journal.append(_spans(recorded, journaled=True))
    added = sorted(
        (quantile(one, 0.5) - quantile(other, 0.5)) / 1e3
        for one, other in zip(with_journal, without, strict=True)
    )[PAIRS // 2]

    def best(share: float) -> float:
        return min(quantile(spans, share) for spans in with_journal) / 1e3

    base = min(quantile(spans, 0.5) for spans in without) / 1e3
    note = f"{len(with_journal[0])} orders and cancels, local durability; {base:.1f} us without"
    return [
        at_most("journal_added_p50_us", added, "us", GOAL_ADDED_US, note),
        at_most("journal_event_to_gateway_p50_us", best(0.5), "us", GOAL_P50_US),
        at_most("journal_event_to_gateway_p99_us", best(0.99), "us", GOAL_P99_US),
        Result(name="journal_event_to_gateway_p999_us", value=best(0.999), unit="us"),
    ]


def _spans(recorded: list[MarketInput], *, journaled: bool) -> list[int]:
    engine = Engine(RICH, [MarketMaker(Parameters(requote_seconds=0.0))])
    venue = Answering()
    gateway = _Stopwatch(venue)
    with tempfile.TemporaryDirectory(prefix="bt-bench-") as folder:
        journal = Journal(Path(folder), "bench", "0", SETUP) if journaled else None
        trader = opened(engine, recorded, gateway, journal)
        venue.report = trader.take
        gc.collect()
        gc.freeze()
        for event in recorded:
            gateway.began = time.perf_counter_ns()
            trader.take(event)
        gc.unfreeze()
        if journal is not None:
            journal.close()
    return sorted(gateway.spans)
