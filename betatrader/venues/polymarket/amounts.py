"""Prices and sizes as the venue's exact amounts, and its texts and numbers as units of 10^-8. Pure.

The venue counts in 10^-6. Rounding: the table of its own clients, by tick size.
"""

from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import NamedTuple

from betatrader.model.money import SCALE, floor, parse, show

BASE = 100
"""Units of 10^-8 in one of the venue's."""

CENT = SCALE // 100
LOT = SCALE // 100
"""Sizes have two decimals."""

AMOUNT_DECIMALS = {
    parse("0.1"): 3,
    parse("0.01"): 4,
    parse("0.005"): 5,
    parse("0.0025"): 6,
    parse("0.001"): 5,
    parse("0.0001"): 6,
}
"""Decimals of the amount that a market order buys or brings, by tick."""

SHOWN = 40
"""Digits of what is no number that are told."""

EXTRA = 4
"""An amount with more decimals is rounded up at so many more first: a client's own float dust goes
that way, and must here, too."""

VENUE_DECIMALS = 6

MOST = 10_000_000_000 * SCALE
"""No price, size or balance of the venue is larger. The journal keeps 64 bits, and sums of several
such numbers have to fit, too."""


class Amounts(NamedTuple):
    """What the maker gives and what it takes, in base units of 10^-6."""

    maker: int
    taker: int


@lru_cache(16_384)
def units(text: str) -> int:
    """The venue's decimal text (`.48`, `0.5`; empty counts as 0) in units of 10^-8, floored.

    Raises ValueError, also where it is negative or larger than any can be. Kept, since a market's
    prices are few and its sizes come again.
    """
    found = floor(text) if text else 0
    if not 0 <= found <= MOST:
        raise ValueError(f"{text[:SHOWN]} is no number of the venue's")
    return found


def number(value: Decimal) -> int:
    """A JSON number in units of 10^-8, floored; raises ValueError as `units` does."""
    if not value.is_finite() or not 0 <= value <= MOST // SCALE:
        raise ValueError(f"{str(value)[:SHOWN]} is no number of the venue's")
    return int((value * SCALE).to_integral_value(ROUND_FLOOR))


def limit_amounts(price: int, size: int, *, selling: bool) -> Amounts:
    """Amounts of a limit order at a price on the grid; `size` is floored to two decimals.

    On every grid of the venue the product has at most six decimals: nothing is rounded, and the
    tick of the moment plays no part. Raises ValueError where it would have more.
    """
    shares = size - size % LOT
    dollars, finer = divmod(price * shares, SCALE * BASE)
    if finer:
        raise ValueError(f"the price {show(price)} is finer than the venue's")
    given = shares // BASE
    return Amounts(given, dollars) if selling else Amounts(dollars, given)


def market_buy_amounts(price: int, dollars: int, tick: int) -> Amounts:
    """Amounts of a buy that takes at once: `dollars` floored to cents are spent, for at least the
    shares that they buy at `price`. Raises ValueError for a tick that the venue does not have."""
    decimals = AMOUNT_DECIMALS.get(tick)
    if decimals is None:
        raise ValueError(f"the tick {show(tick)} is not one of the venue's")
    spent = dollars - dollars % CENT
    top = 10 ** (decimals + EXTRA)
    shares, rest = divmod(spent * top, price)
    shares += rest > 0  # up at four more decimals, then down
    shares //= 10**EXTRA
    return Amounts(spent // BASE, shares * 10 ** (VENUE_DECIMALS - decimals))


def check_price(price: int, tick: int) -> None:
    """Raise ValueError, in the words of the venue's own client, where a price is not on the grid
    between one tick and one less a tick."""
    if not tick <= price <= SCALE - tick:
        least, most = show(tick), show(SCALE - tick)
        raise ValueError(f"invalid price ({show(price)}), min: {least} - max: {most}")
    if price % tick:
        raise ValueError(f"invalid price ({show(price)}): not a multiple of {show(tick)}")
