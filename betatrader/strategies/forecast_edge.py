"""Trades where the forecast's edge over the market beats costs and a threshold.

Asks intel for a forecast about twice a second, from features of public market data alone; sizes by
fractional Kelly; every position carries a stop, and closes when its edge has gone.
"""

import msgspec

from betatrader.engine.market import Market
from betatrader.engine.sizing import kelly_binary, kelly_return, quantity_for
from betatrader.engine.strategy import Ask, Cancel, Intent, Intents, Place, Strategy, View
from betatrader.model.features import FeatureWindow
from betatrader.model.instrument import BinaryContract
from betatrader.model.money import SCALE
from betatrader.model.order import LEAVING, OrderTerms, OrderType, Side, TimeInForce

SECOND_NS = 1_000_000_000


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user may set. Edges, stops and Kelly are fractions, amounts USD, times seconds."""

    min_edge: float = 0.05
    exit_edge: float = 0.0
    kelly_fraction: float = 0.25
    max_order_usd: float = 8.0
    max_position_usd: float = 12.0
    stop_loss: float = 0.8
    ask_every_seconds: float = 0.5
    horizon_seconds: float = 10.0
    return_variance: float = 1e-6


class ForecastEdge(Strategy):
    """Buys the outcome (or the asset) that the forecast says is cheap after all costs."""

    name = "forecast_edge"
    parameters_type = Parameters
    memory_type = dict[str, FeatureWindow]

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self._every_ns = int(self.parameters.ask_every_seconds * SECOND_NS)
        self._horizon_ns = int(self.parameters.horizon_seconds * SECOND_NS)
        self.memory: dict[str, FeatureWindow] = {}

    def on_quote(self, view: View, market: Market) -> Intents:
        """Sample the market once a period, and ask for a forecast with each sample."""
        if not market.bid or not market.ask:
            return None
        window = self.memory.get(market.id)
        if window is None:
            window = self.memory[market.id] = FeatureWindow()
        now = view.now_ns
        if now < window.next_ns:
            return None
        window.sample(now, self._every_ns, market.mid, market.bid_size, market.ask_size)
        features = window.features(now, market.definition)
        if features is None:
            return None
        return [Ask(market.id, self._horizon_ns, features)]

    def on_trade(self, view: View, market: Market) -> Intents:
        """Add a public trade to the flow of the current sample."""
        window = self.memory.get(market.id)
        if window is not None:
            window.trade(market.last_quantity, buyer_is_taker=market.buyer_is_taker)
        return None

    def on_forecast(self, view: View, market: Market) -> Intents:
        """Compare the forecast with the market; enter, leave, or do nothing."""
        forecast = market.forecast
        if forecast is None or not market.bid or not market.ask:
            return None
        if forecast.expires_ns < view.now_ns:
            return None
        intents: list[Intent] = [
            Cancel(order.id, "new forecast")
            for order in view.orders(market.id)
            if order.state not in LEAVING
        ]
        if intents:
            return intents
        ask, bid = market.ask / SCALE, market.bid / SCALE
        if forecast.kind == "probability":
            value = forecast.value
        else:
            value = (bid + ask) / 2 * (1.0 + forecast.value)
        held, lot = view.position(market.id), market.definition.lot
        whole = held // lot * lot  # a fee may have left a part of a lot, which no order can sell
        fee = market.definition.fees.fee(market.bid, SCALE, maker=False) / SCALE
        threshold = self.parameters.exit_edge * (1.0 if forecast.kind == "probability" else bid)
        if whole and bid - fee - value > threshold:
            terms = OrderTerms(market.id, Side.SELL, OrderType.MARKET, 0, whole)
            return [Place(terms, f"edge gone: forecast {value:.4f}, bid {bid:.4f}, fee {fee:.4f}")]
        return self._enter(view, market, value, ask, held) if view.may_add_risk_in(market) else None

    def _enter(self, view: View, market: Market, value: float, ask: float, held: int) -> Intents:
        parameters, definition = self.parameters, market.definition
        fee = definition.fees.fee(market.ask, SCALE, maker=False) / SCALE
        paid = ask + fee
        if isinstance(definition, BinaryContract):
            edge = value - paid
            share = kelly_binary(value, paid)
        else:
            # a spot position is left again, so that the fee is paid twice
            edge = (value - paid - fee) / ask
            share = kelly_return(edge, parameters.return_variance)
        if edge < parameters.min_edge * (1.0 if isinstance(definition, BinaryContract) else 0.01):
            return None
        # Kelly says how much to hold, not how much to add with each forecast
        target = share * parameters.kelly_fraction * view.equity / SCALE
        room = min(target, parameters.max_position_usd) - held / SCALE * ask
        usd = min(room, parameters.max_order_usd, market.ask_size / SCALE * ask)
        quantity = quantity_for(int(usd * SCALE), market.ask, definition.lot)
        if quantity * market.ask // SCALE < definition.least_taken:
            return None
        terms = OrderTerms(
            market.id, Side.BUY, OrderType.LIMIT, market.ask, quantity, TimeInForce.IOC
        )
        tick = definition.tick
        stop = max(tick, int(market.ask * (1.0 - self._stop_distance(definition))) // tick * tick)
        reason = f"forecast {value:.4f} over ask {ask:.4f} by {edge:.4f} after fees"
        return [Place(terms, reason, stop, uses_forecast=True)]

    def _stop_distance(self, definition: object) -> float:
        """A contract moves by halves; an asset's stop is ten times closer."""
        loss = self.parameters.stop_loss
        return loss if isinstance(definition, BinaryContract) else loss / 10.0
