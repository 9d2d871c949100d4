"""The only door for orders: carries a Step's commands to the venue, in their order.

It takes `Approved` and nothing else, which only risk can make: a way around risk is a type error.
Right before each send it asks the fence whether this process still leads. Where orders must be safe
off the machine first (`durability = "shipped"`) they are held until their record is. Cancels never
wait, and one that a person orders passes the fence: cancelling is safe whoever leads.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from betatrader.model.account import CancelRejected, OrderEvent, OrderRejected
from betatrader.model.command import Approved, CancelOrder, Step
from betatrader.model.order import Order
from betatrader.venues.venue import Batching, Sender, Timed

NOT_SENT = "not sent: the lease does not hold, or the trader stops"
NOT_SHIPPED = "not sent: its record was not shipped in time"
WITHDRAWN = "withdrawn before it was sent"


class Fence(Protocol):
    """Whether this process is the one that may write."""

    def may_order(self) -> bool:
        """Whether a new order may leave now."""

    def may_cancel(self) -> bool:
        """Whether a cancel may leave now."""


Overtaken = Callable[[Approved], str | None]
"""Why an order that has waited may not leave: "" where it has ended, None where it may."""


class Held(NamedTuple):
    """An order that waits for record `ticket` to be shipped."""

    ticket: int
    command: Approved
    time_ns: int


class Gateway:
    """Hands commands to the venue, synchronously and before anything else is done with the Step."""

    def __init__(self, venue: Sender, fence: Fence | None = None) -> None:
        self._venue = venue
        self._fence = fence
        self._batching = venue if isinstance(venue, Batching) else None
        self._held: deque[Held] = deque()
        self._gathers = False
        """Whether neighbours of a kind are to leave in one request, and wait for each other."""
        self._orders: list[Timed] = []
        self._cancels: list[tuple[CancelOrder, int]] = []
        self.orders = 0
        self.unsent: list[OrderEvent] = []
        """What to tell the engine of commands that were kept back: they never left."""

    def cancel_all(self, orders: list[Order], reason: str) -> None:
        """Take orders off the book without the engine: when it may not act any more."""
        for order in orders:
            cancel = CancelOrder(order.id, order.terms.instrument, reason)
            self._venue.cancel(cancel, order.updated_ns)

    def carry(self, step: Step, ticket: int = 0, *, ordered: bool = False) -> bool:
        """Send what the Step commands; True where it held any order or cancel.

        With a `ticket`, orders wait until `shipped` is called with it or a later one. `ordered`: it
        is the answer to a person's instruction.
        """
        sent = False
        changes, now_ns = step.changes, step.time_ns
        gathers = len(changes) > 1 and self._batching is not None
        if gathers:
            self._gathers = True
        for change in changes:
            if isinstance(change, Approved):
                if ticket:
                    self._held.append(Held(ticket, change, now_ns))
                    sent = True
                else:
                    sent = self._submit(change, now_ns) or sent
            elif isinstance(change, CancelOrder):
                sent = self._cancel(change, now_ns, ordered=ordered) or sent
        if gathers:
            self._release()
        return sent

    def shipped(self, ticket: int, now_ns: int, overtaken: Overtaken) -> None:
        """Send the orders that waited for this record or an earlier one. What has happened
        meanwhile counts: an order may have ended, since the venue was asked and has none; and one
        that may not leave any more is kept back."""
        self._gathers = self._batching is not None
        while self._held and self._held[0].ticket <= ticket:
            held = self._held.popleft()
            reason = overtaken(held.command)
            if reason is None:
                self._submit(held.command, held.time_ns)
            elif reason:
                self._keep_back(held.command, now_ns, reason)
        if self._gathers:
            self._release()

    def _release(self) -> None:
        """Send what was gathered."""
        self._gathers = False
        self._send_orders()
        self._send_cancels()

    def _send_orders(self) -> None:
        orders, self._orders = self._orders, []
        if len(orders) > 1 and self._batching is not None:
            self._batching.submit_many(orders)
            return
        for command, now_ns in orders:
            self._venue.submit(command, now_ns)

    def _send_cancels(self) -> None:
        cancels, self._cancels = self._cancels, []
        if len(cancels) > 1 and self._batching is not None:
            self._batching.cancel_many([command for command, _ in cancels], cancels[0][1])
            return
        for command, now_ns in cancels:
            self._venue.cancel(command, now_ns)

    def give_up_held(self, before_ns: int, now_ns: int) -> int:
        """Orders that wait since before a moment are not sent at all; returns how many."""
        count = 0
        while self._held and self._held[0].time_ns < before_ns:
            self._keep_back(self._held.popleft().command, now_ns, NOT_SHIPPED)
            count += 1
        return count

    def _keep_back(self, command: Approved, now_ns: int, reason: str) -> None:
        """An order does not leave: it is refused, and one that it was to replace goes on."""
        self.unsent.append(OrderRejected(now_ns, command.order, reason))
        if command.replaces:
            self.unsent.append(CancelRejected(now_ns, command.replaces, reason))

    def _submit(self, command: Approved, now_ns: int) -> bool:
        fence = self._fence
        if fence is not None and not fence.may_order():
            self._keep_back(command, now_ns, NOT_SENT)
            return False
        if not self._gathers:
            self._venue.submit(command, now_ns)
        else:
            if self._cancels:
                self._send_cancels()
            self._orders.append((command, now_ns))
        self.orders += 1
        return True

    def _cancel(self, command: CancelOrder, now_ns: int, *, ordered: bool) -> bool:
        for held in self._held:
            if held.command.order == command.order:
                self._held.remove(held)
                self._keep_back(held.command, now_ns, WITHDRAWN)
                return False
        if not ordered and self._fence is not None and not self._fence.may_cancel():
            self.unsent.append(CancelRejected(now_ns, command.order, NOT_SENT))
            return False
        if not self._gathers:
            self._venue.cancel(command, now_ns)
        else:
            if self._orders:
                self._send_orders()
            self._cancels.append((command, now_ns))
        return True
