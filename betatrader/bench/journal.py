"""What the journal costs an order: event to command with it and without it, side by side."""

import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from betatrader.bench.engine import RICH
from betatrader.bench.result import Result, at_most, quantile
from betatrader.engine.engine import Engine
from betatrader.model.account import CashFlow, OrderAccepted, OrderCanceled
from betatrader.model.command import Approved, CancelOrder, Step
from betatrader.model.event import Event, MarketInput
from betatrader.model.instruction import Started, TradingState
from betatrader.model.money import SCALE
from betatrader.roles.trader import Trader
from betatrader.store.journal import Journal, Setup
from betatrader.strategies.market_maker import MarketMaker, Parameters
from betatrader.venues.gateway import Gateway

PAIRS = 5
GOAL_ADDED_US = 5.0
GOAL_P50_US, GOAL_P99_US = 15.0, 50.0


class _Answering:
    """A venue that accepts and cancels at once, and an audit log that forgets."""

    def __init__(self) -> None:
        self.report: Callable[[Event], None] = lambda _: None
        self.sent = 0

    def submit(self, command: Approved, now_ns: int) -> None:
        self.sent += 1
        self.report(OrderAccepted(now_ns, command.order))

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        self.sent += 1
        self.report(OrderCanceled(now_ns, command.order))

    def offer(self, record: object) -> None:
        """Nothing: the audit leaves after the order, in a task of its own."""

    def ask(self, request: object) -> None:
        """Nothing, as above."""


class _Stopwatch(Gateway):
    """Notes how long it took from the event's arrival until the command is at the gateway."""

    def __init__(self, venue: _Answering) -> None:
        super().__init__(venue)
        self.began = 0
        self.spans: list[int] = []

    def carry(self, step: Step, ticket: int = 0) -> bool:
        spent = time.perf_counter_ns() - self.began
        changes = step.changes
        if any(isinstance(change, Approved | CancelOrder) for change in changes):
            self.spans.append(spent)
        return super().carry(step)


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
    venue = _Answering()
    gateway = _Stopwatch(venue)
    with tempfile.TemporaryDirectory(prefix="bt-bench-") as folder:
        setup = Setup(limits=msgspec.Raw(msgspec.msgpack.encode(RICH)), strategies=())
        journal = Journal(Path(folder), "bench", "0", setup) if journaled else None
        trader = Trader(engine, "bench", venue, journal)  # type: ignore[arg-type]
        trader.connect(gateway)
        venue.report = trader.take
        start = recorded[0].time_ns
        trader.take(Started(start, 1, TradingState.ACTIVE))
        trader.take(CashFlow(start, "SIM", 1_000_000 * SCALE))
        gc.collect()
        gc.freeze()
        for event in recorded:
            gateway.began = time.perf_counter_ns()
            trader.take(event)
        gc.unfreeze()
        if journal is not None:
            journal.close()
    return sorted(gateway.spans)
