"""Trouble of a real run reaches a real webhook: the engine's alerts, and Redis away and back."""

import asyncio
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from running import PROGRAM, environment, family, until, up

from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.store import functions, keys
from betatrader.store.connection import connected

Hook = tuple[str, list[dict]]  # type: ignore[type-arg]

FAILS = """
from betatrader.engine.strategy import Strategy


class Fails(Strategy):
    name = "fails"

    def on_quote(self, view, market):
        raise ValueError("oh")
"""


@pytest.fixture
def hook() -> Iterator[Hook]:
    """An address and what was posted there."""
    posted: list[dict] = []  # type: ignore[type-arg]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/T0KEN", posted
        server.shutdown()
        thread.join()


def test_a_failed_strategy_and_an_outage_are_posted(tmp_path: Path, hook: Hook) -> None:
    url, posted = hook
    path = tmp_path / "fails.py"
    path.write_text(FAILS)

    def texts(role: str) -> list[str]:
        return [one["text"] for one in posted if one["role"] == role]

    with up("up", "--strategy", str(path), BETATRADER_ALERTS__WEBHOOK=url) as running:
        running.runtime()
        [failed] = until(lambda: texts("trading"), 10)
        assert failed == "strategy fails failed and is asked no more: ValueError: oh"
        [server] = [
            pid
            for pid in family(running.process.pid)
            if "valkey-server" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        os.kill(server, signal.SIGSTOP)
        until(lambda: any("does not answer" in text for text in texts("trading")), 20)
        os.kill(server, signal.SIGCONT)
        until(lambda: any("answers again" in text for text in texts("trading")), 20)
        status, _, errors = running.end()
    assert status == 0
    assert "T0KEN" not in errors


def test_a_lost_lease_is_posted_before_the_process_ends(own_home: Path, hook: Hook) -> None:
    url, posted = hook
    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as server:
        trader = subprocess.Popen(
            [*PROGRAM, "--role", "trading"],
            env=environment(
                REDIS_URL=server.url,
                BETATRADER_HEALTH__PORT="0",
                BETATRADER_LEASE__MODE="strict",
                BETATRADER_LEASE__TTL_SECONDS="2",
                BETATRADER_ALERTS__WEBHOOK=url,
            ),
            stderr=subprocess.DEVNULL,
        )
        try:
            until((own_home / "reports").exists, 20)
            asyncio.run(_take_the_lease(server.url))
            assert trader.wait(20) == 6
        finally:
            trader.kill()
    lost = [one for one in posted if one["text"].startswith("another trader holds the lease")]
    assert [(one["level"], one["role"]) for one in lost] == [("critical", "trading")]


async def _take_the_lease(url: str) -> None:
    """As after a loss of data in Redis: somebody else has it, and the holder is not asked."""
    async with connected(url) as redis:
        await redis.delete(keys.LEASE)
        await functions.lease_acquire(redis, "somebody else", 60_000, 0)
