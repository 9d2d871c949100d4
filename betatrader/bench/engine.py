"""How fast the engine is: on ticks, on depth, and from one event to the command it causes.

The recipe for ticks and depth is the one by which other systems were measured on the same
recording: it is repeated with its times and ids shifted, every event is built beforehand, and the
CPU time of the loop counts. A plain Python strategy stores bid and ask, and submits or cancels
every 50th event.
"""

import gc
import time
from collections.abc import Callable
from itertools import islice

from betatrader.bench.result import Result, at_least, at_most, quantile
from betatrader.bench.tape import DEPOSIT, RICH, listings, repeated
from betatrader.engine.engine import Engine
from betatrader.engine.market import Market
from betatrader.engine.strategy import Cancel, Intents, Place, Strategy, View
from betatrader.model.command import Approved, CancelOrder, Step
from betatrader.model.event import Event, MarketInput
from betatrader.model.instruction import Started, TradingState
from betatrader.model.limits import Limits
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    PublicTrade,
    Quote,
)
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderTerms, OrderType, Side
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.session import Session
from betatrader.strategies.market_maker import MarketMaker, Parameters

TICKS = 1_000_000
DEPTH_MESSAGES = 86_250
QUANTITY = parse("0.01")
BELOW = 50 * SCALE


class EveryFiftieth(Strategy):
    """Stores bid and ask; every 50th event submits a buy far below the bid, or cancels it."""

    name = "every_fiftieth"

    def __init__(self) -> None:
        self.bid = self.ask = 0
        self.count = 0
        self.submits = self.cancels = 0

    def on_quote(self, view: View, market: Market) -> Intents:
        """Count, store, and each 50th time act."""
        self.bid = market.bid
        self.ask = market.ask
        self.count += 1
        if self.count % 50:
            return None
        return self._act(view, market)

    def on_trade(self, view: View, market: Market) -> Intents:
        """A trade counts as an event too."""
        self.count += 1
        if self.count % 50:
            return None
        return self._act(view, market)

    def _act(self, view: View, market: Market) -> Intents:
        ours = view.orders(market.id)
        if ours:
            self.cancels += 1
            return [Cancel(ours[0].id)]
        if not self.bid:
            return None
        self.submits += 1
        terms = OrderTerms(market.id, Side.BUY, OrderType.LIMIT, self.bid - BELOW, QUANTITY)
        return [Place(terms)]


def run(recorded: list[MarketInput], progress: Callable[[str], None]) -> list[Result]:
    """All engine figures on this recording's events."""
    progress("ticks: three runs of a million events")
    ticks = _repeat([e for e in recorded if isinstance(e, Quote | PublicTrade)], TICKS)
    rates, note = zip(*(_ticks(ticks, recorded) for _ in range(3)), strict=True)
    results = [at_least("engine_ticks_per_s", sorted(rates)[1], "1/s", 400_000, note[0])]
    del ticks
    progress(f"depth: three runs of {DEPTH_MESSAGES:,} messages")
    books: list[MarketInput] = [e for e in recorded if isinstance(e, BookSnapshot | BookDelta)]
    depth = _repeat(books, DEPTH_MESSAGES)
    depth_rates = sorted(_depth(depth, recorded) for _ in range(3))
    results.append(at_least("engine_depth_per_s", depth_rates[1], "1/s", 50_000))
    del depth
    progress("event to command: best of five runs with the market maker")
    return results + _event_to_command(recorded)


def _session(strategy: Strategy, recorded: list[MarketInput], *, shared: bool) -> Session:
    return _opened(Engine(RICH, [strategy]), recorded, shared=shared)


def _opened(engine: Engine, recorded: list[MarketInput], *, shared: bool) -> Session:
    share = (lambda name: engine.state.markets[name].book) if shared else None
    session = Session(engine, SimulatedExchange(share_book=share))
    start = recorded[0].time_ns
    engine.process(Started(start, 1, TradingState.ACTIVE))
    session.deposit(DEPOSIT, start)
    for listed in listings(recorded):
        session.feed(listed)
    return session


def _repeat(recorded: list[MarketInput], count: int) -> list[MarketInput]:
    return list(islice(repeated(recorded), count))


def _ticks(ticks: list[MarketInput], recorded: list[MarketInput]) -> tuple[float, str]:
    strategy = EveryFiftieth()
    session = _session(strategy, recorded, shared=False)
    rate = _timed(session.feed, ticks)
    denials = sum(session.engine.state.denials.values())
    note = f"submits {strategy.submits}, cancels {strategy.cancels}, denials {denials}"
    return rate, note


class ReadsBest(Strategy):
    """Reads the best bid and ask of the kept book after each message."""

    name = "reads_best"

    def __init__(self) -> None:
        self.bid = self.ask = 0

    def on_quote(self, _view: View, market: Market) -> Intents:
        """Ask the book, not the top that the engine keeps beside it."""
        self.bid = market.book.best_bid
        self.ask = market.book.best_ask
        return None


def _depth(depth: list[MarketInput], recorded: list[MarketInput]) -> float:
    return _timed(_session(ReadsBest(), recorded, shared=True).feed, depth)


def _timed(feed: Callable[[MarketInput], None], events: list[MarketInput]) -> float:
    gc.collect()
    gc.freeze()
    began = time.process_time_ns()
    for event in events:
        feed(event)
    spent = time.process_time_ns() - began
    gc.unfreeze()
    return len(events) * 1e9 / spent


def _event_to_command(recorded: list[MarketInput]) -> list[Result]:
    """From an event's arrival in the engine to its answer, of the best of five runs.

    Counted are the events that cause an order or a cancel. Those on which the maker decides to do
    nothing stand beside them, without a goal.
    """
    runs = [_measure(recorded) for _ in range(5)]
    acted, idle = min(runs, key=lambda run: quantile(run[0], 0.5))
    p50, p99, p999 = (quantile(acted, share) / 1e3 for share in (0.5, 0.99, 0.999))
    note = f"{len(acted)} events that caused an order or a cancel, p99.9 {p999:.1f} us"
    return [
        at_most("engine_event_to_command_p50_us", p50, "us", 5.0, note),
        at_most("engine_event_to_command_p99_us", p99, "us", 40.0, note),
        Result(
            name="engine_event_to_nothing_p50_us",
            value=quantile(idle, 0.5) / 1e3,
            unit="us",
            note=f"{len(idle)} events on which the maker decided to do nothing",
        ),
    ]


def _measure(recorded: list[MarketInput]) -> tuple[list[int], list[int]]:
    """Spans in ns, ascending: of events that caused an order or a cancel, and of the others."""
    maker = MarketMaker(Parameters(requote_seconds=0.0))
    engine = _Timed(RICH, [maker])
    session = _opened(engine, recorded, shared=True)
    gc.collect()
    gc.freeze()
    for event in recorded:
        session.feed(event)
    gc.unfreeze()
    return sorted(engine.acted), sorted(engine.idle)


TOPS = (Quote, BookDelta, BookSnapshot)
ACTS = (Approved, CancelOrder)


class _Timed(Engine):
    """An engine that times each event that the maker is asked about."""

    def __init__(self, limits: Limits, strategies: list[Strategy]) -> None:
        super().__init__(limits, strategies)
        self._decide = super().process  # found once: looking it up is none of the engine's time
        self.acted: list[int] = []
        self.idle: list[int] = []

    def process(self, event: Event) -> Step | None:
        """As the engine does, and note how long it took."""
        began = time.perf_counter_ns()
        step = self._decide(event)
        spent = time.perf_counter_ns() - began
        if type(event) in TOPS:
            caused = step is not None and type(step.changes[0]) in ACTS
            (self.acted if caused else self.idle).append(spent)
        return step
