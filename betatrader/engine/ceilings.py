"""The ceilings of live trading: checks as those of `engine.checks`, unbound where none is set.

They bind what adds risk. Nothing is sold short here, so that this is what buys; what reduces a
position may always leave.
"""

from collections.abc import Callable

from msgspec.structs import replace

from betatrader.engine.proposal import BUY, Proposal
from betatrader.model.instrument import Instrument
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
    largest = least(market.definition, proposal.price) * proposal.limits.minimum_times
    return (show(largest), show(proposal.quantity)) if proposal.quantity > largest else None


def least(definition: Instrument, price: int) -> int:
    """The venue's minimum as a quantity, in whole lots. Its minimum value is taken with a tenth
    over: what falls below it by a tick or a fee could not be sold again."""
    lot = definition.lot
    value = -(-definition.min_notional * 11 * SCALE // (10 * price))
    return -(-max(definition.min_quantity, value, lot) // lot) * lot


def cut(terms: OrderTerms, definition: Instrument, times: int) -> OrderTerms:
    """A buy at the size that micro allows: strategies size for their own capital."""
    if terms.side is not BUY or terms.price <= 0:
        return terms
    largest = least(definition, terms.price) * times
    return replace(terms, quantity=largest) if terms.quantity > largest else terms


CEILINGS: tuple[Callable[[Proposal], Breach], ...] = (minimum_size, daily_orders, daily_bought)
"""Each of them, in the order in which they are asked."""

USED_UP = (daily_orders, daily_bought)
"""Those that are used up little by little."""
