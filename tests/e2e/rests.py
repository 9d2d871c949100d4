"""A strategy with one order that rests, far below each market."""

from betatrader.engine.strategy import Place, Strategy
from betatrader.model.money import SCALE
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce


class Rests(Strategy):
    name = "rests"

    def on_quote(self, view, market):
        if not view.may_add_risk_in(market) or view.orders(market.id) or not market.bid:
            return None
        tick, lot = market.definition.tick, market.definition.lot
        price = market.bid * 8 // 10 // tick * tick
        quantity = 8 * SCALE * SCALE // price // lot * lot
        terms = OrderTerms(
            market.id, Side.BUY, OrderType.LIMIT, price, quantity, TimeInForce.GTC, True
        )
        return [Place(terms, "one that rests")]
