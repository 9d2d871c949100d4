"""Records what Binance shows of one pair: raw, as it came, and decoded, to be played again."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

import anyio

from betatrader.config.venues import Binance
from betatrader.model.errors import UnreachableError
from betatrader.model.event import Event
from betatrader.model.secret import Secret
from betatrader.net.recorder import Recorder
from betatrader.net.transport import Transport
from betatrader.ops.process import cancel_on_signal
from betatrader.store import segment
from betatrader.venues.binance import recording
from betatrader.venues.binance.market import MarketStream
from betatrader.venues.binance.rest import Rest
from betatrader.venues.binance.wire import VENUE

PROGRESS_S = 2.0
FIRST_S = 15.0
"""How long the venue may take to show anything."""


class Recorded(NamedTuple):
    """What was written."""

    raw: Path
    segment: Path
    messages: int
    events: int


class _Unsigned:
    """Nothing that is recorded needs a key."""

    logs_on = False

    def sign(self, payload: bytes) -> str:
        """Never asked for."""
        raise NotImplementedError(payload)


class _Lines:
    """One message a line: receive time in ns, a space, the venue's JSON. A snapshot names no
    symbol, and stands after a first message that does."""

    def __init__(self, out: IO[bytes]) -> None:
        self.messages = 0
        self._out = out
        self._held: list[bytes] = []

    def keep(self, time_ns: int, text: bytes) -> None:
        """Write it down."""
        line = b"%d %b\n" % (time_ns, text.replace(b"\n", b" "))
        if not self.messages and not text.startswith(b'{"stream"'):
            self._held.append(line)
            return
        self._out.write(line)
        self.messages += 1
        for held in self._held:
            self._out.write(held)
        self._held.clear()


async def record(
    settings: Binance,
    transport: Transport,
    symbol: str,
    target: Path,
    seconds: float | None,
    *,
    progress: Callable[[int], None],
) -> Recorded:
    """Record until SIGINT or SIGTERM, or for so long; the raw file appears whole, then its segment.

    Raises UnreachableError where the venue shows nothing.
    """
    part = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(part, "wb", compresslevel=6) as out:
        lines = _Lines(out)  # type: ignore[arg-type]
        watched = Recorder(transport, lines.keep, lambda url: "/api/v3/depth" in url)
        rest = Rest(watched, settings.rest, Secret(), _Unsigned(), settings.recv_window_ms)
        stream = MarketStream(watched, settings.stream, rest, _ignore, lambda _reason: None)
        try:
            until = seconds if seconds is not None else float("inf")
            with anyio.move_on_after(until) as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(cancel_on_signal, scope)
                    group.start_soon(_tell, lines, settings, progress)
                    await stream.run((symbol,))
        finally:
            with anyio.CancelScope(shield=True):
                await transport.aclose()
    part.replace(target)
    name = target.name.removesuffix(".gz").removesuffix(".jsonl")
    decoded = target.with_name(f"{name}.btseg")
    header = segment.Header(source=target.name, note=f"recorded from {VENUE}")
    written = segment.write(decoded, header, recording.read(target))
    return Recorded(target, decoded, lines.messages, written.events)


def _ignore(_event: Event) -> None:
    """The messages are what is wanted."""


async def _tell(lines: _Lines, settings: Binance, progress: Callable[[int], None]) -> None:
    passed = 0.0
    while True:
        await anyio.sleep(PROGRESS_S)
        passed += PROGRESS_S
        if not lines.messages and passed >= FIRST_S:
            raise UnreachableError(
                f"{settings.stream} shows nothing\nCheck the address and the symbol."
            )
        progress(lines.messages)
