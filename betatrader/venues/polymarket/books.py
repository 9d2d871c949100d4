"""The market channel's messages as market events, with a book of each token beside. Pure.

A change is taken only onto a book that is whole: after a change of tick, or a new connection, the
book is dropped, and waits for the venue's next one. Where a change of it cannot be read the book is
wrong for certain: it is dropped, too, and asked for.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

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
from betatrader.venues.pace import Backoff
from betatrader.venues.polymarket import wire
from betatrader.venues.polymarket.amounts import units
from betatrader.venues.polymarket.forms import instrument_id
from betatrader.venues.polymarket.wire import Book, Change, MarketMessage

MOST_LATER = 10_000
"""Changes that are kept while a book is asked for; beyond them it is asked for again."""


class Parsed(NamedTuple):
    """Changes of one token: the venue's time, and the new sizes."""

    at: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class TokenBook(msgspec.Struct):
    """One token's book, and when we heard of it last."""

    instrument: InstrumentId
    book: OrderBook = msgspec.field(default_factory=OrderBook)
    whole: bool = False
    since: int = 0
    """The venue's time of the snapshot: what is older is in it already."""
    heard_s: float = 0.0
    messages: int = 0
    doubted_s: float = 0.0
    """Since when the venue tells best prices that are not this book's; 0 where it does not."""
    lost: bool = False
    """A message was, or may have been, about it, and could not be read: it is to come anew."""
    later: list[Parsed] | None = None
    """What has changed since it was asked for."""
    changed: int = 0
    """The venue's time of what was heard of it last."""
    compared_s: float = 0.0
    """When the whole of it was last looked at, or came anew."""
    touched: set[tuple[bool, int]] | None = None
    """While it is compared as its changes flow: the levels (bids: True) that have changed since.
    None where it is not, or has come anew meanwhile."""
    backoff: Backoff = msgspec.field(default_factory=Backoff)
    """When it may be asked for again, where the venue did not give it."""


class Books:
    """All tokens that are listened to."""

    def __init__(self) -> None:
        self.tokens: dict[str, TokenBook] = {}
        self.unread: Callable[[str], None] = lambda _detail: None
        """Hears of changes that cannot be read."""

    def listen(self, tokens: Iterable[str], now_s: float) -> None:
        """Expect these from now on."""
        for token in tokens:
            if token not in self.tokens:
                self.tokens[token] = TokenBook(
                    instrument_id(token), heard_s=now_s, compared_s=now_s
                )

    def forget(self, token: str) -> None:
        """The token has ended."""
        self.tokens.pop(token, None)

    def drop_all(self, now_s: float) -> None:
        """The connection is another: each book comes anew."""
        for one in self.tokens.values():
            one.whole, one.doubted_s, one.heard_s = False, 0.0, now_s
            one.lost, one.later, one.touched = False, None, None

    def doubt_all(self) -> None:
        """Something could not be read, and nobody knows what it was about."""
        for one in self.tokens.values():
            one.lost, one.later, one.touched = True, None, None

    def snapshot(self, now_ns: int, now_s: float, message: Book) -> list[MarketEvent]:
        """A whole book; raises ValueError where a number in it is none."""
        one = self.tokens.get(message.asset_id)
        if one is None:
            return []
        bids, asks = wire.levels(message.bids), wire.levels(message.asks)
        one.book.replace(bids, asks, 0)
        one.whole, one.doubted_s, one.lost, one.later = True, 0.0, False, None
        one.since = one.changed = wire.moment_ns(message.timestamp)
        one.touched, one.compared_s = None, now_s
        _heard(one, now_s)
        return [BookSnapshot(now_ns, one.instrument, bids, asks)]

    def asked(self, token: str) -> None:
        """A token's book is asked for: what changes from now on may not be in the answer. One that
        the venue goes on to contradict while its changes flow is wrong, and comes anew."""
        one = self.tokens[token]
        one.later = []
        one.lost = one.lost or 0.0 < one.doubted_s < one.heard_s

    def restored(self, now_ns: int, now_s: float, message: Book) -> list[MarketEvent]:
        """The book that was asked for, and what has changed meanwhile; nothing where not all of
        that could be read. Raises ValueError where a number in it is none."""
        one = self.tokens.get(message.asset_id)
        if one is None or one.later is None:
            return []
        later = one.later
        events = self.snapshot(now_ns, now_s, message)
        for change in later:
            if not 0 < change.at < one.since:
                one.book.apply(change.bids, change.asks, 0)
                events.append(BookDelta(now_ns, one.instrument, change.bids, change.asks))
        return events

    def changes(self, now_ns: int, now_s: float, message: MarketMessage) -> list[MarketEvent]:
        """New sizes, one event a token. What cannot be read drops the book of its token alone."""
        by_token: dict[str, list[Change]] = {}
        for change in message.price_changes:
            by_token.setdefault(change.asset_id, []).append(change)
        at, events = wire.moment_ns(message.timestamp), list[MarketEvent]()
        for token, found in by_token.items():
            one = self.tokens.get(token)
            if one is None:
                continue
            try:
                bids, asks = _sided(found)
                best = _best(found[-1].best_bid, found[-1].best_ask)
            except ValueError as error:
                self.unread(f"price_change: {error}")
                events += self._written_off(now_ns, now_s, one)
                continue
            if one.later is not None:
                _keep(one, Parsed(at, bids, asks))
            if one.touched is not None:
                one.touched.update((True, price) for price, _ in bids)
                one.touched.update((False, price) for price, _ in asks)
            if not one.whole or 0 < at < one.since:
                continue
            one.book.apply(bids, asks, 0)
            one.changed = at or one.changed
            _heard(one, now_s)
            self._compare(one, now_s, best)
            events.append(BookDelta(now_ns, one.instrument, bids, asks))
        return events

    def _written_off(self, now_ns: int, now_s: float, one: TokenBook) -> list[MarketEvent]:
        """A change of it is lost: it is wrong until it comes anew."""
        one.lost, one.later = True, None
        return self.drop(now_ns, now_s, one.instrument.rpartition(".")[0])

    def best(self, now_s: float, message: MarketMessage) -> None:
        """The best prices as the venue tells them: a check of our book, and no event."""
        one = self.tokens.get(message.asset_id)
        if one is not None and one.whole:
            best = _best(message.best_bid, message.best_ask)
            _heard(one, now_s)
            self._compare(one, now_s, best)

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
        one.whole, one.touched = False, None
        _heard(one, now_s)
        return [BookSnapshot(now_ns, one.instrument, (), ())]

    def agrees(self, message: Book) -> bool:
        """Whether a book of REST is the one that we have, by all its levels: the hash that a change
        carries says what the venue has, and not what we have."""
        one = self.tokens.get(message.asset_id)
        if one is None or not one.whole:
            return False
        bids, asks = dict(wire.levels(message.bids)), dict(wire.levels(message.asks))
        return one.book.bids == bids and one.book.asks == asks

    def confirmed(self, now_ns: int, now_s: float, token: str) -> list[MarketEvent]:
        """The venue was asked, and says that our book is right: its top is told as of now."""
        one = self.tokens[token]
        one.doubted_s, one.lost, one.compared_s = 0.0, False, now_s
        _heard(one, now_s)
        return [Quote(now_ns, one.instrument, *one.book.top())]

    def unseen(self, now_s: float, every_s: float) -> list[str]:
        """Tokens whose changes flow, and whose whole book nobody has looked at for so long."""
        return [
            token
            for token, one in self.tokens.items()
            if one.whole
            and not one.lost
            and one.touched is None
            and now_s >= max(one.compared_s + every_s, one.backoff.again_s)
        ]

    def watched(self, token: str) -> set[tuple[bool, int]]:
        """From now on, the levels of it that change."""
        one = self.tokens[token]
        one.touched = set()
        return one.touched

    def missed(self, message: Book, before: int) -> int:
        """In how many levels a book of REST is another than ours: of those that have not changed
        since it is watched. None where the answer is older than `before`, the venue's time of what
        we had heard of it then. Raises ValueError where a number in it is none."""
        one = self.tokens.get(message.asset_id)
        if one is None or one.touched is None or 0 < wire.moment_ns(message.timestamp) < before:
            return 0
        sides = (True, one.book.bids, message.bids), (False, one.book.asks, message.asks)
        count = 0
        for side, ours, told in sides:
            theirs = dict(wire.levels(told))
            for price in ours.keys() | theirs.keys():
                other = ours.get(price, 0) != theirs.get(price, 0)
                count += other and (side, price) not in one.touched
        return count

    def silent(self, now_s: float, longest_s: float, shortest_s: float) -> list[str]:
        """Tokens to ask the venue about: unheard for `longest_s`, or `shortest_s` where there is a
        reason to doubt the book, or at once where a message is lost."""
        return [
            token
            for token, one in self.tokens.items()
            if now_s >= one.backoff.again_s
            and (
                one.lost
                or now_s - one.heard_s > (longest_s if one.whole else shortest_s)
                or 0.0 < one.doubted_s < now_s - shortest_s
            )
        ]

    def _compare(self, one: TokenBook, now_s: float, told: tuple[int, int]) -> None:
        """A side that is empty is told as `""`, 0 or 1, or not at all."""
        told_bid, told_ask = told
        best_bid, _, best_ask, _ = one.book.top()
        wrong_bid = bool(told_bid) and told_bid != best_bid
        wrong_ask = bool(told_ask) and told_ask != best_ask and (best_ask or told_ask != ONE)
        if not (wrong_bid or wrong_ask):
            one.doubted_s = 0.0
        elif not one.doubted_s:
            one.doubted_s = now_s


ONE = units("1")


def _heard(one: TokenBook, now_s: float) -> None:
    one.heard_s = now_s
    one.messages += 1


def _keep(one: TokenBook, change: Parsed) -> None:
    if one.later is not None:
        one.later.append(change)
        if len(one.later) > MOST_LATER:
            one.later = None


def _best(bid: str | None, ask: str | None) -> tuple[int, int]:
    return units(bid or ""), units(ask or "")


def _sided(changes: list[Change]) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    bids: list[Level] = []
    asks: list[Level] = []
    for change in changes:
        if change.side == "BUY":
            bids.append((units(change.price), units(change.size)))
        elif change.side == "SELL":
            asks.append((units(change.price), units(change.size)))
        else:
            raise ValueError(f"a change of side {change.side!r}")
    return tuple(bids), tuple(asks)
