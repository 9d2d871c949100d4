"""The checks that every order passes, each named, counted and testable alone.

A check gets a proposal and answers None, or the limit and the actual value.
"""

from collections.abc import Callable

from betatrader.engine.access import ACCESS
from betatrader.engine.ceilings import CEILINGS, USED_UP
from betatrader.engine.exposure import event_loss, reserved_at, venue_notional
from betatrader.engine.guarding import stop_protection, stop_required
from betatrader.engine.market import Market
from betatrader.engine.proposal import BUY, CLOSING, OPERATOR, SELL, Proposal
from betatrader.model.ids import venue_of
from betatrader.model.instruction import TradingState
from betatrader.model.instrument import BinaryContract
from betatrader.model.limits import Limits
from betatrader.model.money import SCALE, cost, show
from betatrader.model.order import OrderState, OrderType, TimeInForce

ACTIVE, REDUCING = TradingState.ACTIVE, TradingState.REDUCING

UNANSWERED = (OrderState.SUBMITTED, OrderState.IN_DOUBT)

Breach = tuple[str, str] | None
"""(limit, actual), or None where the check passes."""

STOP, MARKET, GTC = OrderType.STOP, OrderType.MARKET, TimeInForce.GTC


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
    if state.trading_state is ACTIVE:
        return None
    if proposal.reducing:
        if state.trading_state is REDUCING:
            return None
        if state.flattening and proposal.strategy == OPERATOR:
            return None
    return "ACTIVE", state.trading_state


def tick(proposal: Proposal) -> Breach:
    """The price is positive and a multiple of the tick; a contract's lies below 1."""
    market, price = proposal.market, proposal.price
    assert market is not None
    definition = market.definition
    if price <= 0 or price % definition.tick:
        return f"a multiple of {show(definition.tick)}", show(price)
    if type(definition) is BinaryContract and price >= SCALE:
        return "below 1", show(price)
    return None


def lot(proposal: Proposal) -> Breach:
    """The quantity is positive and a multiple of the lot."""
    market, quantity = proposal.market, proposal.quantity
    assert market is not None
    size = market.definition.lot
    if quantity <= 0 or quantity % size:
        return f"a multiple of {show(size)}", show(quantity)
    return None


def min_notional(proposal: Proposal) -> Breach:
    """The venue's minimum order value; what closes a position may be smaller, and a buy that takes
    at once may have a minimum of its own."""
    market = proposal.market
    assert market is not None
    definition = market.definition
    takes = proposal.buying and proposal.terms.takes
    limit = definition.least_taken if takes else definition.min_notional
    if proposal.notional >= limit or proposal.reducing:
        return None
    return show(limit), show(proposal.notional)


def min_quantity(proposal: Proposal) -> Breach:
    """The venue's minimum quantity; of a contract it is that of orders that rest."""
    market, terms = proposal.market, proposal.terms
    assert market is not None
    limit = market.definition.min_quantity
    if proposal.quantity >= limit:
        return None
    if terms.takes and type(market.definition) is BinaryContract:
        return None
    return show(limit), show(proposal.quantity)


def order_quantity(proposal: Proposal) -> Breach:
    """No order is larger than this quantity."""
    limit = proposal.limits.order_quantity
    return (show(limit), show(proposal.quantity)) if proposal.quantity > limit else None


def order_notional(proposal: Proposal) -> Breach:
    """No order that adds risk is worth more than this."""
    limit = proposal.limits.order_notional
    if proposal.notional <= limit or proposal.reducing:
        return None
    return show(limit), show(proposal.notional)


def collar(proposal: Proposal) -> Breach:
    """A limit stands at most so far beyond the other side's best price (a fat finger)."""
    market, price = proposal.market, proposal.price
    assert market is not None
    if proposal.terms.type is STOP:
        return None  # it is for another market than this one
    if proposal.buying:
        best = market.ask or market.bid
        beyond = price - best
    else:
        best = market.bid or market.ask
        beyond = best - price
    if not best:
        return "a quoted market", "no quote"
    if beyond <= 0:
        return None
    width = collar_width(proposal.limits, market, best)
    if beyond <= width:
        return None
    return show(best + width if proposal.buying else best - width), show(price)


def short_sale(proposal: Proposal) -> Breach:
    """Nothing is sold that is not held: leverage is 1.0."""
    if proposal.buying or proposal.reducing:
        return None
    return show(max(0, proposal.sellable())), show(proposal.quantity)


def netting(proposal: Proposal) -> Breach:
    """Where the venue pairs YES with NO by itself, a buy nets no shares that a sell offers."""
    name = proposal.complement
    if name is None or not proposal.buying:
        return None
    orders = proposal.state.orders
    offered = orders.open_quantity(name, SELL)
    if not offered:
        return None
    free = proposal.state.portfolio.quantity(name) - offered
    needed = proposal.quantity + orders.open_quantity(proposal.terms.instrument, BUY)
    return (f"{show(max(0, free))} free of {name}", show(needed)) if needed > free else None


def buying_power(proposal: Proposal) -> Breach:
    """Cash in its account covers this order, its fee, and every open buy order at its worst."""
    market = proposal.market
    if not proposal.buying or market is None:
        return None
    state = proposal.state
    account = state.account_of(proposal.terms.instrument)
    free = state.cash_at(account) - reserved_at(state, account)
    if 2 * proposal.notional <= free:
        return None  # the common case: no fee is above the notional
    fees = market.definition.fees
    needed = proposal.notional + fees.worst_fee(proposal.price, proposal.quantity)
    return (show(free), show(needed)) if needed > free else None


def position_notional(proposal: Proposal) -> Breach:
    """This instrument's position, with all open buys filled, stays within its limit."""
    if not proposal.buying:
        return None
    total = proposal.notional
    if proposal.held:
        total += cost(proposal.state.mark(proposal.terms.instrument), proposal.held)
    for order in proposal.resting:
        if order.terms.side is BUY:
            total += cost(order.terms.price, order.remaining)
    limit = proposal.limits.position_notional
    return (show(limit), show(total)) if total > limit else None


def position_event(proposal: Proposal) -> Breach:
    """What a contract's event may cost at the worst is within its limit, or lowered by this."""
    market, state = proposal.market, proposal.state
    assert market is not None
    contract, limit = market.definition, proposal.limits.position_event
    if type(contract) is not BinaryContract or proposal.strategy in CLOSING:
        return None
    after = event_loss(state, contract, proposal.terms)
    if after <= limit or after <= event_loss(state, contract):
        return None
    return show(limit), show(after)


def position_venue(proposal: Proposal) -> Breach:
    """All positions and open buys on this venue together stay within its limit."""
    if not proposal.buying:
        return None
    venue = venue_of(proposal.terms.instrument)
    total = proposal.notional + venue_notional(proposal.state, venue)
    limit = proposal.limits.position_venue
    return (show(limit), show(total)) if total > limit else None


def total_notional(proposal: Proposal) -> Breach:
    """All positions and open buys together stay within the total."""
    if not proposal.buying:
        return None
    state = proposal.state
    total = proposal.notional + proposal.reserved
    for name, position in state.portfolio.positions.items():
        if position.quantity:
            total += cost(state.mark(name), position.quantity)
    limit = proposal.limits.total_notional
    return (show(limit), show(total)) if total > limit else None


def open_positions(proposal: Proposal) -> Breach:
    """No more instruments are held, or being bought, than this."""
    if not proposal.buying or proposal.held:
        return None
    positions, orders = proposal.state.portfolio.positions, proposal.state.orders.open
    if len(positions) + len(orders) < proposal.limits.open_positions:
        return None  # the common case: even if each were an instrument of its own
    names = {name for name, position in positions.items() if position.quantity}
    for order in orders.values():
        if order.terms.side is BUY:
            names.add(order.terms.instrument)
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


def order_rate(proposal: Proposal) -> Breach:
    """No more orders and cancels than this have been sent this minute; a close may still go."""
    state = proposal.state
    sent = state.orders.sent - state.rate_from
    if proposal.strategy in CLOSING or sent < proposal.limits.orders_per_minute:
        return None
    return f"{proposal.limits.orders_per_minute} a minute", str(sent + 1)


def duplicate_intent(proposal: Proposal) -> Breach:
    """The same order of the same strategy is not on its way already, unanswered."""
    for order in proposal.resting:
        if (
            order.state in UNANSWERED
            and order.strategy == proposal.strategy
            and order.terms == proposal.terms
        ):
            return "one of its kind under way", f"{order.id[-6:]} is {order.state}"
    return None


def self_trade(proposal: Proposal) -> Breach:
    """An order does not meet one of our own on the other side."""
    if not proposal.resting:
        return None
    side = proposal.terms.side
    for order in proposal.resting:
        if order.terms.side is side or STOP in (order.terms.type, proposal.terms.type):
            continue
        price = order.terms.price
        if proposal.price >= price if proposal.buying else proposal.price <= price:
            return f"not through our own {order.terms.side} at {show(price)}", show(proposal.price)
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
    seen = f"{age // 1_000_000} ms" if market.updated_ns else "nothing since the venue was reached"
    return f"{proposal.limits.stale_data_ns // 1_000_000} ms", seen


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
    limit = proposal.limits.daily_loss
    lost = proposal.state.day_equity - proposal.equity
    return (show(limit), show(lost)) if lost > limit else None


def drawdown(proposal: Proposal) -> Breach:
    """The fall from the high-water mark is below its limit."""
    if proposal.reducing:
        return None
    high = proposal.state.equity_high
    if proposal.equity >= high:
        return None
    limit, fall = proposal.limits.drawdown * high // SCALE, high - proposal.equity
    return (show(limit), show(fall)) if fall > limit else None


def collar_width(limits: Limits, market: Market, price: int) -> int:
    """How far beyond `price` an order may reach."""
    return max(price * limits.collar // SCALE, limits.collar_ticks * market.definition.tick)


CHECKS: tuple[Callable[[Proposal], Breach], ...] = (
    instrument,
    *ACCESS,
    stop_protection,
    stop_required,
    trading_state,
    tick,
    lot,
    order_quantity,
    order_notional,
    min_notional,
    min_quantity,
    collar,
    short_sale,
    netting,
    order_rate,
    duplicate_intent,
    self_trade,
    open_orders,
    open_positions,
    position_notional,
    position_event,
    position_venue,
    total_notional,
    buying_power,
    stale_data,
    stale_forecast,
    daily_loss,
    drawdown,
    *CEILINGS,
)
"""Every check, in the order in which they are asked."""

CAPACITY: tuple[Callable[[Proposal], Breach], ...] = (
    order_quantity,
    order_notional,
    order_rate,
    open_orders,
    open_positions,
    position_notional,
    position_event,
    position_venue,
    total_notional,
    daily_loss,
    drawdown,
    *USED_UP,
)
"""Those whose limit is used up little by little: near it, risk warns."""
