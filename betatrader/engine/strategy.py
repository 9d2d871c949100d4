"""What a strategy is: market data and forecasts in, intents out; and what it may see.

A strategy keeps no orders and no positions of its own: it reads them from the view. Its private
state (`memory`) is a function of market data and forecasts alone, so that a standby that has seen
the same market is warm.
"""

from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId
from betatrader.model.order import Order, OrderTerms

if TYPE_CHECKING:
    from betatrader.engine.market import Market
    from betatrader.engine.state import State


class Place(msgspec.Struct, frozen=True, gc=False):
    """Propose an order. `stop` > 0: the price at which the position is closed for safety.

    `uses_forecast` says that the intent rests on one, so that risk refuses it where that is stale.
    `replaces`: in an own working order's stead, of the same instrument and side, in one request.
    Where the venue cannot do that the other is cancelled, and nothing is placed yet.
    """

    terms: OrderTerms
    reason: str = ""
    stop: int = 0
    uses_forecast: bool = False
    replaces: ClientOrderId = ClientOrderId("")


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """Propose to cancel an order."""

    order: ClientOrderId
    reason: str = ""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Propose to ask intel for a forecast from these features (oldest first)."""

    instrument: InstrumentId
    horizon_ns: int
    features: tuple[float, ...]


Intent = Place | Cancel | Ask
Intents = Sequence[Intent] | None
"""None (or nothing) where there is nothing to propose, which is the common case."""


class View:
    """What a strategy may read: the engine's own state, never to be changed by it."""

    __slots__ = ("_open", "_shares", "_state", "strategy")

    def __init__(self, state: "State", strategy: StrategyId) -> None:
        self._state = state
        self._open = state.orders.open
        self._shares = state.holdings.shares
        self.strategy = strategy

    @property
    def now_ns(self) -> int:
        """The engine's clock, UTC ns."""
        return self._state.now_ns

    def may_add_risk_in(self, market: "Market") -> bool:
        """Whether new risk is let through in this market: its venue is reached, serves us, and is
        compared."""
        state = self._state
        return state.may_add_risk and (not state.shut or state.is_open(market.id))

    @property
    def cash(self) -> int:
        """Cash in all accounts, open buy orders not deducted."""
        return self._state.portfolio.cash

    @property
    def equity(self) -> int:
        """Cash and positions at their bids."""
        return self._state.equity()

    def market(self, instrument: InstrumentId) -> "Market":
        """Top of book, book, last trade and latest forecast of an instrument."""
        return self._state.markets[instrument]

    def position(self, instrument: InstrumentId) -> int:
        """What this strategy holds of an instrument; others may hold more of it."""
        shares = self._shares.get(instrument)
        return shares.get(self.strategy, 0) if shares else 0

    def average_price(self, instrument: InstrumentId) -> int:
        """The average price of all that the account holds of it, 0 where flat."""
        position = self._state.portfolio.positions.get(instrument)
        return position.average_price if position is not None else 0

    def orders(self, instrument: InstrumentId) -> list[Order]:
        """This strategy's own open orders on an instrument, those being cancelled included."""
        ours: list[Order] = []
        if not self._open:
            return ours
        for order in self._open.values():  # CPython 3.11 calls a comprehension
            if order.strategy == self.strategy and order.terms.instrument == instrument:
                ours.append(order)  # noqa: PERF401
        return ours


class Strategy:
    """Base of all strategies: override what you need; what you do not override costs nothing.

    Each method gets the market that changed and returns intents, or None.
    """

    name = "strategy"
    parameters_type: Any = None
    """A msgspec Struct that `__init__` takes, where the strategy has parameters."""
    memory: Any = None
    memory_type: Any = None
    """The full type of `memory`, for example `dict[str, int]`, where it has any."""

    def on_quote(self, view: View, market: "Market") -> Intents:
        """The top of the book changed (by a quote, or by a change of the book)."""

    def on_trade(self, view: View, market: "Market") -> Intents:
        """Others traded; `market.last_price` and `market.last_quantity` tell."""

    def on_forecast(self, view: View, market: "Market") -> Intents:
        """A forecast arrived; `market.forecast` holds it."""

    def on_fill(self, view: View, market: "Market") -> Intents:
        """One of our orders on this instrument was filled."""

    def on_tick(self, view: View, market: "Market") -> Intents:
        """Called about once a second for every instrument."""

    def forget(self, live: Container[InstrumentId]) -> None:
        """Drop what is remembered of instruments that are gone; for a memory by instrument id."""
        if isinstance(self.memory, dict):
            for name in [name for name in self.memory if name not in live]:
                del self.memory[name]

    def snapshot(self) -> bytes:
        """The private state, for `restore`."""
        return msgspec.msgpack.encode(self.memory)

    def restore(self, data: bytes) -> None:
        """Take back what `snapshot` gave."""
        self.memory = msgspec.msgpack.decode(data, type=self.memory_type or Any)


Listener = tuple[Callable[[View, "Market"], Intents], View]


def listeners(strategies: list[Strategy], state: "State", method: str) -> list[Listener]:
    """The strategies that override a method and have not failed: the others are never called."""
    return [
        (getattr(strategy, method), View(state, StrategyId(strategy.name)))
        for strategy in strategies
        if strategy.name not in state.failed
        and getattr(type(strategy), method) is not getattr(Strategy, method)
    ]
