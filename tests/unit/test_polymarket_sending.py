"""Many orders at once at Polymarket: some are under way together, others wait for their turn."""

import anyio
import pytest
from polymarket_scenes import World, approved, name

from betatrader.chaos.loop import Process
from betatrader.model.account import OrderInDoubt, OrderRejected
from betatrader.ops import clock
from betatrader.venues.polymarket import sending
from betatrader.venues.polymarket.forms import salt_of
from betatrader.venues.polymarket.sending import AT_ONCE, BUSY, FENCED, QUEUE_S, STOPPED


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose venue is reached."""
    made = World(monkeypatch).go(2)
    made.since()
    return made


def place(world: World, count: int, seconds: float) -> None:
    """Place orders all at once."""
    orders = [approved(number) for number in range(count)]
    world.do(lambda: [world.venue.submit(one, clock.now_ns()) for one in orders], seconds=seconds)


def test_those_that_wait_leave_in_their_order_as_others_are_answered(world: World) -> None:
    numbers = {salt_of(name(number)): number for number in range(50)}

    def answer(given: dict) -> dict:
        their_id = world.venue.ids.theirs(name(numbers[given["order"]["salt"]]))[0]
        return {"success": True, "errorMsg": "", "orderID": their_id, "status": "live"}

    world.fake.rest["POST /order"] = answer
    place(world, 50, 0.004)
    assert len(world.fake.posted()) == AT_ONCE
    world.go(0.1)
    assert [numbers[given["order"]["salt"]] for given in world.fake.posted()] == list(range(50))
    assert world.kinds() == ["OrderAccepted"] * 50
    assert not world.venue.busy


def test_what_waits_as_the_connection_ends_never_left_and_the_next_ones_do(world: World) -> None:
    place(world, 50, 0.003)
    world.stop()
    ended = [e for e in world.since() if isinstance(e, OrderInDoubt | OrderRejected)]
    assert {e.order for e in ended if isinstance(e, OrderInDoubt)} == set(map(name, range(AT_ONCE)))
    never = [e for e in ended if isinstance(e, OrderRejected)]
    assert [e.order for e in never] == [name(number) for number in range(AT_ONCE, 50)]
    assert {e.reason for e in never} == {STOPPED}
    assert len(world.fake.posted()) == AT_ONCE
    world.loop.spawn(Process("p"), world._run)
    world.go(2).since()
    world.submit(approved(99))
    assert world.kinds() == ["OrderAccepted"]


def test_what_waits_as_the_lease_ends_is_not_sent(world: World) -> None:
    leads = True
    world.venue.heed(lambda: leads)
    place(world, 50, 0.003)
    leads = False
    world.go(0.1)
    assert len(world.fake.posted()) == AT_ONCE
    never = [e for e in world.since() if isinstance(e, OrderRejected) and e.reason == FENCED]
    assert [e.order for e in never] == [name(number) for number in range(AT_ONCE, 50)]


def test_an_order_that_has_waited_too_long_is_not_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "AT_ONCE", 1)
    slow = world.fake.request

    async def request(method: str, url: str, **more: object):
        if url.endswith("/order"):
            await anyio.sleep(QUEUE_S + 1)
        return await slow(method, url, **more)

    monkeypatch.setattr(world.fake, "request", request)
    place(world, 2, QUEUE_S + 1.5)
    late = [e for e in world.since() if isinstance(e, OrderRejected)]
    assert [(e.order, e.reason) for e in late] == [(name(1), BUSY)]


def test_more_than_may_wait_are_refused_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MOST_WAITING", 5)
    place(world, 50, 0.003)
    refused = [e for e in world.since() if isinstance(e, OrderRejected)]
    assert [e.order for e in refused] == [name(number) for number in range(5, 50)]
    assert {e.reason for e in refused} == {BUSY}


def test_a_question_after_a_cancel_holds_no_other_cancel_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = world.fake.request

    async def request(method: str, url: str, **more: object):
        if method == "GET":
            await anyio.sleep(3.0)
        return await slow(method, url, **more)

    place(world, 2, 0.1)
    monkeypatch.setattr(world.fake, "request", request)
    world.venue._sending._cancels = anyio.Semaphore(1)
    world.cancel(0, 0.001)
    world.cancel(1, 0.1)
    assert len(world.fake.posted("DELETE /order")) == 2
