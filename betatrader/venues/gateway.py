"""The only door for orders: carries a Step's commands to the venue, in their order.

It takes `Approved` and nothing else, which only risk can make: a way around risk is a type error.
Right before each send it asks the fence whether this process still leads.
"""

from typing import Protocol

from betatrader.model.account import CancelRejected, OrderEvent, OrderRejected
from betatrader.model.command import Approved, CancelOrder, Step
from betatrader.model.order import Order
from betatrader.venues.venue import Sender

NOT_SENT = "not sent: the lease does not hold"


class Fence(Protocol):
    """Whether this process is the one that may write."""

    def may_order(self) -> bool:
        """Whether a new order may leave now."""

    def may_cancel(self) -> bool:
        """Whether a cancel may leave now."""


class Gateway:
    """Hands commands to the venue, synchronously and before anything else is done with the Step."""

    def __init__(self, venue: Sender, fence: Fence | None = None) -> None:
        self._venue = venue
        self._fence = fence
        self.orders = 0
        self.unsent: list[OrderEvent] = []
        """What to tell the engine of commands that were kept back: they never left."""

    def cancel_all(self, orders: list[Order], reason: str) -> None:
        """Take orders off the book without the engine: when it may not act any more."""
        for order in orders:
            cancel = CancelOrder(order.id, order.terms.instrument, reason)
            self._venue.cancel(cancel, order.updated_ns)

    def carry(self, step: Step) -> bool:
        """Send what the Step commands; True where it held any order or cancel."""
        sent = False
        fence = self._fence
        for change in step.changes:
            if isinstance(change, Approved):
                if fence is not None and not fence.may_order():
                    self.unsent.append(OrderRejected(step.time_ns, change.order, NOT_SENT))
                    continue
                self._venue.submit(change, step.time_ns)
                self.orders += 1
                sent = True
            elif isinstance(change, CancelOrder):
                if fence is not None and not fence.may_cancel():
                    self.unsent.append(CancelRejected(step.time_ns, change.order, NOT_SENT))
                    continue
                self._venue.cancel(change, step.time_ns)
                sent = True
        return sent
