"""A market maker: quotes inside the spread where it is wide enough, and leans against inventory."""

import msgspec

from betatrader.engine.sizing import quantity_for
from betatrader.engine.state import Market
from betatrader.engine.strategy import Cancel, Intent, Intents, Place, Strategy, View
from betatrader.model.instrument import BinaryContract
from betatrader.model.money import SCALE
from betatrader.model.order import Order, OrderState, OrderTerms, OrderType, Side

SECOND_NS = 1_000_000_000


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user may set. Shares are fractions, amounts USD, times seconds."""

    quote_usd: float = 4.0
    max_inventory_usd: float = 8.0
    min_half_spread: float = 0.004
    requote_seconds: float = 0.5
    quiet_before_expiry_seconds: float = 10.0


class MarketMaker(Strategy):
    """Bids below and offers above a mid that inventory pushes away; all orders post-only."""

    name = "market_maker"
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
        bid, ask = market.bid, market.ask
        if not bid or not ask or bid >= ask:
            return None
        now, name = view.now_ns, market.id
        if now < self.memory.get(name, 0):
            return None
        definition = market.definition
        half = self._half_spread(definition, bid + ask)
        if not half:
            return None
        self.memory[name] = now + self._pause_ns
        if isinstance(definition, BinaryContract) and now > definition.expires_ns - self._quiet_ns:
            return [Cancel(order.id, "near expiry") for order in _working(view, market)]
        held = view.position(name)
        mid = (bid + ask) // 2
        worth = held * mid // SCALE
        skew = half * worth // self._max_cash if self._max_cash else 0
        tick = definition.tick
        buy_at = min((mid - half - skew) // tick * tick, ask - tick)
        sell_at = max(-(-(mid + half - skew) // tick) * tick, bid + tick)
        intents: list[Intent] = []
        room = self._max_cash - worth
        wanted = quantity_for(min(self._quote_cash, room), buy_at, definition.lot)
        if wanted * buy_at // SCALE < definition.min_notional:
            wanted = 0
        self._quote(view, market, Side.BUY, buy_at, wanted, intents)
        offered = held // definition.lot * definition.lot
        self._quote(view, market, Side.SELL, sell_at, offered, intents)
        return intents

    def _half_spread(self, definition: object, twice_mid: int) -> int:
        """Half the spread that pays for both makers' fees and our minimum; 0: not worth quoting."""
        fees = definition.fees  # type: ignore[attr-defined]
        if isinstance(definition, BinaryContract):
            return self._half
        mid = twice_mid // 2
        return int(mid * (self._half + fees.maker_rate) // SCALE)

    def _quote(
        self, view: View, market: Market, side: Side, price: int, quantity: int, out: list[Intent]
    ) -> None:
        """Keep one order a side: leave it where it is right, else cancel it, else place it."""
        ours = [o for o in view.orders(market.id) if o.terms.side is side]
        if ours:
            tick = market.definition.tick
            for order in ours:
                wrong = abs(order.terms.price - price) > tick or not quantity
                if wrong and order.state is not OrderState.PENDING_CANCEL:
                    out.append(Cancel(order.id, "requote"))
            return
        if not quantity or price <= 0:
            return
        stop = 0
        if side is Side.BUY:
            stop = max(market.definition.tick, price // 2)
        terms = OrderTerms(market.id, side, OrderType.LIMIT, price, quantity, post_only=True)
        out.append(Place(terms, "quote", stop))


def _working(view: View, market: Market) -> list[Order]:
    return [o for o in view.orders(market.id) if o.state is not OrderState.PENDING_CANCEL]
