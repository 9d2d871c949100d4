"""`status` on a machine other than the roles'."""

import socket
from typing import Any

import pytest

from betatrader.cli.status import roles_and_streams
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
