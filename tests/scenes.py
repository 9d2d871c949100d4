"""Small scenes for tests of the engine: instruments, quotes, and an engine with an open account."""

from betatrader.engine.engine import Engine
from betatrader.engine.strategy import Intents, Place, Strategy, View
from betatrader.model.account import CashFlow, Fill
from betatrader.model.command import Approved, Refused, Step
from betatrader.model.ids import InstrumentId
from betatrader.model.instruction import Started, TradingState
from betatrader.model.instrument import BinaryContract, BinaryFees, ProportionalFees, Spot
from betatrader.model.limits import Limits
from betatrader.model.market import InstrumentListed, Quote
from betatrader.model.money import SCALE, Money, Price, Quantity, parse
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce

SECOND = 1_000_000_000
COIN = InstrumentId("COIN.SIM")
YES, NO = InstrumentId("RAIN-YES.SIM"), InstrumentId("RAIN-NO.SIM")


def coin(minimum: str = "1") -> Spot:
    """A spot pair: tick 0.01, lot 0.01, ten basis points."""
    return Spot(
        id=COIN,
        base="COIN",
        quote="USD",
        tick=Price(parse("0.01")),
        lot=Quantity(parse("0.01")),
        min_notional=Money(parse(minimum)),
        fees=ProportionalFees(maker_rate=100_000, taker_rate=100_000),
    )


def contract(name: InstrumentId, *, nets: bool = False) -> BinaryContract:
    """One side of a binary pair: tick 0.01, lot 0.01, Polymarket's crypto fees."""
    return BinaryContract(
        id=name,
        event="RAIN",
        outcome="YES" if name == YES else "NO",
        complement=NO if name == YES else YES,
        expires_ns=3600 * SECOND,
        resolution_source="a test",
        tick=Price(parse("0.01")),
        lot=Quantity(parse("0.01")),
        min_notional=Money(SCALE),
        fees=BinaryFees(maker_rate=0, taker_rate=7_000_000),
        nets=nets,
    )


def quote(
    bid: str, ask: str, at_s: float = 1.0, name: InstrumentId = COIN, size: str = "100"
) -> Quote:
    """A quote with equal sizes."""
    return Quote(int(at_s * SECOND), name, parse(bid), parse(size), parse(ask), parse(size))


def terms(
    side: Side,
    price: str,
    quantity: str,
    name: InstrumentId = COIN,
    kind: OrderType = OrderType.LIMIT,
    time_in_force: TimeInForce = TimeInForce.GTC,
    *,
    post_only: bool = False,
) -> OrderTerms:
    """Order terms from decimal texts."""
    return OrderTerms(name, side, kind, parse(price), parse(quantity), time_in_force, post_only)


class Puppet(Strategy):
    """Proposes, at the next quote, what the test has put into `intents`."""

    name = "puppet"

    def __init__(self) -> None:
        self.intents: list = []

    def on_quote(self, view: View, market: object) -> Intents:
        given, self.intents = self.intents, []
        return given


class Scene:
    """An engine with one puppet, an open account, and the coin listed and quoted."""

    def __init__(self, limits: Limits | None = None, cash: str = "100") -> None:
        self.puppet = Puppet()
        self.engine = Engine(limits or Limits(), [self.puppet])
        self.now_s = 1.0
        self.bid, self.ask = "9.99", "10.01"
        self.take(Started(0, 1, TradingState.ACTIVE))
        self.take(CashFlow(0, "SIM", parse(cash)))
        for listed in (coin(), contract(YES), contract(NO)):
            self.take(InstrumentListed(0, listed))
        self.quote()
        self.take(quote("0.40", "0.42", 1.0, YES))
        self.take(quote("0.58", "0.60", 1.0, NO))

    @property
    def state(self):  # type: ignore[no-untyped-def]
        return self.engine.state

    def take(self, event: object) -> Step | None:
        return self.engine.process(event)  # type: ignore[arg-type]

    def quote(self, bid: str | None = None, ask: str | None = None) -> Step | None:
        self.bid, self.ask = bid or self.bid, ask or self.ask
        return self.take(quote(self.bid, self.ask, self.now_s))

    def propose(self, asked: OrderTerms, **more: object) -> Approved | Refused:
        """What risk says of one order."""
        self.puppet.intents = [Place(asked, "test", **more)]  # type: ignore[arg-type]
        step = self.quote()
        assert step is not None
        return next(c for c in step.changes if isinstance(c, Approved | Refused))

    def refused_by(self, asked: OrderTerms, **more: object) -> str:
        """The check that refuses an order, "" where none does."""
        answer = self.propose(asked, **more)
        return answer.check if isinstance(answer, Refused) else ""

    def fill(self, order: Approved, quantity: str | None = None, trade: str = "t1") -> Step | None:
        """The venue fills an order at its price."""
        done = order.terms
        return self.take(
            Fill(
                int(self.now_s * SECOND),
                order.order,
                done.instrument,
                done.side,
                done.price,
                parse(quantity) if quantity else done.quantity,
                0,
                True,
                trade,
            )
        )

    def hold(self, quantity: str, price: str = "10.00", **more: object) -> Approved:
        """Buy and be filled."""
        order = self.propose(terms(Side.BUY, price, quantity), **more)
        assert isinstance(order, Approved)
        self.fill(order)
        return order
