"""What every venue looks like to the trader: a place that takes orders and sends reports.

Reports come back through the callable that the venue is made with, as account events.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Protocol, runtime_checkable

from betatrader.model.account import VenueAccount
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.event import Event
from betatrader.model.ids import ClientOrderId
from betatrader.model.order import Order

Report = Callable[[Event], None]
"""Takes one account event; called on the event loop's thread."""


class Sender(Protocol):
    """Where the gateway sends. Neither call waits: the outcome comes as a report."""

    def submit(self, command: Approved, now_ns: int) -> None:
        """Send an order that risk has approved."""

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        """Ask to take an order off the book."""


Timed = tuple[Approved, int]
"""An order and the time of its Step. A venue may make the order's id there from both: a batch of
several Steps has several times."""


@runtime_checkable
class Batching(Sender, Protocol):
    """One that takes several at once in a request."""

    def submit_many(self, orders: Sequence[Timed]) -> None:
        """Send several orders."""

    def cancel_many(self, commands: Sequence[CancelOrder], now_ns: int) -> None:
        """Ask to take several orders off the book."""


Ready = Timed | tuple[CancelOrder, int]


def send(sender: Sender, ready: Ready) -> None:
    """Send one by itself."""
    command, now_ns = ready
    if isinstance(command, CancelOrder):
        sender.cancel(command, now_ns)
    else:
        sender.submit(command, now_ns)


def send_together(sender: Batching, several: Iterable[Ready]) -> None:
    """Send orders and cancels in their order, neighbours of a kind in one request."""
    for are_cancels, alike in groupby(several, lambda one: isinstance(one[0], CancelOrder)):
        some = list(alike)
        if len(some) == 1:
            send(sender, some[0])
        elif are_cancels:
            cancels = [one for one, _ in some if isinstance(one, CancelOrder)]
            sender.cancel_many(cancels, some[0][1])
        else:
            sender.submit_many([(one, at) for one, at in some if isinstance(one, Approved)])


class Venue(Sender, Protocol):
    """A venue as the trader sees it."""

    name: str
    under_way_ns: int
    """The longest time that an order can be under way to it: what it does not know then, it will
    never take."""

    def remember(self, orders: Iterable[Order]) -> None:
        """Begin to lead: these are all orders of ours from before, open or ended. For a venue that
        knows an order by an id of its own, made from the order's terms; and for a dead-man switch,
        which only a leader may keep from falling."""

    async def account(self, orders: tuple[ClientOrderId, ...]) -> VenueAccount:
        """What the venue says of our account now, and what became of these orders.

        Raises OSError or TimeoutError where it does not answer.
        """
