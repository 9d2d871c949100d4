"""How much: fractional Kelly, caps, and rounding to the lot."""

from betatrader.model.money import SCALE


def kelly_binary(probability: float, price: float) -> float:
    """The share of wealth that maximises log growth when buying a 1-or-0 payoff at `price`.

    Kelly (1956): f = (p - c) / (1 - c), 0 where there is no edge. `price` includes fees.
    """
    if not 0.0 < price < 1.0:
        return 0.0
    return max(0.0, (probability - price) / (1.0 - price))


def kelly_return(expected: float, variance: float) -> float:
    """The same for a small continuous return: f = mu / sigma^2, 0 where there is no edge."""
    return max(0.0, expected / variance) if variance > 0.0 else 0.0


def quantity_for(notional: int, price: int, lot: int) -> int:
    """The largest multiple of the lot that costs at most `notional` at `price`."""
    if price <= 0 or notional <= 0:
        return 0
    return notional * SCALE // price // lot * lot
