"""What Binance says may be traded, as instruments of ours: `exchangeInfo` and fees. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from betatrader.model.instrument import ProportionalFees, Spot
from betatrader.model.money import Money, Price, Quantity, floor
from betatrader.venues.binance.limits import RateLimit
from betatrader.venues.binance.wire import TEN_BASIS_POINTS, bounded, instrument_id, units

STP_MODE = "EXPIRE_MAKER"
"""Against trades with ourselves: what rests gives way to what arrives."""

STOP_KIND = "STOP_LOSS_LIMIT"
"""A limit order that waits outside of the book until the last price has come to its stop price."""

DEFAULT_FEES = ProportionalFees(maker_rate=TEN_BASIS_POINTS, taker_rate=TEN_BASIS_POINTS)
TRADED = "TRADING"
"""In any other status (HALT, BREAK, CANCEL_ONLY, END_OF_DAY) no new order is taken."""


class Filter(msgspec.Struct, rename="camel", gc=False):
    """One filter of a symbol, as far as it is used; a value of 0 is no rule."""

    filter_type: str
    tick_size: str = "0"
    step_size: str = "0"
    min_qty: str = "0"
    min_notional: str = "0"


class Symbol(msgspec.Struct, rename="camel"):
    """One pair as the venue states it."""

    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    filters: list[Filter]
    allowed_self_trade_prevention_modes: list[str] = []
    cancel_replace_allowed: bool = False
    order_types: list[str] = []


class ExchangeInfo(msgspec.Struct, rename="camel"):
    """`GET /api/v3/exchangeInfo`, as far as it is used."""

    symbols: list[Symbol]
    rate_limits: list[RateLimit] = []


class Rates(msgspec.Struct, frozen=True, gc=False):
    """The four parts of a commission; a trade pays maker or taker, plus buyer or seller."""

    maker: str = "0"
    taker: str = "0"
    buyer: str = "0"
    seller: str = "0"


class Commission(msgspec.Struct, rename="camel"):
    """`GET /api/v3/account/commission`: what our account pays on one symbol."""

    standard_commission: Rates
    special_commission: Rates = Rates()
    tax_commission: Rates = Rates()


class Rules(NamedTuple):
    """One tradable pair: its instrument, whether orders are taken now, and its mode against trades
    with ourselves (empty: the venue's own default)."""

    spot: Spot
    tradable: bool
    stp: str


def fees_of(commission: Commission) -> ProportionalFees:
    """The rates that we pay, at the dearer of buying and selling, without discount: what is paid
    in another asset is not known before it is."""
    maker = taker = 0
    for part in (
        commission.standard_commission,
        commission.special_commission,
        commission.tax_commission,
    ):
        side = max(floor(part.buyer), floor(part.seller))
        maker += floor(part.maker) + side
        taker += floor(part.taker) + side
    return ProportionalFees(maker_rate=bounded(maker), taker_rate=bounded(taker))


def rules_of(symbol: Symbol, fees: ProportionalFees = DEFAULT_FEES) -> Rules:
    """A pair's rules; raises ValueError where what we need of them is not stated."""
    tick = lot = least = minimum = 0
    for one in symbol.filters:
        if one.filter_type == "PRICE_FILTER":
            tick = units(one.tick_size)
        elif one.filter_type == "LOT_SIZE":
            lot, least = units(one.step_size), units(one.min_qty)
        elif one.filter_type in ("NOTIONAL", "MIN_NOTIONAL"):
            minimum = max(minimum, units(one.min_notional))
    if tick <= 0 or lot <= 0:
        raise ValueError(f"{symbol.symbol} states no tick or no lot")
    spot = Spot(
        id=instrument_id(symbol.symbol),
        base=symbol.base_asset,
        quote=symbol.quote_asset,
        tick=Price(tick),
        lot=Quantity(lot),
        min_notional=Money(minimum),
        fees=fees,
        min_quantity=Quantity(least),
        replaces=symbol.cancel_replace_allowed,
        stops=STOP_KIND in symbol.order_types,
    )
    stp = STP_MODE if STP_MODE in symbol.allowed_self_trade_prevention_modes else ""
    return Rules(spot, symbol.status == TRADED, stp)


def of_one_quote(symbols: Iterable[Symbol]) -> tuple[list[Symbol], list[Symbol]]:
    """Those that are paid in the first one's quote, and the others: cash is one number, so that
    one trader has one quote."""
    found = list(symbols)
    quote = found[0].quote_asset if found else ""
    fitting = [one for one in found if one.quote_asset == quote]
    return fitting, [one for one in found if one.quote_asset != quote]
