"""What must be out of the way before a whole position is sold: by a stop, or by `flatten`."""

from betatrader.engine.market import Market
from betatrader.engine.proposal import OPERATOR, STOP
from betatrader.engine.state import State
from betatrader.model.command import CancelOrder
from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import BinaryContract
from betatrader.model.order import Side


def in_the_way(state: State, seen: Market, reason: str) -> tuple[list[CancelOrder], bool]:
    """The cancels to send, and whether the sale may go now.

    The answers must come first: the same shares are not offered twice, nor netted meanwhile.
    """
    orders = state.orders
    cancels = [
        CancelOrder(order.id, seen.id, reason)
        for order in orders.resting(seen.id)
        if order.strategy not in (STOP, OPERATOR)  # those take at once, or end
    ]
    definition = seen.definition
    if isinstance(definition, BinaryContract) and definition.nets:
        other = definition.complement
        cancels += [CancelOrder(order.id, other, reason) for order in orders.resting(other)]
        if orders.open_quantity(other, Side.BUY):
            return cancels, False
    return cancels, not orders.open_quantity(seen.id, Side.SELL)


def to_sell(state: State) -> list[Market]:
    """The markets in which something is held that could be sold now."""
    held = (state.markets.get(name) for name in beyond_dust(state))
    return [seen for seen in held if seen is not None and not seen.resolved and seen.bid]


def beyond_dust(state: State) -> list[InstrumentId]:
    """What is held in more than a part of a lot, which no order can sell: fees leave such parts."""
    markets = state.markets
    return [
        name
        for name, held in state.portfolio.open_positions()
        if name not in markets or abs(held.quantity) >= markets[name].definition.lot
    ]
