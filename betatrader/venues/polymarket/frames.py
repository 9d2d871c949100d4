"""Text frames of both channels as messages: objects or arrays of them, and what is none.

What cannot be used is counted, told at most once a minute, and never ends anything.
"""

from collections.abc import Callable

import msgspec
import structlog

from betatrader.ops import clock, metrics
from betatrader.venues.polymarket.wire import UNREADABLE

PING, PONG = b"PING", b"PONG"
PING_S = 10.0
SILENT_S = 30.0
"""Without even an answer to our PING for so long, the socket is dead."""

LARGEST = 8 << 20
"""Bytes of a frame that are looked at: the largest of the venue's books are far below."""

TOLD_S = 60.0

_decode_many = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Frames:
    """Takes one channel's frames apart."""

    def __init__(self, channel: str) -> None:
        self.lost: Callable[[], None] = lambda: None
        """Called where a whole frame cannot be read."""
        self._channel = channel
        self._log = structlog.get_logger()
        self._told_s: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def split(self, text: bytes) -> list[bytes]:
        """The messages of a frame; none of a PONG, or of what is too large or no JSON."""
        text = text.strip()
        if text in (PONG, PING, b""):
            return []
        if len(text) > LARGEST:
            return self._lost("oversized", f"{len(text)} bytes")
        if text[:1] == b"[":
            try:
                return [bytes(one) for one in _decode_many(text)]
            except UNREADABLE as error:
                return self._lost("malformed", str(error))
        if text[:1] != b"{":
            return self._lost("malformed", "neither an object nor an array")
        return [text]

    def _lost(self, why: str, detail: str) -> list[bytes]:
        self.odd(why, detail)
        self.lost()
        return []

    def odd(self, why: str, detail: str) -> None:
        """Count what cannot be used."""
        metrics.UNUSABLE.labels(self._channel, why).inc()
        now_s = clock.boot_s()
        self._untold[why] = self._untold.get(why, 0) + 1
        if now_s - self._told_s.get(why, -TOLD_S) >= TOLD_S:
            count, self._untold[why] = self._untold[why], 0
            self._told_s[why] = now_s
            self._log.warning(
                "unusable_message",
                channel=self._channel,
                why=why,
                detail=detail[:200],
                count=count,
            )
