"""The market channel's messages as market events, with a book of each token beside. Pure.

A change is taken only onto a book that is whole: after a change of tick, or a new connection, the
book is dropped, and waits for the venue's next one.
"""

from collections.abc import Iterable

import msgspec

from betatrader.engine.book import OrderBook
from betatrader.model.ids import InstrumentId
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    Level,
    MarketEvent,
    PublicTrade,
    Quote,
)
from betatrader.venues.polymarket import wire
from betatrader.venues.polymarket.amounts import units
from betatrader.venues.polymarket.forms import instrument_id
from betatrader.venues.polymarket.wire import Book, Change, MarketMessage


class TokenBook(msgspec.Struct):
    """One token's book, and when we heard of it last."""

    instrument: InstrumentId
    book: OrderBook = msgspec.field(default_factory=OrderBook)
    whole: bool = False
    since: int = 0
    """The venue's time of the snapshot: what is older is in it already."""
    hash: str = ""
    heard_s: float = 0.0
    messages: int = 0
    suspect: bool = False
    """The venue has told a best price that is not this book's."""


class Books:
    """All tokens that are listened to."""

    def __init__(self) -> None:
        self.tokens: dict[str, TokenBook] = {}

    def listen(self, tokens: Iterable[str], now_s: float) -> None:
        """Expect these from now on."""
        for token in tokens:
            if token not in self.tokens:
                self.tokens[token] = TokenBook(instrument_id(token), heard_s=now_s)

    def forget(self, token: str) -> None:
        """The token has ended."""
        self.tokens.pop(token, None)

    def drop_all(self, now_s: float) -> None:
        """The connection is another: each book comes anew."""
        for one in self.tokens.values():
            one.whole, one.suspect, one.heard_s = False, False, now_s

    def snapshot(self, now_ns: int, now_s: float, message: Book) -> list[MarketEvent]:
        """A whole book; raises ValueError where a number in it is none."""
        one = self.tokens.get(message.asset_id)
        if one is None:
            return []
        bids, asks = wire.levels(message.bids), wire.levels(message.asks)
        one.book.replace(bids, asks, 0)
        one.whole, one.suspect = True, False
        one.since, one.hash = wire.moment_ns(message.timestamp), message.hash
        _heard(one, now_s)
        return [BookSnapshot(now_ns, one.instrument, bids, asks)]

    def changes(self, now_ns: int, now_s: float, message: MarketMessage) -> list[MarketEvent]:
        """New sizes, one event a token; raises ValueError where a number in them is none."""
        by_token: dict[str, list[Change]] = {}
        for change in message.price_changes:
            by_token.setdefault(change.asset_id, []).append(change)
        at, events = wire.moment_ns(message.timestamp), list[MarketEvent]()
        for token, found in by_token.items():
            one = self.tokens.get(token)
            if one is None or not one.whole or 0 < at < one.since:
                continue
            bids, asks = _sided(found)
            one.book.apply(bids, asks, 0)
            one.hash = found[-1].hash
            _heard(one, now_s)
            self._compare(one, found[-1].best_bid, found[-1].best_ask)
            events.append(BookDelta(now_ns, one.instrument, bids, asks))
        return events

    def best(self, now_s: float, message: MarketMessage) -> None:
        """The best prices as the venue tells them: a check of our book, and no event."""
        one = self.tokens.get(message.asset_id)
        if one is not None and one.whole:
            _heard(one, now_s)
            self._compare(one, message.best_bid, message.best_ask)

    def trade(self, now_ns: int, message: MarketMessage) -> list[MarketEvent]:
        """A trade of others, or of ours: its side is the taker's."""
        one = self.tokens.get(message.asset_id)
        if one is None:
            return []
        return [
            PublicTrade(
                now_ns,
                one.instrument,
                units(message.price),
                units(message.size),
                message.side == "BUY",
                message.transaction_hash,
            )
        ]

    def drop(self, now_ns: int, now_s: float, token: str) -> list[MarketEvent]:
        """The book's grid is another: what it holds may lie off it. An empty one is shown."""
        one = self.tokens.get(token)
        if one is None:
            return []
        one.book.replace((), (), 0)
        one.whole = False
        _heard(one, now_s)
        return [BookSnapshot(now_ns, one.instrument, (), ())]

    def agrees(self, message: Book) -> bool:
        """Whether a book of REST is the one that we have: by its hash, else by all its levels."""
        one = self.tokens.get(message.asset_id)
        if one is None or not one.whole:
            return False
        if message.hash and message.hash == one.hash and not one.suspect:
            return True
        bids, asks = dict(wire.levels(message.bids)), dict(wire.levels(message.asks))
        return one.book.bids == bids and one.book.asks == asks

    def confirmed(self, now_ns: int, now_s: float, token: str) -> list[MarketEvent]:
        """The venue was asked, and says that our book is right: its top is told as of now."""
        one = self.tokens[token]
        one.suspect = False
        _heard(one, now_s)
        return [Quote(now_ns, one.instrument, *one.book.top())]

    def silent(self, now_s: float, longest_s: float, shortest_s: float) -> list[str]:
        """Tokens to ask the venue about: unheard for `longest_s`, or `shortest_s` where there is a
        reason to doubt the book."""
        return [
            token
            for token, one in self.tokens.items()
            if now_s - one.heard_s > (longest_s if one.whole and not one.suspect else shortest_s)
        ]

    def _compare(self, one: TokenBook, bid: str | None, ask: str | None) -> None:
        """A side that is empty is told as `""`, 0 or 1, or not at all."""
        best_bid, _, best_ask, _ = one.book.top()
        told_bid, told_ask = units(bid or ""), units(ask or "")
        wrong_bid = bool(told_bid) and told_bid != best_bid
        wrong_ask = bool(told_ask) and told_ask != best_ask and (best_ask or told_ask != ONE)
        one.suspect = bool(wrong_bid or wrong_ask)


ONE = units("1")


def _heard(one: TokenBook, now_s: float) -> None:
    one.heard_s = now_s
    one.messages += 1


def _sided(changes: list[Change]) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    bids: list[Level] = []
    asks: list[Level] = []
    for change in changes:
        (bids if change.side == "BUY" else asks).append((units(change.price), units(change.size)))
    return tuple(bids), tuple(asks)
