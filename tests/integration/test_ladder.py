"""The ladder's record outlives the home where the journal is shipped."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import structlog
from scenes import Scene

from betatrader.config import loads
from betatrader.model.errors import RefusedError
from betatrader.model.ladder import LEAST_S, Allowed, Stage
from betatrader.roles import ladder
from betatrader.roles.ladder import Kept, Witness
from betatrader.store import keys
from betatrader.store.connection import Client

HERE = "BINANCE api.binance.com"
SHIPPED = (
    'mode = "shadow"\n[binance]\nsymbols = ["BTCUSDT"]\n'
    '[journal]\ndurability = "shipped"\n[lease]\nmode = "strict"\n'
)


def service(home: Path, redis: Client, text: str = SHIPPED) -> Any:
    config = loads(text, "f.toml", {}).config
    return SimpleNamespace(home=home, redis=redis, config=config, log=structlog.get_logger())


def trader() -> Any:
    return SimpleNamespace(engine=Scene().engine, on_done=None, take=lambda event: None)


async def test_an_override_that_redis_has_opens_the_step_on_an_empty_machine(
    redis: Client, tmp_path: Path
) -> None:
    with pytest.raises(RefusedError):
        await ladder.permit(service(tmp_path, redis))
    await ladder.ship_allowed(redis, Allowed("1", "shadow", (HERE,), "ann", "why", 1))
    await ladder.permit(service(tmp_path, redis))
    local = SHIPPED.partition("[journal]")[0]
    with pytest.raises(RefusedError):
        await ladder.permit(service(tmp_path, redis, local))


async def test_a_record_is_kept_in_both_places_and_found_in_either(
    redis: Client, tmp_path: Path
) -> None:
    seen = Witness(service(tmp_path / "one", redis), trader())
    day = seen._day("BINANCE", Stage.SHADOW)
    day.seconds, day.signed = LEAST_S, 7
    async with anyio.create_task_group() as group:
        group.start_soon(seen.run)
        while not await redis.hexists(keys.LADDER, "records"):
            await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    here = ladder.load(tmp_path / "one").records[HERE]
    there = Kept({}, {})
    await ladder.load_shipped(redis, there)
    assert there.records[HERE] == here
    [kept] = here.days["shadow"].values()
    assert (kept.signed, kept.seconds >= LEAST_S) == (7, True)


async def test_without_redis_the_home_alone_is_asked(tmp_path: Path) -> None:
    from betatrader.store.connection import client

    away = client("redis://127.0.0.1:1")
    ladder.allow(tmp_path, Allowed("1", "shadow", (HERE,), "ann", "why", 1))
    await ladder.permit(service(tmp_path, away))
    await away.aclose()
