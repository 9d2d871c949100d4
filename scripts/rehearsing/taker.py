"""A strategy that takes what stands, so that there are fills to lose."""

from betatrader.engine.strategy import Place, Strategy
from betatrader.model.instrument import Spot
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce


class Taker(Strategy):
    name = "taker"

    def on_tick(self, view, market):
        spot = market.definition
        if not isinstance(spot, Spot) or not market.bid or view.orders(market.id):
            return None
        held = view.position(market.id) // spot.lot * spot.lot
        side, price = (Side.SELL, market.bid) if held else (Side.BUY, market.ask)
        quantity = held or 8 * 10**16 // price // spot.lot * spot.lot
        terms = OrderTerms(market.id, side, OrderType.LIMIT, price, quantity, TimeInForce.IOC)
        return [Place(terms)]
