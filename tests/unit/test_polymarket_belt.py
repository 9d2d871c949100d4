"""Orders that rest with an expiry (`rest_seconds`): the venue ends them, whatever became of us."""

import poly_scene as scene
import pytest
from poly_meeting import FAK, Meeting

from betatrader.engine.state import fold_submit
from betatrader.model.command import Approved
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderState, OrderTerms, OrderType, Side
from betatrader.ops import clock
from betatrader.venues.reconcile import unexplained

REST_S = 120


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Meeting:
    return Meeting(monkeypatch, 1, 0, rest_seconds=REST_S)


def place(meeting: Meeting, price: str, size: str = "10", **terms: object) -> ClientOrderId:
    wanted = OrderTerms(scene.YES_ID, Side.BUY, OrderType.LIMIT, parse(price), parse(size), **terms)
    order = meeting.place(wanted)
    meeting.go(0.5)
    return order


def kinds(meeting: Meeting) -> list[str]:
    """How the venue holds what works."""
    desk = meeting.core.state.desk
    return [one.order_type for one in desk.working(meeting.venue.rest._signer.address)]


def test_a_quote_ends_in_its_time_by_the_venues_word_and_another_may_rest(
    meeting: Meeting,
) -> None:
    first, patient = place(meeting, "0.40"), place(meeting, "0.41", post_only=True)
    assert kinds(meeting) == ["GTD", "GTD"]
    meeting.go(REST_S - 5)
    assert set(meeting.state.orders.open) == {first, patient}
    meeting.go(10)
    assert meeting.state.orders.open == {}
    assert meeting.state.orders.closed[first].state in (OrderState.CANCELED, OrderState.EXPIRED)
    again = place(meeting, "0.40")
    assert set(meeting.state.orders.open) == {again}
    account = meeting.settle()
    assert unexplained(meeting.state, account, "POLYMARKET", clock.now_ns()) == []


def test_an_order_whose_owner_has_died_rests_no_longer(meeting: Meeting) -> None:
    """Not even where the venue's own switch does not fall as the heartbeat stays away."""
    meeting.core.state.desk.cancel_of_key = lambda _key, _now_ns: None
    place(meeting, "0.40")
    meeting.do(meeting.scope.cancel)
    meeting.go(60)
    assert kinds(meeting) == ["GTD"]
    meeting.go(REST_S)
    assert kinds(meeting) == []


def test_its_fills_count_and_what_takes_at_once_has_no_expiry(meeting: Meeting) -> None:
    order = place(meeting, "0.52", "40")  # 25 stand there
    assert meeting.state.orders.open[order].filled == 25 * SCALE
    place(meeting, "0.60", "10", time_in_force=FAK)
    taken = meeting.core.state.desk.working(meeting.venue.rest._signer.address)
    assert [one.order_type for one in taken] == ["GTD"]
    meeting.go(REST_S + 5)
    ended = meeting.state.orders.closed[order]
    assert (ended.filled, meeting.state.orders.open) == (25 * SCALE, {})
    account = meeting.settle()
    assert unexplained(meeting.state, account, "POLYMARKET", clock.now_ns()) == []


def test_each_order_of_a_request_has_its_expiry(meeting: Meeting) -> None:
    orders = []
    for number, price in ((7, "0.38"), (8, "0.39")):
        terms = OrderTerms(scene.YES_ID, Side.BUY, OrderType.LIMIT, parse(price), parse("10"))
        orders.append(Approved(ClientOrderId(f"{number:032x}"), StrategyId("s"), terms))

    def send() -> None:
        meeting.state.now_ns = clock.now_ns()
        for command in orders:
            fold_submit(meeting.state, command)
        meeting.venue.submit_many([(command, clock.now_ns()) for command in orders])

    meeting.do(send)
    meeting.go(1)
    assert kinds(meeting) == ["GTD", "GTD"]
    meeting.go(REST_S + 5)
    assert meeting.state.orders.open == {}


def test_without_the_setting_what_rests_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Meeting(monkeypatch, 1, 0)
    place(plain, "0.40")
    assert kinds(plain) == ["GTC"]
