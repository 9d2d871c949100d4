"""A WebSocket that is opened again whenever it breaks, or falls silent.

A socket that is open and says nothing is a dead one: what counts is data, not pings. A venue that
ends every connection after a while is left before: the next one is opened first, for a moment both
are heard, and whoever hears must take twice for once.
"""

import math
import random
from collections.abc import Callable
from urllib.parse import urlsplit

import anyio
import structlog

from betatrader.net.transport import Socket, Transport
from betatrader.ops import clock, metrics

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0
LOOK_S = 0.25
OVERLAP_S = 2.0
"""How long both connections are heard."""

TAKE_OVER_S = 5.0
"""How soon the next one must be ready to take over."""

RENEW_AGAIN_S = 30.0
STEADY_S = 30.0
"""A connection that has lasted so long begins the next pauses anew."""


def spread() -> float:
    """A factor that keeps many clients from coming back at once."""
    return random.uniform(0.5, 1.0)  # noqa: S311  spreads reconnects, and nothing else


class Feed:
    """One address, spoken to for as long as `run` runs. The callables are called on its task.

    `silent_s`: without a message for so long, the connection is broken off and made again.
    `life_s`: after so long it is renewed. `on_next` gets the socket of the next connection, and
    `on_next_text` what it says, until `take_over` is called; without them it takes over at once.
    """

    def __init__(
        self,
        transport: Transport,
        url: str,
        on_open: Callable[[Socket], None],
        on_text: Callable[[bytes], None],
        on_lost: Callable[[str], None],
        *,
        silent_s: float,
        life_s: float = math.inf,
        on_next: Callable[[Socket], None] | None = None,
        on_next_text: Callable[[bytes], None] | None = None,
    ) -> None:
        self.url = url
        self.connected = False
        self.overlaps = False
        """Whether two connections are heard, so that all may come twice."""
        self.trouble = ""
        """Why there is no connection, as far as is known; "" while there is one."""
        self._transport = transport
        self._on_open = on_open
        self._on_text = on_text
        self._on_lost = on_lost
        self._silent_s = silent_s
        self._life_s = life_s
        self._on_next = on_next
        self._on_next_text = on_next_text or on_text
        self._renew_s = math.inf
        self._next: tuple[_Line, Socket] | None = None
        self._socket: Socket | None = None
        self._line = _Line(self)
        self._heard_s = 0.0

    def send(self, text: bytes) -> None:
        """Send without waiting; where there is no connection it is dropped."""
        if self._socket is not None:
            self._socket.send(text)

    def break_off(self, reason: str) -> None:
        """End this connection; a new one is made."""
        if self._socket is not None:
            self._line.lost(reason)  # a peer that is gone would let us wait for its goodbye
            self._socket.close()

    def renew(self) -> None:
        """Replace this connection soon: the venue will end it."""
        self._renew_s = 0.0

    def take_over(self) -> None:
        """The next connection is ready: from now on it is the one to speak to."""
        if self._next is not None:
            self._line, self._socket = self._next
            self._next = None

    def drop_next(self) -> None:
        """The next connection will not do."""
        if self._next is not None:
            self._next[0].lost("it will not do")

    async def run(self) -> None:
        """Stay connected until cancelled."""
        log, pause_s = structlog.get_logger(), FIRST_PAUSE_S
        while True:
            began_s = clock.boot_s()
            try:
                await self._once()
            except (OSError, TimeoutError) as error:
                self._line.reason = str(error) or "no answer"
            self.trouble = self._line.reason
            metrics.SOCKETS_LOST.labels(urlsplit(self.url).hostname).inc()
            log.warning("socket_lost", url=self.url, reason=self.trouble)
            if clock.boot_s() - began_s >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            await anyio.sleep(pause_s * spread())
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _once(self) -> None:
        """One connection, to its end."""
        line = self._line = _Line(self)
        socket = self._socket = await self._transport.connect(self.url, line)
        self.connected, self.trouble = True, ""
        self._heard_s = clock.boot_s()
        self._renew_s = self._heard_s + self._life_s
        try:
            if not line.ended.is_set():
                self._on_open(socket)
            while not self._line.ended.is_set():
                with anyio.move_on_after(LOOK_S):
                    await self._line.ended.wait()
                now_s = clock.boot_s()
                if now_s - self._heard_s > self._silent_s:
                    self.break_off(f"silent for {self._silent_s:.0f} s")
                elif now_s >= self._renew_s:
                    self._renew_s = now_s + RENEW_AGAIN_S
                    await self._make_before_break()
        finally:
            last, self.connected, self._socket = self._socket, False, None
            if last is not None:
                last.close()
            self._on_lost(self._line.reason)

    async def _make_before_break(self) -> None:
        """Open the next connection, and leave this one only once that has taken over."""
        line, socket, following = self._line, self._socket, _Line(self)
        try:
            opened = await self._transport.connect(self.url, following)
        except (OSError, TimeoutError) as error:
            structlog.get_logger().warning("not_renewed", url=self.url, error=str(error))
            return
        try:
            self._next, self.overlaps = (following, opened), True
            if self._on_next is None:
                self.take_over()
            else:
                self._on_next(opened)
            with anyio.move_on_after(TAKE_OVER_S):
                while not (self._line is following or line.ended.is_set()):
                    with anyio.move_on_after(LOOK_S / 5):
                        await following.ended.wait()
                    if following.ended.is_set():
                        break
            if self._line is not following:
                structlog.get_logger().warning("not_renewed", url=self.url, error=following.reason)
                return
            self._renew_s = clock.boot_s() + self._life_s
            with anyio.move_on_after(OVERLAP_S):
                await following.ended.wait()
            line.lost("renewed")
        finally:
            self._next, self.overlaps = None, False
            left = socket if self._line is following else opened
            if left is not None:
                left.close()

    def heard(self, line: "_Line", text: bytes) -> None:
        """One message of a connection that is open."""
        if self._next is not None and line is self._next[0]:
            self._on_next_text(text)
            return
        self._heard_s = clock.boot_s()
        self._on_text(text)


class _Line:
    """Hears one connection, and nothing of it after its end."""

    def __init__(self, feed: Feed) -> None:
        self.ended = anyio.Event()
        self.reason = ""
        self._feed = feed

    def received(self, text: bytes) -> None:
        if not self.ended.is_set():
            self._feed.heard(self, text)

    def lost(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.ended.set()
