"""Parity: where YES and NO together cost less than the 1 that they pay, buy both.

The legs are bought at once, each at once or not at all beyond what stands (immediate or cancel). A
leg that filled alone is completed while both still cost less than 1, and sold again where they do
not: until then it is an open position, whose size `unhedged_usd` bounds. After such a sale the pair
is left alone for a while: what kept one leg from filling may keep it again.
"""

import msgspec

from betatrader.engine.market import Market
from betatrader.engine.strategy import Intents, Place, Strategy, View
from betatrader.model.instrument import BinaryContract
from betatrader.model.money import SCALE
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce

SECOND_NS = 1_000_000_000


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user may set: USD, dollars a pair, seconds."""

    unhedged_usd: float = 5.0
    """The most that one leg may cost while the other has not filled."""
    least_gain: float = 0.005
    """Of a pair, after fees."""
    patience_seconds: float = 2.0
    """How long one leg alone is kept in the hope that the other can be had."""
    pause_seconds: float = 1.0
    rest_seconds: float = 60.0
    """After one leg was given up, for so long no pair is bought."""
    fresh_seconds: float = 3.0
    """How old the quotes of both legs may be when a pair is bought."""


class Legs(msgspec.Struct, gc=False):
    """What is remembered of one pair, by its YES."""

    next_ns: int = 0
    uneven_ns: int = 0
    """Since when one leg has stood alone; 0: both are even."""
    rest_ns: int = 0
    """No pair is bought before this."""


class Parity(Strategy):
    """Pairs of complementary contracts, whichever of the two the news is about."""

    name = "parity"
    parameters_type = Parameters
    memory_type = dict[str, Legs]

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self._unhedged = int(self.parameters.unhedged_usd * SCALE)
        self._gain = int(self.parameters.least_gain * SCALE)
        self._patience_ns = int(self.parameters.patience_seconds * SECOND_NS)
        self._pause_ns = int(self.parameters.pause_seconds * SECOND_NS)
        self._rest_ns = int(self.parameters.rest_seconds * SECOND_NS)
        self._fresh_ns = int(self.parameters.fresh_seconds * SECOND_NS)
        self.memory: dict[str, Legs] = {}

    def on_quote(self, view: View, market: Market) -> Intents:
        """Look at the pair."""
        contract = market.definition
        if not isinstance(contract, BinaryContract):
            return None
        legs = self.memory.setdefault(min(contract.id, contract.complement), Legs())
        if view.now_ns < legs.next_ns:
            return None
        try:
            other = view.market(contract.complement)
        except KeyError:
            return None
        if view.orders(market.id) or view.orders(other.id):
            return None  # a leg is under way
        uneven = view.position(market.id) - view.position(other.id)
        if abs(uneven) < contract.lot:  # less than can be traded: what rounding has left
            uneven = 0
        intents = (
            self._even_out(view, legs, *((market, other) if uneven > 0 else (other, market)))
            if uneven
            else self._buy_both(view, legs, market, other)
        )
        if intents:
            legs.next_ns = view.now_ns + self._pause_ns
        return intents

    on_tick = on_quote

    def _buy_both(self, view: View, legs: Legs, one: Market, other: Market) -> Intents:
        legs.uneven_ns = 0
        if (
            view.now_ns < legs.rest_ns
            or not view.may_add_risk_in(one)
            or not (one.ask and other.ask)
            or one.resolved
            or other.resolved
        ):
            return None
        contract = one.definition
        quantity = min(one.ask_size, other.ask_size, self._most(one.ask), self._most(other.ask))
        quantity = quantity // contract.lot * contract.lot
        if view.now_ns - min(one.updated_ns, other.updated_ns) > self._fresh_ns:
            return None  # risk would let one leg through, and not the other
        if quantity < max(contract.min_quantity, 1):
            return None
        if self._gain_of(one, other, quantity) < self._gain:
            return None
        least = min(one.ask, other.ask)
        if quantity * least < contract.least_taken * SCALE:
            return None  # the venue would find one leg too small
        return [_take(one, Side.BUY, quantity, "pair"), _take(other, Side.BUY, quantity, "pair")]

    def _most(self, price: int) -> int:
        """How many of one leg may stand alone."""
        return self._unhedged * SCALE // price

    def _gain_of(self, one: Market, other: Market, quantity: int) -> int:
        """What a pair pays beyond its cost, after fees, a share."""
        fees = sum(leg.definition.fees.fee(leg.ask, quantity, maker=False) for leg in (one, other))
        return SCALE - one.ask - other.ask - fees * SCALE // quantity

    def _even_out(self, view: View, legs: Legs, long: Market, short: Market) -> Intents:
        """One leg stands alone: complete the pair, or after a while give the leg up."""
        legs.uneven_ns = legs.uneven_ns or view.now_ns
        lot = long.definition.lot
        missing = (view.position(long.id) - view.position(short.id)) // lot * lot
        waits = view.now_ns - legs.uneven_ns < self._patience_ns
        if waits and view.may_add_risk_in(short) and short.ask and not short.resolved:
            quantity = min(missing, short.ask_size) // lot * lot
            fee = short.definition.fees.fee(short.ask, quantity, maker=False)
            paid = view.average_price(long.id) + short.ask
            is_large = quantity * short.ask >= short.definition.least_taken * SCALE
            if quantity and is_large and paid * quantity + fee * SCALE < SCALE * quantity:
                return [_take(short, Side.BUY, quantity, "completes the pair")]
        if waits or not long.bid:
            return None
        quantity = min(missing, long.bid_size) // lot * lot
        if not quantity:
            return None
        legs.rest_ns = view.now_ns + self._rest_ns
        return [_take(long, Side.SELL, quantity, "no other leg is to be had")]


def _take(market: Market, side: Side, quantity: int, reason: str) -> Place:
    """What stands there now, and no more."""
    price = market.ask if side is Side.BUY else market.bid
    terms = OrderTerms(market.id, side, OrderType.LIMIT, price, quantity, TimeInForce.IOC)
    return Place(terms, reason)
