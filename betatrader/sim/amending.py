"""A resting order that asks for less from now on, at its place in the queue."""

from msgspec.structs import replace

from betatrader.model.ids import ClientOrderId
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.ledger import Amended


def amend(exchange: SimulatedExchange, order: ClientOrderId, quantity: int) -> bool:
    """Lower what it asks for; False where it does not rest, or has been filled that far."""
    found = exchange.working(order)
    if found is None or order not in exchange.ledgers[found.owner].working:
        return False
    left = quantity - (found.terms.quantity - found.remaining)
    if not 0 < left < found.remaining:
        return False
    exchange.book(Amended(order, quantity), found.owner)
    found.terms = replace(found.terms, quantity=quantity)
    found.remaining = left
    return True
