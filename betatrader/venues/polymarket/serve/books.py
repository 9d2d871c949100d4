"""Each token's book as the venue shows it: recorded levels and resting orders as one, and a hash.

A book's timestamp is that of its last change, so that its hash is the same however it is asked.
"""

import hashlib
from collections import deque

import msgspec

from betatrader.model.instrument import BinaryContract
from betatrader.model.money import SCALE, show
from betatrader.model.order import OrderTerms, OrderType, Side
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.pool import NEVER_MET, Pool
from betatrader.venues.polymarket.serve.listings import Listings, Market, token_of

HISTORY = 1_000
"""Trades that are kept of each token for its price history."""


class Change(msgspec.Struct, frozen=True):
    """A level's new total; 0 where it is gone."""

    side: Side
    price: int
    size: int


class View:
    """What was last shown of one token."""

    __slots__ = ("asks", "bids", "changed_ns", "history", "last_price", "last_side")

    def __init__(self, now_ns: int) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.changed_ns = now_ns
        self.last_price = ""
        self.last_side = ""
        self.history: deque[tuple[int, str]] = deque(maxlen=HISTORY)

    @property
    def best_bid(self) -> int:
        """The highest bid, 0 where there is none."""
        return max(self.bids, default=0)

    @property
    def best_ask(self) -> int:
        """The lowest ask, 0 where there is none."""
        return min(self.asks, default=0)


class Books:
    """The views of all tokens."""

    def __init__(self, exchange: SimulatedExchange, listings: Listings) -> None:
        self._exchange = exchange
        self._listings = listings
        self._views: dict[str, View] = {}

    def view(self, token: str, now_ns: int) -> View:
        """A token's view as it was last brought up to date."""
        found = self._views.get(token)
        if found is None:
            found = self._views[token] = View(now_ns)
        return found

    def refresh(self, contract: BinaryContract, now_ns: int) -> list[Change]:
        """Bring a token's view up to date; what has changed."""
        view = self.view(token_of(contract.id), now_ns)
        pool = self._exchange.pools.get(contract.id)
        bids, asks = _totals(pool) if pool is not None and not pool.ended else ({}, {})
        changes = [
            *_differences(Side.BUY, view.bids, bids),
            *_differences(Side.SELL, view.asks, asks),
        ]
        if changes:
            view.bids, view.asks, view.changed_ns = bids, asks, now_ns
        return changes

    def traded(self, token: str, price: int, side: Side, now_ns: int) -> None:
        """Note a token's last trade."""
        view = self.view(token, now_ns)
        view.last_price, view.last_side = show(price), str(side)
        view.changed_ns = now_ns
        view.history.append((now_ns // 1_000_000_000, view.last_price))

    def document(self, market: Market, contract: BinaryContract, now_ns: int) -> dict[str, object]:
        """The book as `/book` has it: the best level of each side is the last."""
        view = self.view(token_of(contract.id), now_ns)
        shown: dict[str, object] = {
            "market": market.condition,
            "asset_id": token_of(contract.id),
            "timestamp": str(view.changed_ns // 1_000_000),
            "hash": "",
            "bids": [_level(price, view.bids[price]) for price in sorted(view.bids)],
            "asks": [_level(price, view.asks[price]) for price in sorted(view.asks, reverse=True)],
            "min_order_size": show(self._listings.least_size),
            "tick_size": show(contract.tick),
            "neg_risk": market.neg_risk,
            "last_trade_price": view.last_price,
        }
        shown["hash"] = book_hash(shown)
        return shown


def book_hash(book: dict[str, object]) -> str:
    """SHA-1 of the book's compact JSON with an empty hash in it."""
    return hashlib.sha1(msgspec.json.encode({**book, "hash": ""})).hexdigest()  # noqa: S324  theirs


def _totals(pool: Pool) -> tuple[dict[int, int], dict[int, int]]:
    """What stands on both sides: recorded, less what was taken, and individual orders."""
    name = pool.definition.id
    bids = dict(pool.recorded_against(OrderTerms(name, Side.SELL, OrderType.LIMIT, 1, 1)))
    asks = dict(pool.recorded_against(OrderTerms(name, Side.BUY, OrderType.LIMIT, NEVER_MET, 1)))
    for order in pool.working.values():
        side = bids if order.terms.side is Side.BUY else asks
        side[order.terms.price] = side.get(order.terms.price, 0) + order.remaining
    for order in pool.complement.working.values() if pool.complement is not None else ():
        side = asks if order.terms.side is Side.BUY else bids  # a bid for NO asks for YES
        price = SCALE - order.terms.price
        side[price] = side.get(price, 0) + order.remaining
    return bids, asks


def _differences(side: Side, old: dict[int, int], new: dict[int, int]) -> list[Change]:
    if old == new:
        return []
    changed = [Change(side, price, size) for price, size in new.items() if old.get(price) != size]
    return changed + [Change(side, price, 0) for price in old if price not in new]


def _level(price: int, size: int) -> dict[str, str]:
    return {"price": show(price), "size": show(size)}
