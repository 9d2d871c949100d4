"""The ceilings of live trading: checks as those of `engine.checks`, unbound where none is set.

They bind what adds risk. Nothing is sold short here, so that this is what buys; what reduces a
position may always leave.
"""

from collections.abc import Callable

from msgspec.structs import replace

from betatrader.engine.proposal import BUY, Proposal
from betatrader.model.instrument import Instrument
from betatrader.model.limits import Limits
from betatrader.model.money import SCALE, cost, show
from betatrader.model.order import OrderTerms

Breach = tuple[str, str] | None


def daily_bought(proposal: Proposal) -> Breach:
    """What was bought today, what open buys may still take (those in doubt too), and this order."""
    if not proposal.buying:
        return None
    state = proposal.state
    total = proposal.notional + state.orders.today.at(state.now_ns)[0]
    for order in state.orders.open.values():
        if order.terms.side is BUY:
            total += cost(order.terms.price, order.remaining)
    limit = proposal.limits.daily_bought
    return (f"{show(limit)} a day", show(total)) if total > limit else None


def daily_orders(proposal: Proposal) -> Breach:
    """The buys of today, this one included."""
    if not proposal.buying:
        return None
    state, limit = proposal.state, proposal.limits.daily_orders
    made = state.orders.today.at(state.now_ns)[1] + 1
    return (f"{limit} a day", str(made)) if made > limit else None


def minimum_size(proposal: Proposal) -> Breach:
    """In micro: no buy is larger than the least that can be bought and sold again."""
    market = proposal.market
    if not proposal.buying or market is None or proposal.price <= 0:
        return None
    limits = proposal.limits
    largest = least(market.definition, proposal.terms, limits.collar) * limits.minimum_times
    return (show(largest), show(proposal.quantity)) if proposal.quantity > largest else None


def least(definition: Instrument, terms: OrderTerms, collar: int) -> int:
    """The least that can be bought and sold again, in whole lots: the venue's minimum quantity; and
    its minimum value with a tenth over, at the collar below the price (what closes a position is
    offered there, and the venue values it so), and a lot besides, which a fee may take. What takes
    at once may have to be worth more, which its sale need not."""
    price: int = terms.price
    lot: int = definition.lot
    quantity: int = definition.min_quantity
    if terms.takes:
        quantity = max(quantity, -(-definition.least_taken * SCALE // price))
    if definition.min_notional:
        worst = 10 * price * max(1, SCALE - collar)
        value = -(-definition.min_notional * 11 * SCALE * SCALE // worst)
        quantity = max(quantity, -(-value // lot) * lot + lot)
    return -(-max(quantity, lot) // lot) * lot


def cut(terms: OrderTerms, definition: Instrument, limits: Limits) -> OrderTerms:
    """A buy at the size that micro allows: strategies size for their own capital."""
    if terms.side is not BUY or terms.price <= 0:
        return terms
    largest = least(definition, terms, limits.collar) * limits.minimum_times
    return replace(terms, quantity=largest) if terms.quantity > largest else terms


CEILINGS: tuple[Callable[[Proposal], Breach], ...] = (minimum_size, daily_orders, daily_bought)
"""Each of them, in the order in which they are asked."""

USED_UP = (daily_orders, daily_bought)
"""Those that are used up little by little."""
