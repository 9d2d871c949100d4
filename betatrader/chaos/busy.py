"""A strategy for the simulation: it orders as often as it may, in every way, and decides nothing
by chance."""

import msgspec
from msgspec.structs import replace

from betatrader.engine.market import Market
from betatrader.engine.strategy import Cancel, Intent, Intents, Place, Strategy, View
from betatrader.engine.sweeping import WORKING
from betatrader.model.instrument import BinaryContract, Spot
from betatrader.model.money import SCALE
from betatrader.model.order import LEAVING, Order, OrderTerms, OrderType, Side, TimeInForce

LOT, SHARES = SCALE // 10, 5 * SCALE
"""The least of a pair, and of a contract, that is worth an order."""

ROUNDS = 5
STOP_TICKS = 12


class Busy(Strategy):
    """Buys at the ask and below the bid, cancels, sells at the bid: one of them a quote."""

    name = "busy"

    def __init__(self) -> None:
        self.round = 0

    def on_quote(self, view: View, market: Market) -> Intents:
        """The next thing of the round."""
        if not view.may_add_risk_in(market) or not 0 < market.bid < market.ask:
            return None
        self.round += 1
        ours = view.orders(market.id)
        held = view.position(market.id)
        turn = self.round % ROUNDS
        least = SHARES if isinstance(market.definition, BinaryContract) else LOT
        if turn == 0:
            return self._clear(market, [order for order in ours if order.state not in LEAVING])
        if turn == 1 and held >= least:
            return [self._order(market, Side.SELL, market.bid, held // least * least)]
        if len(ours) >= 4:
            return None
        price = market.ask if turn == 2 else market.bid - turn * market.definition.tick
        return [self._order(market, Side.BUY, price, 2 * least)]

    def _clear(self, market: Market, ours: list[Order]) -> list[Intent]:
        """Cancel all, but for one that is replaced where the venue can."""
        found: list[Intent] = [Cancel(order.id, "round") for order in ours]
        definition = market.definition
        working = [n for n, order in enumerate(ours) if order.state in WORKING]
        if working and isinstance(definition, Spot) and definition.replaces:
            old = ours[working[0]]
            away = definition.tick if old.terms.side is Side.SELL else -definition.tick
            price = old.terms.price + away
            place = self._order(market, old.terms.side, price, old.remaining)
            found[working[0]] = replace(place, replaces=old.id)
        return found

    def _order(self, market: Market, side: Side, price: int, quantity: int) -> Place:
        """Where the venue keeps stops, what is bought gets one, near enough to be reached."""
        terms = OrderTerms(market.id, side, OrderType.LIMIT, price, quantity, TimeInForce.GTC)
        definition = market.definition
        stops = side is Side.BUY and isinstance(definition, Spot) and definition.stops
        stop = price - STOP_TICKS * definition.tick if stops else 0
        return Place(terms, "busy", stop)

    def snapshot(self) -> bytes:
        """The round."""
        return msgspec.msgpack.encode(self.round)

    def restore(self, data: bytes) -> None:
        """Go on with it."""
        self.round = msgspec.msgpack.decode(data, type=int)
