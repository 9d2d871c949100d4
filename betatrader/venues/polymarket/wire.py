"""The venue's JSON as typed structs, and its book hash. Pure; unknown keys are left alone.

Shapes: facts of the venue's OpenAPI and of its clients (`polymarket-client` 0.14,
`py-clob-client-v2` 1.2.1).
"""

import hashlib
from decimal import Decimal

import msgspec

from betatrader.model.market import Level
from betatrader.venues.polymarket.amounts import units

LAST_CURSOR = "LTE="
SECOND = 1_000_000_000
MOST_DIGITS = 15
"""Of a time in milliseconds."""

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What reading a message can raise: no JSON, another shape, no number; nested without end."""


class TextLevel(msgspec.Struct, gc=False):
    """A price level as the venue writes it."""

    price: str
    size: str


class Book(msgspec.Struct, kw_only=True):
    """A whole book, of REST or of the channel; its best levels are last. The channel leaves out the
    last four."""

    market: str = ""
    asset_id: str
    timestamp: str = ""
    hash: str = ""
    bids: list[TextLevel] = []
    asks: list[TextLevel] = []
    min_order_size: str = ""
    tick_size: str = ""
    neg_risk: bool = False
    last_trade_price: str = ""


def book_hash(book: Book) -> str:
    """The hash of a book by the venue's rule: SHA-1 of its compact JSON with an empty hash.

    Only a book of REST has all that goes in.
    """
    return hashlib.sha1(_encode(msgspec.structs.replace(book, hash=""))).hexdigest()  # noqa: S324


_encode = msgspec.json.Encoder().encode


def levels(texts: list[TextLevel]) -> tuple[Level, ...]:
    """Levels best first, sizes of 0 left out; the venue lists the best last."""
    found = [(units(one.price), units(one.size)) for one in texts]
    return tuple([level for level in reversed(found) if level[1]])


# The market channel.


class Change(msgspec.Struct, gc=False):
    """The new total size of one level of one token."""

    asset_id: str
    price: str
    size: str
    side: str
    hash: str = ""
    best_bid: str | None = None
    best_ask: str | None = None


class MarketMessage(msgspec.Struct, kw_only=True):
    """Any message of the market channel but `book`; `event_type` says which keys count."""

    event_type: str = ""
    asset_id: str = ""
    market: str = ""
    timestamp: str = ""
    price_changes: list[Change] = []
    price: str = ""
    size: str = ""
    side: str = ""
    transaction_hash: str = ""
    best_bid: str | None = None
    best_ask: str | None = None
    new_tick_size: str = ""
    slug: str = ""
    assets_ids: list[str] = []
    winning_asset_id: str = ""


# The user channel, and the same of REST.


class OpenOrder(msgspec.Struct, kw_only=True):
    """An order as the venue knows it. `type` is of the channel: PLACEMENT, UPDATE, CANCELLATION."""

    id: str
    status: str = ""
    owner: str = ""
    market: str = ""
    asset_id: str = ""
    side: str = ""
    original_size: str = ""
    size_matched: str = ""
    price: str = ""
    order_type: str = "GTC"
    associate_trades: list[str] | None = None
    created_at: int | str = 0
    type: str = ""


class MakerOrder(msgspec.Struct, kw_only=True):
    """One of the resting orders that a trade has met."""

    order_id: str
    owner: str = ""
    matched_amount: str
    price: str
    asset_id: str = ""
    side: str = ""


class Trade(msgspec.Struct, kw_only=True):
    """One trade; what stands at the top is the taker's. REST and channel name its time differently,
    and REST may say `TRADE_STATUS_` before the status."""

    id: str
    taker_order_id: str = ""
    market: str = ""
    asset_id: str = ""
    side: str = ""
    size: str = ""
    price: str = ""
    status: str = ""
    match_time: str = ""
    matchtime: str = ""
    owner: str = ""
    trader_side: str = ""
    maker_orders: list[MakerOrder] = []

    @property
    def state(self) -> str:
        """The status alone: MATCHED, MINED, CONFIRMED, RETRYING or FAILED."""
        return self.status.removeprefix("TRADE_STATUS_")

    @property
    def time_ns(self) -> int:
        """When it was matched; 0 where it does not say."""
        return moment_ns(self.match_time or self.matchtime)


def moment_ns(text: str | int) -> int:
    """A time in seconds or milliseconds, told apart by its size, in ns; 0 for anything else."""
    digits = str(text)
    if not digits.isdecimal() or len(digits) > MOST_DIGITS:
        return 0
    value = int(digits)
    return value * (1_000_000 if value >= 100_000_000_000 else SECOND)


# Answers of REST.


class Placed(msgspec.Struct, kw_only=True):
    """The answer to an order."""

    success: bool = False
    error_msg: str | None = msgspec.field(name="errorMsg", default=None)
    order_id: str | None = msgspec.field(name="orderID", default=None)
    status: str | None = None
    trade_ids: list[str] | None = msgspec.field(name="tradeIDs", default=None)


class Canceled(msgspec.Struct, kw_only=True):
    """The answer to cancels: which are off the book, and why others are not."""

    canceled: list[str] | None = None
    not_canceled: dict[str, str] | None = None


class Page(msgspec.Struct, kw_only=True):
    """One page of a list."""

    next_cursor: str = LAST_CURSOR
    data: list[msgspec.Raw] | None = None


class Balance(msgspec.Struct, kw_only=True):
    """What the wallet holds of one asset, in base units of 10^-6, and how much of it each contract
    may take."""

    balance: str
    allowances: dict[str, str] = {}


class HeartbeatAnswer(msgspec.Struct, kw_only=True):
    """The id to send next."""

    heartbeat_id: str = ""


class ServerTime(msgspec.Struct):
    """The venue's time in seconds, where it is not a bare number."""

    time: int = 0
    timestamp: int = 0


class ApiKey(msgspec.Struct, kw_only=True, rename="camel"):
    """An API key that was made or derived."""

    api_key: str
    secret: str
    passphrase: str


class ClosedOnly(msgspec.Struct):
    """Whether the account may only close what it holds."""

    closed_only: bool = False


class Fault(msgspec.Struct, kw_only=True):
    """The body of a refusal."""

    error: str | None = None
    error_msg: str | None = msgspec.field(name="errorMsg", default=None)
    code: str | int | None = None
    retry_after_seconds: float | None = None
    heartbeat_id: str | None = None


class TickSize(msgspec.Struct):
    """A token's tick."""

    minimum_tick_size: Decimal


class NegRisk(msgspec.Struct):
    """Whether a token is of an event with exclusive outcomes."""

    neg_risk: bool = False


class Fees(msgspec.Struct):
    """A market's fee curve: rate, exponent, and whether only takers pay."""

    r: Decimal = Decimal(0)
    e: Decimal = Decimal(1)
    to: bool = True


class TokenName(msgspec.Struct):
    """A token and its outcome, in the compact parameters."""

    t: str
    o: str = ""


class Parameters(msgspec.Struct, kw_only=True):
    """The compact parameters of a market (`/clob-markets/{condition}`)."""

    t: list[TokenName] = []
    mts: Decimal
    mos: Decimal
    nr: bool | None = None
    fd: Fees | None = None


class Token(msgspec.Struct):
    """A token of a market; `winner` where the market has ended."""

    token_id: str
    outcome: str = ""
    winner: bool = False


class Market(msgspec.Struct, kw_only=True):
    """A market (`/markets/{condition}`)."""

    condition_id: str
    active: bool = True
    closed: bool = False
    accepting_orders: bool = True
    enable_order_book: bool = True
    end_date_iso: str | None = None
    neg_risk: bool = False
    neg_risk_market_id: str | None = None
    is_50_50_outcome: bool = False
    tokens: list[Token] = []


decode_book = msgspec.json.Decoder(Book).decode
decode_market_message = msgspec.json.Decoder(MarketMessage).decode
decode_order = msgspec.json.Decoder(OpenOrder).decode
decode_trade = msgspec.json.Decoder(Trade).decode


class Kind(msgspec.Struct):
    """The one key that every message of a channel has."""

    event_type: str = ""


decode_kind = msgspec.json.Decoder(Kind).decode
