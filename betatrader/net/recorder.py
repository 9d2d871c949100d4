"""A transport that keeps what it carries: every message of its sockets, and chosen answers, with
the time at which they came."""

from collections.abc import Callable, Mapping

from betatrader.net.transport import Answer, Handler, Socket, Transport
from betatrader.ops import clock

Keep = Callable[[int, bytes], None]
"""Takes the receive time (UTC ns) and the raw text."""


class Recorder:
    """Carries as `inner` does; `keep` gets each WebSocket message, and each good answer whose URL
    `chosen` picks, before the adapter sees it."""

    def __init__(self, inner: Transport, keep: Keep, chosen: Callable[[str], bool]) -> None:
        self._inner = inner
        self._keep = keep
        self._chosen = chosen

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
    ) -> Answer:
        """As the transport inside."""
        answer = await self._inner.request(
            method, url, headers=headers, body=body, timeout_s=timeout_s
        )
        if answer.status == 200 and self._chosen(url):
            self._keep(clock.now_ns(), answer.body)
        return answer

    async def connect(self, url: str, handler: Handler, *, timeout_s: float = 5.0) -> Socket:
        """As the transport inside."""
        return await self._inner.connect(url, _Ear(handler, self._keep), timeout_s=timeout_s)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._inner.aclose()


class _Ear:
    """Keeps each message, and passes it on."""

    def __init__(self, handler: Handler, keep: Keep) -> None:
        self._handler = handler
        self._keep = keep

    def received(self, text: bytes) -> None:
        self._keep(clock.now_ns(), text)
        self._handler.received(text)

    def lost(self, reason: str) -> None:
        self._handler.lost(reason)
