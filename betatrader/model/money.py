"""Exact numbers: prices, quantities and cash are integers at one constant scale of 10^-8."""

from typing import NewType

SCALE = 100_000_000
"""Units in one whole: 10^8."""

DECIMALS = 8
TENS = tuple(10**power for power in range(DECIMALS + 1))

Price = NewType("Price", int)
Quantity = NewType("Quantity", int)
Money = NewType("Money", int)


def parse(text: str) -> int:
    """Convert a decimal string exactly into units of 10^-8.

    Raises ValueError where the text is no plain decimal number, or is finer than 10^-8.
    """
    value, exact = _split(text)
    if not exact:
        raise ValueError(f"{text!r} is finer than 10^-8")
    return value


def floor(text: str) -> int:
    """Convert a decimal string, cutting what is finer than 10^-8 towards minus infinity."""
    value, exact = _split(text)
    return value if exact or not text.startswith("-") else value - 1


def show(units: int) -> str:
    """Units of 10^-8 as a decimal string, without trailing zeros: `show(150000000) == "1.5"`."""
    sign = "-" if units < 0 else ""
    whole, part = divmod(abs(units), SCALE)
    if not part:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{part:08d}".rstrip("0")


def show_usd(units: int) -> str:
    """Cash for a person, rounded to cents: `$12.35`."""
    sign = "-" if units < 0 else ""
    cents = (abs(units) + SCALE // 200) // (SCALE // 100)
    return f"{sign}${cents // 100}.{cents % 100:02d}"


def cost(price: int, quantity: int) -> Money:
    """What buying `quantity` at `price` costs: rounded up, so that we never claim too little."""
    return Money(-(-price * quantity // SCALE))


def proceeds(price: int, quantity: int) -> Money:
    """What selling `quantity` at `price` brings: rounded down, so that we never claim too much."""
    return Money(price * quantity // SCALE)


def _split(text: str) -> tuple[int, bool]:
    negative = text.startswith("-")
    whole, _, part = (text[1:] if negative else text).partition(".")
    digits = whole + part
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{text!r} is not a decimal number")
    finer = len(part) - DECIMALS
    if finer <= 0:
        units, exact = int(digits) * TENS[-finer], True
    else:
        units, exact = int(digits[:-finer]), not part[DECIMALS:].strip("0")
    return -units if negative else units, exact
