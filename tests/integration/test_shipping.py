"""The journal's second home on a real server: what was acknowledged is there, once and in order."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest
from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as RedisConnectionError
from scenes import COIN, SECOND, Puppet, Scene, terms

from betatrader.engine.engine import Engine
from betatrader.model.event import Event
from betatrader.model.instruction import Started, TimerFired, TradingState
from betatrader.model.limits import Limits
from betatrader.model.order import Side
from betatrader.ops import clock
from betatrader.roles.following import Follower
from betatrader.store import functions, keys, shipping
from betatrader.store.connection import Client
from betatrader.store.shipping import Shipper, whole_engine

pytestmark = pytest.mark.asyncio
STRATEGIES = (("puppet", {}),)


class Leader:
    """A scene whose account events and Steps are shipped."""

    def __init__(self, redis: Client, epoch: int = 5, engine: Engine | None = None) -> None:
        self.scene = Scene()
        if engine is not None:
            self.scene.engine = engine
            self.scene.puppet = engine.strategies[0]  # type: ignore[assignment]
        self.shipper = Shipper(redis, lambda: whole_engine(self.scene.engine, STRATEGIES))
        self.shipper.begin(epoch)
        self.take(Started(SECOND, epoch, TradingState.ACTIVE))

    def take(self, event: Event) -> None:
        step = self.scene.engine.process(event)
        self.shipper.offer(event)
        if step is not None:
            self.shipper.offer(step)

    def order(self, price: str = "9.90") -> str:
        """An order whose quote is market data, and not shipped: its Step alone is."""
        from betatrader.engine.strategy import Place

        self.scene.now_s += 1
        self.scene.puppet.intents = [Place(terms(Side.BUY, price, "0.5"), "test")]
        step = self.scene.quote()
        assert step is not None
        self.shipper.offer(step)
        return step.changes[0].order  # type: ignore[union-attr]


def standby(redis: Client) -> tuple[Engine, Follower]:
    engine = Engine(Limits(), [Puppet()])
    return engine, Follower(redis, engine, STRATEGIES)


def books(engine: Engine) -> bytes:
    """The account as a whole; markets apart, since market data is not shipped."""
    state = engine.state
    return msgspec.msgpack.encode(
        (state.orders, state.portfolio, state.holdings, state.epoch, state.order_counter)
    )


async def test_a_standby_goes_where_the_leader_went(redis: Client) -> None:
    leader, (engine, follower) = Leader(redis), standby(redis)
    await leader.shipper.flush()
    await follower.catch_up()
    first = leader.order()
    await leader.shipper.flush()
    await follower.catch_up()
    assert first in engine.state.orders.open
    assert books(engine) == books(leader.scene.engine)
    assert engine.state.now_ns == leader.scene.state.now_ns, "an order is as old as it is"


async def test_a_standby_tells_how_old_what_it_follows_is(
    redis: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The age of the record: an entry's id, its epoch and number, is no time."""
    leader, (_, follower) = Leader(redis, epoch=1_700_000_000_000), standby(redis)
    await leader.shipper.flush()
    await follower.catch_up()
    for behind_s in (0, 3):
        leader.take(TimerFired(leader.scene.state.now_ns + SECOND, "tick"))
        await leader.shipper.flush()
        now_ns = leader.scene.state.now_ns + behind_s * SECOND
        monkeypatch.setattr(clock, "now_ns", lambda now_ns=now_ns: now_ns)
        await follower.catch_up()
        assert REGISTRY.get_sample_value("bt_standby_behind_ms") == behind_s * 1000
    await follower.catch_up()
    assert REGISTRY.get_sample_value("bt_standby_behind_ms") == 0, "nothing is left to follow"


async def test_a_standby_that_cannot_follow_falls_behind(
    redis: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, (_, follower) = Leader(redis), standby(redis)
    await leader.shipper.flush()
    now_s = 100.0
    monkeypatch.setattr(clock, "boot_s", lambda: now_s)
    await follower.catch_up()
    now_s = 107.0

    async def away(*_: object, **__: object) -> None:
        raise RedisConnectionError("gone")

    monkeypatch.setattr(shipping, "read", away)
    with pytest.raises(RedisConnectionError):
        await follower.catch_up()
    assert REGISTRY.get_sample_value("bt_standby_behind_ms") == 7000


async def test_recovery_with_the_disk_gone_begins_at_the_last_snapshot(redis: Client) -> None:
    leader = Leader(redis)
    await leader.shipper.flush()
    leader.order()
    await leader.shipper.flush()
    engine, follower = standby(redis)
    await follower.catch_up()
    assert books(engine) == books(leader.scene.engine)
    assert engine.state.markets[COIN].definition == leader.scene.state.markets[COIN].definition


async def test_what_was_shipped_and_not_answered_is_not_there_twice(redis: Client) -> None:
    leader = Leader(redis)
    await leader.shipper.flush()
    leader.order()
    waiting = list(leader.shipper._waiting)
    await leader.shipper.flush()
    before = await redis.xlen(keys.JOURNAL)
    leader.shipper._waiting.extend(waiting)  # as after a call that timed out
    await leader.shipper.flush()
    assert await redis.xlen(keys.JOURNAL) == before


async def test_a_server_that_came_back_empty_gets_a_snapshot(redis: Client) -> None:
    leader = Leader(redis)
    await leader.shipper.flush()
    await redis.flushall()
    await functions.load(redis)
    leader.order()
    async with anyio.create_task_group() as group:
        group.start_soon(leader.shipper.run)
        with anyio.fail_after(5):
            while leader.shipper.acknowledged < leader.shipper.offered:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    engine, follower = standby(redis)
    await follower.catch_up()
    assert books(engine) == books(leader.scene.engine)


@asynccontextmanager
async def shipping_on(leader: Leader) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The leader's shipper at work; the gift waits until all that was offered is acknowledged."""

    async def done() -> None:
        with anyio.fail_after(5):
            while leader.shipper.acknowledged < leader.shipper.offered:
                await anyio.sleep(0.001)

    async with anyio.create_task_group() as group:
        group.start_soon(leader.shipper.run)
        await done()
        yield done
        group.cancel_scope.cancel()


async def calls(redis: Client, name: str) -> int:
    found = (await redis.info("commandstats")).get(f"cmdstat_{name}", {})
    return int(found.get("calls", 0))


async def test_one_order_at_a_time_is_a_plain_append_that_readers_follow(redis: Client) -> None:
    leader, (engine, follower) = Leader(redis), standby(redis)
    async with shipping_on(leader) as done:
        before = await calls(redis, "fcall")
        for price in ("9.90", "9.80", "9.70"):
            leader.order(price)
            await done()
        looks = await calls(redis, "fcall") - before
    assert looks < 3, "only what a look now and then takes"
    await follower.catch_up()
    assert books(engine) == books(leader.scene.engine)


async def test_a_plain_append_of_an_earlier_leader_is_refused_by_the_server(redis: Client) -> None:
    leader = Leader(redis)
    fenced = anyio.Event()
    leader.shipper.on_fenced = fenced.set
    async with shipping_on(leader) as done:
        leader.order()
        await done()
        assert leader.shipper._sure
        assert await shipping.fence(redis, 6)
        before = await redis.xlen(keys.JOURNAL)
        leader.order("9.80")
        with anyio.fail_after(5):
            await fenced.wait()
    assert await redis.xlen(keys.JOURNAL) == before


async def test_a_server_that_came_back_without_the_last_records_gets_a_snapshot(
    redis: Client,
) -> None:
    leader = Leader(redis)
    async with shipping_on(leader) as done:
        for price in ("9.90", "9.80"):
            leader.order(price)
            await done()
        kept = (await redis.xrange(keys.JOURNAL))[:-1]
        await redis.delete(keys.JOURNAL)
        for name, fields in kept:
            await redis.xadd(keys.JOURNAL, fields, name)
        await redis.client_kill_filter(_type="normal", skipme=True)
        leader.order("9.70")
        await done()
    engine, follower = standby(redis)
    await follower.catch_up()
    assert books(engine) == books(leader.scene.engine)


async def test_an_earlier_leader_cannot_append_once_the_next_has_begun(redis: Client) -> None:
    leader = Leader(redis)
    fenced = []
    leader.shipper.on_fenced = lambda: fenced.append(True)
    await leader.shipper.flush()
    assert await shipping.fence(redis, 6)
    before = await redis.xlen(keys.JOURNAL)
    leader.order()
    await leader.shipper.flush()
    assert fenced
    assert await redis.xlen(keys.JOURNAL) == before
    assert not await shipping.fence(redis, 5)


async def test_a_standby_follows_from_one_leader_to_the_next(redis: Client) -> None:
    leader, (engine, follower) = Leader(redis), standby(redis)
    leader.order()
    await leader.shipper.flush()
    await follower.catch_up()
    later, successor = standby(redis)
    await successor.catch_up()
    second = Leader(redis, 6, later)
    second.order("9.80")
    await second.shipper.flush()
    await follower.catch_up()
    assert books(engine) == books(later)
    assert len(engine.state.orders.open) == 2


async def test_what_is_older_than_the_last_but_one_snapshot_is_trimmed(redis: Client) -> None:
    leader = Leader(redis)
    for _ in range(5):
        for _ in range(10):
            leader.take(TimerFired(leader.scene.state.now_ns, "tick"))
        leader.shipper._start_over()
        await leader.shipper.flush()
    assert await redis.xlen(keys.JOURNAL) <= 12
    engine, follower = standby(redis)
    await follower.catch_up()
    assert books(engine) == books(leader.scene.engine)


async def test_a_home_that_knows_more_than_the_stream_keeps_what_it_knows(redis: Client) -> None:
    leader = Leader(redis)
    await leader.shipper.flush()
    leader.order()  # written to the file, and never shipped
    engine = Engine(Limits(), [Puppet()])
    engine.restore(leader.scene.engine.snapshot())
    follower = Follower(redis, engine, STRATEGIES)
    await follower.catch_up()
    assert books(engine) == books(leader.scene.engine)
    assert follower.records == 0


async def test_an_order_is_as_old_as_the_leader_says_however_far_a_standby_has_seen(
    redis: Client,
) -> None:
    leader, (engine, follower) = Leader(redis), standby(redis)
    await leader.shipper.flush()
    await follower.catch_up()
    order = leader.order()
    engine.follow(TimerFired(leader.scene.state.now_ns + SECOND, "the market, say"))
    await leader.shipper.flush()
    await follower.catch_up()
    ours = engine.state.orders.open[order]  # type: ignore[index]
    assert ours.created_ns == leader.scene.state.orders.open[order].created_ns  # type: ignore[index]
    assert engine.state.now_ns == leader.scene.state.now_ns + SECOND
