"""An order of ours as one of the venue's: its kind, amounts and uniqueness, or why it has none.
Pure.

What takes at once and buys is stated in whole cents at the venue: an order for shares is sent as
the money they cost at its limit, floored to cents. It never spends more than it was approved for.
"""

import hashlib
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.money import SCALE, show
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce
from betatrader.venues.polymarket.amounts import (
    Amounts,
    check_price,
    limit_amounts,
    market_buy_amounts,
)
from betatrader.venues.polymarket.eip712 import Terms

VENUE = "POLYMARKET"
SALT_MASK = (1 << 53) - 1
"""The salt goes into JSON as a number, which some read as a double."""

BUY, MARKET, GTC = Side.BUY, OrderType.MARKET, TimeInForce.GTC
KINDS = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "FAK", TimeInForce.FOK: "FOK"}
FORCES = {
    "GTC": TimeInForce.GTC,
    "GTD": TimeInForce.GTC,
    "FAK": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
}


class UnmappableError(ValueError):
    """The order has no form at the venue; the text says why."""


class Rules(NamedTuple):
    """What decides about an order's form: the token's tick, and its least size in shares."""

    tick: int
    least_size: int
    neg_risk: bool


class Form(Struct, frozen=True, gc=False):
    """An order's kind and amounts in the venue's words."""

    kind: str
    post_only: bool
    amounts: Amounts


def instrument_id(token: str) -> InstrumentId:
    """The instrument of a token, by its decimal id."""
    return InstrumentId(f"{token}.{VENUE}")


def token_of(instrument: InstrumentId) -> str:
    """The token of an instrument; empty where it is not of this venue."""
    token, _, venue = instrument.rpartition(".")
    return token if venue == VENUE and token.isdecimal() else ""


@lru_cache(4_096)
def number_of(instrument: InstrumentId) -> int:
    """The token's number; raises ValueError where the instrument is not of this venue."""
    return int(token_of(instrument))


def kind_of(terms: OrderTerms) -> str:
    """GTC, FAK or FOK: a market order that may wait takes what is there, and ends."""
    force = terms.time_in_force
    if force is GTC:
        return "FAK" if terms.type is MARKET else "GTC"
    return KINDS[force]


def form_of(terms: OrderTerms, rules: Rules) -> Form:
    """The order's form under these rules; raises UnmappableError."""
    kind = kind_of(terms)
    if terms.post_only and kind != "GTC":
        raise UnmappableError(f"post-only is for orders that rest, not for {kind}")
    if not terms.price and terms.type is MARKET:
        raise UnmappableError("a market order needs a collar price here")
    if kind == "GTC" and terms.quantity < rules.least_size:
        least = show(rules.least_size)
        raise UnmappableError(f"below the venue's minimum of {least} shares")
    try:
        check_price(terms.price, rules.tick)
        amounts = _amounts(terms, kind, rules.tick)
    except ValueError as error:
        raise UnmappableError(str(error)) from None
    if not amounts.maker or not amounts.taker:
        raise UnmappableError(f"{show(terms.quantity)} shares are too few to be stated there")
    return Form(kind, terms.post_only, amounts)


def amounts_of(terms: OrderTerms, tick: int) -> Amounts:
    """The amounts alone; raises ValueError."""
    return _amounts(terms, kind_of(terms), tick)


def _amounts(terms: OrderTerms, kind: str, tick: int) -> Amounts:
    buying = terms.side is BUY
    if buying and kind != "GTC":
        return market_buy_amounts(terms.price, terms.price * terms.quantity // SCALE, tick)
    return limit_amounts(terms.price, terms.quantity, selling=not buying)


def unique(
    order: ClientOrderId, created_ns: int, token: int, amounts: Amounts, *, selling: bool
) -> Terms:
    """What is signed. Salt and timestamp follow from our id and the time at which the order was
    made, so that its id at the venue can be found again from the order alone."""
    return Terms(
        token, selling, amounts.maker, amounts.taker, salt_of(order), created_ns // 1_000_000
    )


def salt_of(order: ClientOrderId) -> int:
    """53 bits that follow from our id."""
    return int.from_bytes(hashlib.blake2b(order.encode(), digest_size=8).digest()) & SALT_MASK
