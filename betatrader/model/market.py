"""Market events. `time_ns` is when we received the event (UTC ns); it moves the engine's clock."""

import msgspec

from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import Instrument

Level = tuple[int, int]
"""(price, size); a size of 0 takes the level away."""


class MarketEvent(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Base of all market events."""

    time_ns: int
    instrument: InstrumentId


class Quote(MarketEvent, frozen=True, gc=False, array_like=True, tag="q"):
    """Best bid and ask; 0 where a side is empty."""

    bid: int
    bid_size: int
    ask: int
    ask_size: int
    update_id: int = 0


class PublicTrade(MarketEvent, frozen=True, gc=False, array_like=True, tag="t"):
    """A trade between others. `buyer_is_taker` says who crossed the spread."""

    price: int
    quantity: int
    buyer_is_taker: bool
    trade_id: str = ""


class BookSnapshot(MarketEvent, frozen=True, gc=False, array_like=True, tag="s"):
    """The whole book, best first; opens a feed, and every loop of a repeated recording."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    update_id: int = 0


class BookDelta(MarketEvent, frozen=True, gc=False, array_like=True, tag="d"):
    """New sizes of some levels."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    update_id: int = 0


class InstrumentListed(msgspec.Struct, frozen=True, gc=False, tag="listed", array_like=True):
    """An instrument can be traded from now on, or its rules have changed."""

    time_ns: int
    definition: Instrument


class Resolution(MarketEvent, frozen=True, gc=False, array_like=True, tag="resolved"):
    """A binary contract has ended and pays `payout` (0 or 10^8) a share."""

    payout: int


class InstrumentStatus(MarketEvent, frozen=True, gc=False, array_like=True, tag="status"):
    """The venue takes (or no longer takes) orders on this instrument."""

    tradable: bool
