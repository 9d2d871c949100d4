"""Binance spot's messages as typed structs, and those as model events. Pure.

Shapes: Binance's "WebSocket Streams" document (combined streams: `depth@100ms`, `bookTicker`,
`trade`) and the REST answer of `GET /api/v3/depth`.
"""

from typing import Annotated

import msgspec

from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import ProportionalFees, Spot
from betatrader.model.market import BookDelta, BookSnapshot, Level, PublicTrade, Quote
from betatrader.model.money import SCALE, Money, Price, Quantity, parse

VENUE = "BINANCE"
TEN_BASIS_POINTS = 100_000

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What reading a message can raise: no JSON, another shape, no number; nested without end."""

LARGEST = (1 << 63) - 1
"""No number of the venue's may be larger: the journal keeps 64 bits."""

SHORT = 19
"""A text of eight decimals and so many characters is never larger than that."""

Number = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
TextLevel = tuple[str, str]


class Depth(msgspec.Struct, gc=False):
    """A change of the book: updates `first_id` to `last_id`."""

    symbol: str = msgspec.field(name="s")
    first_id: Number = msgspec.field(name="U")
    last_id: Number = msgspec.field(name="u")
    bids: list[TextLevel] = msgspec.field(name="b")
    asks: list[TextLevel] = msgspec.field(name="a")
    event_ms: int = msgspec.field(name="E", default=0)
    """By the venue's clock; 0 where it does not say."""


class BookTicker(msgspec.Struct, gc=False):
    """The best bid and ask."""

    update_id: Number = msgspec.field(name="u")
    symbol: str = msgspec.field(name="s")
    bid: str = msgspec.field(name="b")
    bid_size: str = msgspec.field(name="B")
    ask: str = msgspec.field(name="a")
    ask_size: str = msgspec.field(name="A")


class Trade(msgspec.Struct, gc=False):
    """A public trade; `buyer_is_maker` says that the seller crossed the spread."""

    symbol: str = msgspec.field(name="s")
    trade_id: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    quantity: str = msgspec.field(name="q")
    buyer_is_maker: bool = msgspec.field(name="m")


class Snapshot(msgspec.Struct, gc=False):
    """The REST answer: the book as of `last_id`. It names no symbol."""

    last_id: Number = msgspec.field(name="lastUpdateId")
    bids: list[TextLevel]
    asks: list[TextLevel]


class Message(msgspec.Struct, gc=False):
    """Any line of a recording: an envelope, or a REST snapshot, which has no `stream`."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    last_id: Number = msgspec.field(name="lastUpdateId", default=0)


class Named(msgspec.Struct, gc=False):
    """The answer to a request on a stream, or an error; anything else has no name."""

    id: int | str | None = None
    code: int | None = None


def answers(text: bytes, name: str) -> bool:
    """Whether a message of a stream is the venue's yes to the request of this name."""
    found = msgspec.json.decode(text, type=Named)
    return found.id == name and found.code is None


decode_message = msgspec.json.Decoder(Message).decode
decode_depth = msgspec.json.Decoder(Depth).decode
decode_ticker = msgspec.json.Decoder(BookTicker).decode
decode_trade = msgspec.json.Decoder(Trade).decode
decode_snapshot = msgspec.json.Decoder(Snapshot).decode


def units(text: str) -> int:
    """A decimal string as units of 10^-8; the venue nearly always sends eight decimals. Raises
    ValueError where it is none, or too large to be kept."""
    if text[-9:-8] == "." and len(text) <= SHORT:
        return int(text.replace(".", "", 1))
    return bounded(parse(text))


def bounded(number: int) -> int:
    """The number; raises ValueError where it is too large to be kept."""
    if not -LARGEST <= number <= LARGEST:
        raise ValueError(f"{number} is larger than 64 bits hold")
    return number


def levels(texts: list[TextLevel]) -> tuple[Level, ...]:
    """Text levels as (price, size): `units` of each, without a call for each."""
    return tuple(
        [
            (
                int(price.replace(".", "", 1))
                if price[-9:-8] == "." and len(price) <= SHORT
                else units(price),
                int(size.replace(".", "", 1))
                if size[-9:-8] == "." and len(size) <= SHORT
                else units(size),
            )
            for price, size in texts
        ]
    )


def instrument_id(symbol: str) -> InstrumentId:
    """`BTCUSDT` as `BTCUSDT.BINANCE`."""
    return InstrumentId(f"{symbol}.{VENUE}")


def definition(symbol: str) -> Spot:
    """The rules of a USDT pair where no exchange information is at hand (paper on recordings):
    tick 0.01, lot 0.00001, minimum 5 USDT, 10 basis points to makers and takers."""
    quote = "USDT" if symbol.endswith("USDT") else symbol[-3:]
    return Spot(
        id=instrument_id(symbol),
        base=symbol.removesuffix(quote),
        quote=quote,
        tick=Price(SCALE // 100),
        lot=Quantity(SCALE // 100_000),
        min_notional=Money(5 * SCALE),
        fees=ProportionalFees(maker_rate=TEN_BASIS_POINTS, taker_rate=TEN_BASIS_POINTS),
    )


def quote(time_ns: int, message: BookTicker) -> Quote:
    """A book ticker as a quote."""
    return Quote(
        time_ns,
        instrument_id(message.symbol),
        units(message.bid),
        units(message.bid_size),
        units(message.ask),
        units(message.ask_size),
        message.update_id,
    )


def trade(time_ns: int, message: Trade) -> PublicTrade:
    """A trade message as a public trade."""
    return PublicTrade(
        time_ns,
        instrument_id(message.symbol),
        units(message.price),
        units(message.quantity),
        not message.buyer_is_maker,
        str(message.trade_id),
    )


def delta(time_ns: int, message: Depth) -> BookDelta:
    """A depth message as a change of the book."""
    return BookDelta(
        time_ns,
        instrument_id(message.symbol),
        levels(message.bids),
        levels(message.asks),
        message.last_id,
    )


def snapshot(time_ns: int, symbol: str, message: Snapshot) -> BookSnapshot:
    """A REST answer as a snapshot of the book."""
    return BookSnapshot(
        time_ns, instrument_id(symbol), levels(message.bids), levels(message.asks), message.last_id
    )
