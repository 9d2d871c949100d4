"""How long ago an order was made, and had its last news, by a clock that nobody sets. Pure.

What is written in an order are times of the wall clock. Where that is set forward an order of a
moment ago would look old, and one that is still under way would count as never taken.
"""

from collections.abc import Callable, Iterable

import msgspec

from betatrader.model.ids import ClientOrderId
from betatrader.model.order import Order


class Age(msgspec.Struct, frozen=True, gc=False):
    """Since an order was made, and since its last news, ns."""

    made_ns: int
    news_ns: int


class _Noted(msgspec.Struct, frozen=True, gc=False):
    made_ns: int
    """Since the machine's start, as `news_ns`."""
    news_ns: int
    updated_ns: int
    """What the order said of its last news when that was noted."""


class Ages:
    """Ages of open orders. `look` is to be called often: what has come since the last look is no
    older than that. At the first there is only the wall clock to go by."""

    def __init__(self) -> None:
        self._noted: dict[ClientOrderId, _Noted] = {}
        self._looked_ns: int | None = None

    def look(self, orders: Iterable[Order], now_ns: int, boot_ns: int) -> None:
        """Note what is new; `now_ns` is UTC, `boot_ns` counts from the machine's start."""
        most_ns = now_ns if self._looked_ns is None else boot_ns - self._looked_ns
        self._looked_ns = boot_ns

        def at(told_ns: int) -> int:
            return boot_ns - min(max(0, now_ns - told_ns), most_ns)

        noted: dict[ClientOrderId, _Noted] = {}
        for order in orders:
            known = self._noted.get(order.id)
            if known is None:
                known = _Noted(at(order.created_ns), at(order.updated_ns), order.updated_ns)
            elif known.updated_ns != order.updated_ns:
                known = _Noted(known.made_ns, at(order.updated_ns), order.updated_ns)
            noted[order.id] = known
        self._noted = noted

    def age(self, order: Order) -> Age:
        """At the last look; raises KeyError for an order that it did not meet."""
        noted, looked_ns = self._noted[order.id], self._looked_ns or 0
        return Age(looked_ns - noted.made_ns, looked_ns - noted.news_ns)


def by_the_wall_clock(now_ns: int) -> Callable[[Order], Age]:
    """Ages as orders tell them, where no clock is ever set."""
    return lambda order: Age(now_ns - order.created_ns, now_ns - order.updated_ns)
