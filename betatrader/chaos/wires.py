"""HTTP and WebSockets between simulated processes: an adapter's Transport, with a server's Core at
the other end, on the simulated network and under its faults."""

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from betatrader.chaos.loop import Process, current_process
from betatrader.chaos.network import Network
from betatrader.net.transport import (
    Answer,
    Core,
    Handler,
    NoAnswerError,
    NotSentError,
    Request,
    Socket,
)


class Served:
    """A core that answers at every address of the network, as the process that made this."""

    def __init__(self, network: Network, core: Core) -> None:
        self.core = core
        self.network = network
        self.context = contextvars.copy_context()
        self.cuts = 0
        """How often every connection was broken."""
        self.ends: list[_End] = []

    def cut_all(self) -> None:
        """Break every connection, and leave every request without an answer."""
        self.cuts += 1
        for end in list(self.ends):
            end.break_off("cut")


class MemoryTransport:
    """The network as one simulated process sees it."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._network = served.network

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
    ) -> Answer:
        """One request: it may not arrive, or be answered into nothing."""
        network, served, owner = self._network, self._served, current_process()
        parts = urlsplit(url)
        names = {name.lower(): value for name, value in (headers or {}).items()}
        asked = Request(method, parts.path, parts.query, names, body)
        await asyncio.sleep(network.delay_s())
        if network.refusing:
            raise NotSentError("nobody listens")
        if owner is not None and not owner.alive:
            raise NotSentError("dead")
        cuts = served.cuts
        work = network.loop.create_task(served.core.answer(asked), context=served.context.copy())
        try:
            async with asyncio.timeout(timeout_s):
                answer: Answer | None = await asyncio.shield(work)
                await asyncio.sleep(network.delay_s())
        except TimeoutError:
            raise NoAnswerError("no answer in time") from None
        if answer is None or served.cuts != cuts:
            raise NoAnswerError("the connection broke")
        return answer

    async def connect(self, url: str, handler: Handler, *, timeout_s: float = 5.0) -> Socket:  # noqa: ARG002
        """A WebSocket; raises ConnectionError."""
        network, served, owner = self._network, self._served, current_process()
        parts = urlsplit(url)
        await asyncio.sleep(network.delay_s())
        if network.refusing:
            raise ConnectionRefusedError("nobody listens")
        here = _End(served, owner, contextvars.copy_context())
        there = _End(served, None, served.context.copy())
        here.peer, there.peer = there, here
        here.handler = handler
        asked = Request("GET", parts.path, parts.query, {}, b"")
        there.handler = there.context.run(served.core.open, asked, there)
        if there.handler is None:
            raise ConnectionError("refused")
        served.ends = [end for end in served.ends if not end.closed] + [here, there]
        if owner is not None:
            owner.on_killed.append(lambda: there.break_off("the peer died"))
        return here

    async def aclose(self) -> None:
        """Nothing is kept."""


class RoutedTransport:
    """The networks of several venues, each under a host name of its own."""

    def __init__(self, served: Mapping[str, Served]) -> None:
        self._transports = {host: MemoryTransport(one) for host, one in served.items()}

    async def request(self, method: str, url: str, **more: Any) -> Answer:
        """One request, to the venue of its host."""
        return await self._of(url).request(method, url, **more)

    async def connect(self, url: str, handler: Handler, **more: Any) -> Socket:
        """A WebSocket, to the venue of its host."""
        return await self._of(url).connect(url, handler, **more)

    async def aclose(self) -> None:
        """Nothing is kept."""

    def _of(self, url: str) -> MemoryTransport:
        return self._transports[urlsplit(url).hostname or ""]


class _End:
    """One end of a WebSocket: what it sends arrives in order at the other."""

    def __init__(self, served: Served, owner: Process | None, context: contextvars.Context) -> None:
        self.peer: _End | None = None
        self.handler: Handler | None = None
        self.context = context
        self.closed = False
        self._served = served
        self._owner = owner
        self._last_arrival = 0.0

    def send(self, text: bytes) -> None:
        """Send; nothing leaves a process that is dead."""
        network, peer = self._served.network, self.peer
        if self.closed or peer is None or not network.alive(self._owner):
            return
        arrival = max(network.loop.time() + network.delay_s(), self._last_arrival)
        self._last_arrival = arrival
        peer.at(arrival, peer.hear, text)

    def hear(self, text: bytes) -> None:
        """What arrives."""
        if not self.closed and self.handler is not None:
            self.handler.received(text)

    def close(self) -> None:
        """End it at both ends."""
        self.break_off("closed by the peer")

    def break_off(self, reason: str) -> None:
        """End it at both ends, for a reason."""
        now = self._served.network.loop.time()
        for end in (self, self.peer):
            if end is not None and not end.closed:
                end.closed = True
                if end.handler is not None:
                    end.at(now, end.handler.lost, reason)

    def at(self, when: float, call: Callable[..., object], *args: object) -> None:
        """Do something at this end, as its process: not where that is dead or sleeps."""
        self._served.network.loop.call_at(when, call, *args, context=self.context)
