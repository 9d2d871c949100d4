"""Alerts reach a real HTTP server; one that is away, slow or wrong costs nothing but the alert."""

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from betatrader.config import Alerts
from betatrader.model.secret import Secret
from betatrader.ops import http, webhook
from betatrader.ops.deadman import Deadman
from betatrader.ops.webhook import AGAIN_S, TEXTS_KEPT, TRIES, WAITING, Webhook

pytestmark = pytest.mark.asyncio


class Hook:
    """A server that answers each POST with the next of `statuses`, then with 200."""

    def __init__(self, *statuses: int, silent: bool = False) -> None:
        self.statuses = list(statuses)
        self.silent = silent
        self.bodies: list[dict] = []  # type: ignore[type-arg]
        self.heads: list[str] = []
        self.asked = 0
        self.open = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.split("Content-Length: ")[1].split("\r\n")[0])
            body = await reader.readexactly(length)
            self.asked += 1
            if self.silent:
                await reader.read()
                return
            status = self.statuses.pop(0) if self.statuses else 200
            if status == 200:
                self.heads.append(head)
                self.bodies.append(json.loads(body))
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def got(self, count: int) -> None:
        with anyio.fail_after(10):
            while len(self.bodies) < count:
                await anyio.sleep(0.005)


@asynccontextmanager
async def listening(hook: Hook) -> AsyncIterator[Hook]:
    async with await asyncio.start_server(hook.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        hook.url = f"http://127.0.0.1:{port}/T0KEN?a=b"
        yield hook


@asynccontextmanager
async def posting(posts: Webhook) -> AsyncIterator[Webhook]:
    async with anyio.create_task_group() as group:
        group.start_soon(posts.run)
        yield posts
        group.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "FIRST_PAUSE_S", 0.001)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def made(url: str, level: str = "error", clock: Clock | None = None) -> Webhook:
    settings = Alerts(webhook=Secret(url), level=level)  # type: ignore[arg-type]
    return Webhook(settings, "trading", "1.2", clock or Clock())


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("bt_alerts_total", {"outcome": outcome}) or 0.0


async def test_an_alert_arrives_as_json_with_all_that_one_needs() -> None:
    async with listening(Hook()) as hook, posting(made(hook.url)) as posts:
        posts.offer("critical", "drawdown é")
        await hook.got(1)
    [body] = hook.bodies
    assert body.pop("time").endswith("Z")
    assert body == {
        "text": "drawdown é",
        "level": "critical",
        "role": "trading",
        "version": "1.2",
        "repeated": 0,
    }
    assert hook.heads[0].startswith("POST /T0KEN?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
    assert "Content-Type: application/json\r\n" in hook.heads[0]


async def test_only_what_is_grave_enough_is_posted() -> None:
    async with listening(Hook()) as hook, posting(made(hook.url)) as posts:
        posts.offer("info", "a")
        posts.offer("warning", "b")
        posts.offer("error", "c")
        posts.offer("critical", "d")
        await hook.got(2)
    assert [body["text"] for body in hook.bodies] == ["c", "d"]


async def test_the_same_text_leaves_once_a_minute_and_the_count_is_told() -> None:
    clock = Clock()
    async with listening(Hook()) as hook, posting(made(hook.url, clock=clock)) as posts:
        for _ in range(5):
            posts.offer("error", "again")
        clock.now_s = AGAIN_S - 1
        posts.offer("error", "again")
        await hook.got(1)
        clock.now_s = AGAIN_S
        posts.offer("error", "again")
        await hook.got(2)
        clock.now_s = 3 * AGAIN_S
        posts.offer("error", "again")
        await hook.got(3)
    assert [body["text"] for body in hook.bodies] == ["again", "again (5 times more)", "again"]
    assert [body["repeated"] for body in hook.bodies] == [0, 5, 0]


async def test_a_count_is_told_though_the_text_never_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "SWEEP_S", 0.01)
    clock = Clock()
    async with listening(Hook()) as hook, posting(made(hook.url, clock=clock)) as posts:
        posts.offer("error", "again")
        posts.offer("error", "again")
        posts.offer("error", "once")
        await hook.got(2)
        clock.now_s = AGAIN_S
        await hook.got(3)
        clock.now_s = 2 * AGAIN_S
        with anyio.fail_after(10):
            while posts._told:
                await anyio.sleep(0.005)
    assert [body["text"] for body in hook.bodies] == ["again", "once", "again (1 times more)"]


async def test_a_server_in_trouble_is_asked_again_a_few_times() -> None:
    async with listening(Hook(500, 429, 503)) as hook, posting(made(hook.url)) as posts:
        posts.offer("error", "at last")
        await hook.got(1)
    assert hook.asked == TRIES


@pytest.mark.parametrize(("statuses", "asked"), [((404,), 1), ((302,), 1), ((500,) * TRIES, TRIES)])
async def test_what_cannot_be_posted_is_given_up_counted_and_logged_without_the_address(
    statuses: tuple[int, ...], asked: int
) -> None:
    failed = counted("failed")
    with capture_logs() as logs:
        async with listening(Hook(*statuses)) as hook, posting(made(hook.url)) as posts:
            posts.offer("error", "lost")
            posts.offer("error", "next")
            await hook.got(1)
    assert [body["text"] for body in hook.bodies] == ["next"]
    assert (hook.asked, counted("failed")) == (asked + 1, failed + 1)
    [line] = logs
    assert line["event"] == "alert_not_posted"
    assert "T0KEN" not in str(line)


async def test_a_dead_webhook_neither_blocks_nor_grows() -> None:
    """Nobody listens; thousands of alerts come: each `offer` returns, what waits is bounded."""
    dropped = counted("dropped")
    async with listening(Hook()) as hook:
        url = hook.url
    with capture_logs():
        async with posting(made(url)) as posts:
            for number in range(5_000):
                posts.offer("critical", f"alert {number}")
            assert len(posts._queue) == WAITING
            assert len(posts._told) == TEXTS_KEPT
            assert counted("dropped") == dropped + 5_000 - WAITING
            with anyio.fail_after(20):
                while posts._queue:
                    await anyio.sleep(0.01)


async def test_a_server_that_never_answers_is_left_in_time_and_no_connection_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "ANSWER_S", 0.02)
    with capture_logs() as logs:
        async with listening(Hook(silent=True)) as hook, posting(made(hook.url)) as posts:
            posts.offer("error", "unheard")
            with anyio.fail_after(10):
                while not logs or hook.open:
                    await anyio.sleep(0.005)
    assert (hook.asked, hook.open) == (TRIES, 0)
    assert logs[0]["error"] == "no answer in time"


async def test_the_last_alerts_leave_before_the_process_ends_but_not_at_any_price() -> None:
    async with listening(Hook()) as hook:
        posts = made(hook.url)
        posts.offer("critical", "the journal is broken")
        await posts.finish(10.0)
        assert [body["text"] for body in hook.bodies] == ["the journal is broken"]
    async with listening(Hook(silent=True)) as hook:
        posts = made(hook.url)
        posts.offer("critical", "unheard")
        await posts.finish(0.02)
        assert hook.bodies == []


async def test_without_an_address_nothing_is_kept() -> None:
    posts = made("")
    posts.offer("critical", "nobody hears")
    await posts.run()
    await posts.finish(1.0)
    assert not posts._queue


async def test_an_address_with_an_impossible_port_is_given_up_at_once() -> None:
    with capture_logs() as logs:
        async with posting(made("http://127.0.0.1:99999/T0KEN")) as posts:
            posts.offer("error", "lost")
            with anyio.fail_after(10):
                while not logs:
                    await anyio.sleep(0.005)
    assert logs[0]["error"] == "the address cannot be used"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nx",
    ],
)
async def test_an_answer_that_is_no_http_is_an_error_of_the_connection(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionError):
            await http.request("GET", f"http://127.0.0.1:{port}", timeout_s=5)


async def test_what_is_no_http_address_is_refused() -> None:
    with pytest.raises(ValueError, match="no http address"):
        await http.request("GET", "redis://127.0.0.1", timeout_s=5)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
async def test_https_trusts_the_machines_certificates_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    made_for = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", certificate, *made_for],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    hook = Hook()
    async with await asyncio.start_server(hook.serve, "127.0.0.1", 0, ssl=context) as server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
        http._trust.cache_clear()
        with pytest.raises(ssl.SSLCertVerificationError):
            await http.request("POST", url, body=b"{}", timeout_s=5)
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
        http._trust.cache_clear()
        try:
            assert await http.request("POST", url, body=b"{}", timeout_s=5) == (200, b"ok")
            with pytest.raises(ssl.SSLCertVerificationError):
                await http.request("POST", url.replace("localhost", "127.0.0.1"), timeout_s=5)
        finally:
            http._trust.cache_clear()
    assert hook.bodies == [{}]


class Watch:
    """The outside service: answers each GET with the next of `statuses`, then with 200."""

    def __init__(self, *statuses: int, silent: bool = False) -> None:
        self.statuses = list(statuses)
        self.silent = silent
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0])
            if self.silent:
                await reader.read()
            status = self.statuses.pop(0) if self.statuses else 200
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    async def asked_for(self, count: int) -> None:
        with anyio.fail_after(20):
            while len(self.asked) < count:
                await anyio.sleep(0.01)


@asynccontextmanager
async def pinging(
    watch: Watch, is_well: Callable[[], bool] = lambda: True
) -> AsyncIterator[list[MutableMapping[str, Any]]]:
    server = await asyncio.start_server(watch.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Alerts(deadman=Secret(f"http://127.0.0.1:{port}/ping/T0KEN-x"))
    deadman = Deadman(settings, is_well)
    deadman._every_s = 0.02  # a person may say 1 s at least
    with capture_logs() as said:
        task = asyncio.create_task(deadman.run())
        yield said
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    server.close()


async def test_the_outside_watch_is_asked_again_and_again_while_all_is_well() -> None:
    well = [True]
    watch = Watch()
    async with pinging(watch, lambda: well[0]):
        await watch.asked_for(3)
        well[0] = False
        before = len(watch.asked)
        await anyio.sleep(0.2)
        assert len(watch.asked) <= before + 1, "but for one under way, it hears nothing"
        well[0] = True
        await watch.asked_for(before + 3)
    assert set(watch.asked) == {"GET /ping/T0KEN-x HTTP/1.1"}


async def test_trouble_with_the_outside_watch_is_logged_once_and_so_is_its_end() -> None:
    watch = Watch(500, 404, 301)
    async with pinging(watch) as said:
        await watch.asked_for(5)
    assert [line["event"] for line in said] == ["deadman_not_pinged", "deadman_pinged_again"]
    assert "T0KEN" not in str(said)


async def test_an_outside_watch_that_never_answers_is_not_waited_for() -> None:
    watch = Watch(silent=True)
    async with pinging(watch) as said:
        await watch.asked_for(3)
    assert [line["error"] for line in said] == ["no answer in time"]


async def test_without_an_address_nothing_is_pinged() -> None:
    with anyio.fail_after(10):
        await Deadman(Alerts(), lambda: True).run()
