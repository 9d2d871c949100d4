"""What subscribers are told of the market: books, changes of levels, trades, ticks, ends."""

from collections.abc import Iterable

from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import BinaryContract
from betatrader.model.money import show
from betatrader.model.order import Side
from betatrader.ops import clock
from betatrader.venues.polymarket.serve.books import Books, Change
from betatrader.venues.polymarket.serve.listings import Listings, Market, token_of
from betatrader.venues.polymarket.serve.sockets import Channels

MS = 1_000_000


class News:
    """Keeps the views of the books up to date, and tells what has changed in them."""

    def __init__(self, listings: Listings, books: Books, channels: Channels) -> None:
        self._listings = listings
        self._books = books
        self._channels = channels
        self._announced: set[str] = set()
        channels.present = self._present

    def listed(self, contract: BinaryContract, now_ns: int) -> None:
        """A token is listed, or its rules have changed."""
        token = token_of(contract.id)
        known = self._listings.find(token)
        market = self._listings.add(contract, now_ns)
        if known is not None and known[1].tick != contract.tick:
            message = {
                "event_type": "tick_size_change",
                "asset_id": token,
                "market": market.condition,
                "old_tick_size": show(known[1].tick),
                "new_tick_size": show(contract.tick),
                "timestamp": str(now_ns // MS),
            }
            self._channels.tell_market([token], message)
            self.book(contract.id, now_ns)
        if len(market.tokens) == 2 and market.condition not in self._announced:
            self._announced.add(market.condition)
            self._channels.announce(self._listings.announcement(market, now_ns))

    def both(self, instrument: InstrumentId) -> list[InstrumentId]:
        """A token and the other one of its market: an order for one stands in both books."""
        found = self._listings.find(token_of(instrument))
        return [instrument] if found is None else [instrument, found[1].complement]

    def refresh(self, instrument: InstrumentId, now_ns: int) -> None:
        """Tell what has changed in a token's book since it was last looked at."""
        self.refresh_many([instrument], now_ns)

    def refresh_many(self, instruments: Iterable[InstrumentId], now_ns: int) -> None:
        """The same of several. What one order changes in both books of a market is one message."""
        shown: dict[str, dict[str, list[dict[str, str]]]] = {}
        tops: list[tuple[Market, str]] = []
        for instrument in instruments:
            token = token_of(instrument)
            found = self._listings.find(token)
            if found is None:
                continue
            market, contract = found
            view = self._books.view(token, now_ns)
            top = (view.best_bid, view.best_ask)
            changes = self._books.refresh(contract, now_ns)
            if not changes or not self._channels.listened(token):
                continue
            of_market = shown.setdefault(market.condition, {})
            of_market[token] = self._changes(market, contract, changes, now_ns)
            if top != (view.best_bid, view.best_ask):
                tops.append((market, token))
        for condition, by_token in shown.items():
            message = {
                "event_type": "price_change",
                "market": condition,
                "price_changes": [one for changes in by_token.values() for one in changes],
                "timestamp": str(now_ns // MS),
            }
            self._channels.tell_market(by_token, message)
        for market, token in tops:
            self._tell_top(market, token, now_ns)

    def book(self, instrument: InstrumentId, now_ns: int) -> None:
        """Tell a token's whole book."""
        token = token_of(instrument)
        found = self._listings.find(token)
        if found is None:
            return
        self._books.refresh(found[1], now_ns)
        if self._channels.listened(token):
            self._channels.tell_market([token], self._book(*found, now_ns))

    def traded(
        self, instrument: InstrumentId, price: int, quantity: int, taker: Side, transaction: str
    ) -> None:
        """Tell of a trade, and the book after it."""
        now_ns, token = clock.now_ns(), token_of(instrument)
        found = self._listings.find(token)
        if found is None:
            return
        self._books.traded(token, price, taker, now_ns)
        if not self._channels.listened(token):
            return
        message = {
            "event_type": "last_trade_price",
            "asset_id": token,
            "market": found[0].condition,
            "price": show(price),
            "size": show(quantity),
            "side": str(taker),
            "fee_rate_bps": "0",
            "transaction_hash": transaction,
            "timestamp": str(now_ns // MS),
        }
        self._channels.tell_market([token], message)
        self.book(instrument, now_ns)

    def resolved(self, instrument: InstrumentId, payout: int, now_ns: int) -> None:
        """A token has paid; the other pays the rest, and their market is decided."""
        token = token_of(instrument)
        found = self._listings.find(token)
        if found is None or found[0].resolved:
            return
        market, contract = found
        market.resolved, market.closed_ns = True, now_ns
        if payout == 0:
            market.winner = token_of(contract.complement)
        elif payout == 100_000_000:
            market.winner = token
        tokens = [token_of(one.id) for one in market.tokens]
        outcomes = {token_of(one.id): one.outcome for one in market.tokens}
        message = {
            "event_type": "market_resolved",
            "id": str(market.number),
            "market": market.condition,
            "assets_ids": tokens,
            "winning_asset_id": market.winner,
            "winning_outcome": outcomes.get(market.winner, ""),
            "timestamp": str(now_ns // MS),
            "tags": ["Simulated"],
        }
        self._channels.tell_market(tokens, message, custom=True)

    def _changes(
        self, market: Market, contract: BinaryContract, changes: list[Change], now_ns: int
    ) -> list[dict[str, str]]:
        token = token_of(contract.id)
        view = self._books.view(token, now_ns)
        digest = str(self._books.document(market, contract, now_ns)["hash"])
        return [
            {
                "asset_id": token,
                "price": show(change.price),
                "size": show(change.size),
                "side": str(change.side),
                "hash": digest,
                "best_bid": show(view.best_bid),
                "best_ask": show(view.best_ask) if view.best_ask else "1",
            }
            for change in changes
        ]

    def _tell_top(self, market: Market, token: str, now_ns: int) -> None:
        view = self._books.view(token, now_ns)
        ask = view.best_ask or 100_000_000
        message = {
            "event_type": "best_bid_ask",
            "market": market.condition,
            "asset_id": token,
            "best_bid": show(view.best_bid),
            "best_ask": show(ask),
            "spread": show(ask - view.best_bid),
            "timestamp": str(now_ns // MS),
        }
        self._channels.tell_market([token], message, custom=True)

    def _present(self, tokens: Iterable[str]) -> list[dict[str, object]]:
        now_ns, shown = clock.now_ns(), []
        for token in tokens:
            found = self._listings.find(token)
            if found is not None and not found[0].resolved:
                self.refresh(found[1].id, now_ns)
                shown.append(self._book(*found, now_ns))
        return shown

    def _book(self, market: Market, contract: BinaryContract, now_ns: int) -> dict[str, object]:
        """The book as the market channel has it: without four fields that REST has."""
        whole = self._books.document(market, contract, now_ns)
        kept = ("asset_id", "market", "bids", "asks", "timestamp", "hash")
        return {"event_type": "book", **{name: whole[name] for name in kept}}
