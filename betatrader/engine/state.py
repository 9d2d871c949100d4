"""Everything the engine knows, and `fold`, which applies a record and never decides.

`Engine.process` folds an event, decides, and folds each of its own answers in turn: folding the
same records again gives the same state. Recovery, standby and dashboard live by that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from betatrader.engine import bookkeeping, lifecycle, outside
from betatrader.engine.holdings import Holdings
from betatrader.engine.market import Market
from betatrader.engine.orders import Orders
from betatrader.engine.portfolio import Portfolio
from betatrader.model import account, instruction, market
from betatrader.model.command import (
    Approved,
    Booked,
    CancelOrder,
    CheckBooks,
    Refused,
    StateChanged,
    Step,
    StrategyFailed,
    Warned,
)
from betatrader.model.ids import InstrumentId, StrategyId, venue_of
from betatrader.model.instruction import TradingState
from betatrader.model.instrument import BinaryContract
from betatrader.model.limits import Limits
from betatrader.model.money import proceeds
from betatrader.model.signal import Forecast

DAY_NS = 86_400 * 1_000_000_000
UNTOLD_NS = DAY_NS // 24
ENDED_KEPT = 16  # instruments that have ended and are remembered, for late fills


@dataclass(slots=True)
class State:
    """The engine's state. A mutable struct that encodes and decodes as a whole."""

    event_sequence: int = 0
    step_sequence: int = 0
    now_ns: int = 0
    epoch: int = 0
    order_counter: int = 0
    trading_state: TradingState = TradingState.ACTIVE
    halt_reason: str = ""
    flattening: bool = False
    accounts: tuple[str, ...] = ()
    """Where we have accounts, by the names of venues. With several, an instrument belongs to the
    account of its own venue; with one, or none named, every instrument belongs to that."""
    several: bool = False
    """Whether there are more than one: kept, since every order asks."""
    uncompared: list[str] = field(default_factory=list)
    """Accounts whose books are not yet compared with the venue's: no order passes there."""
    away: list[str] = field(default_factory=list)
    """Accounts whose venue is not reached."""
    barred: dict[str, str] = field(default_factory=dict)
    """Why an account's venue does not serve us from here: only what reduces may leave for it."""
    shut: tuple[str, ...] = ()
    """Those of any kind: kept, since every order asks."""
    armed_until: dict[str, int] = field(default_factory=dict)
    """When each dead-man switch runs out, by venue; 0 where it is not armed."""
    confirmed: Limits | None = None
    """The last limits that needed no confirmation, or had it."""
    offered: Limits | None = None
    """Limits that wait for it."""
    warned: dict[str, int] = field(default_factory=dict)
    """When a person was last told that a limit is near, by check."""
    rate_until_ns: int = 0
    rate_from: int = 0
    """Of `orders.sent`, at the beginning of this minute."""
    may_add_risk: bool = True
    """ACTIVE, and some account open: kept, since strategies ask at every event."""
    swept_ns: int = 0
    """When all that rested was last cancelled."""
    agreed: dict[str, tuple[int, int]] = field(default_factory=dict)
    """When our books were last found equal to a venue's, and the fills by then, by account."""
    doubted_ns: int = 0
    """Since when a loss limit seems reached, and the venue is asked whether our books are right; 0:
    none does."""
    markets: dict[InstrumentId, Market] = field(default_factory=dict)
    orders: Orders = field(default_factory=Orders)
    portfolio: Portfolio = field(default_factory=Portfolio)
    holdings: Holdings = field(default_factory=Holdings)
    equity_high: int = 0
    day: int = 0
    day_equity: int = 0
    failed: list[StrategyId] = field(default_factory=list)
    """Strategies whose own code failed; they are asked no more."""
    denials: dict[str, int] = field(default_factory=dict)
    aside_cash: dict[str, int] = field(default_factory=dict)
    """Cash in each account that is somebody else's: in none of our books."""
    aside: dict[InstrumentId, int] = field(default_factory=dict)
    """Shares of that kind."""

    def fold(self, record: object) -> None:
        """Apply one event, answer or Step. Never decides; unknown records are a TypeError."""
        apply = FOLDS.get(type(record))
        if apply is None:
            raise TypeError(f"no fold for {type(record).__name__}")
        apply(self, record)

    def account(self, venue: str) -> str:
        """The account that a venue's name stands for."""
        if self.several:
            return venue
        return self.accounts[0] if self.accounts else ""

    def account_of(self, instrument: InstrumentId) -> str:
        """The account that an instrument belongs to."""
        return self.account(venue_of(instrument))

    def is_open(self, instrument: InstrumentId) -> bool:
        """Whether the instrument's venue is reached and serves us, and our books are compared."""
        return not self.shut or self.account_of(instrument) not in self.shut

    def cash_at(self, account: str) -> int:
        """Cash in one account."""
        return self.portfolio.accounts.get(account, 0)

    @property
    def reconciling(self) -> bool:
        """Whether the books of some account are still to be compared."""
        return bool(self.uncompared)

    def equity(self) -> int:
        """Cash and all positions at the price they could be sold at."""
        total = self.portfolio.cash
        for name, position in self.portfolio.positions.items():
            if position.quantity:
                total += proceeds(self.mark(name), position.quantity)
        return total

    def mark(self, instrument: InstrumentId) -> int:
        """The price a position is valued at: the bid, else the last trade, else its cost."""
        seen = self.markets.get(instrument)
        if seen is not None and (seen.bid or seen.last_price):
            return seen.bid or seen.last_price
        position = self.portfolio.positions.get(instrument)
        return position.average_price if position is not None else 0

    def unrealised(self) -> int:
        """What the open positions would gain if they were sold at their marks, before fees."""
        return sum(
            proceeds(self.mark(name), held.quantity) - held.cost
            for name, held in self.portfolio.open_positions()
        )

    def watch_equity(self) -> None:
        """Move the high-water mark, and open a new day where one has begun."""
        equity = self.equity()
        if equity > self.equity_high:
            self.equity_high = equity
        day = self.now_ns // DAY_NS
        if day != self.day:
            self.day = day
            self.day_equity = equity


# The folds of market events return the market that they changed: the engine looks it up no more.


def _fold_quote(state: State, event: market.Quote) -> Market | None:
    state.event_sequence += 1
    now = event.time_ns
    if now > state.now_ns:
        state.now_ns = now
    else:
        now = state.now_ns  # a clock that was set back makes no quote old
    seen = state.markets[event.instrument]
    bid, ask = event.bid, event.ask
    if bid > ask and ask > 0:
        seen.crossed = True
        return None
    seen.crossed = False
    seen.bid = bid
    seen.bid_size = event.bid_size
    seen.ask = ask
    seen.ask_size = event.ask_size
    seen.quote_id = event.update_id
    seen.updated_ns = now
    if seen.held:
        state.watch_equity()
    return seen


def _fold_trade(state: State, event: market.PublicTrade) -> Market:
    state.event_sequence += 1
    if event.time_ns > state.now_ns:
        state.now_ns = event.time_ns
    seen = state.markets[event.instrument]
    seen.last_price = event.price
    seen.last_quantity = event.quantity
    seen.buyer_is_taker = event.buyer_is_taker
    return seen


def _fold_delta(state: State, event: market.BookDelta) -> Market | None:
    lifecycle.arrive(state, event.time_ns)
    seen = state.markets[event.instrument]
    seen.book.apply(event.bids, event.asks, event.update_id)
    if event.update_id >= seen.quote_id:  # a book may lag behind the quotes of the same venue
        return _take_top(state, seen, event)
    return seen


def _fold_snapshot(state: State, event: market.BookSnapshot) -> Market | None:
    lifecycle.arrive(state, event.time_ns)
    seen = state.markets[event.instrument]
    seen.book.replace(event.bids, event.asks, event.update_id)
    return _take_top(state, seen, event)


def _take_top(
    state: State, seen: Market, event: market.BookDelta | market.BookSnapshot
) -> Market | None:
    """The book's top as the market's; a crossed one is no market, and nobody is shown it."""
    bid, bid_size, ask, ask_size = seen.book.top()
    seen.crossed = bid > ask > 0
    if seen.crossed:
        return None
    seen.bid, seen.bid_size, seen.ask, seen.ask_size = bid, bid_size, ask, ask_size
    seen.quote_id = event.update_id
    seen.updated_ns = state.now_ns
    if seen.held:
        state.watch_equity()
    return seen


def _fold_listed(state: State, event: market.InstrumentListed) -> None:
    lifecycle.arrive(state, event.time_ns)
    definition = event.definition
    seen = state.markets.get(definition.id)
    if seen is None:
        state.markets[definition.id] = Market(definition)
        _forget_ended(state)
    else:
        seen.definition = definition


def _forget_ended(state: State) -> None:
    """Drop the oldest ended instruments that hold nothing: their gains stand in the totals."""
    ended = [name for name, seen in state.markets.items() if _is_over(state, seen)]
    busy = {order.terms.instrument for order in state.orders.open.values()}
    for name in ended[: max(0, len(ended) - ENDED_KEPT)]:
        if name not in busy:
            del state.markets[name]
            state.portfolio.forget(name)


def _is_over(state: State, seen: Market) -> bool:
    """Resolved; or, where nobody told us since we held nothing, long past its expiry."""
    definition = seen.definition
    if seen.resolved or seen.held or not isinstance(definition, BinaryContract):
        return seen.resolved
    return state.now_ns > definition.expires_ns + UNTOLD_NS


def _fold_status(state: State, event: market.InstrumentStatus) -> None:
    lifecycle.arrive(state, event.time_ns)
    seen = state.markets[event.instrument]
    seen.tradable = event.tradable and not seen.resolved


def _fold_resolution(state: State, event: market.Resolution) -> Market:
    lifecycle.arrive(state, event.time_ns)
    seen = state.markets[event.instrument]
    seen.resolved, seen.tradable, seen.held, seen.stop = True, False, False, 0
    seen.payout = event.payout
    before = state.portfolio.cash
    state.portfolio.settle(event.instrument, event.payout, state.account_of(event.instrument))
    state.holdings.end(event.instrument, event.payout, state.portfolio.cash - before)
    state.watch_equity()
    return seen


def _fold_forecast(state: State, event: Forecast) -> Market | None:
    lifecycle.arrive(state, event.time_ns)
    seen = state.markets.get(event.instrument)
    if seen is not None:
        seen.forecast = event
    return seen


def _fold_timer(state: State, event: instruction.TimerFired) -> None:
    lifecycle.arrive(state, event.time_ns)
    lifecycle.move_rate_window(state)
    state.watch_equity()


def fold_submit(state: State, command: Approved) -> None:
    """An order is in flight from here on."""
    state.order_counter += 1
    state.orders.submit(command, state.now_ns)


def fold_refused(state: State, refused: Refused) -> None:
    """An intent used up an id, and no more."""
    state.order_counter += 1
    state.orders.deny(refused, state.now_ns)
    state.denials[refused.check] = state.denials.get(refused.check, 0) + 1


def _fold_cancel(state: State, command: CancelOrder) -> None:
    state.orders.cancel(command, state.now_ns)


def _fold_failed(state: State, change: StrategyFailed) -> None:
    state.failed.append(change.strategy)


def _fold_booked(state: State, change: Booked) -> None:
    """A sentence for people; the event itself has changed the books."""


def _fold_check(state: State, change: CheckBooks) -> None:
    state.doubted_ns = state.now_ns if change.reason else 0


def _fold_step(state: State, step: Step) -> None:
    state.step_sequence = step.sequence
    state.event_sequence = step.event  # where market events are not followed, both lag behind
    reached = max(state.now_ns, step.time_ns)
    state.now_ns = step.time_ns  # who has seen more of the market makes an order no younger
    for change in step.changes:
        apply = FOLDS.get(type(change))
        if apply is not None:
            apply(state, change)
    state.now_ns = reached


FOLDS: dict[type, Callable[[State, Any], Market | None]] = {
    market.Quote: _fold_quote,
    market.PublicTrade: _fold_trade,
    market.BookDelta: _fold_delta,
    market.BookSnapshot: _fold_snapshot,
    market.InstrumentListed: _fold_listed,
    market.InstrumentStatus: _fold_status,
    market.Resolution: _fold_resolution,
    Forecast: _fold_forecast,
    account.OrderAccepted: bookkeeping.fold_report,
    account.OrderRejected: bookkeeping.fold_report,
    account.OrderCanceled: bookkeeping.fold_report,
    account.OrderExpired: bookkeeping.fold_report,
    account.CancelRejected: bookkeeping.fold_report,
    account.OrderInDoubt: bookkeeping.fold_report,
    account.OrderSigned: bookkeeping.fold_report,
    account.OrderFound: bookkeeping.fold_found,
    account.Fill: bookkeeping.fold_fill,
    account.CashFlow: outside.fold_cash,
    account.PositionTransfer: outside.fold_transfer,
    account.PairsMerged: outside.fold_merged,
    account.Reconciled: lifecycle.fold_reconciled,
    account.VenueConnection: lifecycle.fold_connection,
    account.VenueAccess: lifecycle.fold_access,
    account.Protection: lifecycle.fold_protection,
    instruction.Started: lifecycle.fold_started,
    instruction.Fenced: lifecycle.fold_fenced,
    instruction.Halt: lifecycle.fold_instruction,
    instruction.Reduce: lifecycle.fold_instruction,
    instruction.Resume: lifecycle.fold_resume,
    instruction.CancelAll: lifecycle.fold_cancel_all,
    instruction.Flatten: lifecycle.fold_instruction,
    instruction.ConfirmLimits: lifecycle.fold_confirm,
    instruction.StageAllowed: lifecycle.fold_instruction,
    instruction.TimerFired: _fold_timer,
    Approved: fold_submit,
    CancelOrder: _fold_cancel,
    Refused: fold_refused,
    Warned: lifecycle.fold_warned,
    StateChanged: lifecycle.fold_state_changed,
    StrategyFailed: _fold_failed,
    Booked: _fold_booked,
    CheckBooks: _fold_check,
    Step: _fold_step,
}
"""What each kind of record does to the state; a market event answers with its market."""
