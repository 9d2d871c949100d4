"""A strategy for accounts near their limits: it wants more than it may, and only risk holds it."""

from betatrader.chaos.busy import LOT, SHARES, Busy
from betatrader.engine.market import Market
from betatrader.engine.strategy import Intent, Intents, View
from betatrader.model.instrument import BinaryContract
from betatrader.model.order import LEAVING, Side

ROUNDS = 6
BURST = 3
"""Buys that it wants at once."""


class Eager(Busy):
    """Bids for more with every quote, whatever it has and whatever is unanswered."""

    name = "eager"

    def on_quote(self, view: View, market: Market) -> Intents:
        """The next thing of the round; it does not ask whether it may add risk."""
        if not 0 < market.bid < market.ask:
            return None
        self.round += 1
        turn, held = self.round % ROUNDS, view.position(market.id)
        least = SHARES if isinstance(market.definition, BinaryContract) else LOT
        if turn == 0:
            ours = view.orders(market.id)
            return self._clear(market, [order for order in ours if order.state not in LEAVING])
        if turn == 1 and held >= least:
            return [self._order(market, Side.SELL, market.bid, held // least * least)]
        tick = market.definition.tick
        wanted: list[Intent] = [
            self._order(market, Side.BUY, market.ask - (turn + at) % 4 * tick, 2 * least)
            for at in range(BURST)
        ]
        return wanted
