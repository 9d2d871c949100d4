"""A transport whose attempts to connect are counted: the venue takes so many from one address."""

from collections.abc import Mapping

from betatrader.net.transport import Answer, Handler, NotSentError, Socket, Transport
from betatrader.ops import clock
from betatrader.venues.binance.limits import ATTEMPTS_S, Attempts


class Connecting:
    """Another transport, of which no more connections are asked than `attempts` allows: who is
    refused tries again later, as where the network is away."""

    def __init__(self, transport: Transport, attempts: Attempts) -> None:
        self._transport = transport
        self._attempts = attempts

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
    ) -> Answer:
        """As the other's."""
        return await self._transport.request(
            method, url, headers=headers, body=body, timeout_s=timeout_s
        )

    async def connect(self, url: str, handler: Handler, *, timeout_s: float = 5.0) -> Socket:
        """As the other's; raises NotSentError where that would be one too many."""
        if not self._attempts.may(clock.boot_s()):
            text = f"not connected: the venue's limit of attempts in {ATTEMPTS_S:.0f} s is reached"
            raise NotSentError(text)
        return await self._transport.connect(url, handler, timeout_s=timeout_s)

    async def aclose(self) -> None:
        """As the other's."""
        await self._transport.aclose()
