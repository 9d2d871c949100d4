"""A scene at a simulated venue that keeps stops; what that reports is heard when a test says so."""

from collections import deque

from msgspec.structs import replace
from scenes import COIN, SECOND, Puppet, Scene, coin, quote, terms

from betatrader.engine.engine import Engine
from betatrader.engine.strategy import Place
from betatrader.model.account import OrderEvent, Reconciled
from betatrader.model.command import Approved, CancelOrder, Step
from betatrader.model.instruction import Started, TimerFired, TradingState
from betatrader.model.limits import Limits
from betatrader.model.market import InstrumentListed
from betatrader.model.money import SCALE, parse
from betatrader.model.order import Order, OrderTerms, OrderType, Side
from betatrader.sim.exchange import SimulatedExchange
from betatrader.venues.reconcile import missing_fills, order_reports

STOP_AT = "9.50"


def stop_terms(side: Side, price: str, trigger: str, **more: object) -> OrderTerms:
    """Of an order of type STOP."""
    asked = terms(side, price, "0.5", kind=OrderType.STOP, **more)  # type: ignore[arg-type]
    return replace(asked, trigger=parse(trigger))


class AtVenue:
    """The engine and the venue, without latency. What the venue reports waits until `hear`."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.venue = SimulatedExchange()
        self.venue.deposit(100 * SCALE)
        self.reports: deque[OrderEvent] = deque()
        self.now_s = 2.0
        listed = InstrumentListed(SECOND, replace(coin(), stops=True))
        self.venue.on_market(listed)
        self.take(listed)
        self.quote("9.99")

    @property
    def now_ns(self) -> int:
        return int(self.now_s * SECOND)

    def decide(self, event: object) -> Step | None:
        """What the engine answers."""
        return self.scene.take(event)

    def take(self, event: object) -> Step | None:
        """One event, and what it commands leaves for the venue."""
        step = self.decide(event)
        for change in step.changes if step is not None else ():
            if isinstance(change, Approved):
                self.venue.submit(change, self.now_ns)
            elif isinstance(change, CancelOrder):
                self.venue.cancel(change, self.now_ns)
        while self.venue.next_due_ns <= self.now_ns:
            self.reports += self.venue.advance(self.now_ns)
        return step

    def quote(self, bid: str, size: str = "100") -> None:
        """The market stands at `bid`, and 0.02 above it."""
        self.now_s += 0.1
        ask = parse(bid) + parse("0.02")
        event = replace(quote(bid, "99", self.now_s, size=size), ask=ask)
        self.venue.on_market(event)
        self.take(event)

    def tick(self) -> None:
        """A second passes."""
        self.now_s += 1.0
        self.take(TimerFired(self.now_ns, "tick"))

    def propose(self, asked: OrderTerms, bid: str = "9.99", stop: str = "") -> None:
        """A strategy's order, at the next quote; with `stop` what it buys is guarded there."""
        stop_at = parse(stop) if stop else 0
        self.scene.puppet.intents = [Place(asked, "test", stop=stop_at)]
        self.quote(bid)

    def hear(self, most: int = 1_000) -> None:
        """The venue's reports, in their order, and those that come of them."""
        while self.reports and most:
            self.take(self.reports.popleft())
            most -= 1

    def look(self) -> None:
        """Ask the venue, and take what differs: fills first."""
        state = self.scene.state
        for find in (
            lambda there: missing_fills(state, there, (state.epoch, state.order_counter)),
            lambda there: order_reports(state, there, "SIM", self.now_ns, 2 * SECOND),
        ):
            for event in find(self.venue.account(tuple(state.orders.open))):
                self.take(event)

    def restart(self) -> None:
        """The process ends, reports are lost, and another one goes on."""
        self.reports.clear()
        again = Engine(Limits(), [Puppet()])
        again.restore(self.scene.engine.snapshot())
        self.scene.engine, self.scene.puppet = again, again.strategies[0]  # type: ignore[assignment]
        epoch = again.state.epoch + 1
        self.take(Started(self.now_ns, epoch, TradingState.ACTIVE, reconcile=True))
        self.look()
        self.reports.clear()
        self.take(Reconciled(self.now_ns, "SIM"))

    def of(self, strategy: str) -> list[Order]:
        """Open orders of one strategy."""
        found = self.scene.state.orders.open.values()
        return [order for order in found if order.strategy == strategy]

    def held(self) -> int:
        """The coin, in our books."""
        held: int = self.scene.state.portfolio.quantity(COIN)
        return held

    def guarded(self, quantity: str = "0.9") -> Order:
        """So much is held, and the venue keeps a stop for it."""
        self.propose(terms(Side.BUY, "10.01", quantity), stop=STOP_AT)
        self.hear()
        self.tick()
        self.hear()
        [guard] = self.of("guard")
        return guard
