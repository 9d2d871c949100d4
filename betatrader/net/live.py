"""The network itself: HTTP by aiohttp, WebSockets by picows, which sends without a task switch."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from yarl import URL

from betatrader.net.transport import Answer, Handler, NoAnswerError, NotSentError, Socket

LARGEST_ANSWER = 32 << 20
LARGEST_MESSAGE = 16 << 20
MOST_UNSENT = 1 << 20
"""Bytes that may wait in a socket: a peer that reads no more is away."""

CONNECTIONS = 8
"""To one host at a time, for questions."""

CHANGES = 72
"""The same for what is no question, as orders and cancels: more than an adapter lets be under way
there, so that none waits for another's answer. They are opened as they are needed."""


class LiveTransport:
    """Keeps connections open between requests; made and used on one event loop. Questions (GET) and
    what changes something have connections of their own: a slow answer to a question holds no
    order, cancel or heartbeat up."""

    def __init__(self, *, user_agent: str = "betatrader") -> None:
        self._user_agent = user_agent
        self._sessions: dict[int, aiohttp.ClientSession] = {}
        """By how many connections to one host they may have."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
    ) -> Answer:
        """One request, sent once: a kept connection that the server has closed is no reason to
        send it again, since it may have been read. Raises NotSentError or NoAnswerError."""
        limit = aiohttp.ClientTimeout(total=timeout_s)
        address = URL(url, encoded=True)  # a signature is over the very text
        try:
            async with self._opened(CONNECTIONS if method == "GET" else CHANGES).request(
                method,
                address,
                headers=headers,
                data=body or None,
                timeout=limit,
                allow_redirects=False,  # an order goes where it was meant to go, once
            ) as answer:
                content = await answer.content.read(LARGEST_ANSWER + 1)
                while not answer.content.at_eof() and len(content) <= LARGEST_ANSWER:
                    content += await answer.content.read(LARGEST_ANSWER + 1)
                if len(content) > LARGEST_ANSWER:
                    raise NoAnswerError(f"{_host(url)}: an answer over {LARGEST_ANSWER >> 20} MB")
                names = {name.lower(): value for name, value in answer.headers.items()}
                return Answer(answer.status, content, names)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSentError(f"{_host(url)} is not reached: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error, NoAnswerError):
                raise
            reason = str(error) or f"no answer in {timeout_s:.0f} s"
            raise NoAnswerError(f"{_host(url)}: {reason}") from error

    def _opened(self, connections: int) -> aiohttp.ClientSession:
        session = self._sessions.get(connections)
        if session is None:
            session = self._sessions[connections] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, limit_per_host=connections, keepalive_timeout=30
                ),
                headers={"User-Agent": self._user_agent},
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Content-Type",),
            )
            # aiohttp itself sends what is no POST once more, a cancel too; it has no setting for it
            session._retry_connection = False
        return session

    async def connect(self, url: str, handler: Handler, *, timeout_s: float = 5.0) -> Socket:
        """Open a WebSocket; raises ConnectionError, or TimeoutError."""
        headers = {"User-Agent": self._user_agent}
        try:
            async with asyncio.timeout(timeout_s):
                transport, _ = await ws_connect(
                    lambda: _Listener(handler),
                    url,
                    extra_headers=headers,
                    max_frame_size=LARGEST_MESSAGE,
                    max_redirects=0,
                    websocket_handshake_timeout=timeout_s,
                )
        except WSError as error:
            raise ConnectionError(f"{_host(url)}: {error}") from error
        return _Socket(transport)

    async def aclose(self) -> None:
        """Close kept connections."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()


def _host(url: str) -> str:
    """What of an address may be shown: a query may hold a signature."""
    return f"{URL(url).host}{URL(url).path}"


class _Socket:
    """The speaking end."""

    def __init__(self, transport: WSTransport) -> None:
        self._transport = transport

    def send(self, text: bytes) -> None:
        transport = self._transport
        if transport.is_disconnected:
            return
        transport.send(WSMsgType.TEXT, text)
        under = transport.underlying_transport
        if under.get_write_buffer_size() > MOST_UNSENT:
            under.abort()

    def close(self) -> None:
        if not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()


class _Listener(WSListener):
    """The hearing end: frames to whole messages."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._parts: list[bytes] = []
        self._size = 0
        self._reason = "closed by the peer"

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            code, text = frame.get_close_code(), frame.get_close_message()
            self._reason = f"closed by the peer: {code} {_text(text)}".rstrip()
            transport.disconnect()
            return
        if kind not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            return
        if frame.fin and not self._parts:
            self._handler.received(frame.get_payload_as_bytes())
            return
        self._parts.append(frame.get_payload_as_bytes())
        self._size += len(self._parts[-1])
        if self._size > LARGEST_MESSAGE:
            self._reason = f"a message over {LARGEST_MESSAGE >> 20} MB"
            transport.disconnect()
        elif frame.fin:
            whole = b"".join(self._parts)
            self._parts, self._size = [], 0
            self._handler.received(whole)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002
        self._handler.lost(self._reason)


def _text(found: Any) -> str:
    if isinstance(found, bytes):
        return found.decode(errors="replace")
    return str(found or "")
