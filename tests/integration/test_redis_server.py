"""scripts/redis-server: the deployment's Redis, with a password, on IPv4 and IPv6."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from redis.exceptions import AuthenticationError

from betatrader.store.connection import AWAY, client

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/redis-server"


def free_port() -> int:
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return int(link.getsockname()[1])


async def test_it_answers_both_families_with_its_password_alone(tmp_path: Path) -> None:
    port = free_port()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    settings = {"REDIS_PASSWORD": "s3cret", "REDIS_PORT": str(port), "PATH": path}
    server = subprocess.Popen(
        ["sh", str(SCRIPT), str(tmp_path)],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
    )
    try:
        for host in ("127.0.0.1", "[::1]"):
            redis = client(f"redis://betatrader:s3cret@{host}:{port}")
            with anyio.fail_after(10):
                await _until_answered(redis)
            assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
            await redis.aclose()
        stranger = client(f"redis://127.0.0.1:{port}")
        with pytest.raises(AuthenticationError):
            await stranger.ping()
        await stranger.aclose()
    finally:
        server.terminate()
        server.wait(15)
    assert server.returncode == 0


async def _until_answered(redis) -> None:  # type: ignore[no-untyped-def]
    while True:
        try:
            await redis.ping()
        except AWAY:
            await anyio.sleep(0.05)
        else:
            return


def test_without_a_password_it_does_not_start(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", str(SCRIPT), str(tmp_path)],
        env={name: value for name, value in os.environ.items() if name != "REDIS_PASSWORD"},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert done.returncode != 0
    assert "REDIS_PASSWORD" in done.stderr
