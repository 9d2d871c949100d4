"""Folds of what venues say of our account: orders' reports and fills."""

from typing import TYPE_CHECKING

from betatrader.engine.holdings import UNKNOWN
from betatrader.engine.lifecycle import arrive
from betatrader.engine.market import Market
from betatrader.model import account
from betatrader.model.ids import InstrumentId, StrategyId
from betatrader.model.instrument import BinaryContract
from betatrader.model.order import Side

if TYPE_CHECKING:
    from betatrader.engine.state import State


def fold_report(state: "State", event: account.OrderEvent) -> None:
    """What a venue says of an order, but for its fills."""
    arrive(state, event.time_ns)
    state.orders.take(event)


def fold_found(state: "State", event: account.OrderFound) -> None:
    """An order of ours that our journal had lost."""
    arrive(state, event.time_ns)
    state.orders.adopt(event, UNKNOWN)


def fold_fill(state: "State", event: account.Fill) -> Market | None:
    """One execution: to its order, the portfolio, and the strategy that holds it."""
    arrive(state, event.time_ns)
    seen = state.markets.get(event.instrument)
    if not state.orders.is_new_fill(event):
        return seen
    state.orders.take_fill(event)
    definition = seen.definition if seen is not None else None
    complement = None
    if isinstance(definition, BinaryContract) and definition.nets:
        complement = definition.complement
    where, before = state.account_of(event.instrument), state.portfolio.cash
    state.portfolio.take_fill(event, complement, where)
    if seen is not None and seen.resolved:  # a fill from before the end, reported after it
        state.portfolio.settle(event.instrument, seen.payout, where)
    order = state.orders.find(event.order)
    strategy = order.strategy if order is not None else UNKNOWN
    if event.paid_in is not None:
        state.portfolio.take_fee(event.paid_in, event.paid)
    share_out(state, event.instrument, strategy, state.portfolio.cash - before)
    for name in (complement, event.paid_in):
        if name is not None:
            share_out(state, name, strategy)
    if seen is not None and seen.held and order is not None and event.side is Side.BUY:
        seen.stop = max(seen.stop, order.stop)
    state.watch_equity()
    return seen


def share_out(state: "State", name: InstrumentId, strategy: StrategyId, cash: int = 0) -> None:
    """Strategies' shares, and whether a stop is due, follow a position that has changed, which
    moved `cash`."""
    held = state.portfolio.quantity(name)
    state.holdings.settle(name, held, strategy, cash)
    seen = state.markets.get(name)
    if seen is not None:
        seen.held = bool(held)
        if not held:
            seen.stop = 0
