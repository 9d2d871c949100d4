"""A server's Core on a port of this machine: HTTP and WebSockets by aiohttp, on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from betatrader.net.transport import Core, Handler, HearsControl, Request

LARGEST_BODY = 1 << 20
LARGEST_MESSAGE = 1 << 20
MOST_UNREAD = 8 << 20
"""Bytes that may wait for a client: one that reads no more is cut off."""

SHUTDOWN_S = 0.5


@asynccontextmanager
async def serving(core: Core, host: str, port: int) -> AsyncIterator[int]:
    """Serve until left; gives the port (0 takes a free one). Raises OSError where it is taken."""
    host_ = _Host(core)
    application = web.Application(client_max_size=LARGEST_BODY)
    application.router.add_route("*", "/{rest:.*}", host_.take)
    runner = web.AppRunner(
        application, access_log=None, shutdown_timeout=SHUTDOWN_S, handle_signals=False
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await host_.end()
        await runner.cleanup()


class _Host:
    """Requests and WebSockets of all clients, to the core."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lines: set[_Line] = set()

    async def take(self, request: web.Request) -> web.StreamResponse:
        """One request, of either kind."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        path, _, query = request.raw_path.partition("?")
        asked = Request(
            request.method, path, query, headers, await request.read(), request.remote or ""
        )
        if headers.get("upgrade", "").lower() == "websocket":
            return await self._talk(request, asked)
        answer = await self._core.answer(asked)
        if answer is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    async def _talk(self, request: web.Request, asked: Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=LARGEST_MESSAGE, autoping=False)
        line = _Line(socket, request)
        handler = self._core.open(asked, line)
        if handler is None:
            return web.Response(status=404)
        await socket.prepare(request)
        self._lines.add(line)
        reason = "closed by the client"
        speaking = asyncio.ensure_future(line.speak())
        try:
            async for message in socket:
                _hear(handler, line, message)
        except (ConnectionError, asyncio.CancelledError) as error:
            reason = str(error) or "cancelled"
            raise
        finally:
            self._lines.discard(line)
            line.close()
            handler.lost(reason)
            await asyncio.wait([speaking], timeout=SHUTDOWN_S)
            speaking.cancel()
        return socket

    async def end(self) -> None:
        """Cut every client off."""
        for line in list(self._lines):
            line.close()


def _hear(handler: Handler, line: "_Line", message: WSMessage) -> None:
    """One frame of the client, of whichever kind; a ping is answered here."""
    data = message.data
    if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
        handler.received(data.encode() if isinstance(data, str) else data)
    elif message.type is WSMsgType.PING:
        line.pong(bytes(data))
        if isinstance(handler, HearsControl):
            handler.pinged(bytes(data))
    elif message.type is WSMsgType.PONG and isinstance(handler, HearsControl):
        handler.ponged(bytes(data))


class _Line:
    """The speaking end of one client's WebSocket: what is sent waits in order, and is bounded."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self._socket = socket
        self._request = request
        self._waiting: list[bytes] = []
        self._pings: list[bytes] = []
        self._pongs: list[bytes] = []
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closed = False

    def send(self, text: bytes) -> None:
        """Send without waiting."""
        if self._closed:
            return
        self._waiting.append(text)
        self._bytes += len(text)
        self._wake.set()
        if self._bytes > MOST_UNREAD:
            self._cut()

    def ping(self, payload: bytes) -> None:
        """Send a ping frame without waiting."""
        self._pings.append(payload)
        self._wake.set()

    def pong(self, payload: bytes) -> None:
        """Answer a ping."""
        self._pongs.append(payload)
        self._wake.set()

    def close(self) -> None:
        """Say what waits, and end."""
        self._closed = True
        self._wake.set()

    def _cut(self) -> None:
        self._closed = True
        if self._request.transport is not None:
            self._request.transport.abort()

    async def speak(self) -> None:
        """Send what waits, until closed."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting, self._bytes = self._waiting, [], 0
            pings, self._pings, pongs, self._pongs = self._pings, [], self._pongs, []
            try:
                for payload in pongs:
                    await self._socket.pong(payload)
                for payload in pings:
                    await self._socket.ping(payload)
                for text in waiting:
                    await self._socket.send_str(text.decode())
                if self._closed:
                    await self._socket.close(code=WSCloseCode.GOING_AWAY)
                    return
            except (ConnectionError, RuntimeError):
                return
