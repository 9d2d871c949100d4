"""Folds of what starts, stops and holds back the trader: instructions, leases, trading states."""

from typing import TYPE_CHECKING

from betatrader.model import account, instruction
from betatrader.model.command import StateChanged, Warned
from betatrader.model.instruction import TradingState
from betatrader.model.limits import modest, raised

MINUTE_NS = 60_000_000_000

if TYPE_CHECKING:
    from betatrader.engine.state import State


def arrive(state: "State", time_ns: int) -> None:
    """Count an event and move the clock, which never goes back."""
    state.event_sequence += 1
    if time_ns > state.now_ns:
        state.now_ns = time_ns


def fold_started(state: "State", event: instruction.Started) -> None:
    """A run begins: a new epoch, and ids count from 0 in it."""
    arrive(state, event.time_ns)
    state.epoch = event.epoch
    state.order_counter = 0
    state.trading_state = event.trading_state
    state.halt_reason = event.reason
    if event.accounts:
        _open_accounts(state, event.accounts)
    state.uncompared = list(state.accounts or ("",)) if event.reconcile else []
    state.doubted_ns = 0
    state.armed_until = dict.fromkeys(state.armed_until, 0)
    if event.limits is not None:
        confirmed = state.confirmed or modest(event.limits)
        more = raised(event.limits, confirmed)
        state.offered = event.limits if more else None
        state.confirmed = confirmed if more else event.limits
    watch_risk(state)


def _open_accounts(state: "State", names: tuple[str, ...]) -> None:
    """The accounts of a process that begins. Cash that lies in none of them, since the books are
    of a time when there was but one without a name, lies in the first."""
    state.accounts, state.several = names, len(names) > 1
    state.away = []
    state.barred = {}  # another machine may be served: this one asks by itself
    state.agreed = {name: at for name, at in state.agreed.items() if name in names}
    cash = state.portfolio.accounts
    cash.pop("", None)
    loose = state.portfolio.cash - sum(cash.values())
    if loose:
        cash[names[0]] = cash.get(names[0], 0) + loose


def fold_protection(state: "State", event: account.Protection) -> None:
    """A venue's dead-man switch is armed until then, or is not."""
    arrive(state, event.time_ns)
    state.armed_until[event.venue] = event.armed_until_ns


def fold_connection(state: "State", event: account.VenueConnection) -> None:
    """The venue is reached, or is away: then its market and our books are of the past."""
    arrive(state, event.time_ns)
    account = state.account(event.venue)
    if account in state.away:
        state.away.remove(account)
    if not event.up:
        state.away.append(account)
        if account not in state.uncompared:
            state.uncompared.append(account)  # what happened meanwhile comes first
        for seen in state.markets.values():
            if state.account_of(seen.id) == account:
                seen.updated_ns = 0  # a connection is worth something once data has come over it
    watch_risk(state)


def fold_access(state: "State", event: account.VenueAccess) -> None:
    """The venue serves us from here, or does not."""
    arrive(state, event.time_ns)
    account = state.account(event.venue)
    state.barred.pop(account, None)
    if not event.allowed:
        state.barred[account] = event.reason
    watch_risk(state)


def fold_reconciled(state: "State", event: account.Reconciled) -> None:
    """Our books and the venue's were compared, and agree unless its balances still move."""
    arrive(state, event.time_ns)
    account = state.account(event.venue)
    if account in state.uncompared:
        state.uncompared.remove(account)
    if not event.moving:
        state.agreed[account] = state.now_ns, state.orders.fills
    watch_risk(state)


def fold_fenced(state: "State", event: instruction.Fenced) -> None:
    """No order passes until the books are compared with the venues' again."""
    arrive(state, event.time_ns)
    state.uncompared = list(state.accounts or ("",))
    watch_risk(state)


def watch_risk(state: "State") -> None:
    """Keep whether new risk is let through at all."""
    state.shut = tuple(sorted({*state.away, *state.uncompared, *state.barred}))
    some = len(state.shut) < max(1, len(state.accounts))
    state.may_add_risk = state.trading_state is TradingState.ACTIVE and some


def fold_instruction(state: "State", event: instruction.Instruction) -> None:
    """What the operator orders is carried out by the engine's answers."""
    arrive(state, event.time_ns)


def fold_cancel_all(state: "State", event: instruction.CancelAll) -> None:
    """What was made until now is not to rest, even where it arrives only after its cancel."""
    arrive(state, event.time_ns)
    state.swept_ns = state.now_ns


def fold_confirm(state: "State", event: instruction.ConfirmLimits) -> None:
    """The limits that waited are in force."""
    arrive(state, event.time_ns)
    state.confirmed = state.offered or state.confirmed
    state.offered = None


def fold_resume(state: "State", event: instruction.Resume) -> None:
    """A person resumed: the loss limits count from here, or they would halt again at once."""
    arrive(state, event.time_ns)
    state.equity_high = state.day_equity = state.equity()


def fold_state_changed(state: "State", change: StateChanged) -> None:
    """The trading state moved."""
    state.trading_state = change.state
    state.halt_reason = change.reason
    state.flattening = change.flattening
    if change.state is TradingState.HALTED:
        state.swept_ns = state.now_ns
        state.doubted_ns = 0
    watch_risk(state)


def fold_warned(state: "State", change: Warned) -> None:
    """A limit is near: remembered, so that a person is told once a while."""
    state.warned[change.check] = state.now_ns


def move_rate_window(state: "State") -> None:
    """Orders and cancels are counted by windows of a minute, which the clock's tick moves."""
    if state.now_ns >= state.rate_until_ns:
        state.rate_until_ns = state.now_ns + MINUTE_NS
        state.rate_from = state.orders.sent
