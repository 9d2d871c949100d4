"""The modes in which the simulated Polymarket takes no orders, or not all, and its restart: the
adapter tells each order's refusal in the venue's words, and trades on as soon as it may."""

import poly_scene as scene
import pytest
from poly_meeting import Meeting

from betatrader.model.account import Fill, OrderAccepted, OrderCanceled, OrderRejected
from betatrader.model.command import CancelOrder
from betatrader.model.ids import ClientOrderId
from betatrader.model.money import parse
from betatrader.model.order import OrderState, OrderTerms, OrderType, Side
from betatrader.ops import clock
from betatrader.venues.polymarket.serve import acts

CANCEL_ONLY = (
    "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."
)
DISABLED = "Trading is currently disabled. Check polymarket.com for updates"
POST_ONLY = "post-only mode: only post-only orders and cancels are allowed"


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Meeting:
    return Meeting(monkeypatch, 1, 0)


def place(meeting: Meeting, price: str, *, post_only: bool = False) -> ClientOrderId:
    """A buy of 10; returns its id."""
    terms = OrderTerms(
        scene.YES_ID, Side.BUY, OrderType.LIMIT, parse(price), parse("10"), post_only=post_only
    )
    order = meeting.place(terms)
    meeting.go(0.5)
    return order


def act(meeting: Meeting, name: str, **given: str) -> None:
    meeting.do(lambda: acts.of(meeting.core)[name](given))


def fate(meeting: Meeting, order: ClientOrderId) -> list[str]:
    """What was told of an order: the kind, and the reason where there is one."""
    told = [event for event in meeting.events if getattr(event, "order", None) == order]
    return [getattr(one, "reason", "") or type(one).__name__ for one in told]


@pytest.mark.parametrize(
    ("mode", "words"),
    [("cancel-only", CANCEL_ONLY), ("disabled", DISABLED), ("post-only", POST_ONLY)],
)
def test_what_a_mode_refuses_is_told_in_the_venues_words_and_cancels_go_on(
    meeting: Meeting, mode: str, words: str
) -> None:
    rests = place(meeting, "0.40")
    act(meeting, "mode", mode=mode)
    refused, held = place(meeting, "0.41"), place(meeting, "0.42")
    assert fate(meeting, refused) == [words]
    assert fate(meeting, held) == [f"not sent, the venue said: {words}"]
    rejected = [event for event in meeting.events if isinstance(event, OrderRejected)]
    assert [event.order for event in rejected] == [refused, held]
    patient = place(meeting, "0.43", post_only=True)
    told = "OrderAccepted" if mode == "post-only" else f"not sent, the venue said: {words}"
    assert fate(meeting, patient) == [told]
    meeting.do(lambda: meeting.venue.cancel(CancelOrder(rests, scene.YES_ID), clock.now_ns()))
    meeting.go(1)
    assert meeting.state.orders.closed[rests].state is OrderState.CANCELED
    act(meeting, "mode", mode="open")
    meeting.go(31)
    assert fate(meeting, place(meeting, "0.44")) == ["OrderAccepted"]
    assert meeting.venue.connected
    account = meeting.settle()
    working = {n for n, o in account.orders.items() if o.state is OrderState.ACCEPTED}
    assert set(meeting.state.orders.open) == working


def test_over_a_restart_nothing_is_lost(meeting: Meeting) -> None:
    """425 while the engine is down, post-only for a while after: what rested is there again."""
    rests = place(meeting, "0.40")
    act(meeting, "restart", down_s="20", post_only_s="30")
    meeting.go(3)
    assert meeting.venue.connected, "channels and REST are there"
    down = place(meeting, "0.41")
    assert fate(meeting, down) == ["Service is not ready"]
    meeting.go(20)
    after = place(meeting, "0.42")
    assert fate(meeting, after) == [POST_ONLY]
    patient = place(meeting, "0.43", post_only=True)
    assert fate(meeting, patient) == ["OrderAccepted"]
    meeting.go(35)
    meeting.buy(scene.YES_ID, "0.53", "10")
    meeting.go(2)
    assert any(isinstance(event, Fill) for event in meeting.events)
    account = meeting.settle()
    assert account.orders[rests].state is OrderState.ACCEPTED
    ended = [event for event in meeting.events if isinstance(event, OrderCanceled)]
    assert ended == []
    accepted = [event.order for event in meeting.events if isinstance(event, OrderAccepted)]
    assert {rests, patient} <= set(accepted)
