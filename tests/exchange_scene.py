"""A simulated venue without latency, and one listed coin."""

import itertools

from scenes import COIN, SECOND, coin

from betatrader.model.account import (
    Fill,
)
from betatrader.model.command import Approved
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    PublicTrade,
)
from betatrader.model.money import SCALE, parse, show
from betatrader.model.order import OrderTerms
from betatrader.sim.exchange import SimulatedExchange


def levels(given: dict[str, str]) -> tuple[tuple[int, int], ...]:
    return tuple((parse(price), parse(size)) for price, size in given.items())


class Venue:
    """An exchange without latency, unless told otherwise, and one listed coin."""

    def __init__(self, latency_ns: int = 0) -> None:
        self.exchange = SimulatedExchange(latency_ns)
        self.exchange.deposit(1000 * SCALE)
        self.exchange.on_market(InstrumentListed(0, coin()))
        self.now = SECOND
        self._ids = itertools.count(1)
        self._arrived: list = []

    def book(self, bids: dict[str, str], asks: dict[str, str]) -> None:
        self.market(BookSnapshot(self.now, COIN, levels(bids), levels(asks)))

    def delta(self, bids: dict[str, str], asks: dict[str, str]) -> None:
        self.market(BookDelta(self.now, COIN, levels(bids), levels(asks)))

    def trade(self, price: str, quantity: str, *, buyer: bool) -> None:
        self.market(PublicTrade(self.now, COIN, parse(price), parse(quantity), buyer))

    def market(self, event: object) -> None:
        self.exchange.on_market(event)

    def order(self, asked: OrderTerms, owner: str = "us") -> ClientOrderId:
        name = ClientOrderId(f"{next(self._ids):032x}")
        self.exchange.submit(Approved(name, StrategyId("t"), asked), self.now, owner)
        self._arrived = self.reports()
        return name

    def reports(self, owner: str = "us") -> list:
        found, self._arrived = self._arrived, []
        while self.exchange.next_due_ns <= self.now:
            found += self.exchange.advance(self.now, owner)
        return found

    def fills(self, asked: OrderTerms | None = None) -> list[tuple[str, str, bool]]:
        if asked is not None:
            self.order(asked)
        return [
            (show(r.price), show(r.quantity), r.maker)
            for r in self.reports()
            if isinstance(r, Fill)
        ]

    def kinds(self) -> list[str]:
        return [type(report).__name__ for report in self.reports()]
