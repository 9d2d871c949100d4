"""Requests that were sent and not answered yet: late ones leave their order in doubt."""

from collections.abc import Callable

from betatrader.model.account import OrderInDoubt
from betatrader.model.event import Event
from betatrader.model.ids import ClientOrderId
from betatrader.ops import clock


class InFlight:
    """Numbers requests, and reports `OrderInDoubt` for each that stays without an answer."""

    def __init__(self, take: Callable[[Event], None], answer_s: float) -> None:
        self._take = take
        self._answer_s = answer_s
        self._number = 0
        self._waiting: dict[int, tuple[ClientOrderId, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def begin(self, order: ClientOrderId | None = None) -> int:
        """The next number; `order` is the one that this request would make."""
        self._number += 1
        if order is not None:
            self._waiting[self._number] = (order, clock.boot_s() + self._answer_s)
        return self._number

    def answered(self, number: int) -> ClientOrderId | None:
        """The request has its answer; which order it was about, None where it had one already."""
        found = self._waiting.pop(number, None)
        return found[0] if found is not None else None

    def reported(self, order: ClientOrderId) -> None:
        """A report on an order answers each request about it."""
        for number in [n for n, (name, _) in self._waiting.items() if name == order]:
            del self._waiting[number]

    def doubt(self, number: int, reason: str) -> None:
        """No answer will come for this one."""
        found = self._waiting.pop(number, None)
        if found is not None:
            self._take(OrderInDoubt(clock.now_ns(), found[0], reason))

    def doubt_late(self) -> None:
        """Those whose time is over; to be called several times a second."""
        now = clock.boot_s()
        for number in [n for n, (_, deadline) in self._waiting.items() if deadline <= now]:
            self.doubt(number, f"no answer in {self._answer_s:.0f} s")

    def doubt_all(self, reason: str) -> None:
        """The connection broke."""
        for number in list(self._waiting):
            self.doubt(number, reason)
