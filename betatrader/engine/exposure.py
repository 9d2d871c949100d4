"""How much stands on one event and on one venue: what is held, and what open orders may add."""

from collections.abc import Container

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


def reserved_at(state: State, account: str) -> int:
    """What open buys in one account may still take of its cash, fees included."""
    return sum(
        reserve(state, order)
        for order in state.orders.open.values()
        if order.terms.side is BUY and state.account_of(order.terms.instrument) == account
    )


def event_loss(state: State, contract: BinaryContract, adding: OrderTerms | None = None) -> int:
    """The most that this contract's event may cost from here, at its worst outcome, without fees.

    Of a YES and a NO one pays 1 for certain: what is held of both nets. Of exclusive contracts at
    most one YES pays, and all of them net. Open buys count in full and net nothing before they have
    filled; open sells count filled or not, whichever is worse. Contracts of one event that are
    neither may all lose. With `adding`: as if that order had filled (a buy), or were open too (a
    sell).
    """
    pairs = _pairs(state, contract)
    if contract.exclusive:
        return max(0, _exclusive_loss(state, pairs, adding))
    return sum(max(0, _pair_loss(state, one, other, adding)) for one, other in pairs)


def _pairs(state: State, contract: BinaryContract) -> list[tuple[InstrumentId, InstrumentId]]:
    """Each contract of the event (or of the exclusive ones) that something is held or bid of, with
    its complement, YES first."""
    names = {contract.id, *(name for name, _ in state.portfolio.open_positions())}
    names.update(order.terms.instrument for order in state.orders.open.values())
    about = _about(contract)
    pairs = []
    while names:
        name = names.pop()
        seen = state.markets.get(name)
        definition = seen.definition if seen is not None else None
        if type(definition) is not BinaryContract or _about(definition) != about:
            continue
        names.discard(definition.complement)
        pair = (name, definition.complement)
        pairs.append(pair if definition.is_yes else pair[::-1])
    return pairs


def _about(contract: BinaryContract) -> tuple[str, str]:
    return contract.exclusive or contract.event, venue_of(contract.id)


def _exclusive_loss(
    state: State,
    pairs: list[tuple[InstrumentId, InstrumentId]],
    adding: OrderTerms | None,
) -> int:
    """What exclusive contracts may cost at the worst: one of their YES pays, or none does."""
    names = [name for pair in pairs for name in pair]
    worst = max(
        sum(
            _loss(state, yes, adding, pays=at == winner)
            + _loss(state, no, adding, pays=at != winner)
            for at, (yes, no) in enumerate(pairs)
        )
        for winner in range(len(pairs) + 1)
    )
    return _bound(state, names) + worst


def _pair_loss(
    state: State, one: InstrumentId, other: InstrumentId, adding: OrderTerms | None
) -> int:
    """What one YES and its NO may cost at the worst; below 0 where they gain for certain."""
    return _bound(state, (one, other)) + max(
        _loss(state, one, adding, pays=first) + _loss(state, other, adding, pays=not first)
        for first in (True, False)
    )


def _bound(state: State, names: Container[InstrumentId]) -> int:
    """What open buys may cost."""
    return sum(
        cost(order.terms.price, order.remaining)
        for order in state.orders.open.values()
        if order.terms.side is BUY and order.terms.instrument in names
    )


def _loss(state: State, name: InstrumentId, adding: OrderTerms | None, *, pays: bool) -> int:
    """What is held of one contract, less what it pays: with open sells filled or not."""
    return max(worth - shares * pays for shares, worth in _ends(state, name, adding))


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
