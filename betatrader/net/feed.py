"""A WebSocket that is opened again whenever it breaks, or falls silent.

A socket that is open and says nothing is a dead one: what counts is data, not pings.
"""

import random
from collections.abc import Callable

import anyio
import structlog

from betatrader.net.transport import Socket, Transport
from betatrader.ops import clock

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0
LOOK_S = 0.25
STEADY_S = 30.0
"""A connection that has lasted so long begins the next pauses anew."""


def spread() -> float:
    """A factor that keeps many clients from coming back at once."""
    return random.uniform(0.5, 1.0)  # noqa: S311  spreads reconnects, and nothing else


class Feed:
    """One address, spoken to for as long as `run` runs. The callables are called on its task.

    `silent_s`: without a message for so long, the connection is broken off and made again.
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
    ) -> None:
        self.url = url
        self.connected = False
        self.trouble = ""
        """Why there is no connection, as far as is known; "" while there is one."""
        self._transport = transport
        self._on_open = on_open
        self._on_text = on_text
        self._on_lost = on_lost
        self._silent_s = silent_s
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
        try:
            if not line.ended.is_set():
                self._on_open(socket)
            while not line.ended.is_set():
                with anyio.move_on_after(LOOK_S):
                    await line.ended.wait()
                if clock.boot_s() - self._heard_s > self._silent_s:
                    self.break_off(f"silent for {self._silent_s:.0f} s")
        finally:
            self.connected, self._socket = False, None
            socket.close()
            self._on_lost(line.reason)

    def heard(self, text: bytes) -> None:
        """One message of the connection that is open."""
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
            self._feed.heard(text)

    def lost(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.ended.set()
