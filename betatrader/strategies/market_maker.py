"""A market maker: quotes inside the spread where it is wide enough, and leans against inventory."""

from math import sqrt

import msgspec

from betatrader.engine.sizing import quantity_for
from betatrader.engine.state import Market
from betatrader.engine.strategy import Cancel, Intent, Intents, Place, Strategy, View
from betatrader.model.instrument import BinaryContract, Instrument
from betatrader.model.money import SCALE
from betatrader.model.order import Order, OrderState, OrderTerms, OrderType, Side, TimeInForce

SECOND_NS = 1_000_000_000


LIMIT, GTC = OrderType.LIMIT, TimeInForce.GTC
BUY, SELL = Side.BUY, Side.SELL
PENDING_CANCEL = OrderState.PENDING_CANCEL
NOTHING: list[Intent] = []
WARM = 4
"""Looks at an instrument before the first quote: a spread needs to know how the mid moves."""


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user may set. Shares are fractions, amounts USD, times seconds.

    The half spread is `min_half_spread`, or `volatility_spread` standard deviations of the mid's
    move over one requote, whichever is more: a quote must outlive the next half second.
    """

    quote_usd: float = 6.0
    max_inventory_usd: float = 12.0
    min_half_spread: float = 0.004
    volatility_spread: float = 2.0
    volatility_memory: float = 20.0
    requote_seconds: float = 0.5
    quiet_before_expiry_seconds: float = 5.0


class Quoting(msgspec.Struct, gc=False):
    """What the maker remembers of one instrument: when to look again, and how the mid moves."""

    next_ns: int = 0
    mid: int = 0
    half: int = 0
    """The half spread to quote with."""
    variance: float = 0.0
    """Of the mid's move between two looks, in squared price units; exponentially weighted."""
    looks: int = 0


class MarketMaker(Strategy):
    """Bids below and offers above a mid that inventory pushes away; all orders post-only."""

    name = "market_maker"
    parameters_type = Parameters
    memory_type = dict[str, Quoting]

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self._quote_cash = int(self.parameters.quote_usd * SCALE)
        self._max_cash = int(self.parameters.max_inventory_usd * SCALE)
        self._half = int(self.parameters.min_half_spread * SCALE)
        self._spread = self.parameters.volatility_spread
        self._weight = 1.0 / self.parameters.volatility_memory
        self._pause_ns = int(self.parameters.requote_seconds * SECOND_NS)
        self._quiet_ns = int(self.parameters.quiet_before_expiry_seconds * SECOND_NS)
        self.memory: dict[str, Quoting] = {}

    def on_quote(self, view: View, market: Market) -> Intents:
        """Quote anew where the market has moved away from our quotes."""
        bid, ask, definition = market.bid, market.ask, market.definition
        seen = self.memory.get(definition.id)
        if seen is None:
            seen = self.memory[definition.id] = Quoting()
        now = market.updated_ns
        if now < seen.next_ns or not 0 < bid < ask:
            return None
        seen.next_ns = now + self._pause_ns
        mid = (bid + ask) // 2
        self._watch(seen, mid, definition)
        if seen.looks < WARM or not view.may_add_risk:
            return None
        ours = view.orders(definition.id)
        if type(definition) is BinaryContract and now > definition.expires_ns - self._quiet_ns:
            return [Cancel(o.id, "near expiry") for o in ours if o.state is not PENDING_CANCEL]
        held = view.position(definition.id)
        if held:
            return self._both_sides(market, mid, seen.half, held, ours)
        tick = definition.tick
        price = min((mid - seen.half) // tick * tick, ask - tick)
        return _keep(market, BUY, price, self._affordable(market, price, self._quote_cash), ours)

    def _watch(self, seen: Quoting, mid: int, definition: Instrument) -> None:
        """Learn how the mid moves, and how wide to quote for it."""
        if seen.looks:
            move = mid - seen.mid
            weight = max(self._weight, 1.0 / seen.looks)
            seen.variance += weight * (move * move - seen.variance)
        half = self._half
        if type(definition) is not BinaryContract:
            half = mid * (half + definition.fees.maker_rate) // SCALE
        seen.half = max(half, int(self._spread * sqrt(seen.variance)))
        seen.mid = mid
        seen.looks += 1

    def _both_sides(
        self, market: Market, mid: int, half: int, held: int, ours: list[Order]
    ) -> Intents:
        """With something in hand: offer it, and bid for more as far as there is room."""
        tick, lot = market.definition.tick, market.definition.lot
        worth = held * mid // SCALE
        skewed = mid - half * worth // self._max_cash
        buy_at = min((skewed - half) // tick * tick, market.ask - tick)
        sell_at = max(-(-(skewed + half) // tick) * tick, market.bid + tick)
        buys = [order for order in ours if order.terms.side is BUY]
        sells = [order for order in ours if order.terms.side is SELL]
        room = min(self._quote_cash, self._max_cash - worth)
        return [
            *_keep(market, BUY, buy_at, self._affordable(market, buy_at, room), buys),
            *_keep(market, SELL, sell_at, held // lot * lot, sells),
        ]

    def _affordable(self, market: Market, price: int, cash: int) -> int:
        """How much to bid for; 0 where the venue would find it too small."""
        definition = market.definition
        quantity = quantity_for(cash, price, definition.lot)
        return quantity if quantity * price >= definition.min_notional * SCALE else 0


def _keep(market: Market, side: Side, price: int, quantity: int, ours: list[Order]) -> list[Intent]:
    """Keep one order a side: leave it where it is right, else cancel it, else place it."""
    definition = market.definition
    if ours:
        tick = definition.tick
        return [
            Cancel(order.id, "requote")
            for order in ours
            if (
                order.terms.side is not side
                or abs(order.terms.price - price) > tick
                or not quantity
            )
            and order.state is not PENDING_CANCEL
        ]
    if not quantity:
        return NOTHING
    terms = OrderTerms(definition.id, side, LIMIT, price, quantity, GTC, True)
    stop = max(definition.tick, price // 2) if side is BUY else 0
    return [Place(terms, "quote", stop)]
