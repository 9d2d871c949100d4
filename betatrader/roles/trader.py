"""The trader: one synchronous run from an event to the venue's sender.

An event is journaled and put through the engine, the answer is journaled, what it commands goes to
the gateway, and only then does the Step leave for the audit log. Events that arise meanwhile wait
in a deque that is drained before `take` returns; nothing in here waits.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial

import structlog

from betatrader.engine.engine import Engine
from betatrader.engine.leaving import overtaken
from betatrader.model.account import CashFlow, Fill, VenueConnection
from betatrader.model.command import (
    Alert,
    CheckBooks,
    Refused,
    RequestForecast,
    StateChanged,
    Step,
    Warned,
)
from betatrader.model.event import Event, OperatorInput
from betatrader.model.instruction import TimerFired, TradingState
from betatrader.model.market import BookDelta, BookSnapshot, PublicTrade, Quote
from betatrader.model.signal import Forecast, ForecastRequest
from betatrader.ops import clock, metrics
from betatrader.roles.reconnects import Reconnects
from betatrader.store import keys
from betatrader.store.audit import AuditLog
from betatrader.store.journal import Journal, JournalBrokenError
from betatrader.store.shipping import Shipper
from betatrader.venues.gateway import Gateway

HOLD_NS = 1_000_000_000
"""How long an order may wait for its record to be shipped: the market has moved on by then."""

TIMINGS_KEPT = 20_000
REQUEST_LIFE = 4
"""A request is worth answering for this part of its horizon."""

NOT_AUDITED = (Quote, PublicTrade, BookSnapshot, BookDelta, TimerFired)
"""What changes nothing but a book or the clock; its Step, if any, is audited."""


class Trader:
    """Takes every event, on the event loop's thread, one after the other."""

    def __init__(
        self, engine: Engine, run: str, audit: AuditLog, journal: Journal | None = None
    ) -> None:
        self.engine = engine
        self.run = run
        self.signals = 0
        self.event_to_command_ns: deque[int] = deque(maxlen=TIMINGS_KEPT)
        self.data_to_signal_ns: deque[int] = deque(maxlen=TIMINGS_KEPT)
        self.last_order_ns = 0
        self.broken: JournalBrokenError | None = None
        """Why nothing is taken any more, None while the journal can be written."""
        self._halted = False
        self.on_alert: Callable[[str, str], None] = lambda _level, _text: None
        self.on_doubt: Callable[[], None] = lambda: None
        """Called where the venues are to be asked at once whether our books are right."""
        self.on_done: Callable[[Event, Step | None], None] = lambda _event, _step: None
        """Called when all is done with an event that is more than a quote or a tick."""
        self._reconnects = Reconnects(self._alert)
        self._audit = audit
        self._log = structlog.get_logger()
        self._journal = journal
        self._gateway: Gateway | None = None
        self._shipper: Shipper | None = None
        self._hold = False
        self._ordered: OperatorInput | None = None
        self._waiting: deque[Event] = deque()
        self._busy = False

    def connect(self, gateway: Gateway) -> None:
        """Give the way to the venue."""
        self._gateway = gateway

    def ship(self, shipper: Shipper, *, hold: bool) -> None:
        """Give the journal's second home; with `hold` orders wait until their record is there."""
        self._shipper = shipper
        self._hold = hold
        shipper.on_acknowledged = self._shipped

    def _shipped(self, number: int) -> None:
        if self._hold and self._gateway is not None and self.broken is None:
            now = clock.now_ns()
            busy, self._busy = self._busy, True  # what a venue answers at once waits until all left
            try:
                metrics.HELD_BACK.inc(self._gateway.give_up_held(now - HOLD_NS, now))
                self._gateway.shipped(number, now, partial(overtaken, self.engine.state))
            finally:
                self._busy = busy
            self._take_unsent(self._gateway)
            self._drain()

    def give_up_held(self, now_ns: int) -> None:
        """Orders whose record could not be shipped in time are not sent any more."""
        if self._gateway is not None:
            metrics.HELD_BACK.inc(self._gateway.give_up_held(now_ns - HOLD_NS, now_ns))
            self._take_unsent(self._gateway)

    def _take_unsent(self, gateway: Gateway) -> None:
        if gateway.unsent:
            self._tell_unsent(gateway)
            self._drain()

    def take(self, event: Event) -> None:
        """Take one event, and all that arise from it."""
        self._waiting.append(event)
        self._drain()

    def _drain(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            while self._waiting and self.broken is None:
                self._process(self._waiting.popleft())
        except JournalBrokenError as error:
            self.give_up(error)
        finally:
            self._busy = False

    def obey(self, instruction: OperatorInput) -> None:
        """Take what a person orders: its cancels leave even where this process may not lead."""
        self._ordered = instruction
        self.take(instruction)

    def _process(self, event: Event) -> None:
        began = time.perf_counter_ns()
        told = type(event) not in NOT_AUDITED
        step = self._decide(event)
        gateway = self._gateway
        ticket = self._offer(event if told else None, step) if self._shipper is not None else 0
        if (
            step is not None
            and gateway is not None
            and gateway.carry(step, ticket, ordered=event is self._ordered)
        ):
            self.event_to_command_ns.append(time.perf_counter_ns() - began)
            self.last_order_ns = step.time_ns
        if self._gateway is not None and self._gateway.unsent:
            self._tell_unsent(self._gateway)
        if told:
            self._audit.offer(event)
            self._count(event)
        if step is not None:
            self._publish(step)
        if told or step is not None:
            self.on_done(event, step)

    def _offer(self, event: Event | None, step: Step | None) -> int:
        """Ship what changes the books; the ticket for which orders wait, 0 where they do not."""
        shipper = self._shipper
        assert shipper is not None
        if event is not None:
            shipper.offer(event)
        if step is None or all(type(change) is RequestForecast for change in step.changes):
            return 0
        shipper.offer(step)
        return shipper.offered if self._hold else 0

    def _tell_unsent(self, gateway: Gateway) -> None:
        """What was kept back never left: the engine is told so, as of an order refused."""
        kept, gateway.unsent = gateway.unsent, []
        for report in kept:
            metrics.UNSENT.labels(type(report).__name__).inc()
            self._waiting.append(report)  # type: ignore[arg-type]

    def give_up(self, error: JournalBrokenError) -> None:
        """What cannot be journaled must not be done; cancelling what rests is safe, and is."""
        self.broken = error
        self._waiting.clear()
        if self._gateway is not None:
            self._gateway.cancel_all(self.engine.state.orders.resting(), "the journal is broken")

    def _decide(self, event: Event) -> Step | None:
        """Journal the event before the engine sees it, and the answer before it is carried out."""
        journal = self._journal
        if journal is None:
            return self.engine.process(event)
        if journal.full:
            journal.rotate(self.engine.snapshot(journal.schema.writes))
        journal.append(event)
        step = self.engine.process(event)
        if step is not None:
            journal.append(step)
        return step

    def _publish(self, step: Step) -> None:
        """Requests go to intel; a Step of requests alone is no news to anyone else."""
        news = False
        for change in step.changes:
            if isinstance(change, RequestForecast):
                self._audit.ask(self._request(change))
                continue
            news = True
            if isinstance(change, Refused):
                metrics.DENIALS.labels(change.check).inc()
            elif isinstance(change, Warned):
                metrics.WARNINGS.labels(change.check).inc()
            elif isinstance(change, Alert):
                self._alert(change.level, change.text)
            elif isinstance(change, CheckBooks) and change.reason:
                self.on_doubt()
            elif isinstance(change, StateChanged):
                self._tell_state(change)
        if news:
            self._audit.offer(step)

    def _alert(self, level: str, text: str) -> None:
        self._log.error("alert", level_of=level, text=text)
        self.on_alert(level, text)

    def _tell_state(self, change: StateChanged) -> None:
        """HALTED is told, and its end: who hears of the one hears of the other."""
        halted = change.state is TradingState.HALTED
        if halted != self._halted:
            self._halted = halted
            text = f"{change.state}: {change.reason}" if change.reason else str(change.state)
            self.on_alert("critical" if halted else "error", text)

    def _request(self, change: RequestForecast) -> ForecastRequest:
        return ForecastRequest(
            reply_to=keys.signals(self.run),
            deadline_ns=change.data_time_ns + change.horizon_ns // REQUEST_LIFE,
            kind=change.kind,
            instrument=change.instrument,
            horizon_ns=change.horizon_ns,
            features=change.features,
            data_time_ns=change.data_time_ns,
        )

    def _count(self, event: Event) -> None:
        if isinstance(event, Forecast):
            self.signals += 1
            self.data_to_signal_ns.append(clock.now_ns() - event.data_time_ns)
        elif isinstance(event, Fill):
            metrics.FILLS.inc()
        elif isinstance(event, VenueConnection):
            self._reconnects.note(event)
        elif isinstance(event, CashFlow):
            metrics.EQUITY.set(self.engine.state.equity() / 1e8)
