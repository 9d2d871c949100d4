"""What tests of complaints share: an order that rests, a tick, and what came of it."""

from scenes import SECOND, Scene, terms

from betatrader.model.account import (
    Fill,
    OrderAccepted,
)
from betatrader.model.command import (
    Approved,
    CancelOrder,
)
from betatrader.model.instruction import TimerFired
from betatrader.model.order import Order, Side

BUY, SELL = Side.BUY, Side.SELL


def tick(scene: Scene, at_s: float) -> list[object]:
    """What the clock's tick leads to."""
    step = scene.take(TimerFired(int(at_s * SECOND), "tick"))
    return list(step.changes) if step is not None else []


def rest(scene: Scene, price: str = "9.90", quantity: str = "0.5", side: Side = BUY) -> Approved:
    """An order that the venue has accepted."""
    order = scene.propose(terms(side, price, quantity))
    assert isinstance(order, Approved)
    scene.take(OrderAccepted(int(scene.now_s * SECOND), order.order))
    return order


def cancelled(changes: list[object]) -> list[str]:
    """The orders that these changes take off the book."""
    return [change.order for change in changes if isinstance(change, CancelOrder)]


def filled(order: Order, quantity: int, trade: str, fee: int = 0) -> Fill:
    """The venue's report of an execution at the order's price."""
    done = order.terms
    return Fill(
        SECOND, order.id, done.instrument, done.side, done.price, quantity, fee, True, trade
    )
