"""The liquidity of one instrument at the simulated venue: recorded levels and individual orders."""

from collections.abc import Iterable, Iterator, Mapping

from betatrader.engine.book import OrderBook
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.instrument import BinaryContract, Instrument
from betatrader.model.market import Level, Quote
from betatrader.model.money import SCALE
from betatrader.model.order import OrderTerms, Side

NEVER_MET = 1 << 62
"""A price that no bid reaches."""


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

    __slots__ = (
        "book",
        "complement",
        "definition",
        "ended",
        "highest_buy",
        "lowest_sell",
        "opened",
        "payout",
        "quote",
        "shared",
        "stops",
        "taken",
        "tradable",
        "working",
    )

    def __init__(self, definition: Instrument, shared: OrderBook | None) -> None:
        self.definition = definition
        self.complement: Pool | None = None
        """The other outcome's, where the venue lets orders of both meet."""
        self.shared = shared is not None
        self.book = shared if shared is not None else OrderBook()
        self.quote: Quote | None = None
        self.taken: dict[tuple[Side, int], int] = {}
        self.working: dict[ClientOrderId, WorkingOrder] = {}
        self.stops: dict[ClientOrderId, WorkingOrder] = {}
        """Orders that wait for the market to come to their triggers."""
        self.opened = False
        self.ended = False
        self.payout = 0
        self.tradable = True
        self.highest_buy = 0
        self.lowest_sell = NEVER_MET

    def rest(self, order: WorkingOrder) -> None:
        """Put an order into the book, behind all that is shown at its price."""
        terms = order.terms
        shown = self._shown(terms.side, terms.price)
        order.ahead = max(0, shown - self.taken.get((terms.side, terms.price), 0))
        self.working[order.id] = order
        self._watch_best()

    def drop(self, order: WorkingOrder) -> None:
        """Take an order out of the book, or from where it waits."""
        self.stops.pop(order.id, None)
        if self.working.pop(order.id, None) is not None:
            self._watch_best()

    def best(self, side: Side) -> int:
        """The best recorded price of a side; 0 where none is known."""
        return next((price for price, _ in self._levels(side)), 0)

    def best_bid_left(self) -> int:
        """The best recorded bid of which something is left; where none is, what was best."""
        return next((price for price, _ in self._left(Side.BUY)), 0) or self.best(Side.BUY)

    def woken(self, bid: int, ask: int) -> list[WorkingOrder]:
        """The stops that these prices wake: they wait no more."""
        stops = self.stops.values()
        found = [one for one in stops if wakes(one.terms, bid, ask)]
        for order in found:
            del self.stops[order.id]
        return found

    def _watch_best(self) -> None:
        """Keep the best prices that rest: a quote that meets neither needs no further look."""
        orders = self.working.values()
        buys = [order.terms.price for order in orders if order.terms.side is Side.BUY]
        sells = [order.terms.price for order in orders if order.terms.side is Side.SELL]
        self.highest_buy = max(buys, default=0)
        self.lowest_sell = min(sells, default=NEVER_MET)

    def by_priority(self, side: Side) -> list[WorkingOrder]:
        """The resting orders of a side, best price first, then oldest."""
        orders = [order for order in self.working.values() if order.terms.side is side]
        orders.sort(key=lambda order: order.terms.price, reverse=side is Side.BUY)
        return orders

    def recorded_against(self, terms: OrderTerms) -> Iterator[Level]:
        """Recorded levels that an order at these terms may take, best first, less what is taken."""
        side = Side.SELL if terms.side is Side.BUY else Side.BUY
        for price, left in self._left(side):
            if price > terms.price if terms.side is Side.BUY else price < terms.price:
                return
            yield price, left

    def _left(self, side: Side) -> Iterator[Level]:
        """Recorded levels of a side, best first, less what is taken."""
        for price, size in self._levels(side):
            left = size - self.taken.get((side, price), 0)
            if left > 0:
                yield price, left

    def opposite(self, terms: OrderTerms) -> list[tuple[int, int, WorkingOrder | None]]:
        """All that an arriving order may take: recorded (None) before individual at one price.

        Of the complement it meets orders of its own side, at 1 less their prices: two buys make a
        pair of shares, two sales end one.
        """
        found: list[tuple[int, int, WorkingOrder | None]] = [
            (price, size, None) for price, size in self.recorded_against(terms)
        ]
        side = Side.SELL if terms.side is Side.BUY else Side.BUY
        for order in self.by_priority(side):
            price = order.terms.price
            if price <= terms.price if terms.side is Side.BUY else price >= terms.price:
                found.append((price, order.remaining, order))
        for order in self.complement.by_priority(terms.side) if self.complement else ():
            price = SCALE - order.terms.price
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

    def take_quote(self, quote: Quote) -> None:
        """A quote is a change of its two levels, where it differs from the last one."""
        old = self.quote
        if old is None or (old.bid, old.bid_size) != (quote.bid, quote.bid_size):
            self.taken.pop((Side.BUY, quote.bid), None)
        if old is None or (old.ask, old.ask_size) != (quote.ask, quote.ask_size):
            self.taken.pop((Side.SELL, quote.ask), None)
        self.quote = quote

    def _levels(self, side: Side) -> Iterator[Level]:
        """Recorded levels of a side, best first.

        Where a quote is newer than the book (a venue sends depth less often), it is the best
        level: the book's levels better than it are gone, and its own size counts.
        """
        book, quote = self.book, self.quote
        newer = quote is not None and quote.update_id >= book.update_id
        if side is Side.BUY:
            best, size = (quote.bid, quote.bid_size) if quote and newer else (0, 0)
            if best:
                yield best, size
            for price in reversed(book.bid_prices):
                if not best or price < best:
                    yield price, book.bids[price]
        else:
            best, size = (quote.ask, quote.ask_size) if quote and newer else (0, 0)
            if best:
                yield best, size
            for price in book.ask_prices:
                if not best or price > best:
                    yield price, book.asks[price]

    def _shown(self, side: Side, price: int) -> int:
        quote = self.quote
        if quote is not None and quote.update_id >= self.book.update_id:
            best, size = (
                (quote.bid, quote.bid_size) if side is Side.BUY else (quote.ask, quote.ask_size)
            )
            if price == best:
                return size
            if best and (price > best if side is Side.BUY else price < best):
                return 0
        sizes = self.book.bids if side is Side.BUY else self.book.asks
        return sizes.get(price, 0)


def wakes(terms: OrderTerms, bid: int, ask: int) -> bool:
    """Whether a stop at these terms is due: a sale as the bid has fallen to the trigger, a buy as
    the ask has risen to it."""
    return 0 < bid <= terms.trigger if terms.side is Side.SELL else ask >= terms.trigger


def join(pools: Mapping[InstrumentId, Pool], pool: Pool) -> None:
    """Let orders of both outcomes meet, once both are listed."""
    definition = pool.definition
    other = pools.get(definition.complement) if isinstance(definition, BinaryContract) else None
    if other is not None:
        pool.complement, other.complement = other, pool
