"""Records what a venue shows of one pair or market: raw, as it came, and decoded, to be played
again."""

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, NamedTuple

import anyio

from betatrader.config.venues import Binance, Polymarket
from betatrader.model.errors import UnreachableError
from betatrader.model.event import Event, MarketInput
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
PONG = b"PONG"
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
    """One message a line: receive time in ns, a space, the venue's JSON. What comes before the
    first that begins with `opening` stands after it."""

    def __init__(self, out: IO[bytes], opening: bytes) -> None:
        self.messages = 0
        self._out = out
        self._opening = opening
        self._held: list[bytes] = []

    def keep(self, time_ns: int, text: bytes) -> None:
        """Write it down."""
        if text == PONG:
            return
        line = b"%d %b\n" % (time_ns, text.replace(b"\n", b" "))
        if not self.messages and not text.startswith(self._opening):
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
    """Record a pair until SIGINT or SIGTERM, or for so long; the raw file appears whole, then its
    segment. A snapshot names no symbol, and stands after a first message that does.

    Raises UnreachableError where the venue shows nothing.
    """
    async with _writing(target, b'{"stream"') as lines:
        watched = Recorder(transport, lines.keep, lambda url: "/api/v3/depth" in url)
        rest = Rest(watched, settings.rest, Secret(), _Unsigned(), settings.recv_window_ms)
        stream = MarketStream(watched, settings.stream, rest, _ignore, lambda _reason: None)

        async def listen() -> None:
            await stream.run((symbol,))

        await _for(
            seconds,
            lines,
            settings.stream,
            progress=progress,
            listen=listen,
            transport=transport,
        )
    return _decoded(target, lines.messages, VENUE, recording.read(target))


async def record_polymarket(
    settings: Polymarket,
    transport: Transport,
    condition: str,
    target: Path,
    seconds: float | None,
    *,
    progress: Callable[[int], None],
) -> Recorded:
    """The same of a market, by its condition id: both outcomes' books and trades.

    Raises UnreachableError where the venue shows nothing.
    """
    from betatrader.venues.polymarket import listing, market, rest
    from betatrader.venues.polymarket import recording as reading

    async with _writing(target, b"{") as lines:
        chosen = ("/markets/", "/clob-markets/", "/book?")
        watched = Recorder(transport, lines.keep, lambda url: any(one in url for one in chosen))
        asked = rest.Rest(watched, settings.clob, None, None)
        stream = market.MarketStream(watched, settings.market_socket, asked, _ignore)
        known = listing.Listing((condition,), asked, _ignore, stream.listen)
        stream.listing = known

        async def listen() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(known.keep)
                group.start_soon(stream.run)

        place = f"{settings.clob} (market {condition})"
        await _for(seconds, lines, place, progress=progress, listen=listen, transport=transport)
    return _decoded(target, lines.messages, "POLYMARKET", reading.read(target))


@asynccontextmanager
async def _writing(target: Path, opening: bytes) -> AsyncIterator[_Lines]:
    """A compressed file that appears under its name when it is whole."""
    part = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(part, "wb", compresslevel=6) as out:
        yield _Lines(out, opening)  # type: ignore[arg-type]
    part.replace(target)


async def _for(
    seconds: float | None,
    lines: _Lines,
    place: str,
    *,
    progress: Callable[[int], None],
    listen: Callable[[], Awaitable[None]],
    transport: Transport,
) -> None:
    """Listen for so long, or until a signal."""
    try:
        until = seconds if seconds is not None else float("inf")
        with anyio.move_on_after(until) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(cancel_on_signal, scope)
                group.start_soon(_tell, lines, place, progress)
                await listen()
    finally:
        with anyio.CancelScope(shield=True):
            await transport.aclose()


def _decoded(target: Path, messages: int, venue: str, events: Iterator[MarketInput]) -> Recorded:
    name = target.name.removesuffix(".gz").removesuffix(".jsonl")
    decoded = target.with_name(f"{name}.btseg")
    header = segment.Header(source=target.name, note=f"recorded from {venue}")
    return Recorded(target, decoded, messages, segment.write(decoded, header, events).events)


def _ignore(_event: Event) -> None:
    """The messages are what is wanted."""


async def _tell(lines: _Lines, place: str, progress: Callable[[int], None]) -> None:
    passed = 0.0
    while True:
        await anyio.sleep(PROGRESS_S)
        passed += PROGRESS_S
        if not lines.messages and passed >= FIRST_S:
            raise UnreachableError(
                f"{place} shows nothing\nCheck the address and the symbol or market."
            )
        progress(lines.messages)
