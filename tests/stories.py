"""Random but repeatable lives of an engine: markets, forecasts, instructions, ticks, doubts."""

import random
from itertools import islice

from scenes import SECOND, terms

from betatrader.engine.engine import Engine
from betatrader.engine.state import State
from betatrader.engine.strategy import Place
from betatrader.model.account import OrderInDoubt
from betatrader.model.command import (
    Step,
)
from betatrader.model.event import Event
from betatrader.model.instruction import (
    CancelAll,
    Flatten,
    Halt,
    Reduce,
    Resume,
    Started,
    TimerFired,
    TradingState,
)
from betatrader.model.limits import Limits
from betatrader.model.money import SCALE
from betatrader.model.order import Side
from betatrader.model.signal import Forecast
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.generator import binary_market, spot_market
from betatrader.sim.session import Session
from betatrader.strategies.forecast_edge import ForecastEdge
from betatrader.strategies.market_maker import MarketMaker

SMALL = Limits(daily_loss=6 * SCALE)


def strategies() -> list:
    return [ForecastEdge(), MarketMaker()]


class Recorder(Engine):
    """Keeps each event and the Step that came of it."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, strategies())
        self.taken: list[tuple[Event, Step | None]] = []

    def process(self, event: Event) -> Step | None:
        step = super().process(event)
        self.taken.append((event, step))
        return step


def story(seed: int, events: int) -> list[tuple[Event, Step | None]]:
    """A random but repeatable life: two markets, forecasts, instructions, ticks, doubts."""
    chance = random.Random(seed)
    recorder = Recorder(SMALL)
    session = Session(recorder, SimulatedExchange(2_000_000))
    session.feed(Started(0, 7, TradingState.ACTIVE))
    session.deposit(100 * SCALE, 0)
    markets = [binary_market(seed, 0), spot_market(seed, 60.0)]
    arrivals = [arrival for market in markets for arrival in islice(market, events)]
    for arrival in sorted(arrivals, key=lambda a: a.time_ns):
        for event in arrival.events:
            session.feed(event)
        extra = _extra(chance, arrival.time_ns, recorder.state)
        if extra is not None:
            session.feed(extra)
    return recorder.taken


def _extra(chance: random.Random, now: int, state: State) -> Event | None:
    roll = chance.random()
    if roll < 0.10 and state.markets:
        name = chance.choice(list(state.markets))
        value = chance.random()
        return Forecast(now, name, "probability", value, 0.5, SECOND, now + SECOND, "test", now)
    if roll < 0.12:
        return TimerFired(now, "tick")
    if roll < 0.125:
        kind = chance.choice([Halt, Reduce, Resume, Resume, CancelAll, Flatten])
        return kind(now, f"i{now}", "test", "a test")
    if roll < 0.14 and state.orders.open:
        return OrderInDoubt(now, chance.choice(list(state.orders.open)), "no answer")
    return None


class Broken(MarketMaker):
    """Fails at its third quote."""

    name = "broken"
    quotes = 0

    def on_quote(self, view, market):  # type: ignore[no-untyped-def]
        self.quotes += 1
        if self.quotes == 1:
            return [Place(terms(Side.BUY, "9.00", "0.5"))]
        if self.quotes == 3:
            raise ZeroDivisionError("a mistake")
        return ["nonsense"] if self.quotes > 3 else None
