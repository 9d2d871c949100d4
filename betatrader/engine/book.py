"""An order book of one instrument: sizes by price, and prices in order."""

from bisect import bisect_left, insort
from collections.abc import Iterable

import msgspec

from betatrader.model.market import Level


class OrderBook(msgspec.Struct, gc=False):
    """Bids and asks; both price lists ascend, so the best bid is last and the best ask first.

    Only a new or an emptied price touches a list: most changes are of size alone.
    """

    bids: dict[int, int] = msgspec.field(default_factory=dict)
    asks: dict[int, int] = msgspec.field(default_factory=dict)
    bid_prices: list[int] = msgspec.field(default_factory=list)
    ask_prices: list[int] = msgspec.field(default_factory=list)
    update_id: int = 0

    def replace(self, bids: Iterable[Level], asks: Iterable[Level], update_id: int) -> None:
        """Take a snapshot: what was known is forgotten."""
        self.bids = {price: size for price, size in bids if size}
        self.asks = {price: size for price, size in asks if size}
        self.bid_prices = sorted(self.bids)
        self.ask_prices = sorted(self.asks)
        self.update_id = update_id

    def apply(self, bids: Iterable[Level], asks: Iterable[Level], update_id: int) -> None:
        """Take new sizes of some levels."""
        _apply(self.bids, self.bid_prices, bids)
        _apply(self.asks, self.ask_prices, asks)
        self.update_id = update_id

    @property
    def best_bid(self) -> int:
        """The highest bid, 0 where there is none."""
        return self.bid_prices[-1] if self.bid_prices else 0

    @property
    def best_ask(self) -> int:
        """The lowest ask, 0 where there is none."""
        return self.ask_prices[0] if self.ask_prices else 0

    def top(self) -> tuple[int, int, int, int]:
        """Best bid, its size, best ask, its size; 0 for what is not there."""
        bid = self.bid_prices[-1] if self.bid_prices else 0
        ask = self.ask_prices[0] if self.ask_prices else 0
        return bid, self.bids.get(bid, 0), ask, self.asks.get(ask, 0)


def _apply(sizes: dict[int, int], prices: list[int], levels: Iterable[Level]) -> None:
    for price, size in levels:
        if size:
            if price not in sizes:
                insort(prices, price)
            sizes[price] = size
        elif sizes.pop(price, 0):
            del prices[bisect_left(prices, price)]
