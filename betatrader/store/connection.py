"""The one factory of Redis clients: no hidden retries, explicit timeouts.

The library's own defaults repeat a command after a timeout, which doubles an XADD; and they time
a blocking read out before the server answers. Nothing else in this project makes a client.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from betatrader.model.errors import UnreachableError, UsageError
from betatrader.model.secret import without_password

Client = Any
"""A redis-py client made here. Its own types say `bytes | str | …` for every answer; we ask for
bytes, and give bytes, everywhere."""

COMMAND_TIMEOUT_S = 2.0
BLOCK_S = 2.0
"""How long a blocking read waits at the server for a first entry."""

AWAY = (RedisError, OSError)
"""What a call raises when the server is away, slow, or refuses."""


def client(url: str, *, blocking: bool = False) -> Client:
    """A client for commands, or (`blocking`) one for a reader that waits at the server.

    Raises UsageError where the address is none.
    """
    try:
        return Redis.from_url(
            url,
            protocol=3,
            legacy_responses=False,
            decode_responses=False,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=COMMAND_TIMEOUT_S,
            socket_timeout=COMMAND_TIMEOUT_S + (BLOCK_S + 1.0 if blocking else 0.0),
        )
    except ValueError as error:
        raise UsageError(
            f"REDIS_URL {without_password(url)} is no address: {str(error).splitlines()[0]}\n"
            "Write redis://USER:PASSWORD@HOST:PORT or unix:///PATH."
        ) from error


def database_of(redis: Client) -> int:
    """The number of the database that a client works in."""
    return int(redis.connection_pool.connection_kwargs.get("db") or 0)


def in_database(url: str, number: int) -> Client:
    """A client of another database of the same server."""
    made = client(url)
    made.connection_pool.connection_kwargs["db"] = number
    return made


@asynccontextmanager
async def connected(url: str, patience_s: float = 5.0) -> AsyncIterator[Client]:
    """A client that has been answered; raises UnreachableError after `patience_s` of silence."""
    redis = client(url)
    try:
        await _first_answer(redis, url, patience_s)
        yield redis
    finally:
        await redis.aclose()


async def _first_answer(redis: Client, url: str, patience_s: float) -> None:
    deadline = anyio.current_time() + patience_s
    while True:
        try:
            await redis.ping()
        except (*AWAY, OverflowError, UnicodeError) as error:
            if anyio.current_time() >= deadline:
                raise UnreachableError(
                    f"Redis at {without_password(url)} does not answer: {error}\n"
                    "Start it, or mend REDIS_URL; `betatrader up` without REDIS_URL brings its own."
                ) from error
            await anyio.sleep(0.1)
        else:
            return
