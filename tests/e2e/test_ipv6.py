"""fly's private network is IPv6 alone: Redis, roles and commands meet at ::1 and nowhere else."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from running import PROGRAM, environment, run, until

from betatrader.ops import http
from betatrader.ops.embedded_redis import binary
from betatrader.roles import ROLES
from betatrader.store.connection import connected


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6, not even ::1")


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A server that IPv4 does not reach."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as link:
        port = link.getsockname()[1]
    server = subprocess.Popen(
        [str(binary()), "--bind", "::1", "--port", str(port), "--dir", str(tmp_path), "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    yield f"redis://[::1]:{port}"
    server.terminate()
    server.wait(10)


def probed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The health check of containers."""
    command = [sys.executable, "-m", "betatrader.ops.probe", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize(
    ("arguments", "status", "said"), [((), 2, "a port is missing"), (("1",), 1, "nothing answers")]
)
def test_the_probe_says_why_not(arguments: tuple[str, ...], status: int, said: str) -> None:
    done = probed(*arguments)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


async def _ready(port: int) -> bool:
    try:
        answer = await http.request("GET", f"http://[::1]:{port}/readyz", timeout_s=2)
    except (OSError, TimeoutError):
        return False
    return answer.status == 200


async def test_the_client_does(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        assert await redis.ping()
    port = int(redis_url.rpartition(":")[2])
    with pytest.raises(OSError):
        await anyio.connect_tcp("127.0.0.1", port)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_reached_and_reaches_redis(role: str, redis_url: str, tmp_path: Path) -> None:
    settings = {
        "REDIS_URL": redis_url,
        "BETATRADER_HOME": str(tmp_path / "home"),
        "BETATRADER_HEALTH__PORT": "0",
        "BETATRADER_HEALTH__EVERYWHERE": "true",
    }
    logs = tmp_path / "logs"
    with logs.open("wb") as file:
        process = subprocess.Popen(
            [*PROGRAM, "--role", role], env=environment(**settings), stdout=file, stderr=file
        )
    try:
        port = until(lambda: re.search(r'"port": ?(\d+)', logs.read_text()), 20)
        assert anyio.run(_ready, int(port[1]))
        assert json.loads(probed(port[1]).stdout)["ready"] is True
        if role == "trading":
            done = run("status", "--json", **settings)
            assert done.returncode == 0, done.stderr
    finally:
        process.terminate()
        process.wait(20)
    assert process.returncode == 0
