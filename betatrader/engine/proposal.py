"""One intent, with all that the risk checks look at, gathered once."""

from betatrader.engine.market import Market
from betatrader.engine.state import State
from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId
from betatrader.model.instrument import BinaryContract
from betatrader.model.limits import Limits
from betatrader.model.money import SCALE, cost
from betatrader.model.order import Order, OrderTerms, Side

BUY, SELL = Side.BUY, Side.SELL

OPERATOR = StrategyId("operator")
"""Orders that `flatten` makes."""

STOP = StrategyId("stop")
"""Orders that a protective stop makes."""

GUARD = StrategyId("guard")
"""Stops that the venue keeps."""

CLOSING = (OPERATOR, STOP)
"""What they order takes at once or ends: it never rests."""


class Proposal:
    """One intent with all that the checks look at, gathered once."""

    __slots__ = (
        "buying",
        "complement",
        "equity",
        "held",
        "limits",
        "market",
        "notional",
        "order",
        "price",
        "quantity",
        "reducing",
        "reserved",
        "resting",
        "state",
        "stop",
        "strategy",
        "terms",
        "uses_forecast",
    )

    def __init__(
        self,
        state: State,
        limits: Limits,
        order: ClientOrderId,
        strategy: StrategyId,
        terms: OrderTerms,
        *,
        uses_forecast: bool = False,
        replaces: str = "",
        stop: int = 0,
    ) -> None:
        self.state = state
        self.limits = limits
        self.order = order
        self.strategy = strategy
        self.terms = terms
        self.stop = stop
        self.uses_forecast = uses_forecast
        name = terms.instrument
        self.market: Market | None = state.markets.get(name)
        self.buying = terms.side is BUY
        self.price = terms.price
        self.quantity = terms.quantity
        self.notional = -(-terms.price * terms.quantity // SCALE)
        self.held = state.portfolio.quantity(name)
        self.equity = state.equity()
        self.resting: list[Order] = []
        self.reserved = 0
        self.complement: InstrumentId | None = None
        definition = self.market.definition if self.market is not None else None
        if type(definition) is BinaryContract and definition.nets:
            self.complement = definition.complement
        for other in state.orders.open.values():
            if other.terms.instrument == name and (self.buying or other.id != replaces):
                self.resting.append(other)  # a buy that is replaced may be filled before it goes
            if other.terms.side is BUY:
                self.reserved += reserve(state, other)
        self.reducing = not self.buying and terms.quantity <= self.sellable()

    def sellable(self) -> int:
        """What is held, not offered by an open sell, and not netted by the complement's buys."""
        free = self.held - sum(
            order.remaining for order in self.resting if order.terms.side is SELL
        )
        if self.complement is not None and free > 0:
            free -= self.state.orders.open_quantity(self.complement, BUY)
        return free


def reserve(state: State, order: Order) -> int:
    """Cash that an open buy order may still take, its fee included."""
    price, seen = order.terms.price, state.markets.get(order.terms.instrument)
    if seen is None:  # it was found at the venue, and nothing is traded there any more
        return cost(price, order.remaining)
    return cost(price, order.remaining) + seen.definition.fees.worst_fee(price, order.remaining)
