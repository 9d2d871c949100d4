"""What an adapter needs of the network, and what a server gives: as protocols, without a library.

An adapter gets a Transport, a server is a Core. Over real sockets they meet through `net.live` and
`net.serving`; in a simulation one calls the other in memory.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable


class NotSentError(ConnectionError):
    """The request has not left: nothing can have come of it."""


class NoAnswerError(ConnectionError):
    """The request may have left, and no whole answer came: what came of it is unknown."""


class Answer(NamedTuple):
    """An HTTP answer; the names of headers are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Request(NamedTuple):
    """An HTTP request as a server gets it: query and body raw, names of headers in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    address: str = "127.0.0.1"


class Handler(Protocol):
    """Hears one side of a WebSocket."""

    def received(self, text: bytes) -> None:
        """One text message."""

    def lost(self, reason: str) -> None:
        """The connection has ended; called once, and nothing is heard after it."""


class Socket(Protocol):
    """Speaks on one side of a WebSocket."""

    def send(self, text: bytes) -> None:
        """Send one text message without waiting; on a broken connection it is dropped, and `lost`
        follows or has been called."""

    def close(self) -> None:
        """End the connection; `lost` follows."""


@runtime_checkable
class Pings(Protocol):
    """What a socket is besides where it has frames of control; a line in memory has none."""

    def ping(self, payload: bytes) -> None:
        """Send a ping frame without waiting; the peer owes a pong of the same payload."""


@runtime_checkable
class HearsControl(Protocol):
    """What a handler is besides where it wants to know of frames of control."""

    def pinged(self, payload: bytes) -> None:
        """The peer has sent a ping; the pong has been sent."""

    def ponged(self, payload: bytes) -> None:
        """The peer has sent a pong, asked for or not."""


class Transport(Protocol):
    """The network as an adapter sees it."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
    ) -> Answer:
        """Send one HTTP request, its URL as it is, once. Raises NotSentError or NoAnswerError."""

    async def connect(self, url: str, handler: Handler, *, timeout_s: float = 5.0) -> Socket:
        """Open a WebSocket; raises ConnectionError, or TimeoutError."""

    async def aclose(self) -> None:
        """Close what is kept open."""


class Core(Protocol):
    """A server without its sockets."""

    async def answer(self, request: Request) -> Answer | None:
        """Answer a request; None cuts the connection without an answer."""

    def open(self, request: Request, socket: Socket) -> Handler | None:
        """Hear a client's WebSocket, and speak to it; None refuses it (HTTP 404)."""
