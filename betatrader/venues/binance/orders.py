"""Orders on Binance's wire: what we send as parameters, and what comes back as typed structs. Pure.

A MARKET order with a collar goes as LIMIT IOC at the collar, since the venue's own MARKET knows
none. Post-only is the type LIMIT_MAKER, which takes no time in force.
"""

import msgspec

from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.money import show
from betatrader.model.order import OrderState, OrderTerms, OrderType, Side, TimeInForce
from betatrader.venues.binance.limits import RateLimit
from betatrader.venues.binance.rules import STOP_KIND
from betatrader.venues.binance.sign import Value
from betatrader.venues.binance.wire import VENUE, instrument_id, units

UNCLEAR_CODES = frozenset({-1000, -1001, -1006, -1007})
"""Codes after which an order may be there or not."""

KEY_CODES = frozenset({-1022, -2014, -2015})
"""Codes of a key or signature that the venue does not take, or not from here."""

FILTER_FAILED, MARKET_CLOSED = -1013, "Market is closed"
STOP_KINDS = (STOP_KIND, "STOP_LOSS")
OUT_OF_TIME, UNKNOWN_ORDER, NO_SUCH_ORDER = -1021, -2011, -2013
TOO_MUCH, TOO_MANY_ORDERS = -1003, -1015


class OrderInfo(msgspec.Struct, rename="camel", gc=False):
    """An order as the venue answers it: placed, asked for, cancelled or listed."""

    symbol: str
    order_id: int
    client_order_id: str
    orig_client_order_id: str = ""
    """On a cancel: the order's id, where `client_order_id` is the cancel's own."""
    status: str = ""
    side: str = ""
    type: str = ""
    price: str = "0"
    orig_qty: str = "0"
    executed_qty: str = "0"
    time_in_force: str = "GTC"
    expiry_reason: str = ""
    stop_price: str = "0"

    @property
    def name(self) -> ClientOrderId:
        """The client id that the order was placed with."""
        return ClientOrderId(self.orig_client_order_id or self.client_order_id)


class ExecutionReport(msgspec.Struct, gc=False):
    """`executionReport` of the user data stream."""

    symbol: str = msgspec.field(name="s")
    client_id: str = msgspec.field(name="c")
    side: str = msgspec.field(name="S")
    execution: str = msgspec.field(name="x")
    status: str = msgspec.field(name="X")
    order_id: int = msgspec.field(name="i")
    original_id: str = msgspec.field(name="C", default="")
    reject_reason: str = msgspec.field(name="r", default="NONE")
    last_quantity: str = msgspec.field(name="l", default="0")
    last_price: str = msgspec.field(name="L", default="0")
    last_quote: str = msgspec.field(name="Y", default="")
    filled: str = msgspec.field(name="z", default="0")
    commission: str | None = msgspec.field(name="n", default=None)
    commission_asset: str | None = msgspec.field(name="N", default=None)
    trade_id: int = msgspec.field(name="t", default=-1)
    maker: bool = msgspec.field(name="m", default=False)
    expiry_reason: str = msgspec.field(name="eR", default="")

    @property
    def name(self) -> ClientOrderId:
        """The order's own client id: on a cancel or amend `c` is that of the request."""
        moved = self.execution in ("CANCELED", "REPLACED")
        return ClientOrderId((self.original_id if moved else "") or self.client_id)


class MyTrade(msgspec.Struct, rename="camel", gc=False):
    """One execution of ours, from `GET /api/v3/myTrades`; `id` is unique within its symbol."""

    symbol: str
    id: int
    order_id: int
    price: str
    qty: str
    quote_qty: str
    commission: str
    commission_asset: str
    is_buyer: bool
    is_maker: bool


class Balance(msgspec.Struct, gc=False):
    """What is held of one asset."""

    asset: str
    free: str
    locked: str = "0"


class AccountInfo(msgspec.Struct, rename="camel"):
    """`GET /api/v3/account`, as far as it is used."""

    balances: list[Balance]
    can_trade: bool = True


class Error(msgspec.Struct, gc=False):
    """What the venue refuses with."""

    code: int = 0
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class ErrorData(msgspec.Struct, rename="camel", gc=False):
    """What an error adds: `retry_after` is a moment in ms; the rest is of a cancel-replace."""

    retry_after: int = 0
    cancel_result: str = ""
    new_order_result: str = ""
    cancel_response: msgspec.Raw = msgspec.Raw(b"")
    new_order_response: msgspec.Raw = msgspec.Raw(b"")


class Frame(msgspec.Struct, rename="camel", gc=False):
    """Any message of the WebSocket API: an answer (`status` > 0), or an event."""

    id: int | str | None = None
    status: int = 0
    result: msgspec.Raw = msgspec.Raw(b"")
    error: Error | None = None
    rate_limits: list[RateLimit] = []
    event: msgspec.Raw = msgspec.Raw(b"")


class EventKind(msgspec.Struct, gc=False):
    """Which event it is."""

    e: str


class KeyRights(msgspec.Struct, rename="camel", gc=False):
    """`GET /sapi/v1/account/apiRestrictions`: what the key may do besides."""

    enable_spot_and_margin_trading: bool = True
    enable_withdrawals: bool = False
    enable_internal_transfer: bool = False
    permits_universal_transfer: bool = False


class ServerTime(msgspec.Struct, rename="camel", gc=False):
    """`GET /api/v3/time`."""

    server_time: int


class Subscription(msgspec.Struct, rename="camel", gc=False):
    """Reports that a session gets."""

    subscription_id: int = 0


decode_frame = msgspec.json.Decoder(Frame).decode
decode_kind = msgspec.json.Decoder(EventKind).decode
decode_report = msgspec.json.Decoder(ExecutionReport).decode
decode_order = msgspec.json.Decoder(OrderInfo).decode
decode_orders = msgspec.json.Decoder(list[OrderInfo]).decode
decode_subscription = msgspec.json.Decoder(Subscription).decode
decode_subscriptions = msgspec.json.Decoder(list[Subscription]).decode
decode_error_data = msgspec.json.Decoder(ErrorData).decode


class UnmappableError(ValueError):
    """The venue has no such order; the text says which part of it."""


def placing(command_id: ClientOrderId, terms: OrderTerms, stp: str) -> dict[str, Value]:
    """The parameters of a new order, without times; `stp` names the mode against trades with
    ourselves, or is empty. Raises UnmappableError."""
    found: dict[str, Value] = {
        "symbol": symbol_of(terms.instrument),
        "side": terms.side.value,
        "newClientOrderId": command_id,
        "newOrderRespType": "RESULT",
        "quantity": show(terms.quantity),
    }
    if stp:
        found["selfTradePreventionMode"] = stp
    market = terms.type is OrderType.MARKET
    if terms.post_only:
        if market or terms.time_in_force is not TimeInForce.GTC:
            raise UnmappableError("a post-only order is a LIMIT that rests (GTC)")
        found["type"] = "LIMIT_MAKER"
    elif terms.type is OrderType.STOP:
        if terms.trigger <= 0 or terms.time_in_force is not TimeInForce.GTC:
            raise UnmappableError("a stop rests (GTC), and has a price that it waits for")
        found["type"], found["timeInForce"] = STOP_KIND, "GTC"
        found["stopPrice"] = show(terms.trigger)
    elif market and not terms.price:
        found["type"] = "MARKET"
        return found
    else:
        in_force = terms.time_in_force
        found["type"] = "LIMIT"
        found["timeInForce"] = "IOC" if market and in_force is TimeInForce.GTC else in_force.value
    if terms.price <= 0:
        raise UnmappableError("a price above 0 is needed")
    found["price"] = show(terms.price)
    return found


def symbol_of(instrument: InstrumentId) -> str:
    """`BTCUSDT.BINANCE` as `BTCUSDT`; raises UnmappableError where it is another venue's."""
    symbol, _, venue = instrument.rpartition(".")
    if venue != VENUE:
        raise UnmappableError(f"{instrument} is not traded here")
    return symbol


STATES = {
    "NEW": OrderState.ACCEPTED,
    "PENDING_NEW": OrderState.ACCEPTED,
    "PENDING_CANCEL": OrderState.ACCEPTED,
    "PARTIALLY_FILLED": OrderState.ACCEPTED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
"""The venue's statuses; an unknown one is taken for a working order, which is asked for again."""


def state_of(status: str) -> OrderState:
    """A status as the state that it means: ACCEPTED while it works."""
    return STATES.get(status, OrderState.ACCEPTED)


def terms_of(order: OrderInfo) -> OrderTerms:
    """What an order of the venue's asks for; raises ValueError where that cannot be read."""
    market, stop = order.type == "MARKET", order.type in STOP_KINDS
    in_force = TimeInForce(order.time_in_force) if not market else TimeInForce.IOC
    return OrderTerms(
        instrument_id(order.symbol),
        Side(order.side),
        OrderType.MARKET if market else OrderType.STOP if stop else OrderType.LIMIT,
        units(order.price),
        units(order.orig_qty),
        in_force,
        order.type == "LIMIT_MAKER",
        units(order.stop_price) if stop else 0,
    )


def is_unclear(status: int, code: int) -> bool:
    """Whether what came of a request is unknown after such an answer."""
    return status >= 500 or status == 408 or code in UNCLEAR_CODES
