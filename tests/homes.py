"""A trader with its journal on disk, killed and started again, at a venue that outlives it."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import anyio.lowlevel
import msgspec
import pytest
from msgspec.structs import replace
from scenes import NO, YES, Puppet, coin, contract, quote
from stops import AtVenue

from betatrader.bench.tape import Silent
from betatrader.engine.engine import Engine
from betatrader.model.account import CashFlow, VenueAccount
from betatrader.model.command import Step
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.instruction import Started, TradingState
from betatrader.model.limits import Limits
from betatrader.model.market import InstrumentListed
from betatrader.ops import clock
from betatrader.roles.reconciling import Reconciler
from betatrader.roles.recovering import recover
from betatrader.roles.trader import Trader
from betatrader.store.journal import Journal, Setup

DESCRIBED = (("puppet", {}),)
NEW = (1 << 48, 0)
"""Up to where a journal knows every order, of one that there is not."""


class Home(AtVenue):
    """Each start recovers from the disk and compares with the venue, as the trading role does."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.run = 0
        self.trader: Trader | None = None
        self.events: list[object] = []
        """Taken since the last start."""
        self.forgets = False
        """Whether the venue knows of no order and no fill any more: its balances stand."""
        super().__init__()
        for name in (YES, NO):
            self.venue.on_market(InstrumentListed(1, contract(name)))
        monkeypatch.setattr(clock, "now_ns", lambda: self.now_ns)

    def decide(self, event: object) -> Step | None:
        if self.trader is None:  # the scene of before the first start
            return super().decide(event)
        self.events.append(event)
        return self.trader._decide(event)  # type: ignore[arg-type]

    async def start(self, *, cold: bool = False) -> tuple[str, ...]:
        """The process is killed, with what was under way to it, and another begins; what differed
        from the venue. `cold`: its disk is gone."""
        self.reports.clear()
        if cold:
            shutil.rmtree(self.root)
        puppet = Puppet()
        engine = Engine(Limits(), [puppet])
        recovered = recover(self.root, engine, DESCRIBED)
        self.run += 1
        setup = Setup(limits=msgspec.Raw(msgspec.msgpack.encode(Limits())), strategies=DESCRIBED)  # type: ignore[arg-type]
        run, state = f"{self.run:011x}", engine.state
        snapshot = engine.snapshot() if recovered is not None else b""
        log = Journal(self.root / run, run, "0", setup, snapshot=snapshot)
        self.trader = Trader(engine, run, Silent(), log)  # type: ignore[arg-type]
        self.scene.engine, self.scene.puppet, self.events = engine, puppet, []
        made = NEW if recovered is None else (state.epoch, state.order_counter)
        now, cash = self.now_ns, self.venue.ledgers["us"].cash
        self.take(Started(now, self.run, TradingState.ACTIVE, reconcile=True))
        for listed in (replace(coin(), stops=True), contract(YES), contract(NO)):
            self.take(InstrumentListed(now, listed))
        if recovered is None:
            self.take(CashFlow(now, "SIM", cash, "opening balance"))
        return await self.compare(made)

    async def compare(self, made: tuple[int, int] | None = None) -> tuple[str, ...]:
        """Ask the venue, until the books agree; what differed."""
        state = self.scene.state
        venue = SimpleNamespace(name="SIM", under_way_ns=10_000_000, account=self._account)
        reconciler = Reconciler(venue, lambda: state, self.take)  # type: ignore[arg-type]
        made = made or (state.epoch, state.order_counter)
        return await reconciler.at_start(made, anyio.lowlevel.checkpoint)

    async def _account(self, orders: tuple[ClientOrderId, ...]) -> VenueAccount:
        self.now_s += 0.01
        found = self.venue.account(orders)
        return replace(found, orders={}, fills=()) if self.forgets else found

    def show(self, bid: str, ask: str, name: InstrumentId) -> None:
        """A market of another instrument than the coin."""
        self.now_s += 0.1
        event = quote(bid, ask, self.now_s, name)
        self.venue.on_market(event)
        self.take(event)

    def agrees(self) -> bool:
        """Whether our books are the venue's: cash, positions, and how many fills."""
        ledger, state = self.venue.ledgers["us"], self.scene.state
        ours = {name: held.quantity for name, held in state.portfolio.open_positions()}
        theirs = {name: quantity for name, quantity in ledger.positions.items() if quantity}
        return (ours, state.portfolio.cash) == (theirs, ledger.cash)
