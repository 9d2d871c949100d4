"""The release's lock and records in a real Redis: lost answers, silence, and a full disk."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import msgspec
import pytest

from betatrader.model.errors import RefusedError
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.release import record, releasing
from betatrader.release.record import Book, Lock, LostLockError, Record
from betatrader.store import keys
from betatrader.store.connection import Client, connected

RECORD = Record(id="a1", kind="deploy", image="registry.fly.io/betatrader-trading:v2")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as run:
        folder = Path(run)
        with EmbeddedRedis(folder / "own", folder) as started:
            yield started.url


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Client]:
    async with connected(url) as client:
        await client.flushall()
        yield client


@pytest.fixture
def book(redis: Client, tmp_path: Path) -> Book:
    return Book(redis, tmp_path / "releases.jsonl")


async def test_a_renewal_whose_answer_was_lost_is_still_ours(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = await book.take(RECORD)
    done = record._executed

    async def lost(pipe: Client) -> bool:
        await done(pipe)
        raise TimeoutError

    monkeypatch.setattr(record, "_executed", lost)
    with pytest.raises(TimeoutError):
        await lock.renew("intel: deploying")
    monkeypatch.setattr(record, "_executed", done)
    await lock.renew("intel: at its gate")
    held = await book.held()
    assert held is not None
    assert held.step == "intel: at its gate"
    await lock.release()
    assert await book.held() is None


async def test_a_renewal_that_is_cut_off_does_not_keep_the_lock_from_being_let_go(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = await book.take(RECORD)
    done, written = record._executed, anyio.Event()

    async def slow(pipe: Client) -> bool:
        kept = await done(pipe)
        written.set()
        await anyio.sleep(0.05)
        return kept

    monkeypatch.setattr(record, "_executed", slow)
    async with anyio.create_task_group() as group:
        group.start_soon(lock.renew, "all apps: raising the schema")
        await written.wait()
        group.cancel_scope.cancel()
    assert await book.held() == lock.held, "what is written is known"
    await lock.release()
    assert await book.held() is None


async def test_a_release_that_ends_early_says_so_and_may_be_gone_on_with_at_once(
    book: Book,
) -> None:
    lock = await book.take(RECORD)

    async def fails() -> None:
        async with releasing.kept_alive(lock):
            raise KeyError("unforeseen")

    with pytest.raises(ExceptionGroup, match="unhandled"):
        await fails()
    held = await book.held()
    assert held is not None
    assert held.is_dead(await book.now_ns())


async def test_one_that_is_silent_is_taken_over_and_changes_nothing_more(
    redis: Client, book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = await book.take(RECORD)
    other = Book(redis, tmp_path / "other.jsonl")
    held = await other.held()
    with pytest.raises(RefusedError, match="under way"):
        await other.take(RECORD)
    await lock.renew()
    with pytest.raises(RefusedError, match="under way"):
        await other.take(RECORD, held)  # it stirs again
    taken = await other.take(RECORD, await other.held())
    monkeypatch.setattr(releasing, "RENEW_S", 0.01)

    async def goes_on() -> None:
        async with releasing.kept_alive(lock):
            await anyio.sleep_forever()

    with pytest.raises(ExceptionGroup) as told:
        await goes_on()
    assert told.group_contains(LostLockError, match="has taken this one's lock")
    await lock.release()
    assert await book.held() == taken.held, "the other's lock stands as it stood"


async def test_a_namesake_on_another_machine_does_not_take_a_living_ones_lock(
    redis: Client, book: Book
) -> None:
    lock: Lock = await book.take(RECORD)
    gone = msgspec.structs.replace(lock.held, pid=2**22 - 1, host=os.uname().nodename)
    await redis.set(keys.RELEASE_LOCK, msgspec.json.encode(gone))
    held = await book.held()
    assert held is not None
    assert not held.is_dead(held.seen_ns + 14_000_000_000)
    assert held.is_dead(held.seen_ns + 16_000_000_000)


async def test_a_record_gets_to_redis_where_the_operators_disk_takes_none(
    redis: Client, tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("no folder")
    told: list[str] = []
    book = Book(redis, tmp_path / "home" / "releases.jsonl", told.append)
    await book.write(RECORD)
    assert await book.records() == [RECORD]
    assert len(told) == 1
    assert "releases.jsonl does not take the record: " in told[0]


async def test_a_release_ends_by_the_clock_by_which_it_began(
    book: Book, redis: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing.clock, "now_ns", lambda: 1)  # the operator's is set wrong
    begun = msgspec.structs.replace(RECORD, began_ns=await book.now_ns())
    lock = await book.take(begun)
    setup = releasing.Setup(None, redis, book, None, print)  # type: ignore[arg-type]
    await releasing.abandon(setup, begun, lock, "nothing was changed")
    (kept,) = await book.records()
    assert kept.ended_ns >= kept.began_ns > 1
    assert await book.held() is None
