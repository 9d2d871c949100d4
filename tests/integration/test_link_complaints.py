"""What users complain of in other systems' connections, as tests of the reference venue's link."""

import asyncio
import gc
import os
from pathlib import Path

import anyio
import pytest
from floors import Floor, floor
from scenes import COIN, YES, quote, terms
from structlog.testing import capture_logs

from betatrader.model.account import (
    CancelRejected,
    OrderCanceled,
    OrderRejected,
    VenueConnection,
)
from betatrader.model.event import Event
from betatrader.model.ids import InstrumentId
from betatrader.model.instruction import CancelAll, TimerFired
from betatrader.model.order import OrderState, Side
from betatrader.ops import clock
from betatrader.ops.process import resident_mb
from betatrader.venues.link import client, server, wire
from betatrader.venues.link.client import LinkVenue

pytestmark = pytest.mark.asyncio

NEVER = InstrumentId("NEVER.LISTED")
RECONNECTS = int(os.environ.get("BETATRADER_RECONNECTS", "1000"))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def ups(made: Floor) -> int:
    return sum(isinstance(event, VenueConnection) and event.up for event in made.taken)


async def test_t24_after_a_thousand_reconnects_sockets_tasks_and_memory_are_as_before() -> None:
    async with floor() as made:
        await made.until(lambda: len(made.server.clients) == 1)
        tasks, files = len(asyncio.all_tasks()), open_files()
        reached: asyncio.Queue[Event] = asyncio.Queue()
        take = made.venue._take

        def note(event: Event) -> None:
            take(event)
            if isinstance(event, VenueConnection) and event.up:
                reached.put_nowait(event)

        made.venue._take = note
        resident = 0.0
        for number in range(RECONNECTS):
            made.server.close()
            with anyio.fail_after(8):
                await reached.get()
            if number == RECONNECTS // 5:
                gc.collect()
                resident = resident_mb(os.getpid())
        gc.collect()
        assert resident_mb(os.getpid()) - resident < 4.0, "2^20 bytes; a leak takes some 20 kB each"
        assert ups(made) == 1 + RECONNECTS
        await made.until(lambda: len(made.server.clients) == 1)
        await made.until(lambda: len(asyncio.all_tasks()) <= tasks)
        assert open_files() <= files
        assert not made.venue._asked
        assert not made.venue.busy


async def test_t26_a_welcome_alone_lets_no_order_through() -> None:
    async with floor() as made:
        made.exchange.pools.clear()  # from now on it greets, and shows no market
        made.server.close()
        await made.until(lambda: ups(made) == 2)
        await made.reconciler.at_start((1, 99), anyio.lowlevel.checkpoint)
        scene = made.scene
        assert not scene.state.reconciling
        assert scene.refused_by(terms(Side.BUY, "0.41", "5", YES)) == "stale_data"
        scene.take(quote("0.40", "0.42", clock.now_ns() / 1e9, YES))
        assert scene.refused_by(terms(Side.BUY, "0.41", "5", YES)) == ""


async def test_t33_news_of_an_unknown_instrument_drop_neither_the_connection_nor_a_book() -> None:
    async with floor() as made:
        await made.until(lambda: len(made.server.clients) == 1)
        shown: list[object] = []
        made.venue._market = shown.append
        [to] = made.server.clients
        with capture_logs() as logs:
            for _ in range(3):
                to.send(wire.framed(wire.Shown(quote("1", "2", 1.0, NEVER))))
            to.send(wire.framed(wire.Shown(quote("9.97", "9.99"))))
            await made.until(lambda: bool(shown))
        assert [event.instrument for event in shown] == [COIN]  # type: ignore[attr-defined]
        assert [log["instrument"] for log in logs] == [NEVER], "told once"
        assert ups(made) == 1


async def test_t34_a_venue_that_hangs_up_at_once_is_asked_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    enough = anyio.Event()

    monkeypatch.setattr(client, "LOOK_S", 0.07)  # told apart from the pauses

    async def note(seconds: float) -> None:
        if seconds != client.LOOK_S:
            pauses.append(seconds)
            if len(pauses) == 8:
                enough.set()
                await anyio.Event().wait()
        await asyncio.sleep(0.001)

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    taken: list[object] = []
    venue = LinkVenue("127.0.0.1", server.sockets[0].getsockname()[1], "us", taken.append, print)
    monkeypatch.setattr(client.anyio, "sleep", note)
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            group.start_soon(venue.run)
            with anyio.fail_after(8):
                await enough.wait()
            group.cancel_scope.cancel()
    server.close()
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert sum(log["event"] == "venue_lost" for log in logs) == 8, "each is visible"


async def test_t35_a_rejection_leaves_the_connection_usable() -> None:
    async with floor() as made:
        made.exchange.ledgers["us"].cash = 0
        refused = made.propose("9.90")
        await made.until(lambda: any(isinstance(e, OrderRejected) for e in made.taken))
        assert made.state_of(refused) is OrderState.REJECTED
        made.exchange.ledgers["us"].cash = made.scene.state.portfolio.cash
        again = made.propose("9.91")
        await made.until(lambda: made.state_of(again) is OrderState.ACCEPTED)
        assert (await made.venue.account((again.order,))).orders[again.order].filled == 0
        assert ups(made) == 1


async def test_t35_a_question_without_an_answer_ends_at_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.1)
    async with floor() as made:
        monkeypatch.setattr(made.server, "take", lambda *_: None)
        with pytest.raises(TimeoutError):
            await made.venue.account(())
        with pytest.raises(TimeoutError):
            await made.venue.ledger()
        assert not made.venue._asked


async def test_t37_a_cancel_that_overtakes_its_order_is_sent_again_once_the_order_rests() -> None:
    async with floor() as made:
        withheld: list[tuple[object, wire.Place]] = []
        take = made.server.take

        def late(to: object, request: object) -> None:
            if isinstance(request, wire.Place):
                withheld.append((to, request))
            else:
                take(to, request)  # type: ignore[arg-type]

        made.server.take = late  # type: ignore[method-assign,assignment]
        order = made.propose("9.90")
        made.take(CancelAll(clock.now_ns(), "i", "me"))
        await made.until(lambda: any(isinstance(e, CancelRejected) for e in made.taken))
        [(to, request)] = withheld
        take(to, request)  # type: ignore[arg-type]
        await made.until(lambda: made.exchange.resting() == {order.order})
        made.take(TimerFired(clock.now_ns(), "tick"))
        await made.until(lambda: any(isinstance(e, OrderCanceled) for e in made.taken))
        assert not made.exchange.resting()
        assert not made.scene.state.orders.open


async def test_t28_a_cancel_of_what_the_venue_has_lost_is_sent_once_and_ends_in_a_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "UNDER_WAY_NS", 1)
    async with floor() as made:
        order = made.propose("9.90")
        await made.until(lambda: made.state_of(order) is OrderState.ACCEPTED)
        made.exchange.restart()  # what rested is gone, and nobody is told
        del made.exchange.ledgers["us"].orders[order.order]
        asked: list[type] = []
        take, told = made.server.take, made.venue._take

        def count(to: object, request: object) -> None:
            asked.append(type(request))
            take(to, request)  # type: ignore[arg-type]

        def wake(event: Event) -> None:
            told(event)
            if isinstance(event, CancelRejected):  # as the desk does
                made.reconciler.look_now()

        made.server.take, made.venue._take = count, wake  # type: ignore[method-assign,assignment]
        async with anyio.create_task_group() as group:
            group.start_soon(made.reconciler.keep, 60.0)
            made.take(CancelAll(clock.now_ns(), "i", "me"))
            await made.until(lambda: not made.scene.state.orders.open)
            for _ in range(20):
                made.take(TimerFired(clock.now_ns(), "tick"))
            await made.venue.account(())
            group.cancel_scope.cancel()
        assert asked == [wire.Withdraw, wire.AskAccount, wire.AskAccount]
        assert made.state_of(order) is OrderState.CANCELED
