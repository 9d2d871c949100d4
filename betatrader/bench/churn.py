"""Orders in great number and of every fate: a strategy that makes them, a venue that ends them.

Each turn the strategy cancels what rests or, where nothing does, places an order: a sale where it
holds something. Of ten orders the venue rejects one, fills four at once, fills two in part, and
lets three rest. Now and then the strategy asks for more than risk allows. Neither remembers any
order.
"""

from collections.abc import Callable

from betatrader.bench.tape import DEPOSIT
from betatrader.engine.market import Market
from betatrader.engine.strategy import Cancel, Intents, Place, Strategy, View
from betatrader.model.account import Fill, OrderAccepted, OrderCanceled, OrderRejected
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.event import Event, decode_audit, encode
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderTerms, OrderType, Side

QUANTITY = parse("0.01")
TOO_MUCH = 2 * DEPOSIT
REFUSED_EVERY = 50


class Churn(Strategy):
    """Acts on every `every`-th quote or trade."""

    name = "churn"

    def __init__(self, every: int) -> None:
        self._every = every
        self._seen = 0
        self._turns = 0

    def on_quote(self, view: View, market: Market) -> Intents:
        """Count, and act in turn."""
        self._seen += 1
        return None if self._seen % self._every else self._act(view, market)

    def on_trade(self, view: View, market: Market) -> Intents:
        """A trade counts as a quote does."""
        return self.on_quote(view, market)

    def _act(self, view: View, market: Market) -> Intents:
        ours = view.orders(market.id)
        if ours:
            return [Cancel(order.id, "churn") for order in ours]
        self._turns += 1
        held = view.position(market.id)
        side, quantity = (Side.SELL, held) if held else (Side.BUY, QUANTITY)
        price = market.bid
        terms = OrderTerms(market.id, side, OrderType.LIMIT, price, quantity)
        intents = [Place(terms, "churn")]
        if not self._turns % REFUSED_EVERY:
            most = TOO_MUCH // price * SCALE // QUANTITY * QUANTITY
            terms = OrderTerms(market.id, Side.BUY, OrderType.LIMIT, price, most)
            intents.append(Place(terms, "more than there is"))
        return intents


class Ending:
    """The venue; what it says has gone through bytes, as from a socket."""

    def __init__(self) -> None:
        self.report: Callable[[Event], None] = lambda _: None
        self.orders = 0

    def submit(self, command: Approved, now_ns: int) -> None:
        """Answer, according to the order's number."""
        self.orders += 1
        fate = self.orders % 10
        if fate == 0:
            self._say(OrderRejected(now_ns, command.order, "the tenth"))
            return
        self._say(OrderAccepted(now_ns, command.order))
        if fate <= 4:
            self._fill(command, now_ns, command.terms.quantity)
        elif fate <= 6:
            self._fill(command, now_ns, command.terms.quantity // 2)

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        """Cancel it."""
        self._say(OrderCanceled(now_ns, command.order))

    def _fill(self, command: Approved, now_ns: int, quantity: int) -> None:
        terms = command.terms
        trade = f"T{self.orders:012d}"
        fill = (terms.instrument, terms.side, terms.price, quantity, 0, True, trade)
        self._say(Fill(now_ns, command.order, *fill))

    def _say(self, event: Event) -> None:
        self.report(decode_audit(encode(event)))
