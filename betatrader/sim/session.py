"""One engine and one simulated venue on a stream of events: backtests, benchmarks and tests."""

from collections.abc import Callable

from betatrader.engine.engine import Engine
from betatrader.model.account import CashFlow
from betatrader.model.command import Approved, CancelOrder, Step
from betatrader.model.event import Event
from betatrader.sim.exchange import SimulatedExchange


class Session:
    """Feeds events to both, carries commands to the venue and its reports back."""

    def __init__(
        self,
        engine: Engine,
        exchange: SimulatedExchange,
        on_step: Callable[[Step], None] | None = None,
    ) -> None:
        self.engine = engine
        self.exchange = exchange
        self.on_step = on_step
        self._process = engine.process
        self._on_market = exchange.on_market

    def deposit(self, amount: int, time_ns: int) -> None:
        """Open the account: the venue's ledger and the engine are told the same."""
        self.exchange.deposit(amount)
        self._take(CashFlow(time_ns, "SIM", amount, "opening balance"))

    def feed(self, event: Event) -> None:
        """Let time pass up to the event, then let engine and venue take it, in this order."""
        now = event.time_ns
        exchange = self.exchange
        if exchange.next_due_ns <= now:
            self.advance(now)
        step = self._process(event)
        self._on_market(event)
        if step is not None:
            self._carry(step)
            if exchange.next_due_ns <= now:
                self.advance(now)

    def advance(self, now_ns: int) -> None:
        """Deliver what is due at the venue and from it, until nothing more is."""
        while self.exchange.next_due_ns <= now_ns:
            for report in self.exchange.advance(now_ns):
                self._take(report)  # type: ignore[arg-type]

    def _take(self, event: Event) -> None:
        step = self._process(event)
        if step is not None:
            self._carry(step)

    def _carry(self, step: Step) -> None:
        for change in step.changes:
            kind = type(change)
            if kind is Approved:
                self.exchange.submit(change, step.time_ns)  # type: ignore[arg-type]
            elif kind is CancelOrder:
                self.exchange.cancel(change, step.time_ns)  # type: ignore[arg-type]
        if self.on_step is not None:
            self.on_step(step)
