"""What the engine answers: intents through risk, stops, halts, flattening; each noted in order."""

from collections.abc import Sequence

from betatrader.engine import booking, closing, guarding, risk, sweeping
from betatrader.engine.market import Market
from betatrader.engine.proposal import GUARD, OPERATOR, STOP
from betatrader.engine.state import FOLDS, State
from betatrader.engine.strategy import Ask, Cancel, Intent, Listener, Place
from betatrader.model import instruction
from betatrader.model.command import (
    Alert,
    Booked,
    CancelOrder,
    Change,
    CheckBooks,
    Refused,
    StateChanged,
    StrategyFailed,
)
from betatrader.model.ids import StrategyId, id_prefix
from betatrader.model.instruction import TradingState
from betatrader.model.limits import Limits
from betatrader.model.money import show
from betatrader.model.order import OrderTerms, OrderType, Side


class Answering:
    """The half of the engine that makes changes; `engine.Engine` says when."""

    def __init__(self, limits: Limits, state: State) -> None:
        self.state = state
        self.limits = limits
        self._risk = risk.Judge(limits)
        self._prefixes: dict[StrategyId, str] = {}
        self._changes: list[Change] = []
        self._telling = False  # whether they hold more than requests

    def _connect(self) -> None:
        """Bind strategies anew: the engine's own."""

    def _ask(self, listeners: list[Listener], seen: Market) -> None:
        if seen.crossed:
            return
        for listen, view in listeners:
            try:
                intents = listen(view, seen)
                if intents:
                    self._carry_out(view.strategy, intents)
            except Exception as error:  # a strategy is anybody's code, and must not end the trader
                self._fail(view.strategy, error)

    def _carry_out(self, strategy: StrategyId, intents: Sequence[Intent]) -> None:
        for intent in intents:
            if type(intent) is Place:
                if not intent.replaces or self._may_replace(strategy, intent):
                    self._place(strategy, intent)
            elif type(intent) is Cancel:
                self._cancel(strategy, intent)
            elif type(intent) is Ask:
                self._changes.append(booking.request(self.state, intent))
            else:
                raise TypeError(f"{type(intent).__name__} is no intent")

    def _fail(self, strategy: StrategyId, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        self._note(StrategyFailed(strategy, text))
        self._note(Alert("critical", f"strategy {strategy} failed and is asked no more: {text}"))
        for order in self.state.orders.resting():
            if order.strategy == strategy:
                self._note(CancelOrder(order.id, order.terms.instrument, "its strategy failed"))
        self._connect()

    def _place(self, strategy: StrategyId, intent: Place) -> None:
        state = self.state
        prefix = self._prefixes.get(strategy)
        if prefix is None:
            prefix = self._prefixes[strategy] = id_prefix(strategy, state.epoch)
        order = prefix + state.order_counter.to_bytes(6).hex()  # as model.ids.client_order_id
        approved = self._risk.glance(state, order, strategy, intent)  # type: ignore[arg-type]
        if approved is None:
            self._place_closely(order, strategy, intent)
            return
        self._changes.append(approved)  # as `_note` and `fold_submit`, with two calls less
        self._telling = True
        state.order_counter += 1
        state.orders.submit(approved, state.now_ns)

    def _place_closely(self, order: str, strategy: StrategyId, intent: Place) -> None:
        """Ask every check; what a refusal brings with it, and a limit that is near."""
        verdict = self._risk.judge(self.state, order, strategy, intent)  # type: ignore[arg-type]
        if type(verdict) is Refused and verdict.check == "short_sale":
            instead = guarding.makes_way(self.state, intent)
            if instead is not None:
                verdict = self._risk.judge(self.state, order, strategy, instead)  # type: ignore[arg-type]
        warnings, self._risk.warnings = self._risk.warnings, []
        for warning in warnings:
            self._note(warning)
        self._note(verdict)
        if type(verdict) is Refused and intent.replaces:  # it is not wanted where it stands
            reason = f"its replacement was refused: {verdict.check}"
            self._note(CancelOrder(intent.replaces, verdict.terms.instrument, reason))

    def _may_replace(self, strategy: StrategyId, intent: Place) -> bool:
        """Whether that order works, and its venue can replace it; where only it cannot, the order
        is cancelled instead."""
        order, terms = self.state.orders.open.get(intent.replaces), intent.terms
        if (
            order is None
            or order.state not in sweeping.WORKING
            or order.strategy != strategy
            or (order.terms.instrument, order.terms.side) != (terms.instrument, terms.side)
        ):
            return False
        if getattr(self.state.markets[terms.instrument].definition, "replaces", False):
            return True
        self._note(CancelOrder(order.id, terms.instrument, intent.reason))
        return False

    def _cancel(self, strategy: StrategyId, intent: Cancel) -> None:
        state = self.state
        order = state.orders.open.get(intent.order)
        if order is None or order.strategy != strategy:
            return
        cancel = CancelOrder(order.id, order.terms.instrument, intent.reason)
        self._changes.append(cancel)  # as `_note`, without its search
        self._telling = True
        state.orders.cancel(cancel, state.now_ns)

    def _protect(self, seen: Market) -> None:
        """Watch the loss limits and this position's stop."""
        self._guard_losses()
        if not (seen.stop and 0 < seen.bid <= seen.stop):
            return
        if self.state.trading_state is TradingState.HALTED:
            return
        guard = guarding.standing(self.state, seen.id)
        if guard is not None and seen.bid > guard.terms.price:
            return  # the venue's own sells: ours is for where the market has gone through it
        if closing.refused(self.state, seen.id):
            return
        if self._clear_for_close(seen, "stop"):
            self._close(STOP, seen, f"stop at {show(seen.stop)}")

    def _clear_for_close(self, seen: Market, reason: str) -> bool:
        """Cancel what stands in the way of selling a whole position; True where nothing does."""
        cancels, clear = closing.in_the_way(self.state, seen, reason)
        for cancel in cancels:
            self._note(cancel)
        return clear

    def _guard_losses(self) -> None:
        if self.state.trading_state is TradingState.HALTED:
            return
        state = self.state
        reason = risk.breached(state, self.limits)
        if not reason:
            if state.doubted_ns:
                self._note(CheckBooks(""))
            return
        by = risk.confirmed(state)
        if by:
            reason = f"{reason} ({by})"
            self._halt(reason)
            self._note(Alert("critical", reason))
        elif not state.doubted_ns:
            self._note(CheckBooks(reason))
            self._cancel_resting(reason, but=GUARD)

    def _halt(self, reason: str) -> None:
        self._change_state(TradingState.HALTED, reason)
        self._cancel_resting(reason)

    def _cancel_resting(self, reason: str, but: str = "") -> None:
        for order in self.state.orders.resting():
            if order.strategy != but:
                self._note(CancelOrder(order.id, order.terms.instrument, reason))

    def _guard(self) -> None:
        """Bring the stops that venues keep to what is held."""
        guarded = {
            o.terms.instrument for o in self.state.orders.open.values() if o.strategy == GUARD
        }
        for seen in self.state.markets.values():
            if seen.stop or seen.id in guarded:
                step = guarding.next_step(self.state, self.limits, seen)
                if isinstance(step, CancelOrder):
                    self._note(step)
                elif step is not None:
                    self._place(GUARD, step)

    def _go_on_flattening(self) -> None:
        """Offer what is still held: on the instruction and each tick, never in a tight loop."""
        state = self.state
        if not state.flattening:
            return
        for seen in closing.to_sell(state):
            if not closing.refused(state, seen.id) and self._clear_for_close(seen, "flatten"):
                self._close(OPERATOR, seen, "flatten")
        self._end_flattening()

    def _end_flattening(self) -> None:
        state = self.state
        if state.flattening and not state.orders.open and not closing.beyond_dust(state):
            self._note(StateChanged(state.trading_state, state.halt_reason))

    def _close(self, strategy: StrategyId, seen: Market, reason: str) -> None:
        held, lot = self.state.portfolio.quantity(seen.id), seen.definition.lot
        quantity = held // lot * lot
        if not quantity or closing.is_dust(seen, quantity):
            return
        terms = OrderTerms(seen.id, Side.SELL, OrderType.MARKET, 0, quantity)
        self._place(strategy, Place(terms, reason))

    def _change_state(self, state: TradingState, reason: str, *, flattening: bool = False) -> None:
        self._note(StateChanged(state, reason, flattening))

    def _acknowledge(self, event: instruction.Instruction) -> None:
        kind = str(type(event).__struct_config__.tag)
        self._note(Booked("acknowledged", event.id, f"{kind} by {event.author}: {event.reason}"))

    def _note(self, change: Change) -> None:
        """Answer with a change, and fold it at once, so that the next decision sees it."""
        self._changes.append(change)
        self._telling = True
        fold = FOLDS.get(type(change))
        if fold is not None:
            fold(self.state, change)
