"""A market maker: quotes inside the spread where it is wide enough, and leans against inventory."""

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


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user may set. Shares are fractions, amounts USD, times seconds."""

    quote_usd: float = 6.0
    max_inventory_usd: float = 12.0
    min_half_spread: float = 0.004
    requote_seconds: float = 0.5
    quiet_before_expiry_seconds: float = 10.0


class MarketMaker(Strategy):
    """Bids below and offers above a mid that inventory pushes away; all orders post-only."""

    name = "market_maker"
    parameters_type = Parameters
    memory_type = dict[str, int]

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self._quote_cash = int(self.parameters.quote_usd * SCALE)
        self._max_cash = int(self.parameters.max_inventory_usd * SCALE)
        self._half = int(self.parameters.min_half_spread * SCALE)
        self._pause_ns = int(self.parameters.requote_seconds * SECOND_NS)
        self._quiet_ns = int(self.parameters.quiet_before_expiry_seconds * SECOND_NS)
        self.memory: dict[str, int] = {}

    def on_quote(self, view: View, market: Market) -> Intents:
        """Quote anew where the market has moved away from our quotes."""
        bid, ask, definition = market.bid, market.ask, market.definition
        name = definition.id
        now = view.now_ns
        if not 0 < bid < ask or now < self.memory.get(name, 0):
            return None
        self.memory[name] = now + self._pause_ns
        mid = (bid + ask) // 2
        half = self._half
        if type(definition) is BinaryContract:
            if now > definition.expires_ns - self._quiet_ns:
                return [Cancel(order.id, "near expiry") for order in _working(view, market)]
        else:
            half = mid * (half + definition.fees.maker_rate) // SCALE
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
        buy_at = min((skewed - half) // tick * tick, ask - tick)
        if ours or buy_at > 0:
            wanted = quantity_for(min(self._quote_cash, room), buy_at, definition.lot)
            if wanted * buy_at < definition.min_notional * SCALE:
                wanted = 0
            _quote(
                market,
                _side(ours, BUY),
                OrderTerms(name, BUY, LIMIT, buy_at, wanted, GTC, True),
                intents,
            )
        if held or ours:
            sell_at = max(-(-(skewed + half) // tick) * tick, bid + tick)
            offered = held // definition.lot * definition.lot
            _quote(
                market,
                _side(ours, SELL),
                OrderTerms(name, SELL, LIMIT, sell_at, offered, GTC, True),
                intents,
            )
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
