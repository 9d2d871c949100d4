"""The only door for orders: carries a Step's commands to the venue, in their order.

It takes `Approved` and nothing else, which only risk can make: a way around risk is a type error.
"""

from betatrader.model.command import Approved, CancelOrder, Step
from betatrader.model.order import Order
from betatrader.venues.venue import Sender


class Gateway:
    """Hands commands to the venue, synchronously and before anything else is done with the Step."""

    def __init__(self, venue: Sender) -> None:
        self._venue = venue
        self.orders = 0

    def cancel_all(self, orders: list[Order], reason: str) -> None:
        """Take orders off the book without the engine: when it may not act any more."""
        for order in orders:
            cancel = CancelOrder(order.id, order.terms.instrument, reason)
            self._venue.cancel(cancel, order.updated_ns)

    def carry(self, step: Step) -> bool:
        """Send what the Step commands; True where it held any order or cancel."""
        sent = False
        for change in step.changes:
            if isinstance(change, Approved):
                self._venue.submit(change, step.time_ns)
                self.orders += 1
                sent = True
            elif isinstance(change, CancelOrder):
                self._venue.cancel(change, step.time_ns)
                sent = True
        return sent
