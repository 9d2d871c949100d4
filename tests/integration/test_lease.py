"""The lease on a real server: one holder, a token that only grows, and the edge cases."""

import asyncio
from pathlib import Path

import pytest

from betatrader.model.errors import RefusedError
from betatrader.store import functions, keys
from betatrader.store.connection import Client
from betatrader.store.lease import HomeBrokenError, Lease

TTL_S = 1.0


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def lease(
    redis: Client,
    folder: Path,
    holder: str = "one",
    clock: Clock | None = None,
    ttl_s: float = TTL_S,
) -> Lease:
    return Lease(redis, holder, ttl_s, folder / f"{holder}-epoch", clock or Clock())


async def test_one_holds_it_and_the_other_is_told_for_how_long(
    redis: Client, tmp_path: Path
) -> None:
    one, two = lease(redis, tmp_path), lease(redis, tmp_path, "two")
    assert await one.acquire() is None
    held = await two.acquire()
    assert held is not None
    assert held.epoch == one.epoch
    assert 0 < held.left_s <= TTL_S
    assert not two.may_order()


async def test_of_many_contenders_one_wins(redis: Client, tmp_path: Path) -> None:
    many = [lease(redis, tmp_path, f"h{n}") for n in range(20)]
    answers = await asyncio.gather(*(one.acquire() for one in many))
    assert answers.count(None) == 1


async def test_a_released_lease_is_taken_at_once_with_a_larger_token(
    redis: Client, tmp_path: Path
) -> None:
    one, two = lease(redis, tmp_path), lease(redis, tmp_path, "two")
    await one.acquire()
    await one.release()
    assert not one.may_cancel()
    assert await two.acquire() is None
    assert two.epoch > one.epoch


OTHER = """#!lua name=betatrader_VERSION
redis.register_function('bt_lease_renew_VERSION', function() return 0 end)
"""


async def test_versions_side_by_side_each_call_their_own_functions(
    redis: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = lease(redis, tmp_path)
    await one.acquire()
    await functions.load(redis, OTHER)  # a green that starts, and is taken away again
    assert await one.renew() == "held"
    with monkeypatch.context() as green:
        green.setattr(functions, "MARK", functions._marked(OTHER)[0])
        assert await one.renew() == "taken", "as its own function says"
    assert await one.renew() == "held"
    await functions.load(redis)
    assert await one.renew() == "held"
    assert len(await redis.function_list("betatrader_*")) == 2


async def test_after_its_end_nobody_renews_and_the_next_takes_over(
    redis: Client, tmp_path: Path
) -> None:
    one = lease(redis, tmp_path, ttl_s=0.05)
    two = lease(redis, tmp_path, "two")
    await one.acquire()
    await asyncio.sleep(0.08)
    assert await one.renew() == "over"
    assert await two.acquire() is None
    assert await one.renew() == "taken"


async def test_the_holder_fences_itself_by_its_own_clock(redis: Client, tmp_path: Path) -> None:
    clock = Clock()
    one = lease(redis, tmp_path, clock=clock)
    await one.acquire()
    clock.now_s += 0.69 * TTL_S
    assert (one.may_order(), one.may_cancel()) == (True, True)
    clock.now_s += 0.02 * TTL_S
    assert (one.may_order(), one.may_cancel()) == (False, True)
    clock.now_s += 0.30 * TTL_S
    assert (one.may_order(), one.may_cancel()) == (False, False)
    await one.acquire()
    assert one.may_order()
    clock.now_s += 0.5 * TTL_S
    assert await one.renew() == "held"
    clock.now_s += 0.5 * TTL_S
    assert one.may_order(), "renewed"


async def test_without_a_fence_the_new_holder_sends_only_when_the_former_cannot_any_more(
    redis: Client, tmp_path: Path
) -> None:
    """The server's clock stepped, or a replica took over: both believe that they hold it."""
    clock = Clock()
    one, two = lease(redis, tmp_path, clock=clock), lease(redis, tmp_path, "two", clock)
    one.unfenced = two.unfenced = True
    await one.acquire()
    clock.now_s += 0.5 * TTL_S
    assert await one.renew() == "held"
    clock.now_s += 0.5 * TTL_S
    await redis.delete(keys.LEASE)
    assert await two.acquire() is None
    for _ in range(20):
        assert not (one.may_order() and two.may_order())
        clock.now_s += 0.1 * TTL_S
        await two.renew()
    assert not one.may_order()
    assert two.may_order()


@pytest.mark.parametrize("loss", ["all", "counter", "older"])
async def test_a_server_that_forgot_gives_no_smaller_token(
    redis: Client, tmp_path: Path, loss: str
) -> None:
    one = lease(redis, tmp_path)
    tokens = []
    for _ in range(5):
        await one.acquire()
        tokens.append(one.epoch)
        match loss:
            case "all":
                await redis.flushall()
            case "counter":
                await redis.delete(keys.LEASE_EPOCH)
            case "older":
                await redis.set(keys.LEASE_EPOCH, "5")
                await redis.hset(keys.LEASE, "epoch", "5")
    assert tokens == sorted(set(tokens))


async def test_the_token_is_kept_on_disk_before_it_is_used(redis: Client, tmp_path: Path) -> None:
    one = lease(redis, tmp_path)
    await one.acquire()
    (tmp_path / "one-epoch").write_text(str(one.epoch + 10**6))
    again = lease(redis, tmp_path)
    await again.acquire()
    assert again.epoch > one.epoch + 10**6, "what the file knows wins over what the server lost"


async def test_who_was_overtaken_holds_nothing_and_is_given_a_larger_token(
    redis: Client, tmp_path: Path
) -> None:
    one = lease(redis, tmp_path)
    await one.acquire()
    later = one.epoch + 10**6
    one.yield_to(later)
    assert not one.may_order()
    assert not one.may_cancel()
    again = lease(redis, tmp_path)
    await again.acquire()
    assert again.epoch > later
    again.yield_to(later)
    assert (tmp_path / "one-epoch").read_text() == f"{again.epoch}\n", "the file never goes back"


async def test_who_cannot_keep_the_token_gives_the_lease_back_for_another_to_lead(
    redis: Client, tmp_path: Path
) -> None:
    broken = lease(redis, tmp_path / "broken")
    (tmp_path / "broken").write_text("a file where the home should be")
    with pytest.raises(HomeBrokenError, match="one-epoch cannot be written"):
        await broken.acquire()
    assert not broken.may_cancel()
    another = lease(redis, tmp_path, "two")
    assert await another.acquire() is None, "at once: it is free"


class Info:
    """A client whose server says of itself what the test says."""

    def __init__(self, run_id: str, uptime_s: int) -> None:
        self.run_id, self.uptime_s = run_id, uptime_s

    async def info(self, _section: str) -> dict[str, object]:
        return {"run_id": self.run_id, "uptime_in_seconds": self.uptime_s}


async def test_a_server_that_took_anothers_place_is_waited_for_though_it_is_long_up(
    tmp_path: Path,
) -> None:
    server, clock = Info("a", 1000), Clock()
    one = lease(server, tmp_path, clock=clock)
    assert await one.unsettled_s() == 0
    server.run_id = "b"
    assert await one.unsettled_s() == TTL_S
    clock.now_s += 0.6 * TTL_S
    assert 0 < await one.unsettled_s() < 0.5 * TTL_S
    clock.now_s += 0.6 * TTL_S
    assert await one.unsettled_s() == 0
    server.run_id = "a"
    assert await one.unsettled_s() == TTL_S, "and again at the next"


async def test_a_server_just_started_is_waited_for(redis: Client, tmp_path: Path) -> None:
    assert await lease(Info("a", 0), tmp_path).unsettled_s() == TTL_S
    assert await lease(redis, tmp_path, ttl_s=10_000.0).unsettled_s() > 0
    assert (await redis.info("server"))["run_id"]


async def test_clocks_far_apart_are_refused(redis: Client, tmp_path: Path) -> None:
    import time

    one = lease(redis, tmp_path)
    await one.check_clocks(time.time())
    with pytest.raises(RefusedError, match="clocks"):
        await one.check_clocks(time.time() - 60)
