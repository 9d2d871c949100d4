"""How the simulated Binance keeps connections: pings, its limit of messages, and its end; by the
adapter, and by a client that does wrong."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import pytest
from binance_sockets import Line, Running

from betatrader.config.venues import Binance
from betatrader.model.account import VenueConnection
from betatrader.model.event import Event
from betatrader.model.secret import Secret
from betatrader.net.live import LiveTransport
from betatrader.venues.binance.serve import acts
from betatrader.venues.binance.serve.running import KEY, SECRET
from betatrader.venues.binance.venue import BinanceVenue


@pytest.fixture
def venue() -> Iterator[Running]:
    running = Running()
    yield running
    running.stop()


@asynccontextmanager
async def adapter(venue: Running, told: list[Event]) -> AsyncIterator[BinanceVenue]:
    """The adapter, connected to it."""
    settings = Binance(
        symbols=("BTCUSDT",),
        rest=f"http://{venue.base}",
        stream=f"ws://{venue.base}",
        api=f"ws://{venue.base}/ws-api/v3",
        key=Secret(KEY),
        secret=Secret(SECRET),
    )
    made = BinanceVenue(settings, LiveTransport(), told.append, told.append)
    async with anyio.create_task_group() as group:
        group.start_soon(made.run)
        with anyio.fail_after(10):
            while not made.connected:
                await anyio.sleep(0.01)
                venue.do(venue.quote)
        yield made
        group.cancel_scope.cancel()


async def test_a_client_that_answers_no_ping_is_dropped_and_the_adapter_stays(
    venue: Running,
) -> None:
    keeping = venue.server.keeping
    assert (keeping.ping_s, keeping.pong_s) == (20.0, 60.0)
    keeping.ping_s, keeping.pong_s = 0.25, 0.5
    told: list[Event] = []
    async with adapter(venue, told), aiohttp.ClientSession() as session:
        for path in ("/ws/btcusdt@trade", "/ws-api/v3"):
            async with session.ws_connect(f"http://{venue.base}{path}", autoping=False) as line:
                pings: list[Any] = []
                with anyio.fail_after(5):
                    async for message in line:
                        pings.append(message)
                        await line.pong(b"unasked")
            assert {message.type for message in pings} == {aiohttp.WSMsgType.PING}
            assert len(pings) == len({message.data for message in pings}) >= 2
        assert keeping.dropped == 2
        connections = [event for event in told if isinstance(event, VenueConnection)]
        assert [event.up for event in connections] == [True], "the adapter answers its pings"


def test_a_stream_that_is_told_too_much_is_ended_and_who_goes_on_is_banned(venue: Running) -> None:
    from websockets.exceptions import ConnectionClosed, InvalidStatus

    def flood() -> int:
        line = Line(f"ws://{venue.base}/ws")
        answers = 0
        with pytest.raises(ConnectionClosed):  # noqa: PT012
            for number in range(6):
                line.ask(method="LIST_SUBSCRIPTIONS", id=number)
            while True:
                line.hear()
                answers += 1
        return answers

    assert flood() == 5
    for _ in range(9):
        flood()
    with pytest.raises(InvalidStatus):
        Line(f"ws://{venue.base}/ws")


async def test_before_its_end_the_venue_says_so_and_the_adapter_has_left(venue: Running) -> None:
    raw, combined = Line(f"ws://{venue.base}/ws/btcusdt@trade"), Line(f"ws://{venue.base}/stream")
    told: list[Event] = []
    async with adapter(venue, told) as made:
        before = set(venue.server.lines)
        act = acts.of(venue.server)["shutdown"]
        venue.do(lambda: act({"after_s": "3.0"}))
        assert raw.hear()["e"] == "serverShutdown"
        said = combined.hear()
        assert (said["stream"], said["data"]["e"]) == ("!serverShutdown", "serverShutdown")
        with anyio.fail_after(10):
            while before & set(venue.server.lines):
                await anyio.sleep(0.05)
        assert made.connected
    connections = [event for event in told if isinstance(event, VenueConnection)]
    assert [event.up for event in connections] == [True], "it was never without a connection"
