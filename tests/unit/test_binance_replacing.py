"""One order in another's stead, at the simulated Binance: cancelReplace with STOP_ON_FAILURE."""

from functools import partial

import pytest
from binance_scenes import RefuseError, World, cancel, instead, name, order
from binance_served import COIN, Served

from betatrader.model.command import CancelOrder
from betatrader.model.ids import ClientOrderId
from betatrader.model.market import InstrumentStatus
from betatrader.ops import clock
from betatrader.venues.binance.serve import acts


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
