"""Where market data comes from: recordings, the packaged excerpt, the generated contract.

Recorded times become present times: start + (recorded - first) / speed, each loop appended to the
last, so that every role lives in present time.
"""

import heapq
from collections.abc import Iterable, Iterator
from decimal import Decimal
from importlib.resources import files
from itertools import count
from pathlib import Path

import msgspec

from betatrader.config import Feed
from betatrader.model.errors import UsageError
from betatrader.model.event import MarketInput
from betatrader.model.instrument import BinaryContract
from betatrader.model.market import InstrumentListed
from betatrader.sim import generator
from betatrader.store import segment

EXCERPT = "binance_btcusdt_excerpt.btseg"
LOOP_GAP_NS = 1_000_000
"""Between the last event of a loop and the first of the next."""


def excerpt() -> Path:
    """The real market data that is packaged: two minutes of BTCUSDT."""
    return Path(str(files("betatrader.data").joinpath(EXCERPT)))


def read_file(path: Path) -> Iterator[MarketInput]:
    """A file of market data of any format we read, event by event.

    Raises UsageError at once where there is no such file or its format is none of ours, and while
    reading where it breaks.
    """
    try:
        if segment.is_segment(path):
            return segment.read(path)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}\nGive --data the path of a recording or a segment."
        ) from error
    # what hashes Polymarket's orders is heavy, and most traders read no recording
    from betatrader.venues.binance import recording
    from betatrader.venues.polymarket import recording as polymarket

    if polymarket.is_recording(path):
        return polymarket.read(path)
    if recording.is_recording(path):
        return recording.read(path)
    raise UsageError(
        f"{path} is no market data that betatrader reads\n"
        "It reads its own segments (.btseg) and recordings of Binance and Polymarket "
        "(.jsonl, .jsonl.gz)."
    )


def open_feed(feed: Feed, start_ns: int) -> Iterator[MarketInput]:
    """All sources of a configuration, merged by time; it ends where every source ends."""
    pace = Pace(feed.speed)
    sources = [pace.once(read_file(Path(name)), start_ns) for name in feed.data]
    if not sources:
        sources.append(pace.forever(lambda _: segment.read(excerpt()), start_ns))
        if feed.generated:
            world = f"{start_ns // 1_000_000_000:x}-"
            sources.append(pace.forever(lambda loop: _contract(feed, loop, world), start_ns))
    return heapq.merge(*sources, key=lambda event: event.time_ns)


def _contract(feed: Feed, loop: int, world: str) -> Iterator[MarketInput]:
    for arrival in generator.binary_market(feed.seed, loop, float(feed.pattern), world):
        yield from arrival.events


class Pace:
    """Maps recorded times to present ones at a speed."""

    def __init__(self, speed: Decimal) -> None:
        self._over, self._under = speed.as_integer_ratio()

    def once(self, events: Iterable[MarketInput], start_ns: int) -> Iterator[MarketInput]:
        """The events, the first of them at `start_ns`."""
        first: int | None = None
        for event in events:
            if first is None:
                first = event.time_ns
            yield self._moved(event, first, start_ns)

    def forever(self, loop, start_ns: int) -> Iterator[MarketInput]:  # type: ignore[no-untyped-def]
        """`loop(0)`, `loop(1)`, … end to end."""
        for number in count():
            last = start_ns
            for event in self.once(loop(number), start_ns):
                last = event.time_ns
                yield event
            start_ns = last + LOOP_GAP_NS

    def _moved(self, event: MarketInput, first: int, start_ns: int) -> MarketInput:
        if isinstance(event, InstrumentListed) and isinstance(event.definition, BinaryContract):
            expires = self._present(event.definition.expires_ns, first, start_ns)
            definition = msgspec.structs.replace(event.definition, expires_ns=expires)
            event = InstrumentListed(event.time_ns, definition)
        return msgspec.structs.replace(event, time_ns=self._present(event.time_ns, first, start_ns))

    def _present(self, time_ns: int, first: int, start_ns: int) -> int:
        return start_ns + (time_ns - first) * self._under // self._over
