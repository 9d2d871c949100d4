"""The network itself: what leaves, what comes back, and what a failure leaves unknown."""

import socket
from collections.abc import AsyncIterator

import anyio
import pytest
from aiohttp import WSMsgType, web

from betatrader.net import live
from betatrader.net.live import LiveTransport
from betatrader.net.transport import NoAnswerError, NotSentError
from betatrader.venues.polymarket.sending import AT_ONCE

pytestmark = pytest.mark.asyncio


class Ear:
    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.reasons: list[str] = []

    def received(self, text: bytes) -> None:
        self.texts.append(text)

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)


class Peer:
    """A small server, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.base = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((request.method, request.raw_path, body))
        match request.path:
            case "/slow":
                await anyio.sleep(5)
            case "/cut":
                assert request.transport is not None
                request.transport.abort()
            case "/half":
                answer = web.StreamResponse(headers={"Content-Length": "100"})
                await answer.prepare(request)
                await answer.write(b"half")
                assert request.transport is not None
                request.transport.abort()
                return answer
            case "/large":
                return web.Response(body=bytes(5000))
        return web.json_response({"ok": True}, status=418, headers={"Retry-After": "7"})

    async def talk(self, request: web.Request) -> web.WebSocketResponse:
        line = web.WebSocketResponse(compress=False)
        await line.prepare(request)
        async for message in line:
            if message.type != WSMsgType.TEXT:
                continue
            if message.data == "bye":
                await line.close(code=1008, message=b"enough")
            else:
                await line.send_str(message.data.upper())
        return line


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    application = web.Application()
    application.router.add_get("/talk", made.talk)
    application.router.add_route("*", "/{rest:.*}", made.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.base = f"127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def network() -> AsyncIterator[LiveTransport]:
    made = LiveTransport()
    yield made
    await made.aclose()


async def until(look) -> None:  # type: ignore[no-untyped-def]
    with anyio.fail_after(5):
        while not look():
            await anyio.sleep(0.005)


async def test_a_request_arrives_as_it_was_written(peer: Peer, network: LiveTransport) -> None:
    path = "/order?symbols=%5B%22A%22%5D&signature=a%2Bb%2F%3D"
    answer = await network.request("POST", f"http://{peer.base}{path}", body=b'{"a": 1}')
    assert peer.asked == [("POST", path, b'{"a": 1}')]
    assert (answer.status, answer.headers["retry-after"]) == (418, "7")
    assert answer.body == b'{"ok": true}'


async def test_what_nobody_listens_to_was_not_sent(network: LiveTransport) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(NotSentError, match="is not reached"):
        await network.request("POST", f"http://127.0.0.1:{port}/order?signature=secret")


@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
@pytest.mark.parametrize("path", ["/slow", "/cut", "/half"])
async def test_where_no_whole_answer_comes_the_outcome_is_unknown_and_it_is_sent_once(
    peer: Peer, network: LiveTransport, path: str, method: str
) -> None:
    with pytest.raises(NoAnswerError) as told:
        await network.request(
            method, f"http://{peer.base}{path}?signature=secret", body=b"order", timeout_s=0.5
        )
    assert "secret" not in str(told.value)
    assert len(peer.asked) == 1
    again = await network.request("GET", f"http://{peer.base}/ok")
    assert again.status == 418, "the next request goes on as ever"


async def test_slow_questions_and_orders_hold_no_other_order_cancel_or_heartbeat_up(
    peer: Peer, network: LiveTransport
) -> None:
    """The books of many markets and the statement under way, then orders and cancels too."""

    async def hang(method: str) -> None:
        await network.request(method, f"http://{peer.base}/slow", timeout_s=30)

    async def act(method: str) -> None:
        with anyio.fail_after(2):
            answer = await network.request(method, f"http://{peer.base}/order", body=b"{}")
        assert answer.status == 418

    async with anyio.create_task_group() as group:
        for _ in range(24):
            group.start_soon(hang, "GET")
        await until(lambda: len(peer.asked) == live.CONNECTIONS)
        for method in ("POST", "DELETE", "PUT"):
            await act(method)
        for _ in range(AT_ONCE):
            group.start_soon(hang, "POST")
            group.start_soon(hang, "DELETE")
        await until(lambda: len(peer.asked) == live.CONNECTIONS + 3 + 2 * AT_ONCE)
        await act("POST")
        group.cancel_scope.cancel()


async def test_an_answer_without_end_is_cut_off(
    peer: Peer, network: LiveTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LARGEST_ANSWER", 1000)
    with pytest.raises(NoAnswerError, match="an answer over"):
        await network.request("GET", f"http://{peer.base}/large")


async def test_a_socket_speaks_both_ways_and_tells_why_it_ended(
    peer: Peer, network: LiveTransport
) -> None:
    ear = Ear()
    line = await network.connect(f"ws://{peer.base}/talk", ear)
    line.send(b"hello")
    line.send(b"world")
    await until(lambda: len(ear.texts) == 2)
    assert ear.texts == [b"HELLO", b"WORLD"]
    line.send(b"bye")
    await until(lambda: ear.reasons)
    assert ear.reasons == ["closed by the peer: 1008 enough"]
    line.send(b"nobody hears")
    line.close()
    assert len(ear.reasons) == 1


async def test_a_socket_that_we_close_ends_once(peer: Peer, network: LiveTransport) -> None:
    ear = Ear()
    line = await network.connect(f"ws://{peer.base}/talk", ear)
    line.close()
    await until(lambda: ear.reasons)
    assert len(ear.reasons) == 1


async def test_what_is_no_websocket_is_an_error_of_the_connection(
    peer: Peer, network: LiveTransport
) -> None:
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1"):
        await network.connect(f"ws://{peer.base}/other?token=secret", Ear())
    with pytest.raises(OSError, match=r"Connect call failed|refused"):
        await network.connect("ws://127.0.0.1:1/", Ear())
