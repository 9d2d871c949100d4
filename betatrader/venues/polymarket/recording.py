"""Recorded Polymarket messages (a line each: receive time in ns, a space, its JSON) as events.

A recording opens with what the venue says of the market (`/markets/{condition}` and
`/clob-markets/{condition}`), and goes on with frames of the market channel and with books of
`/book`. Books are kept as those of the live stream are (`books`).
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from betatrader.model.event import MarketInput
from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import BinaryContract
from betatrader.model.market import InstrumentListed, InstrumentStatus, MarketEvent, Resolution
from betatrader.model.money import SCALE, Price
from betatrader.venues import recorded
from betatrader.venues.polymarket import wire
from betatrader.venues.polymarket.amounts import units
from betatrader.venues.polymarket.books import Books
from betatrader.venues.polymarket.forms import instrument_id
from betatrader.venues.polymarket.listing import contracts_of, payouts_of

HEAD = b'"condition_id"'


def is_recording(path: Path) -> bool:
    """Whether a file begins as such a recording does."""
    return HEAD in recorded.first_message(path)


def read(path: Path) -> Iterator[MarketInput]:
    """The events of a file; raises UsageError as `recorded.read` does."""
    return recorded.read(path, "Polymarket", Reader().take)


def _refuse(detail: str) -> None:
    raise ValueError(detail)


class Reader:
    """Takes the lines of one market in their order."""

    def __init__(self) -> None:
        self._books = Books()
        self._books.unread = _refuse
        self._contracts: dict[InstrumentId, BinaryContract] = {}
        self._tradable: bool | None = None
        self._ended = False
        self._market: wire.Market | None = None

    def take(self, line: bytes) -> Iterator[MarketInput]:
        """The events of one line; raises ValueError or msgspec's errors where it is none."""
        stamp, _, text = line.partition(b" ")
        now_ns, text = int(stamp), text.strip()
        if text.startswith(b"["):
            for one in msgspec.json.decode(text, type=list[msgspec.Raw]):
                yield from self._message(now_ns, bytes(one))
        elif wire.decode_kind(text).event_type:
            yield from self._message(now_ns, text)
        else:
            yield from self._answer(now_ns, text)

    def _answer(self, now_ns: int, text: bytes) -> Iterator[MarketInput]:
        """What REST has said: the market, its parameters, or a book."""
        if b'"mts"' in text:
            if self._market is None:
                raise ValueError("parameters of no market")
            found = msgspec.json.decode(text, type=wire.Parameters)
            yield from self._listed(now_ns, self._market, found)
        elif HEAD in text:
            self._market = msgspec.json.decode(text, type=wire.Market)
        else:
            book = wire.decode_book(text)
            one = self._books.tokens.get(book.asset_id)
            if one is not None and not one.whole:
                yield from self._told(self._books.snapshot(now_ns, 0.0, book))

    def _listed(
        self, now_ns: int, market: wire.Market, found: wire.Parameters
    ) -> Iterator[MarketInput]:
        for contract in contracts_of(found, market, now_ns):
            if self._ended or self._contracts.get(contract.id) == contract:
                continue
            self._contracts[contract.id] = contract
            yield InstrumentListed(now_ns, contract)
        self._books.listen([token.t for token in found.t], 0.0)
        payouts = payouts_of(market)
        if payouts:
            yield from self._resolved(now_ns, payouts)
            return
        open_now = market.accepting_orders and market.active and not market.closed
        if open_now is not self._tradable:
            self._tradable = open_now
            for name in self._contracts:
                yield InstrumentStatus(now_ns, name, open_now)

    def _resolved(self, now_ns: int, payouts: dict[InstrumentId, int]) -> Iterator[MarketInput]:
        if self._ended:
            return
        self._ended = True
        for name, payout in payouts.items():
            if name in self._contracts:
                yield Resolution(now_ns, name, payout)

    def _message(self, now_ns: int, text: bytes) -> Iterator[MarketInput]:
        """One message of the market channel."""
        kind = wire.decode_kind(text).event_type
        if kind == "book":
            yield from self._told(self._books.snapshot(now_ns, 0.0, wire.decode_book(text)))
            return
        message = wire.decode_market_message(text)
        match kind:
            case "price_change":
                yield from self._told(self._books.changes(now_ns, 0.0, message))
            case "last_trade_price":
                yield from self._told(self._books.trade(now_ns, message))
            case "tick_size_change":
                yield from self._new_tick(now_ns, message)
            case "market_resolved" if message.winning_asset_id in message.assets_ids:
                won = message.winning_asset_id
                pays = {instrument_id(t): SCALE if t == won else 0 for t in message.assets_ids}
                yield from self._resolved(now_ns, pays)

    def _new_tick(self, now_ns: int, message: wire.MarketMessage) -> Iterator[MarketInput]:
        name, tick = instrument_id(message.asset_id), units(message.new_tick_size)
        contract = self._contracts.get(name)
        if contract is not None and 0 < tick < SCALE and contract.tick != tick:
            changed = msgspec.structs.replace(contract, tick=Price(tick))
            self._contracts[name] = changed
            yield InstrumentListed(now_ns, changed)
        yield from self._told(self._books.drop(now_ns, 0.0, message.asset_id))

    def _told(self, events: list[MarketEvent]) -> Iterator[MarketInput]:
        """Of an ended market nothing more is told."""
        for event in events:
            if not self._ended and event.instrument in self._contracts:
                yield event  # type: ignore[misc]
