"""Exact numbers: prices, quantities and cash are integers at one constant scale of 10^-8."""

from typing import NewType

SCALE = 100_000_000
"""Units in one whole: 10^8."""

DECIMALS = 8

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
    sign = -1 if text.startswith("-") else 1
    digits = text[1:] if sign < 0 else text
    whole, _, part = digits.partition(".")
    if not (whole + part).isascii() or not (whole + part).isdigit():
        raise ValueError(f"{text!r} is not a decimal number")
    kept = part[:DECIMALS]
    units = int(whole or "0") * SCALE + (int(kept) * 10 ** (DECIMALS - len(kept)) if kept else 0)
    return sign * units, not part[DECIMALS:].strip("0")
