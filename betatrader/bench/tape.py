"""A recording over and over, and a trader that plays it with its journal on, without Redis."""

from collections.abc import Callable, Iterator
from itertools import count

import msgspec

from betatrader.engine.engine import Engine
from betatrader.model.account import CashFlow, OrderAccepted, OrderCanceled
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.event import Event, MarketInput
from betatrader.model.instruction import Started, TradingState
from betatrader.model.limits import Limits
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    PublicTrade,
    Quote,
)
from betatrader.model.money import SCALE
from betatrader.roles.trader import Trader
from betatrader.store.journal import Journal, Setup
from betatrader.venues.gateway import Gateway

PAUSE_NS = 1_000_000_000
"""Between the end of the recording and its next beginning."""

DEPOSIT = 1_000_000 * SCALE
RICH = Limits(
    order_notional=DEPOSIT,
    position_notional=DEPOSIT,
    total_notional=DEPOSIT,
    position_venue=DEPOSIT,
    position_event=DEPOSIT,
    open_orders=10_000,
    orders_per_minute=1_000_000,
    daily_loss=DEPOSIT,
)
"""Limits that are never met."""

SETUP = Setup(limits=msgspec.Raw(msgspec.msgpack.encode(RICH)), strategies=())


def listings(recorded: list[MarketInput]) -> list[InstrumentListed]:
    """The instruments of a recording."""
    return [event for event in recorded if isinstance(event, InstrumentListed)]


def repeated(recorded: list[MarketInput]) -> Iterator[MarketInput]:
    """The recording for ever, without its listings; times and ids are shifted and go on growing."""
    events = [event for event in recorded if not isinstance(event, InstrumentListed)]
    span = events[-1].time_ns - events[0].time_ns + PAUSE_NS
    ids = [getattr(event, "update_id", 0) for event in events]
    id_span = max(ids) - min(i for i in ids if i) + 1
    for repeat in count():
        shift, id_shift = repeat * span, repeat * id_span
        for event in events:
            yield _shifted(event, shift, id_shift)


def _shifted(event: MarketInput, shift: int, id_shift: int) -> MarketInput:
    if type(event) is Quote:
        e = event
        return Quote(
            e.time_ns + shift,
            e.instrument,
            e.bid,
            e.bid_size,
            e.ask,
            e.ask_size,
            e.update_id + id_shift,
        )
    if type(event) is PublicTrade:
        t = event
        return PublicTrade(
            t.time_ns + shift, t.instrument, t.price, t.quantity, t.buyer_is_taker, t.trade_id
        )
    assert isinstance(event, BookSnapshot | BookDelta)
    return type(event)(
        event.time_ns + shift, event.instrument, event.bids, event.asks, event.update_id + id_shift
    )


class Silent:
    """An audit log that forgets: the audit leaves after the order, in a task of its own."""

    def offer(self, record: object) -> None:
        """Nothing."""

    def ask(self, request: object) -> None:
        """Nothing."""


class Answering:
    """A venue that accepts and cancels at once, and remembers no order."""

    def __init__(self) -> None:
        self.report: Callable[[Event], None] = lambda _: None
        self.sent = 0

    def submit(self, command: Approved, now_ns: int) -> None:
        """Accept it."""
        self.sent += 1
        self.report(OrderAccepted(now_ns, command.order))

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        """Cancel it."""
        self.sent += 1
        self.report(OrderCanceled(now_ns, command.order))


def opened(
    engine: Engine,
    recorded: list[MarketInput],
    gateway: Gateway,
    journal: Journal | None,
) -> Trader:
    """A trader of an account that has just been opened, with its instruments listed."""
    trader = Trader(engine, "bench", Silent(), journal)  # type: ignore[arg-type]
    trader.connect(gateway)
    start = recorded[0].time_ns
    trader.take(Started(start, 1, TradingState.ACTIVE))
    trader.take(CashFlow(start, "SIM", DEPOSIT))
    for listed in listings(recorded):
        trader.take(listed)
    return trader
