"""The door for orders: held until their record is safe, never past a fence; cancels never wait."""

from collections.abc import Sequence

from msgspec.structs import replace
from scenes import Scene, quote, terms

from betatrader.bench.tape import Silent
from betatrader.engine.leaving import ENDED
from betatrader.engine.state import State
from betatrader.engine.strategy import Place
from betatrader.model.account import OrderRejected
from betatrader.model.command import Approved, CancelOrder, Step
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.order import OrderState, Side
from betatrader.ops import clock
from betatrader.roles.accounts import Routing
from betatrader.roles.trader import Trader
from betatrader.venues.gateway import NOT_SENT, NOT_SHIPPED, WITHDRAWN, Gateway
from betatrader.venues.venue import Timed


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


def MAY(_command: Approved) -> None:  # noqa: N802  whatever has waited may leave
    return None


def step(*changes: object, at: int = 10) -> Step:
    return Step(1, 1, at, changes)  # type: ignore[arg-type]


def test_without_a_ticket_an_order_leaves_at_once() -> None:
    told, _, gateway, order = made()
    assert gateway.carry(step(order))
    assert told.orders == [order.order]


def test_with_a_ticket_it_leaves_when_its_record_is_shipped() -> None:
    told, _, gateway, order = made()
    assert gateway.carry(step(order), ticket=7)
    gateway.shipped(6, 20, MAY)
    assert told.orders == []
    gateway.shipped(8, 20, MAY)
    assert told.orders == [order.order]
    gateway.shipped(9, 20, MAY)
    assert told.orders == [order.order]


def test_what_was_overtaken_while_it_waited_is_kept_back_and_told() -> None:
    told, _, gateway, order = made()
    gateway.carry(step(order), ticket=7)
    gateway.shipped(7, 20, lambda _: "not sent: halted meanwhile")
    assert told.orders == []
    assert gateway.unsent == [OrderRejected(20, order.order, "not sent: halted meanwhile")]


def test_the_fence_is_asked_again_when_a_held_order_may_leave() -> None:
    told, fence, gateway, order = made()
    gateway.carry(step(order), ticket=7)
    fence.order = False
    gateway.shipped(7, 20, MAY)
    assert told.orders == []
    assert gateway.unsent == [OrderRejected(10, order.order, NOT_SENT)]


def test_what_waits_too_long_is_not_sent_any_more() -> None:
    told, _, gateway, order = made()
    gateway.carry(step(order, at=10), ticket=7)
    assert gateway.give_up_held(before_ns=10, now_ns=11) == 0
    assert gateway.give_up_held(before_ns=11, now_ns=12) == 1
    gateway.shipped(7, 20, MAY)
    assert told.orders == []
    assert gateway.unsent == [OrderRejected(12, order.order, NOT_SHIPPED)]


def test_a_cancel_of_a_held_order_takes_it_back_and_other_cancels_do_not_wait() -> None:
    told, _, gateway, order = made()
    other = CancelOrder("b" * 32, order.terms.instrument)  # type: ignore[arg-type]
    gateway.carry(step(order), ticket=7)
    gateway.carry(step(CancelOrder(order.order, order.terms.instrument), other), ticket=8)
    gateway.shipped(8, 20, MAY)
    assert told.orders == []
    assert told.cancels == [other.order]
    assert gateway.unsent == [OrderRejected(10, order.order, WITHDRAWN)]


def test_a_held_order_that_has_ended_for_us_never_leaves() -> None:
    told, _, gateway, order = made()
    gateway.carry(step(order), ticket=7)
    gateway.shipped(7, 20, lambda _: ENDED)
    gateway.shipped(8, 20, MAY)
    assert told.orders == []


class Batches(Told):
    """One that takes several in one request."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[str] = []
        self.times: list[int] = []

    def submit(self, command: Approved, now_ns: int) -> None:
        self.requests.append(f"order {command.order[-1]}")

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        self.requests.append(f"cancel {command.order[-1]}")

    def submit_many(self, orders: Sequence[Timed]) -> None:
        self.requests.append(" ".join(["orders", *(one.order[-1] for one, _ in orders)]))
        self.times += [now_ns for _, now_ns in orders]

    def cancel_many(self, commands: Sequence[CancelOrder], now_ns: int) -> None:
        self.requests.append(" ".join(["cancels", *(one.order[-1] for one in commands)]))


def several(order: Approved, kinds: str, first: int = 0, at: int = 10) -> Step:
    """Orders (o) and cancels (c), numbered."""
    return step(
        *(
            replace(order, order=ClientOrderId(f"{number:032x}"))
            if kind == "o"
            else CancelOrder(ClientOrderId(f"{number:032x}"), order.terms.instrument)
            for number, kind in enumerate(kinds, first)
        ),
        at=at,
    )


def test_neighbours_of_a_kind_leave_in_one_request_where_the_venue_can() -> None:
    _, _, _, order = made()
    venue = Batches()
    assert Gateway(venue).carry(several(order, "coocc"))
    assert venue.requests == ["cancel 0", "orders 1 2", "cancels 3 4"]
    venue.requests.clear()
    Gateway(venue).carry(several(order, "o"))
    assert venue.requests == ["order 0"]


def test_orders_whose_records_are_shipped_together_leave_together() -> None:
    _, _, _, order = made()
    venue = Batches()
    gateway = Gateway(venue)
    gateway.carry(several(order, "oo"), ticket=1)
    assert venue.requests == []
    gateway.shipped(1, 20, MAY)
    assert venue.requests == ["orders 0 1"]


def test_orders_of_several_steps_leave_together_each_with_the_time_of_its_own() -> None:
    """From it a venue's id of the order is made, and made again after a restart."""
    _, _, _, order = made()
    venue = Batches()
    gateway = Gateway(venue)
    for number in range(3):
        gateway.carry(several(order, "o", number, at=10 + number), ticket=1 + number)
    gateway.shipped(2, 20, MAY)
    gateway.shipped(3, 20, MAY)
    assert venue.requests == ["orders 0 1", "order 2"]
    assert venue.times == [10, 11]


def test_several_for_two_accounts_leave_for_each_together() -> None:
    _, _, _, order = made()
    one, two = Batches(), Told()
    one.name, two.name = "SIM", "TWO"  # type: ignore[attr-defined]
    state = State(accounts=("SIM", "TWO"), several=True)
    routing = Routing([one, two], lambda: state)  # type: ignore[list-item]
    there = replace(order.terms, instrument=InstrumentId("COIN.TWO"))
    Gateway(routing).carry(
        step(
            replace(order, order=ClientOrderId("1")),
            replace(order, order=ClientOrderId("2"), terms=there),
            replace(order, order=ClientOrderId("3")),
            CancelOrder(ClientOrderId("4"), there.instrument),
            CancelOrder(ClientOrderId("5"), there.instrument),
        )
    )
    assert one.requests == ["orders 1 3"]
    assert (two.orders, two.cancels) == (["2"], ["4", "5"])


class Ships:
    """A second home of the journal that acknowledges when it is told to."""

    offered = 0

    def offer(self, record: object) -> None:
        self.offered += 1


class RefusesAtOnce(Told):
    """A venue that answers within the call, and notes what the engine knew then."""

    def __init__(self, trader: Trader) -> None:
        super().__init__()
        self.trader = trader
        self.known: list[OrderState] = []

    def submit(self, command: Approved, now_ns: int) -> None:
        super().submit(command, now_ns)
        self.trader.take(OrderRejected(now_ns, command.order, "no"))
        first = self.trader.engine.state.orders.find(ClientOrderId(self.orders[0]))
        assert first is not None
        self.known.append(first.state)


def test_what_a_venue_answers_at_once_is_heard_when_all_have_left() -> None:
    """Else a cancel that follows from it would overtake an order that waits to leave."""
    scene = Scene()
    trader = Trader(scene.engine, "t", Silent())  # type: ignore[arg-type]
    venue, ships = RefusesAtOnce(trader), Ships()
    trader.connect(Gateway(venue))
    trader.ship(ships, hold=True)  # type: ignore[arg-type]
    scene.puppet.intents = [
        Place(terms(Side.BUY, price, "0.5"), "test") for price in ("9.9", "9.8")
    ]
    now_ns = clock.now_ns()
    trader.take(replace(quote("9.99", "10.01", 1.0), time_ns=now_ns))
    assert venue.orders == []
    trader._shipped(ships.offered)
    assert len(venue.orders) == 2
    assert venue.known == [OrderState.SUBMITTED] * 2
    states = [scene.state.orders.find(ClientOrderId(one)).state for one in venue.orders]
    assert states == [OrderState.REJECTED] * 2
