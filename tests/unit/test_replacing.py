"""One order in another's stead: one request where the venue can, and never two for one."""

from msgspec.structs import replace
from scenes import COIN, SECOND, Scene, coin, quote, terms

from betatrader.engine.strategy import Place
from betatrader.model.account import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    VenueAccount,
    VenueOrder,
)
from betatrader.model.command import Approved, CancelOrder, Refused, Step, SubmitOrder
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.market import InstrumentListed
from betatrader.model.money import SCALE, parse
from betatrader.model.order import Order, OrderState, Side
from betatrader.sim.exchange import SimulatedExchange
from betatrader.strategies.market_maker import _requote
from betatrader.venues.gateway import NOT_SENT, NOT_SHIPPED, Gateway
from betatrader.venues.reconcile import order_reports

BUY, SELL = Side.BUY, Side.SELL


def scene_with_an_order(side: Side = BUY, *, replaces: bool = True) -> tuple[Scene, Approved]:
    scene = Scene()
    scene.take(InstrumentListed(0, replace(coin(), replaces=replaces)))
    if side is SELL:
        scene.hold("0.5")
    old = scene.propose(terms(side, "9.90" if side is BUY else "10.20", "0.5"))
    assert isinstance(old, Approved)
    scene.take(OrderAccepted(SECOND, old.order))
    return scene, old


def asked(scene: Scene, old: str, price: str, quantity: str = "0.5", side: Side = BUY) -> Step:
    scene.puppet.intents = [
        Place(terms(side, price, quantity), "requote", replaces=ClientOrderId(old))
    ]
    found = scene.quote()
    return found if found is not None else Step(0, 0, 0, ())


def order_of(scene: Scene, name: str) -> Order:
    found = scene.state.orders.find(name)
    assert found is not None
    return found


def test_the_old_one_is_leaving_and_the_new_one_is_under_way() -> None:
    scene, old = scene_with_an_order()
    [new] = asked(scene, old.order, "9.95").changes
    assert isinstance(new, Approved)
    assert new.replaces == old.order
    assert order_of(scene, old.order).state is OrderState.PENDING_REPLACE
    scene.take(OrderCanceled(SECOND, old.order))
    scene.take(OrderAccepted(SECOND, new.order))
    assert list(scene.state.orders.open) == [new.order]


def test_where_it_cannot_be_taken_off_it_works_on() -> None:
    scene, old = scene_with_an_order()
    [new] = asked(scene, old.order, "9.95").changes
    assert isinstance(new, Approved)
    scene.take(CancelRejected(SECOND, old.order, "no"))
    scene.take(OrderRejected(SECOND, new.order, "no"))
    assert order_of(scene, old.order).state is OrderState.ACCEPTED
    assert list(scene.state.orders.open) == [old.order]


def test_a_fill_on_the_way_leaves_it_leaving() -> None:
    scene, old = scene_with_an_order()
    asked(scene, old.order, "9.95")
    scene.fill(old, "0.2")
    assert order_of(scene, old.order).state is OrderState.PENDING_REPLACE


def test_only_an_own_working_order_of_that_side_is_replaced() -> None:
    scene, old = scene_with_an_order()
    assert asked(scene, "f" * 32, "9.95").changes == ()
    assert asked(scene, old.order, "10.20", side=SELL).changes == ()
    asked(scene, old.order, "9.95")
    assert asked(scene, old.order, "9.96").changes == (), "it is leaving already"


def test_where_the_venue_cannot_the_old_one_is_cancelled_and_nothing_placed() -> None:
    scene, old = scene_with_an_order(replaces=False)
    [cancel] = asked(scene, old.order, "9.95").changes
    assert isinstance(cancel, CancelOrder)
    assert list(scene.state.orders.open) == [old.order]


def test_where_risk_refuses_the_new_one_the_old_one_goes_nevertheless() -> None:
    scene, old = scene_with_an_order()
    refused, cancel = asked(scene, old.order, "9.955").changes
    assert isinstance(refused, Refused)
    assert isinstance(cancel, CancelOrder)
    assert cancel.order == old.order


def test_a_sale_of_all_may_be_replaced_though_both_offer_the_same_shares() -> None:
    scene, old = scene_with_an_order(SELL)
    [new] = asked(scene, old.order, "10.10", side=SELL).changes
    assert isinstance(new, Approved)
    third = scene.refused_by(terms(SELL, "10.30", "0.5"))
    assert third == "short_sale", "and a third is one too many"


def test_a_buy_counts_beside_the_one_that_it_replaces() -> None:
    """It may be filled before it goes: 0.9 of 2.00 at 9.90, and as much again, is over 20."""
    scene, old = scene_with_an_order()
    scene.hold("0.9")
    refused = asked(scene, old.order, "9.95", "0.9").changes[0]
    assert isinstance(refused, Refused)
    assert refused.check == "position_notional"


class Closed:
    """A fence that lets nothing pass."""

    def may_order(self) -> bool:
        return False

    def may_cancel(self) -> bool:
        return False


class Unreached:
    """A venue that nothing may come to."""

    def submit(self, command: Approved, now_ns: int) -> None:
        raise AssertionError(command)

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        raise AssertionError(command)


def test_what_does_not_leave_lets_the_old_one_work_on() -> None:
    scene, old = scene_with_an_order()
    [new] = asked(scene, old.order, "9.95").changes
    assert isinstance(new, Approved)
    fence, venue = Closed(), Unreached()
    gateway = Gateway(venue, fence)
    gateway.carry(Step(1, 1, 10, (new,)))
    gateway.carry(Step(2, 2, 10, (new,)), ticket=1)
    gateway.give_up_held(11, 11)
    assert [(type(event), event.order, event.reason) for event in gateway.unsent] == [  # type: ignore[attr-defined]
        (OrderRejected, new.order, NOT_SENT),
        (CancelRejected, new.replaces, NOT_SENT),
        (OrderRejected, new.order, NOT_SHIPPED),
        (CancelRejected, new.replaces, NOT_SHIPPED),
    ]


def test_one_that_still_works_after_all_is_told_so_by_a_comparison() -> None:
    scene, old = scene_with_an_order()
    asked(scene, old.order, "9.95")
    there = VenueOrder(old.order, old.terms, 0, OrderState.ACCEPTED)
    account = VenueAccount(parse("100"), {}, {old.order: there}, ())
    reports = order_reports(scene.state, account, "SIM", 2 * SECOND, 10 * SECOND)
    assert CancelRejected in [type(report) for report in reports if report.order == old.order]


def venue() -> tuple[SimulatedExchange, list[object]]:
    exchange = SimulatedExchange()
    exchange.deposit(1000 * SCALE)
    exchange.on_market(InstrumentListed(0, coin()))
    exchange.on_market(quote("9.99", "10.01"))
    return exchange, []


def sent(exchange: SimulatedExchange, number: int, price: str, replaces: str = "") -> list[str]:
    name = ClientOrderId(f"{number:032x}")
    asked_for = terms(BUY, price, "0.5")
    command = SubmitOrder(name, StrategyId("t"), asked_for, replaces=ClientOrderId(replaces))
    exchange.submit(command, SECOND)
    return [f"{type(r).__name__} {r.order[-1]}" for r in exchange.advance(SECOND)]


def test_the_simulated_venue_replaces_and_places_nothing_where_the_old_one_is_gone() -> None:
    exchange, _ = venue()
    sent(exchange, 1, "9.90")
    assert sent(exchange, 2, "9.95", f"{1:032x}") == ["OrderCanceled 1", "OrderAccepted 2"]
    assert sent(exchange, 3, "9.96", f"{1:032x}") == ["OrderRejected 3", "CancelRejected 1"]
    exchange.refuses = "too many requests"
    assert sent(exchange, 4, "9.96", f"{2:032x}") == ["OrderRejected 4", "CancelRejected 2"]
    assert exchange.resting() == {f"{2:032x}"}


def test_the_maker_requotes_in_one_request_where_the_venue_can() -> None:
    for replaces in (True, False):
        scene, old = scene_with_an_order(replaces=replaces)
        strays = [order_of(scene, old.order)]
        market = scene.state.markets[COIN]
        [intent] = _requote(market, strays, BUY, parse("9.95"), parse("0.5"))
        assert isinstance(intent, Place) is replaces
        [gone] = _requote(market, strays, BUY, 0, 0)
        assert not isinstance(gone, Place), "where nothing is to stand, nothing is placed"


def test_a_fill_is_no_replacement() -> None:
    """An order that was filled before its replacement arrived is filled, and the other is not."""
    scene, old = scene_with_an_order()
    [new] = asked(scene, old.order, "9.95").changes
    assert isinstance(new, Approved)
    done = old.terms
    scene.take(Fill(SECOND, old.order, COIN, BUY, done.price, done.quantity, 0, True, "t9"))
    scene.take(OrderRejected(SECOND, new.order, "Order cancel-replace failed."))
    scene.take(CancelRejected(SECOND, old.order, "Unknown order sent."))
    assert order_of(scene, old.order).state is OrderState.FILLED
    assert not scene.state.orders.open


def test_an_order_that_a_replica_has_never_seen_can_be_replaced() -> None:
    scene = Scene()
    name, gone = ClientOrderId("1" * 32), ClientOrderId("2" * 32)
    command = SubmitOrder(name, StrategyId("t"), terms(BUY, "9.90", "0.5"), replaces=gone)
    scene.state.orders.submit(command, SECOND)
    assert list(scene.state.orders.open) == [name]
