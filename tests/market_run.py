"""Runs strategies over generated markets in one process: engine, exchange, and the real model."""

from collections.abc import Iterable
from functools import cache

from betatrader.engine.engine import Engine
from betatrader.engine.strategy import Strategy
from betatrader.intel.inference import Model
from betatrader.intel.repository import load, shipped
from betatrader.model.command import RequestForecast, Step
from betatrader.model.instruction import Started, TradingState
from betatrader.model.limits import Limits
from betatrader.model.money import SCALE
from betatrader.model.signal import Forecast
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.generator import Arrival
from betatrader.sim.session import Session

LATENCY_NS = 5_000_000
CASH = 100 * SCALE


@cache
def models() -> dict[str, Model]:
    """The models that ship, by what they answer."""
    return {entry.kind: Model(entry, shipped(), 1) for entry in load(shipped()).models}


class MarketRun:
    """One account on one generated market; forecasts come one latency after they were asked for."""

    def __init__(self, strategies: list[Strategy], limits: Limits | None = None) -> None:
        self.engine = Engine(limits or Limits(), strategies)
        self.session = Session(self.engine, SimulatedExchange(LATENCY_NS), self._on_step)
        self.steps: list[Step] = []
        self._forecasts: list[Forecast] = []

    def play(self, arrivals: Iterable[Arrival]) -> "MarketRun":
        """Feed a whole market."""
        self.session.feed(Started(0, 1, TradingState.ACTIVE))
        self.session.deposit(CASH, 0)
        for arrival in arrivals:
            for event in arrival.events:
                while self._forecasts and self._forecasts[0].time_ns <= event.time_ns:
                    self.session.feed(self._forecasts.pop(0))
                self.session.feed(event)
        self.session.advance(arrival.time_ns + 10 * LATENCY_NS)
        return self

    @property
    def profit(self) -> float:
        """Equity over what was paid in, in USD."""
        return (self.engine.state.equity() - CASH) / SCALE

    def _on_step(self, step: Step) -> None:
        self.steps.append(step)
        for change in step.changes:
            if isinstance(change, RequestForecast):
                self._forecasts.append(self._answer(change))

    def _answer(self, asked: RequestForecast) -> Forecast:
        model = models()[asked.kind]
        return Forecast(
            time_ns=asked.data_time_ns + LATENCY_NS,
            instrument=asked.instrument,
            kind=asked.kind,
            value=model.answer([asked.features])[0],
            confidence=model.entry.confidence,
            horizon_ns=asked.horizon_ns,
            expires_ns=asked.data_time_ns + asked.horizon_ns // 4,
            model=model.entry.name,
            data_time_ns=asked.data_time_ns,
        )
