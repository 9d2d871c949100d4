"""Recorded Binance messages (one a line: receive time in ns, a space, the venue's JSON) as events.

The book is joined as that of the live stream is (`book_sync`).
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from betatrader.model.errors import UsageError
from betatrader.model.event import MarketInput
from betatrader.model.market import InstrumentListed
from betatrader.venues.binance import wire
from betatrader.venues.binance.book_sync import BookSync


def is_recording(path: Path) -> bool:
    """Whether a file begins as such a recording does."""
    try:
        with _open(path) as lines:
            first = lines.readline(200)
    except (OSError, EOFError, zlib.error):
        return False
    stamp, _, rest = first.partition(b" ")
    return stamp.isdigit() and len(stamp) == 19 and rest.startswith(b"{")


def read(path: Path) -> Iterator[MarketInput]:
    """The events of a file, line by line, never the whole of it.

    Raises UsageError, naming file and line, where the file breaks off or a line cannot be read.
    """
    number = 1
    reader = _Reader()
    try:
        with _open(path) as lines:
            for line in lines:
                yield from reader.take(line)
                number += 1
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(
            f"{path} breaks off in line {number}: {error}\n"
            "The events before that were used; download or record the file again."
        ) from error
    except (msgspec.DecodeError, ValueError, IndexError) as error:
        raise UsageError(
            f"{path}, line {number}: no Binance message ({error})\n"
            "Each line is a receive time in ns, a space, and the venue's JSON."
        ) from error


class _Reader:
    def __init__(self) -> None:
        self.joins: dict[str, BookSync] = {}
        self.symbol = ""

    def take(self, line: bytes) -> Iterator[MarketInput]:
        stamp, _, text = line.partition(b" ")
        now = int(stamp)
        message = wire.decode_message(text)
        if not message.stream:
            if not message.last_id:
                raise ValueError("neither a stream nor a snapshot")
            snapshot = wire.decode_snapshot(text)
            yield from self._join().snapshot(now, snapshot)
            return
        symbol, _, kind = message.stream.partition("@")
        self.symbol = symbol.upper()
        join = self.joins.get(self.symbol)
        if join is None:
            join = self.joins[self.symbol] = BookSync(self.symbol)
            yield InstrumentListed(now, wire.definition(self.symbol))
        if kind == "bookTicker":
            yield wire.quote(now, wire.decode_ticker(message.data))
        elif kind == "trade":
            yield wire.trade(now, wire.decode_trade(message.data))
        elif kind.startswith("depth"):
            yield from join.change(now, wire.decode_depth(message.data))

    def _join(self) -> BookSync:
        if len(self.joins) != 1:
            raise ValueError(f"a snapshot names no symbol, and {len(self.joins)} were seen")
        return self.joins[self.symbol]


def _open(path: Path) -> "gzip.GzipFile":
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else path.open("rb")  # type: ignore[return-value]
