"""The venue ends each connection after a while: the next one stands before, without a gap."""

import asyncio
from itertools import pairwise

import anyio
import pytest
from binance_scenes import EPOCH_NS, RefuseError, World, approved, cancel
from binance_served import Served

from betatrader.chaos.loop import Process, VirtualLoop
from betatrader.config.venues import Binance
from betatrader.model.account import Fill, OrderAccepted, OrderCanceled, VenueConnection
from betatrader.model.event import Event
from betatrader.model.market import BookDelta, BookSnapshot, InstrumentListed, PublicTrade
from betatrader.model.money import SCALE, parse
from betatrader.model.secret import Secret
from betatrader.net.direct import Direct
from betatrader.ops import clock
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.binance import market, session, wire
from betatrader.venues.binance.serve import acts
from betatrader.venues.binance.serve.requests import Account
from betatrader.venues.binance.serve.running import KEY, OWNER, SECRET
from betatrader.venues.binance.serve.server import BinanceServer
from betatrader.venues.binance.venue import BinanceVenue

COIN = wire.instrument_id("BTCUSDT")


@pytest.fixture
def short_lives(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Connections are renewed every 10 s."""
    monkeypatch.setattr(session, "LIFE_S", 10.0)
    monkeypatch.setattr(market, "LIFE_S", 10.0)
    return monkeypatch


def test_the_next_session_takes_over_and_answers_to_the_last_one_count(
    short_lives: pytest.MonkeyPatch,
) -> None:
    world = World(short_lives).go(9.5)
    world.since()
    old = world.fake.account
    world.submit(approved(1))
    request = world.fake.sent[-1]
    world.go(1.0)
    new = world.fake.account
    assert (new is not old, old.open, new.open) == (True, True, True)
    world.submit(approved(2))
    assert world.fake.sent[-1]["params"]["newClientOrderId"] == approved(2).order
    assert world.since() == []
    old.say({"id": request["id"], "status": 400, "error": {"code": -2010, "msg": "no"}})
    world.go(3.0)
    assert [type(event).__name__ for event in world.since()][:1] == ["OrderRejected"]
    assert (old.open, world.venue.connected) == (False, True)


def too_many() -> None:
    raise RefuseError(429, -1003, "Too many requests.")


@pytest.mark.parametrize("trouble", ["refused", "not let in", "silent"])
def test_a_next_session_that_will_not_do_leaves_the_last_one_alone(
    short_lives: pytest.MonkeyPatch, trouble: str
) -> None:
    world = World(short_lives).go(9.5)
    old, subscribe = world.fake.account, "userDataStream.subscribe.signature"
    good = world.fake.api[subscribe]
    if trouble == "refused":
        world.fake.refuse_sockets = True
    elif trouble == "not let in":
        world.fake.api[subscribe] = lambda _: too_many()
    else:
        world.fake.api.pop(subscribe)
    world.since()
    world.go(10.0)
    assert (old.open, world.venue.connected, world.since()) == (True, True, [])
    world.fake.refuse_sockets, world.fake.api[subscribe] = False, good
    world.go(60.0)
    assert (world.fake.account is not old, world.venue.connected) == (True, True)
    assert world.since() == []


def test_the_venues_word_that_it_restarts_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch).go()
    api, stream = world.fake.account, world.fake.stream
    world.do(world.fake.event, {"e": "serverShutdown", "E": 1})
    world.do(stream.say, {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1}})
    world.go(5.0)
    assert (api.open, stream.open, world.venue.connected) == (False, False, True)


def test_over_many_renewals_nothing_is_lost_and_nothing_comes_twice(
    short_lives: pytest.MonkeyPatch,
) -> None:
    loop = VirtualLoop(1)
    short_lives.setattr(clock, "now_ns", lambda: EPOCH_NS + int(loop.time() * 1e9))
    short_lives.setattr(clock, "boot_s", lambda: 1.0 + loop.time())
    told: list[Event] = []
    shown: list[Event] = []
    played: list[PublicTrade] = []

    def events() -> list[Event]:
        found: list[Event] = [InstrumentListed(EPOCH_NS, wire.definition("BTCUSDT"))]
        levels = ((50_000 * SCALE, SCALE),), ((50_001 * SCALE, SCALE),)
        found.append(BookSnapshot(EPOCH_NS, COIN, *levels, 1))
        for number in range(1, 1_200):
            at = EPOCH_NS + number * 50_000_000
            bid = ((50_000 * SCALE, SCALE + number),)
            found.append(BookDelta(at, COIN, bid, (), number + 1))
            found.append(PublicTrade(at, COIN, 50_001 * SCALE, SCALE // 100, True, str(number)))
        played.extend(event for event in found if isinstance(event, PublicTrade))
        return found

    async def trade(venue: BinanceVenue) -> None:
        while not venue.connected:
            await anyio.sleep(0.1)
        for number in range(1, 200):
            buys = approved(number, "50001" if number % 5 == 0 else "49000", "0.001")
            venue.submit(buys, clock.now_ns())
            await anyio.sleep(0.2)
            venue.cancel(cancel(number), clock.now_ns())
            await anyio.sleep(0.05)

    async def run() -> None:
        server = BinanceServer(
            SimulatedExchange(1_000_000),
            10**6 * SCALE,
            [Account(KEY, SECRET, OWNER)],
            FaultyLink(Faults(), 1),
        )
        server.keeping.life_s = 15.0
        places = {"rest": "http://x", "stream": "ws://x", "api": "ws://x/ws-api/v3"}
        keys = {"key": Secret(KEY), "secret": Secret(SECRET)}
        settings = Binance(symbols=("BTCUSDT",), **places, **keys)
        async with anyio.create_task_group() as group:
            group.start_soon(server.deliver)
            group.start_soon(server.run, events())
            await asyncio.sleep(0)
            venue = BinanceVenue(settings, Direct(server), told.append, shown.append)
            group.start_soon(venue.run)
            await trade(venue)
            await anyio.sleep(2.0)
            assert venue.connected
            group.cancel_scope.cancel()

    loop.spawn(Process("p"), run)
    loop.run_until(lambda: False, loop.time() + 60.0)
    assert loop.unhandled == []
    connections = [event for event in told if isinstance(event, VenueConnection)]
    assert len(connections) == 1, "connected once, and never lost"
    numbers = [int(event.trade_id) for event in shown if isinstance(event, PublicTrade)]
    assert all(later == before + 1 for before, later in pairwise(numbers)), "no gap, no double"
    assert len(numbers) > 900
    updates = [event.update_id for event in shown if isinstance(event, BookDelta)]
    assert all(later == before + 1 for before, later in pairwise(updates))
    assert sum(isinstance(event, BookSnapshot) for event in shown) == 1, "the book was never lost"
    for kind, count in ((OrderAccepted, 199), (OrderCanceled, 160)):
        orders = [event.order for event in told if isinstance(event, kind)]
        assert (len(orders), len(set(orders))) == (count, count)
    fills = [event.trade_id for event in told if isinstance(event, Fill)]
    assert (len(fills), len(set(fills))) == (39, 39)
    assert parse("0.001") * 39 == sum(e.quantity for e in told if isinstance(e, Fill))


def test_t26_a_session_that_answers_and_tells_nothing_is_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it is subscribed to is asked for: the answer to a subscription is no proof for ever."""
    served = Served(monkeypatch)
    act = acts.of(served.server)["unsubscribe"]
    served.go(35.0)
    assert served.since() == [], "while reports come it stays"
    served.loop.call_soon(served.server.play, PublicTrade(1, COIN, 50_001 * SCALE, SCALE, True))
    served.loop.call_soon(act, {})
    served.go(31.0)
    lost = [event for event in served.told if isinstance(event, VenueConnection) and not event.up]
    assert [event.reason for event in lost] == ["the venue tells nothing of our account any more"]
    served.go(5.0)
    assert served.venue.connected
    served.since()
    assert served.place(1, "49000") == ["OrderAccepted 1"]
