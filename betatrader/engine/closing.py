"""What must be out of the way before a whole position is sold: by a stop, or by `flatten`."""

from itertools import islice

from betatrader.engine.market import Market
from betatrader.engine.proposal import CLOSING
from betatrader.engine.state import State
from betatrader.model.command import CancelOrder
from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import BinaryContract
from betatrader.model.money import cost
from betatrader.model.order import OrderState, Side

AGAIN_NS = 1_000_000_000
"""A sale that was refused is tried again after so long."""

REMEMBERED = 50
"""Ended orders that are looked at for a refusal: the last ones."""


def in_the_way(state: State, seen: Market, reason: str) -> tuple[list[CancelOrder], bool]:
    """The cancels to send, and whether the sale may go now.

    The answers must come first: the same shares are not offered twice, nor netted meanwhile.
    """
    orders = state.orders
    cancels = [
        CancelOrder(order.id, seen.id, reason)
        for order in orders.resting(seen.id)
        if order.strategy not in CLOSING and order.state is not OrderState.IN_DOUBT
    ]  # what closes takes at once, or ends; of what is in doubt the venue is asked first
    definition = seen.definition
    if isinstance(definition, BinaryContract) and definition.nets:
        other = definition.complement
        cancels += [
            CancelOrder(order.id, other, reason)
            for order in orders.resting(other)
            if order.state is not OrderState.IN_DOUBT
        ]
        if orders.open_quantity(other, Side.BUY):
            return cancels, False
    return cancels, not orders.open_quantity(seen.id, Side.SELL)


def to_sell(state: State) -> list[Market]:
    """The markets in which something is held that could be sold now."""
    held = (state.markets.get(name) for name in beyond_dust(state))
    return [seen for seen in held if seen is not None and not seen.resolved and seen.bid]


def beyond_dust(state: State) -> list[InstrumentId]:
    """What is held in more than no order can sell."""
    markets = state.markets
    return [
        name
        for name, held in state.portfolio.open_positions()
        if name not in markets or not is_dust(markets[name], abs(held.quantity))
    ]


def is_dust(seen: Market, quantity: int) -> bool:
    """Whether no order can sell so little: a part of a lot, which a fee has left, or less than the
    venue takes; a contract's minimum quantity is that of orders that rest, and this one takes."""
    definition = seen.definition
    least = 0 if isinstance(definition, BinaryContract) else definition.min_quantity
    if quantity < max(definition.lot, least):
        return True
    return bool(seen.bid) and cost(seen.bid, quantity) < definition.min_notional


def refused(state: State, name: InstrumentId) -> bool:
    """Whether a sale that closes was refused a moment ago, by risk or by the venue: the next quote
    is no reason to ask again."""
    orders, since_ns = state.orders, state.now_ns - AGAIN_NS
    return any(
        order.strategy in CLOSING
        and order.terms.instrument == name
        and order.state in (OrderState.REJECTED, OrderState.DENIED)
        and order.updated_ns > since_ns
        for ended in (orders.closed, orders.denied)
        for order in islice(reversed(ended.values()), REMEMBERED)
    )
