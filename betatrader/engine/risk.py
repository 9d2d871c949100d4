"""The checks that every order passes, in order; the only maker of `Approved`.

Each check is named, counted and testable alone: it gets a proposal and answers None, or the limit
and the actual value. The first that answers refuses the order.
"""

from collections.abc import Callable

from betatrader.engine.state import Market, State
from betatrader.model.command import Approved, Refused
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.instruction import TradingState
from betatrader.model.limits import Limits
from betatrader.model.money import SCALE, cost, show
from betatrader.model.order import Order, OrderTerms, OrderType, Side, TimeInForce

OPERATOR = StrategyId("operator")
"""Orders that `flatten` makes."""

STOP = StrategyId("stop")
"""Orders that a protective stop makes."""

Breach = tuple[str, str] | None
"""(limit, actual), or None where the check passes."""


class Proposal:
    """One intent with all that the checks look at, gathered once."""

    __slots__ = (
        "held",
        "limits",
        "market",
        "notional",
        "order",
        "reducing",
        "resting",
        "state",
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
    ) -> None:
        self.state = state
        self.limits = limits
        self.order = order
        self.strategy = strategy
        self.terms = terms
        self.uses_forecast = uses_forecast
        self.market: Market | None = state.markets.get(terms.instrument)
        self.notional = cost(terms.price, terms.quantity)
        position = state.portfolio.positions.get(terms.instrument)
        self.held = position.quantity if position is not None else 0
        self.resting: list[Order] = [
            order
            for order in state.orders.open.values()
            if order.terms.instrument == terms.instrument
        ]
        self.reducing = terms.side is Side.SELL and terms.quantity <= self.sellable()

    def sellable(self) -> int:
        """What is held and not already offered by an open sell."""
        return self.held - sum(
            order.remaining for order in self.resting if order.terms.side is Side.SELL
        )


def instrument(proposal: Proposal) -> Breach:
    """The instrument is known, listed and not resolved."""
    market = proposal.market
    if market is None:
        return "a known instrument", proposal.terms.instrument
    if market.resolved or not market.tradable:
        return "a tradable instrument", "resolved" if market.resolved else "not tradable"
    return None


def trading_state(proposal: Proposal) -> Breach:
    """HALTED lets only flatten through; REDUCING only what reduces."""
    state = proposal.state
    if state.trading_state is TradingState.ACTIVE:
        return None
    if proposal.reducing:
        if state.trading_state is TradingState.REDUCING:
            return None
        if state.flattening and proposal.strategy == OPERATOR:
            return None
    return "ACTIVE", state.trading_state


def tick(proposal: Proposal) -> Breach:
    """The price is positive and a multiple of the tick; a contract's lies below 1."""
    market, price = proposal.market, proposal.terms.price
    assert market is not None
    size = market.definition.tick
    if price <= 0 or price % size:
        return f"a multiple of {show(size)}", show(price)
    return None


def lot(proposal: Proposal) -> Breach:
    """The quantity is positive and a multiple of the lot."""
    market, quantity = proposal.market, proposal.terms.quantity
    assert market is not None
    size = market.definition.lot
    if quantity <= 0 or quantity % size:
        return f"a multiple of {show(size)}", show(quantity)
    return None


def min_notional(proposal: Proposal) -> Breach:
    """The venue's minimum order value; what closes a position may be smaller."""
    market = proposal.market
    assert market is not None
    if proposal.reducing or proposal.notional >= market.definition.min_notional:
        return None
    return show(market.definition.min_notional), show(proposal.notional)


def order_quantity(proposal: Proposal) -> Breach:
    """No order is larger than this quantity."""
    return _above(proposal.limits.order_quantity, proposal.terms.quantity)


def order_notional(proposal: Proposal) -> Breach:
    """No order that adds risk is worth more than this."""
    if proposal.reducing:
        return None
    return _above(proposal.limits.order_notional, proposal.notional)


def collar(proposal: Proposal) -> Breach:
    """A limit stands at most so far beyond the other side's best price (a fat finger)."""
    market, terms = proposal.market, proposal.terms
    assert market is not None
    if not (market.bid or market.ask):
        return "a quoted market", "no quote"
    best = market.ask or market.bid if terms.side is Side.BUY else market.bid or market.ask
    width = collar_width(proposal.limits, market, best)
    if terms.side is Side.BUY and terms.price > best + width:
        return show(best + width), show(terms.price)
    if terms.side is Side.SELL and terms.price < best - width:
        return show(best - width), show(terms.price)
    return None


def short_sale(proposal: Proposal) -> Breach:
    """Nothing is sold that is not held: leverage is 1.0."""
    if proposal.terms.side is Side.BUY or proposal.reducing:
        return None
    return show(max(0, proposal.sellable())), show(proposal.terms.quantity)


def buying_power(proposal: Proposal) -> Breach:
    """Cash covers this order, its fee, and every open buy order at its worst."""
    if proposal.terms.side is Side.SELL:
        return None
    state, market = proposal.state, proposal.market
    assert market is not None
    needed = proposal.notional + worst_fee(market, proposal.terms.price, proposal.terms.quantity)
    free = state.portfolio.cash - reserved(state)
    return (show(free), show(needed)) if needed > free else None


def position_notional(proposal: Proposal) -> Breach:
    """This instrument's position, with all open buys filled, stays within its limit."""
    if proposal.terms.side is Side.SELL:
        return None
    return _above(
        proposal.limits.position_notional,
        exposure(proposal.state, proposal.market, proposal.resting) + proposal.notional,
    )


def total_notional(proposal: Proposal) -> Breach:
    """All positions and open buys together stay within the total."""
    if proposal.terms.side is Side.SELL:
        return None
    state = proposal.state
    total = proposal.notional + reserved(state)
    for name, position in state.portfolio.positions.items():
        if position.quantity:
            total += cost(state.mark(name), position.quantity)
    return _above(proposal.limits.total_notional, total)


def open_positions(proposal: Proposal) -> Breach:
    """No more instruments are held, or being bought, than this."""
    if proposal.terms.side is Side.SELL or proposal.held:
        return None
    names = {
        name for name, position in proposal.state.portfolio.positions.items() if position.quantity
    }
    names |= {
        order.terms.instrument
        for order in proposal.state.orders.open.values()
        if order.terms.side is Side.BUY
    }
    names.add(proposal.terms.instrument)
    if len(names) <= proposal.limits.open_positions:
        return None
    return str(proposal.limits.open_positions), str(len(names))


def open_orders(proposal: Proposal) -> Breach:
    """No more orders work at once than this; what reduces is let through."""
    count = len(proposal.state.orders.open)
    if proposal.reducing or count < proposal.limits.open_orders:
        return None
    return str(proposal.limits.open_orders), str(count + 1)


def self_trade(proposal: Proposal) -> Breach:
    """An order does not meet one of our own on the other side."""
    terms = proposal.terms
    for order in proposal.resting:
        if order.terms.side is terms.side:
            continue
        price = order.terms.price
        if terms.price >= price if terms.side is Side.BUY else terms.price <= price:
            return f"not through our own {order.terms.side} at {show(price)}", show(terms.price)
    return None


def stale_data(proposal: Proposal) -> Breach:
    """The market was seen a moment ago; a flatten and a stop do not wait for that."""
    if proposal.strategy == OPERATOR:
        return None
    market = proposal.market
    assert market is not None
    age = proposal.state.now_ns - market.updated_ns
    if age <= proposal.limits.stale_data_ns:
        return None
    return f"{proposal.limits.stale_data_ns // 1_000_000} ms", f"{age // 1_000_000} ms"


def stale_forecast(proposal: Proposal) -> Breach:
    """An intent that rests on a forecast finds it there and not expired; reducing needs none."""
    if not proposal.uses_forecast or proposal.reducing:
        return None
    market = proposal.market
    assert market is not None
    if market.forecast is None:
        return "a forecast", "none"
    late = proposal.state.now_ns - market.forecast.expires_ns
    return ("not expired", f"{late // 1_000_000} ms late") if late > 0 else None


def daily_loss(proposal: Proposal) -> Breach:
    """Today's loss is below its limit."""
    if proposal.reducing:
        return None
    state = proposal.state
    return _above(proposal.limits.daily_loss, state.day_equity - state.equity())


def drawdown(proposal: Proposal) -> Breach:
    """The fall from the high-water mark is below its limit."""
    if proposal.reducing:
        return None
    state = proposal.state
    return _above(
        proposal.limits.drawdown * state.equity_high // SCALE, state.equity_high - state.equity()
    )


CHECKS: tuple[Callable[[Proposal], Breach], ...] = (
    instrument,
    trading_state,
    tick,
    lot,
    order_quantity,
    order_notional,
    min_notional,
    collar,
    short_sale,
    self_trade,
    open_orders,
    open_positions,
    position_notional,
    total_notional,
    buying_power,
    stale_data,
    stale_forecast,
    daily_loss,
    drawdown,
)
"""Every check, in the order in which they are asked."""


def judge(proposal: Proposal, reason: str, stop: int) -> Approved | Refused:
    """Ask every check; the first that refuses ends it."""
    for check in CHECKS:
        breach = check(proposal)
        if breach is not None:
            return Refused(
                proposal.order,
                proposal.strategy,
                proposal.terms,
                check.__name__,
                breach[0],
                breach[1],
            )
    return Approved(proposal.order, proposal.strategy, proposal.terms, reason, stop)


def breached(state: State, limits: Limits) -> str:
    """Which loss limit the account has reached, as a sentence; empty where none."""
    equity = state.equity()
    lost = state.day_equity - equity
    if lost >= limits.daily_loss:
        return f"daily loss {show(lost)} reached its limit {show(limits.daily_loss)}"
    fall = state.equity_high - equity
    allowed = limits.drawdown * state.equity_high // SCALE
    if fall >= allowed > 0:
        return f"drawdown {show(fall)} reached its limit {show(allowed)}"
    return ""


def collar_width(limits: Limits, market: Market, price: int) -> int:
    """How far beyond `price` an order may reach."""
    return max(price * limits.collar // SCALE, limits.collar_ticks * market.definition.tick)


def market_terms(limits: Limits, market: Market, side: Side, quantity: int) -> OrderTerms:
    """A market order: immediate or cancel, and never beyond the collar."""
    size = market.definition.tick
    if side is Side.BUY:
        best = market.ask or market.bid
        price = (best + collar_width(limits, market, best)) // size * size
    else:
        best = market.bid or market.ask
        price = max(size, -(-(best - collar_width(limits, market, best)) // size) * size)
    return OrderTerms(market.id, side, OrderType.MARKET, price, quantity, TimeInForce.IOC)


def reserved(state: State) -> int:
    """Cash that open buy orders may still take, fees included."""
    total = 0
    for order in state.orders.open.values():
        if order.terms.side is Side.BUY:
            market = state.markets[order.terms.instrument]
            total += cost(order.terms.price, order.remaining)
            total += worst_fee(market, order.terms.price, order.remaining)
    return total


def exposure(state: State, market: Market | None, resting: list[Order]) -> int:
    """What is held of an instrument, and what its open buys may add."""
    if market is None:
        return 0
    position = state.portfolio.positions.get(market.id)
    total = cost(state.mark(market.id), position.quantity) if position is not None else 0
    for order in resting:
        if order.terms.side is Side.BUY:
            total += cost(order.terms.price, order.remaining)
    return total


def worst_fee(market: Market, price: int, quantity: int) -> int:
    """The highest fee that a buy up to this price can pay."""
    fees = market.definition.fees
    return max(
        fees.fee(price, quantity, maker=False),
        fees.fee(min(price, SCALE // 2), quantity, maker=False),
    )


def _above(limit: int, actual: int) -> Breach:
    return (show(limit), show(actual)) if actual > limit else None
