"""One order in another's stead, at the simulated Binance: cancelReplace with STOP_ON_FAILURE."""

from collections.abc import Callable
from functools import partial

import pytest
from binance_scenes import RefuseError, World, cancel, instead, name, order
from binance_served import COIN, Served
from msgspec import structs

from betatrader.model.command import Approved, CancelOrder
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.market import InstrumentStatus
from betatrader.model.money import parse
from betatrader.model.order import Order, OrderTerms, OrderType, Side, TimeInForce
from betatrader.ops import clock
from betatrader.venues.binance.serve import acts
from betatrader.venues.binance.serve.running import OWNER
from betatrader.venues.binance.venue import OVER_LIMIT


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    return Served(monkeypatch)


def test_one_order_takes_the_others_place(served: Served) -> None:
    assert served.place(1, "49000") == ["OrderAccepted 1"]
    assert sorted(served.replace(1, 2, "49500")) == ["OrderAccepted 2", "OrderCanceled 1"]
    assert served.rests() == {"2"}


def test_where_the_new_one_is_refused_the_old_one_is_gone(served: Served) -> None:
    served.place(1, "49000")
    assert sorted(served.replace(1, 2, "50001", post_only=True)) == [
        "OrderCanceled 1",
        "OrderRejected 2",
    ]
    assert "Order would immediately match and take. (-2010)" in served.reasons
    assert served.rests() == set()


def test_where_the_old_one_is_gone_nothing_is_placed(served: Served) -> None:
    served.place(1, "50001")  # it is filled
    assert served.replace(1, 2, "49000") == ["CancelRejected 1", "OrderRejected 2"]
    assert served.reasons[0] == "Unknown order sent. (-2011)"
    assert served.rests() == set()


def fail_often(served: Served) -> None:
    while not served.venue._breaker.failed(clock.boot_s()):
        pass


def use_up(served: Served) -> None:
    served.venue.rest.limits.close(60.0, orders_alone=True)


def know_no_rights(served: Served) -> None:
    served.venue._listing.rights = "no answer"


@pytest.mark.parametrize("hold_back", [fail_often, use_up, know_no_rights])
def test_where_the_new_one_is_held_back_the_old_one_is_cancelled_alone(
    served: Served, hold_back: Callable[[Served], None]
) -> None:
    """Else a quote would stay where the market has long gone, for as long as the breaker rests."""
    served.place(1, "49000")
    hold_back(served)
    assert served.replace(1, 2, "49500") == ["OrderRejected 2", "OrderCanceled 1"]
    assert served.reasons[0].startswith("not sent: ")
    assert served.rests() == set()


def test_where_the_new_one_has_no_form_the_old_one_is_cancelled_alone(served: Served) -> None:
    served.place(1, "49000")
    told = served.replace(1, 2, "49500", post_only=True, time_in_force=TimeInForce.IOC)
    assert told == ["OrderRejected 2", "OrderCanceled 1"]
    assert served.rests() == set()


def test_a_cancel_in_a_replacements_stead_is_held_back_as_any_is(served: Served) -> None:
    served.place(1, "49000")
    served.venue.rest.limits.close(60.0)
    assert served.replace(1, 2, "49500") == ["OrderRejected 2", "CancelRejected 1"]
    assert set(served.reasons) == {OVER_LIMIT}
    assert served.rests() == {"1"}


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "for a sale"])
@pytest.mark.parametrize("restarted", [True, False])
def test_a_stop_stays_where_what_would_replace_it_is_held_back(
    served: Served, moved: bool, restarted: bool
) -> None:
    """What is held would have no stop at all."""
    served.place(1, "50001")
    terms = OrderTerms(COIN, Side.SELL, OrderType.STOP, parse("45000"), parse("0.0009"))
    terms = structs.replace(terms, trigger=parse("48000"))
    stop = Approved(ClientOrderId(name(2)), StrategyId("guard"), terms)
    served.loop.call_soon(lambda: served.venue.submit(stop, clock.now_ns()))
    served.go(1.0)
    assert served.since() == ["OrderAccepted 2"]
    if restarted:
        served.venue._books._stops.clear()
        served.venue.remember([Order(stop.order, stop.strategy, terms, clock.now_ns())])
    fail_often(served)
    sale = instead(2, 3, "50500", "0.0009", side=Side.SELL)
    later = structs.replace(stop, order=sale.order, replaces=stop.order) if moved else sale
    served.loop.call_soon(lambda: served.venue.submit(later, clock.now_ns()))
    served.go(1.0)
    assert served.since() == ["OrderRejected 3", "CancelRejected 2"]
    assert len(served.server.trading.of(OWNER).open()) == 1


@pytest.mark.parametrize("replaced_first", [True, False])
def test_one_that_is_replaced_and_taken_back_at_once_leaves_no_request_without_an_answer(
    served: Served, replaced_first: bool
) -> None:
    """As a trader that is told to end right after it has replaced an order."""
    served.place(1, "49000")
    replace = partial(served.venue.submit, instead(1, 2, "49500", "0.001"))
    cancel = partial(served.venue.cancel, CancelOrder(ClientOrderId(name(1)), COIN))
    both = (replace, cancel) if replaced_first else (cancel, replace)
    served.loop.call_soon(lambda: [send(clock.now_ns()) for send in both])
    served.go(1.0)
    assert not served.venue.busy
    rests = served.rests()  # whichever came first at the venue, which takes them side by side
    placed = "OrderAccepted 2" if rests else "OrderRejected 2"
    assert sorted(served.since()) == sorted(["CancelRejected 1", placed, "OrderCanceled 1"])
    assert rests in ({"2"}, set())


@pytest.mark.parametrize(
    ("status", "code", "parts", "said"),
    [
        (504, -1007, {}, ["OrderInDoubt"]),
        (
            409,
            -2021,
            {
                "cancelResult": "SUCCESS",
                "newOrderResult": "FAILURE",
                "newOrderResponse": {"code": -1006, "msg": "Execution status unknown."},
            },
            ["OrderInDoubt", "OrderCanceled"],
        ),
    ],
)
def test_what_is_not_known_of_a_replacement_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: int,
    parts: dict[str, object],
    said: list[str],
) -> None:
    world = World(monkeypatch).go()
    world.since()
    if parts:
        parts["cancelResponse"] = order(1, "CANCELED", origClientOrderId=name(1))

    def reply(_given: object) -> None:
        raise RefuseError(status, code, "half of it", **parts)

    world.fake.api["order.cancelReplace"] = reply
    world.do(world.venue.submit, instead(1, 2, "49000"), 1)
    assert [type(event).__name__ for event in world.since()] == said


def test_while_the_venue_takes_cancels_alone_none_but_they_pass(served: Served) -> None:
    """CANCEL_ONLY, as the venue's status says since July 2026."""
    act = acts.of(served.server)["mode"]
    served.place(1, "49000")
    act({"mode": "cancel-only"})
    assert served.place(2, "49000") == ["OrderRejected 2"]
    assert served.reasons == ["This symbol is in cancel-only mode. (-2010)"]
    assert sorted(served.replace(1, 3, "49500")) == ["OrderCanceled 1", "OrderRejected 3"]
    assert served.rests() == set()
    act({"mode": "open"})
    served.place(4, "49000")
    act({"mode": "cancel-only"})
    served.shown.clear()
    served.go(70.0)
    told = [event.tradable for event in served.shown if isinstance(event, InstrumentStatus)]
    assert told[:1] == [False]
    served.loop.call_soon(served.venue.cancel, cancel(4), clock.now_ns())
    served.go(1.0)
    assert served.since()[-1:] == ["OrderCanceled 4"]
    act({"mode": "open"})
    with pytest.raises(ValueError, match="post-only"):
        act({"mode": "post-only"})
    served.shown.clear()
    served.go(70.0)
    assert InstrumentStatus in {type(event) for event in served.shown}
    assert served.place(5, "49000") == ["OrderAccepted 5"]
