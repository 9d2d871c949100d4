"""Folds of balances that changed without an order of ours: cash, shares, pairs that were merged."""

from typing import TYPE_CHECKING, TypeVar

from betatrader.engine.bookkeeping import share_out
from betatrader.engine.holdings import UNKNOWN
from betatrader.engine.lifecycle import arrive
from betatrader.model import account

if TYPE_CHECKING:
    from betatrader.engine.state import State

Name = TypeVar("Name", bound=str)


def fold_cash(state: "State", event: account.CashFlow) -> None:
    """Cash came or went: no profit, and no loss."""
    arrive(state, event.time_ns)
    if event.aside:
        _set_aside(state.aside_cash, state.account(event.venue), event.amount)
        return
    state.portfolio.deposit(event.amount, state.account(event.venue))
    _come_or_gone(state, event.amount)


def fold_transfer(state: "State", event: account.PositionTransfer) -> None:
    """Shares came or went: no profit, and no loss."""
    arrive(state, event.time_ns)
    if event.aside:
        _set_aside(state.aside, event.instrument, event.quantity)
        return
    value = state.portfolio.transfer(event.instrument, event.quantity, event.price)
    share_out(state, event.instrument, UNKNOWN, -value)
    _come_or_gone(state, value)


def fold_merged(state: "State", event: account.PairsMerged) -> None:
    """Pairs became cash: what they cost less than 1 each is a profit."""
    arrive(state, event.time_ns)
    where = state.account_of(event.instrument)
    state.portfolio.merge(event.instrument, event.complement, event.quantity, where)
    half = event.quantity // 2
    share_out(state, event.instrument, UNKNOWN, event.quantity - half)
    share_out(state, event.complement, UNKNOWN, half)
    state.watch_equity()


def _set_aside(amounts: dict[Name, int], name: Name, change: int) -> None:
    """What is not ours comes or goes; where nothing is left, nothing is kept."""
    left = amounts.get(name, 0) + change
    amounts[name] = left
    if not left:
        del amounts[name]


def _come_or_gone(state: "State", value: int) -> None:
    """What comes or goes moves what losses are counted from; but while a loss limit is in doubt, it
    is the venue's word on that very loss, as far as that goes."""
    if state.doubted_ns:
        lost = max(state.equity_high, state.day_equity) - (state.equity() - value)
        value -= min(value, max(0, lost))
    state.equity_high += value
    state.day_equity += value
    state.watch_equity()
