"""The bundled server: locked, stopped, and gone with its parent."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from betatrader.model.errors import RefusedError, UnreachableError
from betatrader.model.secret import without_password
from betatrader.ops import embedded_redis
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.ops.process import alive
from betatrader.store.connection import client, connected


async def test_it_answers_keeps_its_data_and_leaves_no_socket(own_home: Path) -> None:
    run = own_home.parent
    for expected in (None, b"kept"):
        with EmbeddedRedis(own_home / "redis", run) as server:
            redis = client(server.url)
            assert await redis.get("k") == expected
            await redis.set("k", "kept")
            await redis.aclose()
        assert not (run / "redis.sock").exists()


def test_a_second_server_on_the_folder_is_refused(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_redis, "LOCK_PATIENCE_S", 0.1)
    with (
        EmbeddedRedis(own_home / "redis", own_home.parent),
        pytest.raises(RefusedError, match="another server holds"),
    ):
        EmbeddedRedis(own_home / "redis", own_home.parent).__enter__()


def test_data_of_another_make_of_server_is_refused(own_home: Path) -> None:
    folder = own_home / "redis"
    folder.mkdir(parents=True)
    (folder / "made-by").write_text("redis 8.2\n")
    with pytest.raises(RefusedError, match=r"written by redis 8\.2"):
        EmbeddedRedis(folder, own_home.parent).__enter__()


def test_it_is_gone_when_its_parent_is_killed(own_home: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from betatrader.ops.embedded_redis import EmbeddedRedis\n"
        f"with EmbeddedRedis(pathlib.Path({str(own_home / 'redis')!r}), "
        f"pathlib.Path({str(own_home.parent)!r})) as s:\n"
        "    print(s.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)


async def test_a_silent_server_is_told_of_in_two_lines_without_its_password() -> None:
    with pytest.raises(UnreachableError) as caught:
        async with connected("redis://me:secret@127.0.0.1:1", 0.1):
            pass
    assert len(str(caught.value).splitlines()) == 2
    assert "secret" not in str(caught.value)
    assert without_password("unix:///a/b") == "unix:///a/b"
    assert without_password("unix:///a/b?db=1&password=x") == "unix:///a/b?db=1"
    assert without_password("redis://me:x@h:1/0", mark="") == "redis://h:1/0"


async def test_a_killed_server_comes_back_on_its_folder_and_socket(own_home: Path) -> None:
    with EmbeddedRedis(own_home / "redis", own_home.parent) as server:
        keeper = asyncio.create_task(server.keep_running())
        redis = client(server.url)
        await redis.set("k", "kept")
        for time_ in (1, 2):
            os.kill(server.pid, signal.SIGKILL)
            async with asyncio.timeout(10):
                while server.restarts < time_:
                    await asyncio.sleep(0.01)
            async with connected(server.url, 10.0) as again:
                assert await again.get("k") == b"kept"
        await redis.aclose()
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        pid = server.pid
    assert not alive(pid)


def test_signals_reach_only_their_process(own_home: Path) -> None:
    with EmbeddedRedis(own_home / "redis", own_home.parent) as server:
        assert os.getpgid(server.pid) != os.getpgid(0), "Ctrl-C must not stop it before the roles"
        os.kill(server.pid, signal.SIGTERM)
