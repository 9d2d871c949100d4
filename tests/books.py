"""Our engine and a venue's ledger side by side, and a journal of one order's life."""

from pathlib import Path

from scenes import COIN, SECOND, Puppet, Scene, coin, quote, terms

from betatrader.bench.tape import SETUP, Silent
from betatrader.engine.engine import Engine
from betatrader.engine.state import State
from betatrader.engine.strategy import Place
from betatrader.model.account import (
    CashFlow,
    Fill,
    OrderAccepted,
)
from betatrader.model.command import Approved
from betatrader.model.instruction import (
    Started,
    TradingState,
)
from betatrader.model.limits import Limits
from betatrader.model.market import InstrumentListed
from betatrader.model.money import parse
from betatrader.model.order import Side
from betatrader.roles.trader import Trader
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.ledger import Accepted, Executed, Ledger
from betatrader.store.journal import Journal
from betatrader.venues.reconcile import missing_fills, order_reports, unexplained

BUY, SELL = Side.BUY, Side.SELL
RUN = "00000000001"
UNDER_WAY = 2 * SECOND
Report = OrderAccepted | Fill


class Books:
    """Our engine and a venue's ledger, side by side."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.ledger = Ledger(cash=self.scene.state.portfolio.cash)
        self.venue = SimulatedExchange()
        self.venue.ledgers["us"] = self.ledger

    @property
    def state(self) -> State:
        return self.scene.state

    def place(self, quantity: str = "0.5") -> Approved:
        order = self.scene.propose(terms(BUY, "10.00", quantity))
        assert isinstance(order, Approved)
        return order

    def arrive(self, order: Approved) -> None:
        self.ledger.apply(Accepted(order.order, order.terms))

    def execute(self, order: Approved, quantity: str, trade: str) -> Fill:
        fill = Fill(
            SECOND, order.order, COIN, BUY, parse("10"), parse(quantity), 1_000, True, trade
        )
        self.ledger.apply(Executed(fill))
        return fill

    def happen(self, order: Approved, report: Report) -> None:
        """At the venue, what it reports so."""
        self.ledger.apply(
            Executed(report) if isinstance(report, Fill) else Accepted(order.order, order.terms)
        )

    def reconcile(self, now_s: float = 2.0) -> list[object]:
        """Take what differs, in the order in which the trader does."""
        state, now = self.state, int(now_s * SECOND)
        taken: list[object] = []
        for look in (
            lambda: missing_fills(
                state,
                self.ledger.account(state.orders.open),
                (state.epoch, state.order_counter),
            ),
            lambda: order_reports(
                state, self.ledger.account(state.orders.open), "SIM", now, UNDER_WAY
            ),
            lambda: unexplained(state, self.ledger.account(state.orders.open), "SIM", now),
        ):
            for event in look():
                self.scene.take(event)
                taken.append(event)
        return taken

    def agree(self) -> bool:
        ours = {n: p.quantity for n, p in self.state.portfolio.open_positions()}
        theirs = {n: q for n, q in self.ledger.positions.items() if q}
        return ours == theirs and self.state.portfolio.cash == self.ledger.cash


def journaled(folder: Path) -> tuple[Approved, list[Report]]:
    """A trader's journal of one order and all that is reported of it, one report twice."""
    puppet = Puppet()
    log = Journal(folder / RUN, RUN, "0", SETUP)
    trader = Trader(Engine(Limits(), [puppet]), RUN, Silent(), log)  # type: ignore[arg-type]
    trader.take(Started(0, 1, TradingState.ACTIVE))
    trader.take(CashFlow(0, "SIM", parse("100")))
    trader.take(InstrumentListed(0, coin()))
    puppet.intents = [Place(terms(BUY, "10.00", "0.5"))]
    trader.take(quote("9.99", "10.01"))
    (order,) = trader.engine.state.orders.open.values()
    first, second = (
        Fill(SECOND, order.id, COIN, BUY, parse("10"), parse(quantity), 1_000, True, trade)
        for quantity, trade in (("0.2", "T1"), ("0.3", "T2"))
    )
    for report in (OrderAccepted(SECOND, order.id), first, first, second):
        trader.take(report)
    log.close()
    return Approved(order.id, order.strategy, order.terms), [
        OrderAccepted(SECOND, order.id),
        first,
        second,
    ]
