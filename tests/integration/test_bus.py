"""Streams on a real server: nothing is lost, nothing repeated behind our back, poison is buried."""

import asyncio
import os
import signal
import time

import msgspec
import pytest
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from betatrader.jobs import stream_upkeep
from betatrader.model.command import Booked, StateChanged, Step
from betatrader.model.instruction import Halt, TradingState
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.store import functions, keys, records
from betatrader.store.audit import AuditLog
from betatrader.store.bus import FIELD, MOST_DELIVERIES, Consumer, Seen, publish, seal
from betatrader.store.connection import Client

STREAM, GROUP = "bt:{test}:s", "g"
decode = msgspec.msgpack.Decoder(int).decode


def consumer(redis: Client, blocking: Client, name: str = "one") -> Consumer[int]:
    return Consumer(redis, blocking, STREAM, GROUP, name=name, decode=decode)


async def send(redis: Client, *numbers: int) -> None:
    for number in numbers:
        await publish(redis, STREAM, seal(number, f"m{number}", "trace"))


async def test_what_is_published_is_read_once_with_its_id_and_trace(
    redis: Client, blocking: Client
) -> None:
    reader = consumer(redis, blocking)
    await reader.join()
    await reader.join()
    await send(redis, 1, 2)
    found = await reader.read()
    assert [(m.body, m.id, m.trace) for m in found] == [(1, "m1", "trace"), (2, "m2", "trace")]
    await reader.acknowledge(*(message.entry for message in found))
    assert await reader.read(block_s=0.01) == []


async def test_what_was_read_and_not_acknowledged_comes_again_after_a_restart(
    redis: Client, blocking: Client
) -> None:
    first = consumer(redis, blocking)
    await first.join()
    await send(redis, 1)
    await first.read()
    again = await consumer(redis, blocking).read()
    assert [message.body for message in again] == [1]


async def test_messages_of_a_consumer_that_vanished_are_taken_over(
    redis: Client, blocking: Client
) -> None:
    gone, heir = consumer(redis, blocking, "gone"), consumer(redis, blocking, "heir")
    await gone.join()
    await send(redis, 1)
    await gone.read()
    assert [message.body for message in await heir.take_over(idle_ms=0)] == [1]


async def test_poison_is_buried_and_the_rest_goes_on(redis: Client, blocking: Client) -> None:
    reader = consumer(redis, blocking)
    await reader.join()
    await redis.xadd(STREAM, {FIELD: b"\xff\xff"})
    await redis.xadd(STREAM, {b"other": b"1"})
    await publish(redis, STREAM, seal("a word", "m0"))
    await send(redis, 7)
    assert [message.body for message in await reader.read()] == [7]
    assert reader.dead_letters == await redis.xlen(keys.dead(STREAM)) == 3
    assert (await redis.xpending(STREAM, GROUP))["pending"] == 1


async def test_a_message_that_is_never_dealt_with_is_buried_after_some_tries(
    redis: Client, blocking: Client
) -> None:
    reader = consumer(redis, blocking)
    await reader.join()
    await send(redis, 1)
    await reader.read()
    tries = 0
    while await reader.take_over(idle_ms=0):
        tries += 1
        assert tries <= MOST_DELIVERIES
    assert reader.dead_letters == 1


async def test_a_write_that_timed_out_was_sent_once_and_never_again(
    redis: Client, server: EmbeddedRedis
) -> None:
    await redis.ping()
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(RedisTimeout):
            await publish(redis, STREAM, seal(1, "m1"))
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await asyncio.sleep(0.2)
    assert await redis.xlen(STREAM) == 1


def test_a_window_of_ids_remembers_and_forgets() -> None:
    seen = Seen(size=2)
    assert [seen.first_time(name) for name in "aabcab"] == [True, False, True, True, True, True]


async def test_trimming_never_takes_what_a_group_has_not_read_or_acknowledged(
    redis: Client, blocking: Client
) -> None:
    reader = consumer(redis, blocking)
    await reader.join()
    await send(redis, *range(10))
    later = int(time.time() * 1000) + 60_000
    assert await functions.trim(redis, STREAM, later, [GROUP]) == 0
    found = await reader.read(count=6)
    await reader.acknowledge(*(message.entry for message in found[:4]))
    assert await functions.trim(redis, STREAM, later, [GROUP]) == 4
    assert await functions.trim(redis, STREAM, later, [GROUP, "not there yet"]) == 0
    rest = [message.body for message in await consumer(redis, blocking).read()]
    assert rest == [4, 5]
    assert [message.body for message in await reader.read(count=10)] == [6, 7, 8, 9]


async def test_upkeep_trims_every_stream_of_ours_by_age(redis: Client, blocking: Client) -> None:
    run = "r1"
    old = "1-1"
    for stream in (keys.audit(run), keys.signals(run), keys.REQUESTS):
        await redis.xadd(stream, {FIELD: b"x"}, id=old)
        await publish(redis, stream, b"new")
    await redis.xgroup_create(keys.REQUESTS, keys.INTEL_GROUP, id="0")
    assert (await stream_upkeep.tend(redis, 60_000)).startswith("1 entries trimmed")
    assert await redis.xlen(keys.audit(run)) == 1
    assert await redis.xlen(keys.signals(run)) == 2, "its consumer is not there yet"
    assert await redis.xlen(keys.REQUESTS) == 2, "nobody has read it"
    await redis.xreadgroup(keys.INTEL_GROUP, "c", {keys.REQUESTS: ">"}, noack=True)
    assert (await stream_upkeep.tend(redis, 60_000)).startswith("1 entries trimmed")


async def test_streams_of_a_run_long_over_are_dropped_and_the_current_ones_never(
    redis: Client,
) -> None:
    for run in ("old", "now"):
        for stream in (keys.audit(run), keys.signals(run), keys.instructions(run)):
            await redis.xadd(stream, {FIELD: b"x"}, id="1-1")
    await redis.xadd(keys.audit("ended"), {FIELD: b"x"})
    await redis.set(keys.RUN, "now")
    assert "3 streams" in await stream_upkeep.tend(redis, 60_000)
    assert not await redis.exists(keys.audit("old"), keys.signals("old"))
    assert await redis.exists(keys.audit("now"), keys.signals("now"), keys.audit("ended")) == 3


def step(sequence: int, state: TradingState = TradingState.ACTIVE) -> Step:
    return Step(sequence, sequence, sequence, (StateChanged(state, "why"), Booked("k", "s", "t")))


async def test_the_audit_keeps_the_trading_state_with_the_record_that_tells_it(
    redis: Client,
) -> None:
    log = AuditLog(redis, "r1")
    log.offer(Halt(1, "id", "me", "why"))
    log.offer(step(1, TradingState.HALTED))
    log.summarise(b"summary", "HALTED", "why")
    await log.flush()
    unsealer = records.Unsealer()
    found = [unsealer.open(data) async for _, data in records.pages(redis, "r1")]
    assert found == [Halt(1, "id", "me", "why"), step(1, TradingState.HALTED)]
    assert await redis.hgetall(keys.KEPT) == {b"state": b"HALTED", b"reason": b"why"}
    assert await redis.get(keys.summary("r1")) == b"summary"


async def test_a_former_leader_that_wakes_does_not_speak_for_the_account(redis: Client) -> None:
    former, leads = AuditLog(redis, "r1", leads=lambda: False), AuditLog(redis, "r2")
    leads.summarise(b"new", "ACTIVE", "resumed")
    await leads.flush()
    former.offer(step(1, TradingState.HALTED))
    former.summarise(b"old", "HALTED", "why")
    await former.flush()
    assert await redis.hgetall(keys.KEPT) == {b"state": b"ACTIVE", b"reason": b"resumed"}
    assert await redis.get(keys.RUN) == b"r2"
    assert await redis.get(keys.summary("r1")) == b"old", "its own end is told"
    assert await redis.xlen(keys.audit("r1")) == 1


async def test_a_batch_written_twice_is_read_once(redis: Client) -> None:
    log = AuditLog(redis, "r1")
    log.offer(step(1))
    await log._send(list(log._records))
    await log.flush()
    assert await redis.xlen(keys.audit("r1")) == 2
    unsealer = records.Unsealer()
    opened = [unsealer.open(data) async for _, data in records.pages(redis, "r1")]
    assert [record for record in opened if record is not None] == [step(1)]


async def test_two_flushes_at_once_write_each_record_once(redis: Client) -> None:
    log = AuditLog(redis, "r1")
    for number in range(1, 1_201):
        log.offer(step(number))
    log.summarise(b"last", "ACTIVE", "")
    await asyncio.gather(log.flush(), log.flush())
    assert await redis.xlen(keys.audit("r1")) == 1_200
    assert await redis.get(keys.summary("r1")) == b"last"
    assert await redis.get(keys.RUN) == b"r1", "told again, should the server have lost it"


async def test_a_summary_that_could_not_be_written_is_written_next_time(
    redis: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog(redis, "r1")
    log.summarise(b"last", "ACTIVE", "")
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(ResponseError, match=r"OOM|not allowed"):
            await log.flush()
    finally:
        await redis.config_set("maxmemory", "256mb")
    await log.flush()
    assert await redis.get(keys.summary("r1")) == b"last"


async def test_while_the_server_is_silent_records_wait_and_then_arrive_in_order(
    redis: Client, server: EmbeddedRedis
) -> None:
    log = AuditLog(redis, "r1")
    task = asyncio.create_task(log.run())
    os.kill(server.pid, signal.SIGSTOP)
    try:
        for number in range(1, 2_001):
            log.offer(step(number))
        await asyncio.sleep(2.5)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    unsealer = records.Unsealer()
    found: list[int] = []
    deadline = time.monotonic() + 10
    while len(found) < 2_000 and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        unsealer = records.Unsealer()
        opened = [unsealer.open(data) async for _, data in records.pages(redis, "r1")]
        found = [record.sequence for record in opened if isinstance(record, Step)]
    task.cancel()
    assert found == list(range(1, 2_001))
