"""A market maker: quotes inside the spread where it is wide enough, and leans against inventory."""

from math import sqrt

import msgspec

from betatrader.engine.sizing import quantity_for
from betatrader.engine.state import Market
from betatrader.engine.strategy import Cancel, Intent, Intents, Place, Strategy, View
from betatrader.model.instrument import BinaryContract
from betatrader.model.money import SCALE
from betatrader.model.order import Order, OrderState, OrderTerms, OrderType, Side, TimeInForce

SECOND_NS = 1_000_000_000


LIMIT, GTC = OrderType.LIMIT, TimeInForce.GTC
BUY, SELL = Side.BUY, Side.SELL
PENDING_CANCEL = OrderState.PENDING_CANCEL
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
    volatility_spread: float = 1.5
    volatility_memory: float = 20.0
    requote_seconds: float = 0.5
    quiet_before_expiry_seconds: float = 5.0


class Quoting(msgspec.Struct, gc=False):
    """What the maker remembers of one instrument: when to look again, and how the mid moves."""

    next_ns: int = 0
    mid: int = 0
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
        name = definition.id
        now = view.now_ns
        seen = self.memory.get(name)
        if seen is None:
            seen = self.memory[name] = Quoting()
        if not 0 < bid < ask or now < seen.next_ns:
            return None
        seen.next_ns = now + self._pause_ns
        mid = (bid + ask) // 2
        self._watch(seen, mid)
        if type(definition) is BinaryContract:
            if now > definition.expires_ns - self._quiet_ns:
                return [Cancel(order.id, "near expiry") for order in _working(view, market)]
            half = self._half
        else:
            half = mid * (self._half + definition.fees.maker_rate) // SCALE
        if seen.looks < WARM:
            return None
        half = max(half, int(self._spread * sqrt(seen.variance)))
        return self._quotes(view, market, mid, half)

    def _watch(self, seen: Quoting, mid: int) -> None:
        if seen.looks:
            move = float(mid - seen.mid)
            weight = max(self._weight, 1.0 / seen.looks)
            seen.variance += weight * (move * move - seen.variance)
        seen.mid = mid
        seen.looks += 1

    def _quotes(self, view: View, market: Market, mid: int, half: int) -> Intents:
        definition, name = market.definition, market.id
        held = view.position(name)
        if held:
            worth = held * mid // SCALE
            room = self._max_cash - worth
            skewed = mid - half * worth // self._max_cash
        else:
            room, skewed = self._max_cash, mid
        tick = definition.tick
        ours = view.orders(name)
        intents: list[Intent] = []
        buy_at = min((skewed - half) // tick * tick, market.ask - tick)
        wanted = quantity_for(min(self._quote_cash, room), buy_at, definition.lot)
        if wanted * buy_at < definition.min_notional * SCALE:
            wanted = 0
        terms = OrderTerms(name, BUY, LIMIT, buy_at, wanted, GTC, True)
        _quote(market, _side(ours, BUY), terms, intents)
        if held or ours:
            sell_at = max(-(-(skewed + half) // tick) * tick, market.bid + tick)
            offered = held // definition.lot * definition.lot
            terms = OrderTerms(name, SELL, LIMIT, sell_at, offered, GTC, True)
            _quote(market, _side(ours, SELL), terms, intents)
        return intents


def _side(orders: list[Order], side: Side) -> list[Order]:
    return [order for order in orders if order.terms.side is side] if orders else orders


def _quote(market: Market, ours: list[Order], terms: OrderTerms, out: list[Intent]) -> None:
    """Keep one order a side: leave it where it is right, else cancel it, else place it."""
    price, quantity = terms.price, terms.quantity
    if ours:
        tick = market.definition.tick
        for order in ours:
            wrong = abs(order.terms.price - price) > tick or not quantity
            if wrong and order.state is not PENDING_CANCEL:
                out.append(Cancel(order.id, "requote"))
    elif quantity:
        stop = max(market.definition.tick, price // 2) if terms.side is BUY else 0
        out.append(Place(terms, "quote", stop))


def _working(view: View, market: Market) -> list[Order]:
    return [o for o in view.orders(market.id) if o.state is not PENDING_CANCEL]
