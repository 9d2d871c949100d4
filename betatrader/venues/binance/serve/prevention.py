"""Self-trade prevention: which orders of one account end rather than trade with each other.

Source: Binance's faqs/stp_faq.md. The taker's mode decides; what ends loses all that is left of it.
"""

from collections.abc import Callable

from betatrader.sim.pool import WorkingOrder
from betatrader.venues.binance.serve.books import Prevention, Record
from betatrader.venues.binance.serve.requests import Refusal

DEFAULT = "EXPIRE_MAKER"
ALLOWED = ("EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")


def mode(given: str) -> str:
    """The mode of a new order; raises Refusal where these symbols do not allow it."""
    if given and given not in ALLOWED:
        text = "This symbol does not allow the specified self-trade prevention mode."
        raise Refusal(400, -1013, text)
    return given or DEFAULT


class SelfTrades:
    """Decides for the exchange, and notes with the orders what they lost. `record` finds an order
    as the venue knows it."""

    def __init__(self, record: Callable[[WorkingOrder], Record | None]) -> None:
        self._record = record
        self._matches: dict[str, int] = {}
        """How many were prevented, by symbol: their numbers are unique within one."""

    def end(self, taker: WorkingOrder, maker: WorkingOrder, price: int) -> tuple[WorkingOrder, ...]:
        """Those that end; the other one, where there is one, goes on."""
        new, old = self._record(taker), self._record(maker)
        if new is None or old is None:
            return ()
        ends = {"EXPIRE_TAKER": (taker,), "EXPIRE_MAKER": (maker,)}.get(new.stp, (maker, taker))
        number = self._matches.get(new.symbol, 0)
        self._matches[new.symbol] = number + 1
        crossed = min(taker.remaining, maker.remaining)
        for one, ours, other in ((taker, new, old), (maker, old, new)):
            if one in ends:
                lost = Prevention(number, one.remaining, other.number, crossed, price)
                ours.prevention = lost
        return ends
