"""Trouble of a real run reaches a real webhook: the engine's alerts, and Redis away and back."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from running import PROGRAM, environment, redis_server_of, run, until, up

from betatrader.model.account import Fill
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.order import OrderTerms, OrderType, Side
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.roles.venue_process import served
from betatrader.store import functions, keys
from betatrader.store.connection import connected
from betatrader.venues.link import wire

BY_HAND = "f" * 32
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
        def do_GET(self) -> None:
            posted.append({"text": f"ping {self.path}", "role": "", "level": ""})
            self.send_response(200)
            self.end_headers()

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
        server = redis_server_of(running)
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


def test_halted_and_its_end_are_posted(hook: Hook) -> None:
    url, posted = hook
    with up("up", BETATRADER_ALERTS__WEBHOOK=url) as running:
        running.runtime()
        assert run("halt", "--reason", "news at noon").returncode == 0
        until(lambda: [one for one in posted if one["text"].startswith("HALTED: ")], 10)
        assert run("resume", "--reason", "the news was nothing").returncode == 0
        until(lambda: [one for one in posted if one["text"].startswith("ACTIVE")], 10)
        running.end()
    [halted] = [one for one in posted if one["text"].startswith("HALTED")]
    assert (halted["level"], halted["role"]) == ("critical", "trading")
    assert "news at noon" in halted["text"]


def test_an_order_made_by_hand_while_we_were_away_is_posted_as_a_difference(hook: Hook) -> None:
    url, posted = hook
    with served("sim", environment(), None) as link:
        with up("up", **link) as running:
            running.runtime()
            running.end()
        _buy_by_hand(link["BETATRADER_PAPER__LINK"])
        with up("up", BETATRADER_ALERTS__WEBHOOK=url, **link) as running:
            until(lambda: [one for one in posted if "differed from" in one["text"]], 30)
            running.end()
    [differed] = [one for one in posted if "differed from" in one["text"]]
    assert (differed["level"], differed["role"]) == ("error", "trading")
    assert f"fill {BY_HAND} BUY 0.0001 at" in differed["text"]


def _buy_by_hand(link: str) -> None:
    """On the trader's own account, as another program might."""
    host, _, port = link.rpartition(":")
    name, units = InstrumentId("BTCUSDT.BINANCE"), 10**8
    terms = OrderTerms(name, Side.BUY, OrderType.LIMIT, 200_000 * units, units // 10_000)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(wire.framed(wire.Hello("us")))
        connection.sendall(wire.framed(wire.Place(1, ClientOrderId(BY_HAND), terms)))
        frames = wire.Frames()
        while True:
            for payload in frames.feed(connection.recv(1 << 16)):
                answer = wire.decode_answer(payload)
                if isinstance(answer, wire.Told) and isinstance(answer.report, Fill):
                    return


def test_the_leader_is_watched_from_outside_and_its_death_is_told_by_the_jobs(
    own_home: Path, hook: Hook
) -> None:
    url, posted = hook

    def said(start: str) -> list[dict]:  # type: ignore[type-arg]
        return [one for one in posted if one["text"].startswith(start)]

    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as server:
        roles = {
            name: subprocess.Popen(
                [*PROGRAM, "--role", name.partition("-")[0]],
                env=environment(
                    REDIS_URL=server.url,
                    BETATRADER_HOME=str(own_home / name),
                    BETATRADER_HEALTH__PORT="0",
                    BETATRADER_LEASE__MODE="strict",
                    BETATRADER_LEASE__TTL_SECONDS="2",
                    BETATRADER_ALERTS__WEBHOOK=url,
                    BETATRADER_ALERTS__DEADMAN=f"{url}/{name}",
                    BETATRADER_ALERTS__DEADMAN_SECONDS="1",
                ),
                stderr=subprocess.DEVNULL,
            )
            for name in ("trading-blue", "jobs")
        }
        try:
            until(lambda: len(said("ping /T0KEN/trading-blue")) >= 3, 30)
            assert not said("ping /T0KEN/jobs"), "the trader's death must not be hidden"
            roles["trading-blue"].kill()
            until(lambda: said("nobody leads"), 30)
        finally:
            for process in roles.values():
                process.kill()
                process.wait()
    assert [(one["level"], one["role"]) for one in said("nobody leads")] == [("critical", "jobs")]
