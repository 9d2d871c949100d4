"""A transport to a core in this process, without sockets between: for benchmarks."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from betatrader.net.transport import Answer, Core, Handler, NoAnswerError, Request, Socket


class Direct:
    """Requests are calls; what a socket says is heard in the loop's next turn."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
    ) -> Answer:
        """Call the core; raises NoAnswerError."""
        parts = urlsplit(url)
        names = {name.lower(): value for name, value in (headers or {}).items()}
        asked = Request(method, parts.path, parts.query, names, body)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._core.answer(asked)
        except TimeoutError:
            answer = None
        if answer is None:
            raise NoAnswerError(f"{parts.path}: no answer")
        return answer

    async def connect(self, url: str, handler: Handler, *, timeout_s: float = 5.0) -> Socket:  # noqa: ARG002
        """Open a line to the core; raises ConnectionError where it takes none."""
        parts = urlsplit(url)
        here, there = _End(), _End()
        here.peer, there.peer, here.handler = there, here, handler
        there.handler = self._core.open(Request("GET", parts.path, parts.query, {}, b""), there)
        if there.handler is None:
            raise ConnectionError(f"{parts.path}: refused")
        return here

    async def aclose(self) -> None:
        """Nothing is kept."""


class _End:
    """One end of a line."""

    def __init__(self) -> None:
        self.peer: _End | None = None
        self.handler: Handler | None = None
        self._closed = False

    def send(self, text: bytes) -> None:
        """Heard by the peer in the loop's next turn."""
        if not self._closed and self.peer is not None:
            asyncio.get_running_loop().call_soon(self.peer.hear, text)

    def hear(self, text: bytes) -> None:
        """What arrives."""
        if not self._closed and self.handler is not None:
            self.handler.received(text)

    def close(self) -> None:
        """End both ends."""
        for end in (self, self.peer):
            if end is not None and not end._closed:
                end._closed = True
                if end.handler is not None:
                    asyncio.get_running_loop().call_soon(end.handler.lost, "closed")
