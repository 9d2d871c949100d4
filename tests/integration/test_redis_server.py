"""scripts/redis-server: the deployment's Redis, a user for each role, on IPv4 and IPv6."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from redis.exceptions import AuthenticationError, NoPermissionError

from betatrader.store import keys
from betatrader.store.connection import AWAY, client

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/redis-server"
USERS = ("trading", "intel", "jobs", "operator")
PASSWORDS = {f"BETATRADER_REDIS_PASSWORD_{user.upper()}": f"{user}-{'x' * 24}" for user in USERS}
Start = Callable[..., "subprocess.Popen[str]"]


def free_port() -> int:
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return int(link.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts it on a folder of its own, with these settings."""
    started: list[subprocess.Popen[str]] = []

    def run(data: Path = tmp_path, **settings: str) -> "subprocess.Popen[str]":
        rest = {name: value for name, value in os.environ.items() if "REDIS" not in name}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        # as root it would become a user who may have no way to this folder: `scripts/image run`
        # shows that, in the image
        command = ["sh", "-c", f'id() {{ echo 10001; }}; set -- "{data}"; . "{SCRIPT}"']
        started.append(
            subprocess.Popen(
                command,
                env={**rest, **settings, "PATH": path},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.terminate()
        process.communicate(timeout=15)


async def _until_answered(redis) -> None:  # type: ignore[no-untyped-def]
    while True:
        try:
            await redis.ping()
        except AWAY:
            await anyio.sleep(0.05)
        else:
            return


async def test_each_user_is_answered_at_both_families(start: Start) -> None:
    port = free_port()
    start(REDIS_PORT=str(port), **PASSWORDS)
    for user in USERS:
        for host in ("127.0.0.1", "[::1]"):
            redis = client(f"redis://{user}:{user}-{'x' * 24}@{host}:{port}")
            with anyio.fail_after(10):
                await _until_answered(redis)
            await redis.aclose()


async def test_strangers_are_not(start: Start) -> None:
    port = free_port()
    start(REDIS_PORT=str(port), **PASSWORDS)
    known = client(f"redis://trading:trading-{'x' * 24}@127.0.0.1:{port}")
    with anyio.fail_after(10):
        await _until_answered(known)
    for refused in ("", "trading:wrong@", "default:@", "trading:intel-xxxxxxxxxxxxxxxxxxxxxxxx@"):
        stranger = client(f"redis://{refused}127.0.0.1:{port}")
        with pytest.raises(AuthenticationError):
            await stranger.ping()
        await stranger.aclose()
    with pytest.raises(NoPermissionError):
        await known.set("not-ours", "x")
    with pytest.raises(NoPermissionError):
        await known.config_get("maxmemory")
    await known.aclose()


async def test_it_keeps_what_is_written_and_never_evicts(start: Start, tmp_path: Path) -> None:
    port = free_port()
    process = start(REDIS_PORT=str(port), FLY_VM_MEMORY_MB="512", **PASSWORDS)
    redis = client(f"redis://trading:trading-{'x' * 24}@[::1]:{port}")
    with anyio.fail_after(10):
        await _until_answered(redis)
    facts = await redis.info("memory")
    assert facts["maxmemory_policy"] == "noeviction"
    assert facts["maxmemory"] == 512 * 55 // 100 << 20
    await redis.set("bt:{trading}:run", "kept")
    await redis.aclose()
    process.terminate()
    process.wait(15)
    assert process.returncode == 0
    again = start(REDIS_PORT=str(port), **PASSWORDS)
    redis = client(f"redis://trading:trading-{'x' * 24}@127.0.0.1:{port}")
    with anyio.fail_after(10):
        await _until_answered(redis)
    assert await redis.get("bt:{trading}:run") == b"kept"
    await redis.aclose()
    assert again.poll() is None


async def test_as_a_cache_it_evicts_and_keeps_nothing(start: Start, tmp_path: Path) -> None:
    port = free_port()
    start(REDIS_PORT=str(port), REDIS_EVICTS="yes", REDIS_MAXMEMORY="8mb", **PASSWORDS)
    redis = client(f"redis://trading:trading-{'x' * 24}@[::1]:{port}")
    with anyio.fail_after(10):
        await _until_answered(redis)
    for number in range(400):
        await redis.set(keys.summary(str(number)), b"x" * 30_000)
    facts = await redis.info("stats")
    assert facts["evicted_keys"] > 0
    await redis.aclose()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left_out", PASSWORDS)
def test_without_a_password_it_does_not_start(start: Start, left_out: str) -> None:
    given = {name: value for name, value in PASSWORDS.items() if name != left_out}
    process = start(REDIS_PORT=str(free_port()), **given)
    errors = process.communicate(timeout=20)[1]
    assert process.returncode != 0
    assert left_out in errors
    assert "Traceback" not in errors


def test_a_volume_that_it_may_not_write_is_told_with_the_remedy(
    start: Start, tmp_path: Path
) -> None:
    process = start(tmp_path / "absent", REDIS_PORT=str(free_port()), **PASSWORDS)
    errors = process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert "may not write there" in errors
    assert "chown 10001:10001" in errors
