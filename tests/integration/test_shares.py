"""Shares of an account's limits on a real server: together never more than the whole."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import pytest_asyncio
import structlog

from betatrader.config import loads
from betatrader.config.shard import whole
from betatrader.model.errors import RefusedError
from betatrader.model.money import SCALE
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.roles import sharing
from betatrader.roles.sharing import Sharing
from betatrader.store import keys
from betatrader.store.connection import Client, client, database_of, in_database
from betatrader.store.shares import Share, Shares

KEY = keys.shares("live", "")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as run,
        EmbeddedRedis(Path(run) / "own", Path(run)) as server,
    ):
        yield server.url


@pytest_asyncio.fixture
async def redis(url: str) -> AsyncIterator[Client]:
    made = client(url)
    await made.flushall()
    yield made
    await made.aclose()


def part(database: int, percent: int, *traded: str) -> Share:
    return Share(database, percent * SCALE // 100, "100,20", traded)


async def test_shares_fit_to_the_last_unit_and_one_unit_more_does_not(redis: Client) -> None:
    shares = Shares(redis, KEY)
    await shares.claim(part(0, 60), keep=True)
    await shares.claim(part(1, 40), keep=True)
    with pytest.raises(RefusedError, match=r"database 0 has 0\.6, database 1 has 0\.4; database 2"):
        await shares.claim(Share(2, 1, "100,20", ()), keep=False)
    with pytest.raises(RefusedError, match=r"database 1 asks for 0\.41"):
        await shares.claim(part(1, 41), keep=True)
    assert [one.units for one in await shares.all()] == [60 * SCALE // 100, 40 * SCALE // 100]
    await Shares(redis, keys.shares("live", "other")).claim(part(2, 100), keep=True)
    await Shares(redis, keys.shares("paper", "")).claim(part(2, 100), keep=True)
    await shares.claim(part(0, 50), keep=True)
    await shares.claim(part(1, 50), keep=True)
    assert await shares.give_back(0)
    assert not await shares.give_back(0)
    await shares.claim(part(2, 50), keep=True)


async def test_to_look_takes_nothing(redis: Client) -> None:
    shares = Shares(redis, KEY)
    await shares.claim(part(0, 60), keep=False)
    assert await shares.all() == []


@pytest.mark.parametrize(
    ("theirs", "mine", "meet"),
    [
        ("binance/BTCUSDT", "binance/BTCUSDT", True),
        ("binance/BTCUSDT", "binance/BTCUSDTX", False),
        ("binance/BTCUSDT", "binance/ETHUSDT", False),
        ("polymarket/btc-up*", "polymarket/btc-updown*", True),
        ("polymarket/btc-updown*", "polymarket/btc-up*", True),
        ("polymarket/btc*", "polymarket/eth*", False),
        ("polymarket/btc*", "polymarket/btc", False),
    ],
)
async def test_no_instrument_is_traded_twice(
    redis: Client, theirs: str, mine: str, meet: bool
) -> None:
    shares = Shares(redis, KEY)
    await shares.claim(part(0, 10, "binance/OTHER", theirs), keep=True)
    if not meet:
        await shares.claim(part(1, 10, mine), keep=True)
        return
    with pytest.raises(RefusedError, match="database 0 of account live trades some of this"):
        await shares.claim(part(1, 10, mine), keep=True)
    await shares.claim(part(0, 10, mine), keep=True)  # its own it may change


async def test_of_many_at_once_no_more_than_the_whole_is_given(url: str, redis: Client) -> None:
    clients = [client(url) for _ in range(10)]
    answers = await asyncio.gather(
        *(Shares(c, KEY).claim(part(n, 30), keep=True) for n, c in enumerate(clients)),
        return_exceptions=True,
    )
    for one in clients:
        await one.aclose()
    assert sum(answer is None for answer in answers) == 3
    assert sum(one.units for one in await Shares(redis, KEY).all()) == 90 * SCALE // 100


async def test_a_client_of_another_database_stays_on_the_server(url: str, redis: Client) -> None:
    third = client(f"{url}?db=3")
    root = in_database(f"{url}?db=3", 0)
    assert (database_of(redis), database_of(third), database_of(root)) == (0, 3, 0)
    await third.set("x", "3")
    assert await root.get("x") is None
    await root.set("x", "0")
    assert await redis.get("x") == b"0"
    await third.aclose()
    await root.aclose()


class Told:
    """A trader's process, as `Sharing` sees it."""

    def __init__(self, shares: Shares | None, database: int, text: str) -> None:
        self.shares, self.database = shares, database
        self.config = loads(text, "f", {}).config
        self.log = structlog.get_logger()
        self.failure: Exception | None = None
        self.alerts: list[tuple[str, str]] = []
        self.stopped = False

    def alert(self, level: str, text: str) -> None:
        self.alerts.append((level, text))

    def stop(self) -> None:
        self.stopped = True

    def is_stopping(self) -> bool:
        return self.stopped


def trader(redis: Client, database: int, text: str) -> tuple[Told, Sharing]:
    told = Told(Shares(redis, KEY), database, text)
    service: Any = told
    return told, Sharing(service)


async def test_who_would_pass_the_whole_is_refused_at_its_start_and_again_when_it_leads(
    redis: Client,
) -> None:
    one, first = trader(redis, 0, "[shard]\nshare = 0.6")
    two, second = trader(redis, 1, "[shard]\nshare = 0.5")
    await first.check()
    await second.check()  # nobody leads yet
    assert await first.claim()
    with pytest.raises(RefusedError, match="do not suffice"):
        await second.check()
    assert not await second.claim()
    assert isinstance(two.failure, RefusedError)
    assert two.stopped
    assert [level for level, _ in two.alerts] == ["critical"]
    assert (one.failure, one.alerts) == (None, [])


async def test_shares_of_other_limits_and_shares_that_no_longer_fit_are_told(
    redis: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "AGAIN_S", 0.02)
    one, first = trader(redis, 0, "[shard]\nshare = 0.5")
    two, second = trader(redis, 1, "[shard]\nshare = 0.5\n[risk]\ndaily_loss_usd = 7")
    assert await first.claim()
    assert await second.claim()
    assert [level for level, _ in two.alerts] == ["error"]
    assert "those of database 0 are not those of 1" in two.alerts[0][1]
    async with anyio.create_task_group() as group:
        group.start_soon(first.keep)
        await until(lambda: one.alerts)
        await anyio.sleep(0.1)
        assert [level for level, _ in one.alerts] == ["error"], "once"
        await redis.flushall()  # a server that came back empty hears of it again
        await until_kept(redis)
        text = f"{SCALE} {whole(one.config)}"
        await redis.hset(KEY, "7", text)
        await until(lambda: one.alerts[-1][0] == "critical")
        assert one.failure is None, "it leads, and goes on; a person decides"
        group.cancel_scope.cancel()


async def test_a_trader_without_a_place_for_shares_is_alone() -> None:
    service: Any = Told(None, 0, "")
    alone = Sharing(service)
    await alone.check()
    assert await alone.claim()
    await alone.keep()


async def test_who_is_told_to_stop_waits_for_no_redis() -> None:
    away = SimpleNamespace()

    async def fcall(*_: object) -> None:
        service.stopped = True
        raise ConnectionResetError("away")

    away.fcall = fcall
    service: Any = Told(Shares(away, KEY), 0, "")
    assert not await Sharing(service).claim()


async def test_a_server_that_knows_no_such_right_ends_a_trader_and_is_not_waited_out(
    url: str, redis: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "AGAIN_S", 0.02)
    one, first = trader(redis, 0, "[shard]\nshare = 0.6")
    assert await first.claim()  # by a user who may
    rights = ("+@all", "-fcall", "~*")
    await redis.execute_command("ACL", "SETUSER", "ann", "reset", "on", ">a-password", *rights)
    older = client(f"{url.replace('unix://', 'unix://ann@')}?password=a-password")
    two, second = trader(older, 1, "[shard]\nshare = 0.4")
    told = (
        "does not let this trader's user take its share of the limits: .*\n.*deploy the redis app"
    )
    try:
        with pytest.raises(RefusedError, match=told):
            await second.check()
        with anyio.fail_after(5):
            assert not await second.claim()
        assert isinstance(two.failure, RefusedError)
        assert two.stopped
        assert [level for level, _ in two.alerts] == ["critical"]
        leading, third = trader(older, 0, "[shard]\nshare = 0.6")
        async with anyio.create_task_group() as group:
            group.start_soon(third.keep)
            await until(lambda: leading.alerts)
            group.cancel_scope.cancel()
        assert leading.alerts[0][0] == "critical"
        assert leading.failure is None, "it leads, and goes on"
        assert one.alerts == []
    finally:
        await older.aclose()
        await redis.execute_command("ACL", "DELUSER", "ann")


async def until(true: Any) -> None:
    with anyio.fail_after(5):
        while not true():
            await anyio.sleep(0.01)


async def until_kept(redis: Client) -> None:
    with anyio.fail_after(5):
        while not await redis.exists(KEY):
            await anyio.sleep(0.01)
