"""A corrupted fill, on either side, makes the invariant false that names what differs."""

from collections.abc import Callable

import msgspec
import pytest
from scenes import COIN, coin, quote, terms

from betatrader.engine.engine import Engine
from betatrader.engine.strategy import Place
from betatrader.model.account import Fill
from betatrader.model.instruction import Started, TradingState
from betatrader.model.limits import Limits
from betatrader.model.market import InstrumentListed
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderState, Side
from betatrader.sim import invariants
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.session import Session

Corrupt = Callable[[Fill], Fill | None]


class Corruptible(Session):
    """Lets a test alter the fills on their way to the engine."""

    corrupt: Corrupt = staticmethod(lambda fill: fill)

    def _take(self, event: object) -> None:
        if isinstance(event, Fill):
            event = self.corrupt(event)
        if event is not None:
            super()._take(event)  # type: ignore[arg-type]


def ran(corrupt: Corrupt | None = None) -> Corruptible:
    from scenes import Puppet

    puppet = Puppet()
    session = Corruptible(Engine(Limits(), [puppet]), SimulatedExchange())
    session.feed(Started(0, 1, TradingState.ACTIVE))
    session.deposit(100 * SCALE, 0)
    session.feed(InstrumentListed(0, coin()))
    session.feed(quote("9.99", "10.01"))
    puppet.intents = [Place(terms(Side.BUY, "10.01", "0.5"))]
    session.feed(quote("9.99", "10.01", 1.1))
    if corrupt is not None:
        session.corrupt = staticmethod(corrupt)  # type: ignore[misc]
    puppet.intents = [Place(terms(Side.BUY, "10.02", "0.4"))]
    session.feed(quote("10.00", "10.02", 1.2))
    return session


def broken(session: Session) -> set[str]:
    found = invariants.check(
        session.engine.state,
        session.engine.limits,
        session.exchange.ledgers["us"],
        resting=session.exchange.resting(),
    )
    assert len(found) >= 12
    return {name for name, holds in found.items() if not holds}


def test_an_honest_run_keeps_all() -> None:
    session = ran()
    assert broken(session) == set()
    assert session.engine.state.orders.fills == 2


def changed(**fields: object) -> Corrupt:
    return lambda fill: msgspec.structs.replace(fill, **fields)


@pytest.mark.parametrize(
    ("corrupt", "named"),
    [
        (lambda fill: None, {"cash_equals_venue", "positions_equal_venue", "fills_equal_venue"}),
        (changed(price=parse("10.01")), {"cash_equals_venue"}),
        (changed(quantity=parse("0.3")), {"positions_equal_venue", "fills_equal_venue"}),
        (changed(fee=0), {"cash_equals_venue", "fees_equal_venue"}),
        (changed(side=Side.SELL), {"cash_equals_venue", "positions_equal_venue"}),
        (changed(trade_id="T1"), {"fills_equal_venue"}),
        (changed(instrument="RAIN-YES.SIM"), {"positions_equal_venue"}),
    ],
)
def test_a_fill_corrupted_on_its_way_to_us(corrupt: Corrupt, named: set[str]) -> None:
    assert named <= broken(ran(corrupt))


def test_a_fill_seen_twice_counts_once_and_nothing_breaks() -> None:
    session = ran()
    session.feed(session.exchange.ledgers["us"].fills[-1])
    assert broken(session) == set()


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("quantity", parse("0.3"), "fills_equal_venue"),
        ("trade_id", "T9", "fills_equal_venue"),
    ],
)
def test_a_fill_corrupted_in_the_venues_ledger(field: str, value: object, named: str) -> None:
    session = ran()
    fills = session.exchange.ledgers["us"].fills
    fills[-1] = msgspec.structs.replace(fills[-1], **{field: value})
    assert named in broken(session)


def test_a_fill_lost_by_the_venue() -> None:
    session = ran()
    ledger = session.exchange.ledgers["us"]
    lost = ledger.fills.pop()
    ledger.fill_count -= 1
    ledger.cash += lost.price * lost.quantity // SCALE + lost.fee
    ledger.fees -= lost.fee
    ledger.positions[COIN] -= lost.quantity
    assert broken(session) >= {
        "cash_equals_venue",
        "fees_equal_venue",
        "positions_equal_venue",
        "fills_equal_venue",
    }


def test_the_other_invariants_can_break_too() -> None:
    session = ran()
    state, ledger = session.engine.state, session.exchange.ledgers["us"]
    order = next(iter(state.orders.closed.values()))
    order.state = OrderState.FILLED
    order.filled = 1
    ledger.lowest_cash = -1
    ledger.shorted = 1
    ledger.most_open = 99
    ledger.largest_stake = 23 * SCALE
    state.portfolio.cash += 1
    del ledger.orders[order.id]
    assert broken(session) >= {
        "orders_legal",
        "cash_never_negative",
        "nothing_sold_short",
        "order_limits_respected",
        "position_limits_respected",
        "cash_conserved",
        "orders_known_to_venue",
    }
