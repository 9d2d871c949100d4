"""How much stands on one event and on one venue: what is held, and what open orders may add."""

from betatrader.engine.proposal import BUY, SELL, reserve
from betatrader.engine.state import State
from betatrader.model.ids import InstrumentId, venue_of
from betatrader.model.instrument import BinaryContract
from betatrader.model.money import cost
from betatrader.model.order import OrderTerms


def venue_notional(state: State, venue: str) -> int:
    """Positions at their marks, and open buys with their fees, on one venue."""
    held = state.portfolio.open_positions()
    worth = sum(cost(state.mark(n), p.quantity) for n, p in held if venue_of(n) == venue)
    return worth + sum(
        reserve(state, order)
        for order in state.orders.open.values()
        if order.terms.side is BUY and venue_of(order.terms.instrument) == venue
    )


def event_loss(state: State, contract: BinaryContract, adding: OrderTerms | None = None) -> int:
    """The most that this contract's event may cost from here, at its worst outcome, without fees.

    Of a YES and a NO one pays 1 for certain: what is held of both nets. Open buys count in full
    and net nothing before they have filled; open sells count filled or not, whichever is worse.
    Contracts of one event that are no complements may all lose. With `adding`: as if that order
    had filled (a buy), or were open too (a sell).
    """
    positions, orders = state.portfolio.open_positions(), state.orders.open.values()
    names = {contract.id, *(name for name, _ in positions)}
    names.update(order.terms.instrument for order in orders)
    about = contract.event, venue_of(contract.id)
    loss = 0
    while names:
        name = names.pop()
        seen = state.markets.get(name)
        definition = seen.definition if seen is not None else None
        if type(definition) is not BinaryContract or about != (definition.event, venue_of(name)):
            continue
        names.discard(definition.complement)
        loss += max(0, _pair_loss(state, name, definition.complement, adding))
    return loss


def _pair_loss(
    state: State, one: InstrumentId, other: InstrumentId, adding: OrderTerms | None
) -> int:
    """What one YES and its NO may cost at the worst; below 0 where they gain for certain."""
    bound = sum(
        cost(order.terms.price, order.remaining)
        for order in state.orders.open.values()
        if order.terms.side is BUY and order.terms.instrument in (one, other)
    )
    return bound + max(
        worth + worth_too - min(shares, shares_too)
        for shares, worth in _ends(state, one, adding)
        for shares_too, worth_too in _ends(state, other, adding)
    )


def _ends(
    state: State, name: InstrumentId, adding: OrderTerms | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shares and their worth, with none of the open sells filled, and with all of them."""
    held = state.portfolio.quantity(name)
    offered = state.orders.open_quantity(name, SELL)
    bought = paid = 0
    if adding is not None and adding.instrument == name:
        if adding.side is BUY:
            bought, paid = adding.quantity, cost(adding.price, adding.quantity)
        else:
            offered += adding.quantity
    left, mark = max(0, held - offered), state.mark(name)
    return (held + bought, cost(mark, held) + paid), (left + bought, cost(mark, left) + paid)
