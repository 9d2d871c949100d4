"""The liquidity of one instrument at the simulated venue: recorded levels and individual orders."""

from collections.abc import Iterable, Iterator

from betatrader.engine.book import OrderBook
from betatrader.model.ids import ClientOrderId
from betatrader.model.instrument import Instrument
from betatrader.model.market import Level, Quote
from betatrader.model.order import OrderTerms, Side


class WorkingOrder:
    """An individual order at the venue. `ahead` is the anonymous quantity in front of it."""

    __slots__ = ("ahead", "id", "owner", "remaining", "terms")

    def __init__(self, name: ClientOrderId, owner: str, terms: OrderTerms) -> None:
        self.id = name
        self.owner = owner
        self.terms = terms
        self.remaining = terms.quantity
        self.ahead = 0


class Pool:
    """Recorded book and quote, what was taken from them, and the individual orders that rest."""

    __slots__ = ("book", "definition", "opened", "quote", "shared", "taken", "tradable", "working")

    def __init__(self, definition: Instrument, shared: OrderBook | None) -> None:
        self.definition = definition
        self.shared = shared is not None
        self.book = shared if shared is not None else OrderBook()
        self.quote: Quote | None = None
        self.taken: dict[tuple[Side, int], int] = {}
        self.working: dict[ClientOrderId, WorkingOrder] = {}
        self.opened = False
        self.tradable = True

    def rest(self, order: WorkingOrder) -> None:
        """Put an order into the book, behind all that is shown at its price."""
        terms = order.terms
        shown = self._shown(terms.side, terms.price)
        order.ahead = max(0, shown - self.taken.get((terms.side, terms.price), 0))
        self.working[order.id] = order

    def by_priority(self, side: Side) -> list[WorkingOrder]:
        """The resting orders of a side, best price first, then oldest."""
        orders = [order for order in self.working.values() if order.terms.side is side]
        orders.sort(key=lambda order: order.terms.price, reverse=side is Side.BUY)
        return orders

    def recorded_against(self, terms: OrderTerms) -> Iterator[Level]:
        """Recorded levels that an order at these terms may take, best first, less what is taken."""
        side = Side.SELL if terms.side is Side.BUY else Side.BUY
        for price, size in self._levels(side):
            if price > terms.price if terms.side is Side.BUY else price < terms.price:
                return
            left = size - self.taken.get((side, price), 0)
            if left > 0:
                yield price, left

    def opposite(self, terms: OrderTerms) -> list[tuple[int, int, WorkingOrder | None]]:
        """All that an arriving order may take: recorded (None) before individual at one price."""
        found: list[tuple[int, int, WorkingOrder | None]] = [
            (price, size, None) for price, size in self.recorded_against(terms)
        ]
        side = Side.SELL if terms.side is Side.BUY else Side.BUY
        for order in self.by_priority(side):
            price = order.terms.price
            if price <= terms.price if terms.side is Side.BUY else price >= terms.price:
                found.append((price, order.remaining, order))
        found.sort(key=lambda item: item[0], reverse=terms.side is Side.SELL)
        return found

    def available(self, terms: OrderTerms) -> int:
        """How much an arriving order could take at once."""
        return sum(quantity for _, quantity, _ in self.opposite(terms))

    def take(self, taker: Side, price: int, quantity: int) -> None:
        """Note what was taken from a recorded level, until its next recorded change."""
        key = (Side.SELL if taker is Side.BUY else Side.BUY, price)
        self.taken[key] = self.taken.get(key, 0) + quantity

    def forget(self, side: Side, changed: Iterable[Level]) -> None:
        """Recorded levels have changed: what was taken from them is so no longer."""
        for price, _ in changed:
            self.taken.pop((side, price), None)

    def forget_quote_changes(self, quote: Quote) -> None:
        """A quote is a change of its two levels, where it differs from the last one."""
        if self.book.bid_prices or self.book.ask_prices:
            return
        old = self.quote
        if old is None or (old.bid, old.bid_size) != (quote.bid, quote.bid_size):
            self.taken.pop((Side.BUY, quote.bid), None)
        if old is None or (old.ask, old.ask_size) != (quote.ask, quote.ask_size):
            self.taken.pop((Side.SELL, quote.ask), None)

    def _levels(self, side: Side) -> Iterator[Level]:
        """Recorded levels of a side, best first: the book, or the quote where there is no book."""
        book, quote = self.book, self.quote
        if side is Side.BUY:
            if not book.bid_prices and quote is not None and quote.bid:
                yield quote.bid, quote.bid_size
            for price in reversed(book.bid_prices):
                yield price, book.bids[price]
        else:
            if not book.ask_prices and quote is not None and quote.ask:
                yield quote.ask, quote.ask_size
            for price in book.ask_prices:
                yield price, book.asks[price]

    def _shown(self, side: Side, price: int) -> int:
        sizes = self.book.bids if side is Side.BUY else self.book.asks
        quote = self.quote
        if not sizes and quote is not None:
            if side is Side.BUY:
                return quote.bid_size if quote.bid == price else 0
            return quote.ask_size if quote.ask == price else 0
        return sizes.get(price, 0)
