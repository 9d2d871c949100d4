"""The life of our orders: legal transitions only, each fill counted once."""

from dataclasses import dataclass, field

from betatrader.engine.today import Today
from betatrader.model.account import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderEvent,
    OrderExpired,
    OrderFound,
    OrderInDoubt,
    OrderRejected,
)
from betatrader.model.command import CancelOrder, Refused, SubmitOrder
from betatrader.model.errors import IllegalTransition
from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId
from betatrader.model.money import cost
from betatrader.model.order import CLOSED, LEAVING, TRANSITIONS, Order, OrderState, Side

SUBMITTED, BUY = OrderState.SUBMITTED, Side.BUY
PENDING_CANCEL, PARTIALLY_FILLED = OrderState.PENDING_CANCEL, OrderState.PARTIALLY_FILLED
PENDING_REPLACE = OrderState.PENDING_REPLACE

FOUND = "found"
"""The reason of an order whose intent was lost with its journal."""

EPOCH = 8
"""Where the epoch begins in an order's id; the counter follows, so that the rest is in the order in
which orders were made (`model.ids`)."""

DENIED_KEPT = 500
UNKNOWN_KEPT = 4_000
"""Orders of fills that we do not know (any more), whose trade ids are still remembered: more than a
venue tells of in one answer, or the next one would have them again."""

CLOSED_KEPT = 2_000
"""Closed orders remembered, so that late reports still find theirs."""


@dataclass(slots=True)
class Orders:
    """Open and recently closed orders by client order id."""

    open: dict[ClientOrderId, Order] = field(default_factory=dict)
    closed: dict[ClientOrderId, Order] = field(default_factory=dict)
    denied: dict[ClientOrderId, Order] = field(default_factory=dict)
    """The last that risk refused: apart, so that they push no filled order out of memory."""
    seen_fills: dict[ClientOrderId, list[str]] = field(default_factory=dict)
    forgotten: str = ""
    """The newest order, by epoch and counter, whose trade ids are remembered no more."""
    fills: int = 0
    """How many different fills were taken."""
    submitted: int = 0
    """How many orders were made."""
    cancels: int = 0
    """How many cancels were asked for."""

    today: Today = field(default_factory=Today)

    @property
    def sent(self) -> int:
        """Orders and cancels together."""
        return self.submitted + self.cancels

    def find(self, order: ClientOrderId) -> Order | None:
        """An open or remembered order."""
        return self.open.get(order) or self.closed.get(order)

    def submit(self, command: SubmitOrder, now_ns: int) -> Order:
        """Record an order as in flight, before it is sent."""
        self.submitted += 1
        terms = command.terms
        if terms.side is BUY:
            today = self.today
            if now_ns >= today.ends_ns:
                today.begin(now_ns)
            today.buys += 1
        name = command.order
        order = self.open[name] = Order(
            name,
            command.strategy,
            terms,
            now_ns,
            SUBMITTED,  # the one way that INITIALIZED ends where risk has approved
            0,
            command.reason,
            now_ns,
            command.stop,
        )
        if command.replaces:
            old = self.open.get(command.replaces)
            if old is not None and PENDING_REPLACE in TRANSITIONS[old.state]:
                transition(old, PENDING_REPLACE, now_ns)
        return order

    def adopt(self, found: OrderFound, strategy: StrategyId) -> None:
        """Take an order of ours into the books that they had lost, or took for ended."""
        if found.order in self.open:
            return
        ended = self.closed.pop(found.order, None)
        now = found.time_ns
        self.open[found.order] = Order(
            found.order,
            strategy,
            found.terms,
            ended.created_ns if ended is not None else now,
            PARTIALLY_FILLED if found.filled else OrderState.ACCEPTED,
            found.filled,
            FOUND,
            now,
            venue_id=found.venue_id,
        )

    def deny(self, refused: Refused, now_ns: int) -> None:
        """Record an intent that risk refused."""
        order = Order(refused.order, refused.strategy, refused.terms, now_ns)
        transition(order, OrderState.DENIED, now_ns)
        order.reason = f"{refused.check}: limit {refused.limit}, was {refused.actual}"
        self.denied[order.id] = order
        if len(self.denied) > DENIED_KEPT:
            del self.denied[next(iter(self.denied))]

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        """Record that a cancel is under way."""
        order = self.open.get(command.order)
        if order is None:
            return
        self.cancels += 1
        if PENDING_CANCEL in TRANSITIONS[order.state]:
            order.state = PENDING_CANCEL
            order.updated_ns = now_ns

    def is_new_fill(self, fill: Fill) -> bool:
        """Note a fill; False where the same (order, trade id) was seen before, or may have been."""
        seen = self.seen_fills.get(fill.order)
        if seen is None:
            if self.is_forgotten(fill.order):
                return False
            seen = self.seen_fills[fill.order] = []
        elif fill.trade_id in seen:
            return False
        seen.append(fill.trade_id)
        self.fills += 1
        if len(self.seen_fills) > len(self.open) + len(self.closed) + UNKNOWN_KEPT:
            self._forget_an_unknown()
        return True

    def is_forgotten(self, order: ClientOrderId) -> bool:
        """Whether nobody can say any more which of its fills were counted."""
        return order[EPOCH:] <= self.forgotten != "" and self.find(order) is None

    def _forget_an_unknown(self) -> None:
        """Drop the oldest fills whose order is remembered no more."""
        oldest = next(n for n in self.seen_fills if n not in self.open and n not in self.closed)
        del self.seen_fills[oldest]
        self.forgotten = max(self.forgotten, oldest[EPOCH:])

    def take_fill(self, fill: Fill) -> None:
        """Count a new fill to its order; after the order's end its state stays as it is."""
        if fill.side is BUY:
            self.today.fill(fill.time_ns, cost(fill.price, fill.quantity))
        order = self.find(fill.order)
        if order is None:
            return
        order.filled += fill.quantity
        order.updated_ns = fill.time_ns
        if order.state in CLOSED:
            return
        if order.remaining == 0:
            self._end(order, OrderState.FILLED, fill.time_ns)
        elif order.state not in LEAVING:
            transition(order, OrderState.PARTIALLY_FILLED, fill.time_ns)

    def take(self, event: OrderEvent) -> bool:
        """Apply a report that is no fill; False where it changes nothing (late or repeated)."""
        order = self.find(event.order)
        if order is None or order.state in CLOSED:
            return False
        now = event.time_ns
        working = OrderState.PARTIALLY_FILLED if order.filled else OrderState.ACCEPTED
        match event:
            case OrderAccepted():
                order.accepted = True
                if order.state not in (OrderState.SUBMITTED, OrderState.IN_DOUBT):
                    return False
                transition(order, working, now)
            case CancelRejected():
                if order.state not in LEAVING:
                    return False
                order.refused_cancels += order.state is PENDING_CANCEL
                transition(order, working, now)
            case OrderInDoubt():
                if order.state is OrderState.IN_DOUBT:
                    return False
                transition(order, OrderState.IN_DOUBT, now)
            case OrderRejected():
                if order.accepted or OrderState.REJECTED not in TRANSITIONS[order.state]:
                    return False
                order.reason = event.reason
                self._end(order, OrderState.REJECTED, now)
            case OrderCanceled():
                self._end(order, OrderState.CANCELED, now)
            case OrderExpired():
                self._end(order, OrderState.EXPIRED, now)
            case _:
                return False
        return True

    def resting(self, instrument: InstrumentId | None = None) -> list[Order]:
        """Open orders that no cancel is under way for; of one instrument where it is given."""
        return [
            order
            for order in self.open.values()
            if order.state is not PENDING_CANCEL
            and (instrument is None or order.terms.instrument == instrument)
        ]

    def open_quantity(self, instrument: InstrumentId, side: Side) -> int:
        """What open orders, in-doubt ones included, may still fill on one side."""
        return sum(
            order.remaining
            for order in self.open.values()
            if order.terms.instrument == instrument and order.terms.side is side
        )

    def _end(self, order: Order, state: OrderState, now_ns: int) -> None:
        transition(order, state, now_ns)
        del self.open[order.id]
        self._close(order)

    def _close(self, order: Order) -> None:
        self.closed[order.id] = order
        if len(self.closed) > CLOSED_KEPT:
            del self.closed[next(iter(self.closed))]


def transition(order: Order, state: OrderState, now_ns: int) -> None:
    """Move an order to `state`; raises IllegalTransition where the table forbids it."""
    if state is order.state and state is PARTIALLY_FILLED:
        order.updated_ns = now_ns
        return
    if state not in TRANSITIONS[order.state]:
        raise IllegalTransition(f"order {order.id}: {order.state} may not become {state}")
    order.state = state
    order.updated_ns = now_ns
