"""Instruments: what can be traded, with its tick, lot, minimum and fees."""

import msgspec

from betatrader.model.ids import InstrumentId
from betatrader.model.money import SCALE, Money, Price, Quantity

CUBE = SCALE**3
FEE_UNIT = SCALE // 100_000


class ProportionalFees(msgspec.Struct, frozen=True, tag="proportional"):
    """A share of the notional; rates in units of 10^-8 (10 basis points = 100_000)."""

    maker_rate: int
    taker_rate: int

    def fee(self, price: int, quantity: int, *, maker: bool) -> Money:
        """The fee of one fill in cash, rounded up."""
        rate = self.maker_rate if maker else self.taker_rate
        return Money(-(-price * quantity * rate // (SCALE * SCALE)))

    def kept(self, quantity: int, *, maker: bool) -> int:
        """What of a buy does not arrive, where its fee is taken from what it buys; rounded up."""
        rate = self.maker_rate if maker else self.taker_rate
        return -(-quantity * rate // SCALE)

    def worst_fee(self, price: int, quantity: int) -> Money:
        """The highest fee that a buy up to `price` can pay."""
        rate = max(self.maker_rate, self.taker_rate)
        return Money(-(-price * quantity * rate // (SCALE * SCALE)))


class BinaryFees(msgspec.Struct, frozen=True, tag="binary"):
    """Polymarket's schedule: rate · p · (1 - p) a share for the taker; makers pay `maker_rate`.

    Rates in units of 10^-8: the crypto category's 0.07 is 7_000_000. A fee is rounded to five
    decimals; less than one of them is none.
    """

    maker_rate: int
    taker_rate: int

    def fee(self, price: int, quantity: int, *, maker: bool) -> Money:
        """The fee of one fill in cash."""
        rate = self.maker_rate if maker else self.taker_rate
        exact = rate * price * (SCALE - price) * quantity
        if exact < FEE_UNIT * CUBE:
            return Money(0)
        return Money((2 * exact // CUBE + FEE_UNIT) // (2 * FEE_UNIT) * FEE_UNIT)

    def worst_fee(self, price: int, quantity: int) -> Money:
        """The highest fee that a buy up to `price` can pay: p · (1 - p) is highest at one half."""
        rate, worst = max(self.maker_rate, self.taker_rate), min(price, SCALE // 2)
        exact = rate * worst * (SCALE - worst) * quantity
        return Money(-(-exact // (CUBE * FEE_UNIT)) * FEE_UNIT)


Fees = ProportionalFees | BinaryFees


class Spot(msgspec.Struct, frozen=True, tag="spot"):
    """A spot pair: `base` is bought and sold for `quote` (counted as USD).

    `replaces`: the venue takes one order in another's stead in one request, and only where the
    other could be taken off the book. `stops`: it keeps stops.
    """

    id: InstrumentId
    base: str
    quote: str
    tick: Price
    lot: Quantity
    min_notional: Money
    fees: Fees
    min_quantity: Quantity = Quantity(0)
    replaces: bool = False
    stops: bool = False

    @property
    def least_taken(self) -> Money:
        """What a buy that takes at once must be worth: as much as any."""
        return self.min_notional


class BinaryContract(msgspec.Struct, frozen=True, tag="binary_contract"):
    """One outcome of an event: pays 1 where it comes true, else 0.

    `complement` is the other outcome's instrument. Where `nets` is true, the venue pairs YES with
    NO by itself: one of each becomes one unit of cash at once. Contracts that share an `exclusive`
    text are answers to one question, of whose YES outcomes at most one comes true (Polymarket's
    neg-risk events).
    """

    id: InstrumentId
    event: str
    outcome: str
    complement: InstrumentId
    expires_ns: int
    resolution_source: str
    tick: Price
    lot: Quantity
    min_notional: Money
    fees: Fees
    nets: bool = True
    exclusive: str = ""
    min_quantity: Quantity = Quantity(0)
    min_taken: Money = Money(0)
    """The least value of a buy that takes at once, where the venue has one of its own for that."""

    @property
    def is_yes(self) -> bool:
        """Whether this is the outcome that the question asks about."""
        return self.outcome.upper() == "YES"

    @property
    def least_taken(self) -> Money:
        """What a buy that takes at once must be worth."""
        return max(self.min_notional, self.min_taken)


Instrument = Spot | BinaryContract
