"""A client's connection as the venue keeps it: pinged, limited, told of its end, and ended.

Source: Binance's web-socket-streams.md ("General WSS information", "WebSocket Limits") and
web-socket-api.md.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from betatrader.net.transport import Handler, Pings, Socket
from betatrader.ops import clock

LIFE_S = 86_400.0
PING_S, PONG_S = 20.0, 60.0
MESSAGES_A_SECOND = 5
"""What a connection to the streams may say: requests, pings and pongs all count."""


class Keeping(msgspec.Struct):
    """How long connections live, and what is asked of them."""

    life_s: float = LIFE_S
    ping_s: float = PING_S
    pong_s: float = PONG_S
    """How soon after a ping its pong must have come."""
    messages_a_second: int = MESSAGES_A_SECOND
    dropped: int = 0
    """How many connections were ended for what they did, or did not do."""


class Ends(Handler, Protocol):
    """A connection that can say that it will end."""

    def shuts_down(self) -> None:
        """Tell the client `serverShutdown`."""


class Kept:
    """One connection: hears what its handler hears, and the frames of control besides. `flooded` is
    called where it says too much; None where that is not limited."""

    def __init__(
        self,
        keeping: Keeping,
        socket: Socket,
        handler: Ends,
        lines: "dict[Kept, None]",
        flooded: Callable[[], None] | None,
    ) -> None:
        self._keeping = keeping
        self._flooded = flooded
        self._socket = socket
        self._handler = handler
        self._lines = lines
        self._said_s: deque[float] = deque()
        self._unanswered: dict[bytes, float] = {}
        self._pings = 0
        self._ended = False
        loop = asyncio.get_running_loop()
        self._timers = {"life": loop.call_later(keeping.life_s, socket.close)}
        lines[self] = None
        if isinstance(socket, Pings):
            self._timers["ping"] = loop.call_later(keeping.ping_s, self._ping, socket)

    def received(self, text: bytes) -> None:
        """One text message."""
        if self._counted():
            self._handler.received(text)

    def pinged(self, payload: bytes) -> None:  # noqa: ARG002  it is answered by the socket
        """A ping of the client: one message more."""
        self._counted()

    def ponged(self, payload: bytes) -> None:
        """A pong; one that nobody asked for keeps nothing alive."""
        if self._counted() and payload in self._unanswered:
            self._unanswered.clear()

    def lost(self, reason: str) -> None:
        """The client has gone."""
        for timer in self._timers.values():
            timer.cancel()
        self._lines.pop(self, None)
        self._handler.lost(reason)

    def warn(self) -> None:
        """Say that this connection ends soon."""
        self._handler.shuts_down()

    def cut(self) -> None:
        """End it without a word."""
        self._socket.close()

    def _counted(self) -> bool:
        """Whether this message is one that the client may still send."""
        if self._ended:
            return False
        if self._flooded is None:
            return True
        now_s, said = clock.boot_s(), self._said_s
        said.append(now_s)
        while said[0] <= now_s - 1.0:
            said.popleft()
        if len(said) <= self._keeping.messages_a_second:
            return True
        self._drop()
        self._flooded()
        return False

    def _ping(self, socket: Pings) -> None:
        """The next ping, or the end of a client that has left one unanswered for too long."""
        now_s, keeping = clock.boot_s(), self._keeping
        if any(now_s - sent_s >= keeping.pong_s for sent_s in self._unanswered.values()):
            self._drop()
            return
        self._pings += 1
        payload = str(clock.now_ns() // 1_000_000 + self._pings).encode()
        self._unanswered[payload] = now_s
        socket.ping(payload)
        loop = asyncio.get_running_loop()
        self._timers["ping"] = loop.call_later(keeping.ping_s, self._ping, socket)

    def _drop(self) -> None:
        self._ended = True
        self._keeping.dropped += 1
        self._socket.close()
