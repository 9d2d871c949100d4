"""What every venue looks like to the trader: a place that takes orders and sends reports.

Reports come back through the callable that the venue is made with, as account events.
"""

from collections.abc import Callable, Iterable, Sequence
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


@runtime_checkable
class SelfActing(Protocol):
    """One that sends something of its own accord: heartbeats, transactions."""

    def heed(self, may: Callable[[], bool]) -> None:
        """Ask this before each of them: whether this process still is the one that acts."""


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
