"""Recorded Binance messages (one a line: receive time in ns, a space, the venue's JSON) as events.

The book is joined as that of the live stream is (`book_sync`).
"""

from collections.abc import Iterator
from pathlib import Path

from betatrader.model.event import MarketInput
from betatrader.model.market import InstrumentListed
from betatrader.venues import recorded
from betatrader.venues.binance import wire
from betatrader.venues.binance.book_sync import BookSync


def is_recording(path: Path) -> bool:
    """Whether a file begins as such a recording does."""
    return bool(recorded.first_message(path))


def read(path: Path) -> Iterator[MarketInput]:
    """The events of a file; raises UsageError as `recorded.read` does."""
    return recorded.read(path, "Binance", _Reader().take)


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
