"""Stops that rest at the venue: what of a position they are to sell, should we be gone.

A position with a stop gets one where the venue can hold it, for what is held and not offered for
sale (the venue locks it once). Strategies' own sales take a guard's place. Our own stop watches
nevertheless, and closes where the venue's is missing or the market has gone through its price.
"""

from itertools import islice

from betatrader.engine.market import Market
from betatrader.engine.proposal import GUARD, SELL, Proposal
from betatrader.engine.state import State
from betatrader.engine.strategy import Place
from betatrader.engine.sweeping import WORKING
from betatrader.model.command import CancelOrder
from betatrader.model.ids import InstrumentId
from betatrader.model.instruction import TradingState
from betatrader.model.instrument import Spot
from betatrader.model.limits import SECOND_NS, Limits
from betatrader.model.money import SCALE, cost, show
from betatrader.model.order import Order, OrderState, OrderTerms, OrderType

AGAIN_NS = 30 * SECOND_NS
"""After a refusal another is tried so much later."""

REMEMBERED = 50
"""Orders that have ended, among which a refused one is looked for."""

Breach = tuple[str, str] | None


def guards(state: State, name: InstrumentId) -> list[Order]:
    """The stops of an instrument that are at the venue, on their way there or in doubt."""
    return [
        order
        for order in state.orders.open.values()
        if order.strategy == GUARD and order.terms.instrument == name
    ]


def standing(state: State, name: InstrumentId) -> Order | None:
    """The stop that the venue is known to hold."""
    return next((one for one in guards(state, name) if one.state in WORKING), None)


def due(state: State, limits: Limits, seen: Market) -> OrderTerms | None:
    """The stop that should rest at the venue now; None where none can, or nothing needs one."""
    definition = seen.definition
    if not seen.stop or type(definition) is not Spot or not definition.stops:
        return None
    if state.trading_state is TradingState.HALTED:
        return None  # nothing rests then
    lot, tick = definition.lot, definition.tick
    offered = sum(
        order.remaining
        for order in state.orders.open.values()
        if order.terms.side is SELL
        and order.terms.instrument == seen.id
        and order.strategy != GUARD
    )
    quantity = (state.portfolio.quantity(seen.id) - offered) // lot * lot
    trigger = -(-seen.stop // tick) * tick  # rather a little early than late
    price = (trigger - trigger * limits.collar // SCALE) // tick * tick
    if (
        price <= 0
        or quantity <= 0
        or quantity < definition.min_quantity
        or cost(price, quantity) < definition.min_notional
    ):
        return None
    return OrderTerms(seen.id, SELL, OrderType.STOP, price, quantity, trigger=trigger)


def outlives_us(order: Order) -> bool:
    """Whether it is a stop that goes on guarding where a trader ends."""
    return order.strategy == GUARD and order.state in WORKING


def next_step(state: State, limits: Limits, seen: Market) -> Place | CancelOrder | None:
    """What brings the stop at the venue to what is due: one request at a time."""
    terms, found = due(state, limits, seen), guards(state, seen.id)
    if not found:
        if terms is None or seen.bid <= terms.trigger or refused(state, seen.id):
            return None
        return Place(terms, f"stop at {show(terms.trigger)}, held by the venue")
    guard = found[0]
    if len(found) > 1 or guard.state not in WORKING or guard.filled:
        return None  # it is on its way, or sells
    if terms is None:
        return CancelOrder(guard.id, seen.id, "nothing is left to guard")
    if (guard.terms.trigger, guard.remaining) == (terms.trigger, terms.quantity):
        return None
    if not seen.definition.replaces:  # type: ignore[union-attr]  # `due` answers for pairs alone
        return CancelOrder(guard.id, seen.id, "what it guards has changed")
    return Place(terms, f"stop at {show(terms.trigger)}, moved", replaces=guard.id)


def refused(state: State, name: InstrumentId) -> bool:
    """Whether the venue, or risk, has refused a stop a moment ago."""
    orders, since_ns = state.orders, state.now_ns - AGAIN_NS
    return any(
        order.strategy == GUARD
        and order.terms.instrument == name
        and order.state in (OrderState.REJECTED, OrderState.DENIED)
        and order.updated_ns >= since_ns
        for ended in (orders.closed, orders.denied)
        for order in islice(reversed(ended.values()), REMEMBERED)
    )


def stop_protection(proposal: Proposal) -> Breach:
    """While a stop that is due is not known to rest at the venue, nothing is bought on top."""
    market, state = proposal.market, proposal.state
    if not proposal.buying or market is None or not market.stop:
        return None
    terms = due(state, proposal.limits, market)
    if terms is None:
        return None
    found = guards(state, market.id)
    if any(order.state not in WORKING for order in found):
        return "a stop that is known to rest at the venue", "it is on its way, or in doubt"
    if not found and market.bid > terms.trigger:
        told = "it was refused" if refused(state, market.id) else "it is to be placed first"
        return "a stop that is known to rest at the venue", told
    return None


def stop_required(proposal: Proposal) -> Breach:
    """Where the limits ask for one, a strategy's buy carries a stop that is near enough."""
    within = proposal.limits.stops.get(proposal.strategy)
    if not proposal.buying or within is None or near_enough(within, proposal.price, proposal.stop):
        return None
    return f"a stop within {show(within)} of the price", show(proposal.stop or 0)


def near_enough(within: int, price: int, stop: int) -> bool:
    """Whether a stop lies below the price, and by at most that share of it."""
    return 0 < price - stop <= price * within // SCALE


def makes_way(state: State, intent: Place) -> Place | None:
    """The same sale in the stop's place, where that is what stands in its way."""
    terms = intent.terms
    guard, seen = standing(state, terms.instrument), state.markets[terms.instrument]
    if guard is None or guard.filled or intent.replaces:
        return None
    if not seen.definition.replaces:  # type: ignore[union-attr]  # only pairs are guarded
        return None
    return Place(terms, intent.reason, intent.stop, intent.uses_forecast, guard.id)
