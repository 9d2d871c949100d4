"""Cuts a stretch out of recorded market data, so that it can be read on its own."""

from collections.abc import Iterable, Iterator

from betatrader.engine.book import OrderBook
from betatrader.model.event import MarketInput
from betatrader.model.ids import InstrumentId
from betatrader.model.market import BookDelta, BookSnapshot, InstrumentListed


def cut(events: Iterable[MarketInput], from_s: float, to_s: float | None) -> Iterator[MarketInput]:
    """The events from `from_s` up to `to_s` seconds after the first.

    Opens with each instrument's listing and a snapshot made from the book as rebuilt up to there.
    """
    listings: dict[InstrumentId, InstrumentListed] = {}
    books: dict[InstrumentId, OrderBook] = {}
    begin: int | None = None
    end = opened = 0
    for event in events:
        now = event.time_ns
        if begin is None:
            begin = now + int(from_s * 1e9)
            end = now + int(to_s * 1e9) if to_s is not None else 1 << 63
        if now >= end:
            return
        if now >= begin and not opened:
            opened = 1
            yield from _opening(now, listings, books)
        if opened:
            yield event
        else:
            _remember(event, listings, books)


def _remember(
    event: MarketInput,
    listings: dict[InstrumentId, InstrumentListed],
    books: dict[InstrumentId, OrderBook],
) -> None:
    if isinstance(event, InstrumentListed):
        listings[event.definition.id] = event
    elif isinstance(event, BookSnapshot):
        book = books.setdefault(event.instrument, OrderBook())
        book.replace(event.bids, event.asks, event.update_id)
    elif isinstance(event, BookDelta) and event.instrument in books:
        books[event.instrument].apply(event.bids, event.asks, event.update_id)


def _opening(
    now: int, listings: dict[InstrumentId, InstrumentListed], books: dict[InstrumentId, OrderBook]
) -> Iterator[MarketInput]:
    for listed in listings.values():
        yield InstrumentListed(now, listed.definition)
    for name, book in books.items():
        bids = tuple((price, book.bids[price]) for price in reversed(book.bid_prices))
        asks = tuple((price, book.asks[price]) for price in book.ask_prices)
        yield BookSnapshot(now, name, bids, asks, book.update_id)
