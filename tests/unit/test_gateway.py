"""The door for orders: held until their record is safe, never past a fence; cancels never wait."""

from scenes import Scene, terms

from betatrader.model.account import OrderRejected
from betatrader.model.command import Approved, CancelOrder, Step
from betatrader.model.order import Side
from betatrader.venues.gateway import NOT_SENT, NOT_SHIPPED, WITHDRAWN, Gateway


class Told:
    """A venue that notes what it is sent."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.cancels: list[str] = []

    def submit(self, command: Approved, now_ns: int) -> None:
        self.orders.append(command.order)

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        self.cancels.append(command.order)


class Fence:
    order = cancel = True

    def may_order(self) -> bool:
        return self.order

    def may_cancel(self) -> bool:
        return self.cancel


def made() -> tuple[Told, Fence, Gateway, Approved]:
    order = Scene().propose(terms(Side.BUY, "9.90", "0.5"))
    assert isinstance(order, Approved)
    told, fence = Told(), Fence()
    return told, fence, Gateway(told, fence), order


def step(*changes: object, at: int = 10) -> Step:
    return Step(1, 1, at, changes)  # type: ignore[arg-type]


def test_without_a_ticket_an_order_leaves_at_once() -> None:
    told, _, gateway, order = made()
    assert gateway.carry(step(order))
    assert told.orders == [order.order]


def test_with_a_ticket_it_leaves_when_its_record_is_shipped() -> None:
    told, _, gateway, order = made()
    assert gateway.carry(step(order), ticket=7)
    gateway.shipped(6, {order.order})
    assert told.orders == []
    gateway.shipped(8, {order.order})
    assert told.orders == [order.order]
    gateway.shipped(9, {order.order})
    assert told.orders == [order.order]


def test_the_fence_is_asked_again_when_a_held_order_may_leave() -> None:
    told, fence, gateway, order = made()
    gateway.carry(step(order), ticket=7)
    fence.order = False
    gateway.shipped(7, {order.order})
    assert told.orders == []
    assert gateway.unsent == [OrderRejected(10, order.order, NOT_SENT)]


def test_what_waits_too_long_is_not_sent_any_more() -> None:
    told, _, gateway, order = made()
    gateway.carry(step(order, at=10), ticket=7)
    assert gateway.give_up_held(before_ns=10, now_ns=11) == 0
    assert gateway.give_up_held(before_ns=11, now_ns=12) == 1
    gateway.shipped(7, {order.order})
    assert told.orders == []
    assert gateway.unsent == [OrderRejected(12, order.order, NOT_SHIPPED)]


def test_a_cancel_of_a_held_order_takes_it_back_and_other_cancels_do_not_wait() -> None:
    told, _, gateway, order = made()
    other = CancelOrder("b" * 32, order.terms.instrument)  # type: ignore[arg-type]
    gateway.carry(step(order), ticket=7)
    gateway.carry(step(CancelOrder(order.order, order.terms.instrument), other), ticket=8)
    gateway.shipped(8, {order.order})
    assert told.orders == []
    assert told.cancels == [other.order]
    assert gateway.unsent == [OrderRejected(10, order.order, WITHDRAWN)]


def test_a_held_order_that_has_ended_for_us_never_leaves() -> None:
    told, _, gateway, order = made()
    gateway.carry(step(order), ticket=7)
    gateway.shipped(7, set())
    gateway.shipped(8, {order.order})
    assert told.orders == []
