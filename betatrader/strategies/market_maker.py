"""A market maker: quotes inside the spread where it is wide enough, and leans against inventory."""

from dataclasses import dataclass
from math import sqrt

import msgspec

from betatrader.engine.market import Market
from betatrader.engine.strategy import Cancel, Intent, Intents, Place, Strategy, View
from betatrader.model.instrument import BinaryContract, Instrument, Spot
from betatrader.model.money import SCALE
from betatrader.model.order import (
    LEAVING,
    Order,
    OrderState,
    OrderTerms,
    OrderType,
    Side,
    TimeInForce,
)

SECOND_NS = 1_000_000_000
UNIT = 1.0 / SCALE


LIMIT, GTC = OrderType.LIMIT, TimeInForce.GTC
BUY, SELL = Side.BUY, Side.SELL
WORKING = (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)
WARM = 3
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


@dataclass(slots=True)
class Quoting:
    """What the maker remembers of one instrument: when to look again, and how the mid moves."""

    next_ns: int = 0
    mid: float = 0.0
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
        self._quote_scaled = self._quote_cash * SCALE
        self._max_cash = int(self.parameters.max_inventory_usd * SCALE)
        self._half = self.parameters.min_half_spread
        self._spread = self.parameters.volatility_spread
        self._memory = int(self.parameters.volatility_memory)
        self._weight = 1.0 / self.parameters.volatility_memory
        self._pause_ns = int(self.parameters.requote_seconds * SECOND_NS)
        self._quiet_ns = int(self.parameters.quiet_before_expiry_seconds * SECOND_NS)
        self.memory: dict[str, Quoting] = {}

    def on_quote(self, view: View, market: Market) -> Intents:
        """Quote anew where the market has moved away from our quotes."""
        definition = market.definition
        name = definition.id
        seen = self.memory.get(name)
        if seen is None:
            seen = self.memory[name] = Quoting()
        now = market.updated_ns
        if now < seen.next_ns:
            return None
        bid, ask = market.bid, market.ask
        if bid <= 0 or bid >= ask:
            return None
        seen.next_ns = now + self._pause_ns
        looks, variance, mid = seen.looks, seen.variance, (bid + ask) * 0.5
        if looks:
            move = mid - seen.mid
            weight = self._weight if looks > self._memory else 1.0 / looks
            seen.variance = variance = variance + weight * (move * move - variance)
        seen.mid = mid
        seen.looks = looks + 1
        if looks < WARM or not view.may_add_risk_in(market):
            return None
        ours = view.orders(name)
        half = self._spread * sqrt(variance)
        if type(definition) is BinaryContract:
            if now > definition.expires_ns - self._quiet_ns:
                return [Cancel(o.id, "near expiry") for o in ours if o.state not in LEAVING]
            least = self._half * SCALE
        else:
            least = (self._half + definition.fees.maker_rate * UNIT) * mid
        if half < least:
            half = least
        if market.held and (held := view.position(name)):
            return self._both_sides(market, int(half), held, ours)
        tick = definition.tick
        price = int(mid - half) // tick * tick
        if price >= ask:
            price = ask - tick
        if ours and not (strays := _strays(ours, BUY, price, tick)):
            return None
        lot = definition.lot
        quantity = self._quote_scaled // price // lot * lot if price > 0 else 0
        if quantity < definition.min_quantity or quantity * price < definition.min_notional * SCALE:
            quantity = 0  # the venue would find it too small
        if ours:
            return _requote(market, strays, BUY, price, quantity)
        if not quantity:
            return None
        terms = OrderTerms(name, BUY, LIMIT, price, quantity, GTC, True)
        return [Place(terms, "quote", price >> 1 or 1)]

    def _both_sides(self, market: Market, half: int, held: int, ours: list[Order]) -> Intents:
        """With something in hand: offer it, and bid for more as far as there is room."""
        definition, mid = market.definition, market.mid
        tick, lot = definition.tick, definition.lot
        worth = held * mid // SCALE
        skewed = mid - half * worth // self._max_cash
        buy_at, sell_at = (skewed - half) // tick * tick, -(-(skewed + half) // tick) * tick
        if buy_at >= market.ask:
            buy_at = market.ask - tick
        if sell_at <= market.bid:
            sell_at = market.bid + tick
        buys = [order for order in ours if order.terms.side is BUY]
        sells = [order for order in ours if order.terms.side is SELL]
        room = self._max_cash - worth
        if room > self._quote_cash:
            room = self._quote_cash
        bid = self._affordable(definition, buy_at, room)
        offer = held // lot * lot if held >= definition.min_quantity else 0
        intents: list[Intent] = []
        if buys:
            strays = _strays(buys, BUY, buy_at if bid else 0, tick)
            intents += _requote(market, strays, BUY, buy_at, bid)
        elif bid:
            terms = OrderTerms(market.id, BUY, LIMIT, buy_at, bid, GTC, True)
            intents.append(Place(terms, "quote", buy_at // 2 or 1))
        if sells:
            strays = _strays(sells, SELL, sell_at if offer else 0, tick)
            intents += _requote(market, strays, SELL, sell_at, offer)
        elif offer:
            intents.append(
                Place(OrderTerms(market.id, SELL, LIMIT, sell_at, offer, GTC, True), "quote")
            )
        return intents

    def _affordable(self, definition: Instrument, price: int, cash: int) -> int:
        """How much to bid for; 0 where the venue would find it too small."""
        lot = definition.lot
        quantity = cash * SCALE // price // lot * lot if price > 0 < cash else 0
        if quantity < definition.min_quantity:
            return 0
        return quantity if quantity * price >= definition.min_notional * SCALE else 0


def _strays(ours: list[Order], side: Side, price: int, tick: int) -> list[Order]:
    """The orders that do not stand where they should; 0 is nowhere."""
    strays: list[Order] = []
    for order in ours:  # CPython 3.11 calls a comprehension, and most quotes come here
        terms = order.terms
        if (
            terms.side is not side or not -tick <= terms.price - price <= tick
        ) and order.state not in LEAVING:
            strays.append(order)
    return strays


def _requote(
    market: Market, strays: list[Order], side: Side, price: int, quantity: int
) -> list[Intent]:
    """Take the strays off the book: the first in one request with the quote that is to stand there,
    where the venue can; else the quote follows once they are gone."""
    definition = market.definition
    intents: list[Intent] = [Cancel(order.id, "requote") for order in strays]
    if strays and quantity and type(definition) is Spot and definition.replaces:
        first = strays[0]
        if first.terms.side is side and first.state in WORKING:
            terms = OrderTerms(definition.id, side, LIMIT, price, quantity, GTC, True)
            stop = price >> 1 or 1 if side is BUY else 0
            intents[0] = Place(terms, "requote", stop, replaces=first.id)
    return intents
