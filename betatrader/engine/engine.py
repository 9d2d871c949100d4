"""The order of work for one event, and nothing else: fold it, protect, ask the strategies, act.

`process` is called by live, paper, replay, backtest and simulation alike. It is synchronous, has
no clock and no randomness, and answers None where an event changed nothing but a book or a quote.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from betatrader.engine import booking, risk, sweeping
from betatrader.engine.answering import Answering
from betatrader.engine.market import Market
from betatrader.engine.orders import FOUND
from betatrader.engine.proposal import GUARD
from betatrader.engine.state import FOLDS, State
from betatrader.engine.strategy import Listener, Strategy, listeners
from betatrader.model import account, instruction, market
from betatrader.model.command import (
    Alert,
    Booked,
    CancelOrder,
    StateChanged,
    Step,
    StrategyFailed,
)
from betatrader.model.event import SCHEMA_VERSION, Event, encode_as
from betatrader.model.ids import StrategyId
from betatrader.model.instruction import TradingState
from betatrader.model.limits import Limits, raised
from betatrader.model.money import show
from betatrader.model.signal import Forecast

Reaction = Callable[[Any, Any], None]
"""Called with the event and, for a market event, forecast or fill, the market it is about."""


class Engine(Answering):
    """State, limits and strategies: one event in, one Step (or None) out."""

    def __init__(
        self, limits: Limits, strategies: list[Strategy], state: State | None = None
    ) -> None:
        super().__init__(limits, state if state is not None else State())
        self.strategies = strategies
        self.failed_watching: dict[StrategyId, str] = {}
        """The last error of each strategy that raised one in `follow`."""
        self._connect()

    def _connect(self) -> None:
        """Bind strategies to the state, and each kind of event to its fold and its reaction."""
        self._fills = self.state.orders.fills
        self._prefixes.clear()
        self._quote = listeners(self.strategies, self.state, "on_quote")
        self._trade = listeners(self.strategies, self.state, "on_trade")
        self._forecast = listeners(self.strategies, self.state, "on_forecast")
        self._fill = listeners(self.strategies, self.state, "on_fill")
        self._tick = listeners(self.strategies, self.state, "on_tick")
        watching: dict[type, list[Listener]] = {
            market.Quote: self._quote,
            market.BookDelta: self._quote,
            market.BookSnapshot: self._quote,
            market.PublicTrade: self._trade,
            Forecast: self._forecast,
            instruction.TimerFired: self._tick,
        }
        tops = (market.Quote, market.BookDelta, market.BookSnapshot)
        reactions: dict[type, Reaction] = {
            market.Resolution: self._on_resolution,
            market.InstrumentListed: self._on_listed,
            Forecast: self._on_forecast,
            account.Fill: self._on_fill,
            account.OrderAccepted: self._on_report,
            account.OrderRejected: self._on_report,
            account.OrderCanceled: self._on_report,
            account.OrderExpired: self._on_report,
            account.CancelRejected: self._on_report,
            account.OrderInDoubt: self._on_report,
            account.OrderFound: self._on_found,
            account.OrderSigned: self._on_signed,
            account.CashFlow: self._on_told,
            account.PositionTransfer: self._on_told,
            account.PairsMerged: self._on_told,
            account.Reconciled: self._on_reconciled,
            account.VenueConnection: self._on_told,
            account.VenueAccess: self._on_told,
            account.Protection: self._on_told,
            instruction.Started: self._on_started,
            instruction.Fenced: self._on_told,
            instruction.Halt: self._on_halt,
            instruction.Reduce: self._on_reduce,
            instruction.Resume: self._on_resume,
            instruction.CancelAll: self._on_cancel_all,
            instruction.Flatten: self._on_flatten,
            instruction.ConfirmLimits: self._on_confirm,
            instruction.StageAllowed: self._on_allowed,
            instruction.TimerFired: self._on_timer,
        }
        if self._trade:
            reactions[market.PublicTrade] = self._on_trade
        self._followed = {kind: (fold, watching.get(kind)) for kind, fold in FOLDS.items()}
        self._work = {
            kind: (fold, reactions.get(kind), self._quote if kind in tops else None)
            for kind, fold in FOLDS.items()
        }

    def process(self, event: Event) -> Step | None:
        """Take one event; raises KeyError for a market event of an instrument never listed."""
        fold, react, quoted = self._work[type(event)]
        state = self.state
        seen = fold(state, event)
        if quoted is not None:  # a new top of a book: the hottest path, and so written out here
            if seen is None:  # crossed
                return None
            if seen.held:
                self._protect(seen)
            for listen, view in quoted:
                try:
                    intents = listen(view, seen)
                    if intents:
                        self._carry_out(view.strategy, intents)
                except Exception as error:  # it is anybody's code, and must not end the trader
                    self._fail(view.strategy, error)
        elif react is None:
            return None
        else:
            react(event, seen)
        changes = self._changes
        if not changes:
            return None
        self._changes = []
        if self._telling:
            self._telling = False
            state.step_sequence += 1
        return Step(state.step_sequence, state.event_sequence, state.now_ns, tuple(changes))

    def follow(self, record: Event | Step) -> None:
        """Take a record of a journal as it was: fold it, and let the strategies watch the market.

        What they propose meanwhile is discarded, since what was not journaled was never sent. For
        recovery and the standby; raises KeyError as `process` does.
        """
        kind = type(record)
        fold, listening = self._followed[kind]
        seen = fold(self.state, record)
        if listening is not None:
            if seen is not None:
                if listening and not seen.crossed:
                    self._watch(listening, seen)
            elif kind is instruction.TimerFired:
                for one in self._live_markets():
                    if not one.crossed:
                        self._watch(listening, one)
        elif isinstance(record, Step):
            if any(type(change) is StrategyFailed for change in record.changes):
                self._connect()
        elif kind is account.Fill:
            self._fills = self.state.orders.fills
        elif kind is market.InstrumentListed:
            self._forget_ended()
        elif kind is instruction.Started:
            self._prefixes.clear()

    def _watch(self, listening: list[Listener], seen: Market) -> None:
        for listen, view in listening:
            try:
                listen(view, seen)
            except Exception as error:  # a leader's Step tells of it; a standby has none
                self.failed_watching[view.strategy] = f"{type(error).__name__}: {error}"

    def snapshot(self, schema: int = SCHEMA_VERSION) -> bytes:
        """State and strategies' memories, for `restore`; limits come from the configuration."""
        memories = [strategy.snapshot() for strategy in self.strategies]
        return encode_as((self.state, memories), schema)

    def restore(self, data: bytes) -> None:
        """Take back what `snapshot` gave, by an engine with the same strategies."""
        self.state, memories = msgspec.msgpack.decode(data, type=tuple[State, list[bytes]])
        for strategy, memory in zip(self.strategies, memories, strict=True):
            strategy.restore(memory)
        self._connect()

    # What follows reacts to one kind of event each.

    def _on_trade(self, _event: market.PublicTrade, seen: Market) -> None:
        self._ask(self._trade, seen)

    def _on_forecast(self, _event: Forecast, seen: Market | None) -> None:
        if seen is not None:
            self._ask(self._forecast, seen)

    def _on_fill(self, event: account.Fill, seen: Market | None) -> None:
        if self.state.orders.fills == self._fills:  # told before
            if self.state.orders.is_forgotten(event.order):
                text = f"a fill of order {event.order}, long ended: was it counted? What the venue"
                self._note(Alert("warning", f"{text} holds will be compared with our books"))
            return
        self._fills = self.state.orders.fills
        text = f"{event.side} {show(event.quantity)} {event.instrument} at {show(event.price)}"
        self._note(Booked("fill", event.order, text))
        if self.state.orders.find(event.order) is None:
            self._note(Alert("error", f"a fill of an unknown order: {event.order}"))
        self._guard_losses()
        if seen is not None:
            self._ask(self._fill, seen)
        self._end_flattening()

    def _on_report(self, event: account.OrderEvent, _seen: object) -> None:
        reason = getattr(event, "reason", "")
        kind = type(event).__struct_config__.tag
        self._note(Booked(str(kind), event.order, reason))
        order = self.state.orders.find(event.order)
        if order is not None:
            for alert in booking.alarming(event, order, reason):
                self._note(alert)
        self._end_flattening()

    def _on_found(self, event: account.OrderFound, _seen: object) -> None:
        twice = self.state.orders.open[event.order].reason != FOUND
        where = "twice at the venue" if twice else "not in our journal"
        self._note(Booked("found", event.order, f"an order of ours, {where}"))
        self._note(Alert("error", f"order {event.order} was {where}: it is cancelled"))
        self._note(CancelOrder(event.order, event.terms.instrument, where))

    def _on_signed(self, event: account.OrderSigned, _seen: object) -> None:
        text = event.digest or f"has no form there: {event.reason}"
        self._note(Booked("signed", event.order, f"{text}, not sent"))

    def _on_told(self, event: booking.Told, _seen: object) -> None:
        for change in booking.told(event):
            self._note(change)

    def _on_reconciled(self, event: account.Reconciled, _seen: object) -> None:
        still = "; balances still move" if event.moving else ""
        text = f"{len(event.repaired)} differences repaired{still}"
        self._note(Booked("reconciled", event.venue, text))
        self._guard_losses()

    def _on_resolution(self, event: market.Resolution, _seen: object) -> None:
        self._note(Booked("resolved", event.instrument, f"pays {show(event.payout)}"))
        self._guard_losses()

    def _on_listed(self, _event: market.InstrumentListed, _seen: object) -> None:
        self._forget_ended()

    def _forget_ended(self) -> None:
        """A new instrument may have pushed an ended one out: nobody need remember that."""
        for strategy in self.strategies:
            strategy.forget(self.state.markets)

    def _on_started(self, event: instruction.Started, _seen: object) -> None:
        self._prefixes.clear()
        state, reason = event.trading_state, event.reason
        if reason.startswith(risk.UNCONFIRMED) and self.state.offered is None:  # lowered again
            state, reason = TradingState.ACTIVE, ""
        flattening = self.state.flattening and state is TradingState.HALTED
        self._note(StateChanged(state, reason, flattening))
        self._hold_back()

    def _on_halt(self, event: instruction.Halt, _seen: object) -> None:
        self._halt(event.reason or "halted by the operator")
        self._acknowledge(event)

    def _on_reduce(self, event: instruction.Reduce, _seen: object) -> None:
        if self.state.trading_state is not TradingState.HALTED:  # only `resume` ends that
            self._change_state(TradingState.REDUCING, event.reason)
        self._acknowledge(event)

    def _on_resume(self, event: instruction.Resume, _seen: object) -> None:
        self._change_state(TradingState.ACTIVE, event.reason)
        self._hold_back()
        self._acknowledge(event)

    def _hold_back(self) -> None:
        """Raised limits wait for a person: until then only what reduces passes."""
        offered, confirmed = self.state.offered, self.state.confirmed
        if offered and confirmed and self.state.trading_state is TradingState.ACTIVE:
            names = ", ".join(raised(offered, confirmed))
            self._change_state(TradingState.REDUCING, f"{risk.UNCONFIRMED} ({names})")

    def _on_confirm(self, event: instruction.ConfirmLimits, _seen: object) -> None:
        if self.state.halt_reason.startswith(risk.UNCONFIRMED):
            self._change_state(TradingState.ACTIVE, event.reason)
        self._acknowledge(event)

    def _on_allowed(self, event: instruction.StageAllowed, _seen: object) -> None:
        text = f"{event.stage} allowed by {event.author} without its record: {event.reason}"
        self._note(Booked("allowed", event.id, text))
        self._note(Alert("warning", text))

    def _on_cancel_all(self, event: instruction.CancelAll, _seen: object) -> None:
        self._cancel_resting(event.reason or "cancel-all", but=GUARD if event.keeps_stops else "")
        self._acknowledge(event)

    def _on_flatten(self, event: instruction.Flatten, _seen: object) -> None:
        reason = event.reason or "flattened by the operator"
        self._change_state(TradingState.HALTED, reason, flattening=True)
        self._cancel_resting(reason)
        self._acknowledge(event)
        self._go_on_flattening()

    def _on_timer(self, _event: instruction.TimerFired, _seen: object) -> None:
        self._guard_losses()
        if self.state.trading_state is not TradingState.HALTED:
            for warning in risk.nearing(self.state, self._risk.calm):
                self._note(warning)
        self._go_on_flattening()
        for change in sweeping.overdue(self.state, self.limits):
            self._note(change)
        self._guard()
        for seen in self._live_markets():
            self._ask(self._tick, seen)

    def _live_markets(self) -> list[Market]:
        return [seen for seen in self.state.markets.values() if not seen.resolved]
