"""A real server, ours: one for each test module, emptied before each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.store import functions
from betatrader.store.connection import Client, client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    import tempfile

    data = tmp_path_factory.mktemp("redis")
    with (
        tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as run,
        EmbeddedRedis(data, Path(run)) as started,
    ):
        yield started


@pytest_asyncio.fixture
async def redis(server: EmbeddedRedis) -> AsyncIterator[Client]:
    made = client(server.url)
    await made.flushall()
    await functions.load(made)
    yield made
    await made.aclose()


@pytest_asyncio.fixture
async def blocking(server: EmbeddedRedis) -> AsyncIterator[Client]:
    made = client(server.url, blocking=True)
    yield made
    await made.aclose()
