"""One order in another's stead, at the simulated Binance: cancelReplace with STOP_ON_FAILURE."""

import pytest
from binance_scenes import RefuseError, World, instead, name, order
from binance_served import Served


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
