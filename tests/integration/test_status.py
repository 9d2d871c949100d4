"""`status` on a machine other than the roles'."""

import socket
from typing import Any

import msgspec
import pytest

from betatrader.cli import control
from betatrader.cli.status import roles_and_streams
from betatrader.model.summary import Summary
from betatrader.ops import clock
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.store import keys
from betatrader.store.connection import Client


@pytest.mark.parametrize(
    ("host", "not_ready", "health"),
    [
        ("another-machine", "", "ok"),
        ("another-machine", "draining", "draining"),
        (socket.gethostname(), "", "away"),
    ],
)
async def test_a_role_elsewhere_is_known_by_its_beat(
    server: EmbeddedRedis, redis: Client, host: str, not_ready: str, health: str
) -> None:
    """Its port is asked only where it is this machine's; here nothing listens at it."""
    beat = {"pid": "1", "port": "1", "instance": "x", "version": "0.1.0", "ready_ms": "1"}
    beat |= {"revision": "abc", "host": host, "not_ready": not_ready}
    await redis.hset(keys.beat("trading"), mapping=beat)
    roles: dict[str, Any] = (await roles_and_streams(server.url, "run"))[0]
    assert roles["trading"]["health"] == health
    assert roles["trading"]["revision"] == "abc"
    assert roles["intel"] == {"health": "away"}


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
async def test_flatten_waits_for_news_by_the_traders_own_clock(redis: Client, ahead_s: int) -> None:
    """Whatever the operator's clock shows; and where Redis has come back empty for a moment."""
    at_ns = clock.now_ns() + ahead_s * 10**9
    looked: list[int] = []

    def told(to_sell: int) -> bytes:
        more = {"started_ns": 0, "time_ns": at_ns + len(looked), "trading_state": "HALTED"}
        return msgspec.json.encode(
            Summary(run="r1", mode="PAPER", version="1", to_sell=to_sell, **more)
        )

    class Moving:
        """The trader sells between one look and the next."""

        async def get(self, key: str) -> bytes | None:
            looked.append(1)
            if len(looked) != 2:
                await redis.set(key, told(to_sell=3 - min(3, len(looked) - 1)))
            found: bytes | None = await redis.get(key)
            await redis.delete(key)
            return found

    assert await control._until(Moving(), "r1", lambda summary: not summary.to_sell)
    assert len(looked) == 4
