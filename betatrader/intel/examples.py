"""Training examples from the generator: the features that trading would have sent, and what came.

The labels are what anyone could see afterwards: a contract's outcome, a price's later change.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from betatrader.engine.book import OrderBook
from betatrader.model.event import MarketInput
from betatrader.model.features import FeatureWindow
from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import Instrument
from betatrader.model.market import BookDelta, BookSnapshot, InstrumentListed, PublicTrade
from betatrader.model.money import SCALE
from betatrader.sim import generator

SAMPLE_EVERY_NS = 500_000_000
"""As the strategy `forecast_edge` samples."""


class Example(NamedTuple):
    """One request: its features, the market's mid, the generator's truth, and its time."""

    features: tuple[float, ...]
    mid: float
    truth: float
    time_ns: int


class Sampler:
    """Watches one instrument as a strategy would, and gives features where it would ask."""

    def __init__(self, definition: Instrument) -> None:
        self._definition = definition
        self._window = FeatureWindow()
        self._book = OrderBook()

    def take(self, event: MarketInput) -> tuple[tuple[float, ...], float] | None:
        """Features and mid after this event, where the strategy would ask for a forecast."""
        if isinstance(event, PublicTrade):
            self._window.trade(event.quantity, buyer_is_taker=event.buyer_is_taker)
            return None
        if isinstance(event, BookSnapshot):
            self._book.replace(event.bids, event.asks, event.update_id)
        elif isinstance(event, BookDelta):
            self._book.apply(event.bids, event.asks, event.update_id)
        now = event.time_ns
        bid, bid_size, ask, ask_size = self._book.top()
        if not bid or not ask or now < self._window.next_ns:
            return None
        mid = (bid + ask) // 2
        self._window.sample(now, SAMPLE_EVERY_NS, mid, bid_size, ask_size)
        features = self._window.features(now, self._definition)
        return (features, mid / SCALE) if features is not None else None


def watch(arrivals: Iterable[generator.Arrival]) -> dict[InstrumentId, list[Example]]:
    """The examples of every instrument of a generated market."""
    samplers: dict[InstrumentId, Sampler] = {}
    examples: dict[InstrumentId, list[Example]] = {}
    for arrival in arrivals:
        for event in arrival.events:
            if isinstance(event, InstrumentListed):
                samplers[event.definition.id] = Sampler(event.definition)
                examples[event.definition.id] = []
                continue
            name = event.instrument
            asked = samplers[name].take(event)
            if asked is not None:
                examples[name].append(Example(*asked, arrival.truth, arrival.time_ns))
    return examples


def contract(seed: int, loop: int, pattern: float = 1.0) -> tuple[list[Example], float]:
    """The examples of one contract's YES, and how it ended: 1.0 or 0.0."""
    arrivals = list(generator.binary_market(seed, loop, pattern))
    yes, _ = generator.contract_definitions(seed, loop)
    return watch(arrivals)[yes.id], arrivals[-1].truth


def spot(seed: int, seconds: float, horizon_s: float) -> tuple[list[Example], list[float]]:
    """The examples of a generated spot pair, and each one's relative return over the horizon."""
    found = watch(generator.spot_market(seed, seconds))[generator.spot_definition().id]
    ahead = math.ceil(horizon_s * 1e9 / SAMPLE_EVERY_NS)
    returns = [
        found[index + ahead].mid / found[index].mid - 1.0 for index in range(len(found) - ahead)
    ]
    return found[: len(returns)], returns
