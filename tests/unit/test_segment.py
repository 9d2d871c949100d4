"""Our format of recorded data: what goes in comes out, and damage never passes in silence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import COIN, coin, quote

from betatrader.engine.book import OrderBook
from betatrader.model.errors import UsageError
from betatrader.model.market import BookDelta, BookSnapshot, InstrumentListed, PublicTrade
from betatrader.sim.excerpt import cut
from betatrader.store import segment


def events(count: int) -> list:
    trades = [PublicTrade(n, COIN, n, 1, n % 2 == 0, str(n)) for n in range(1, count)]
    return [InstrumentListed(0, coin()), *trades]


def written(tmp_path: Path, count: int = 10_000) -> Path:
    path = tmp_path / "a.btseg"
    segment.write(path, segment.Header(source="test"), events(count))
    return path


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert list(segment.read(path)) == events(10_000)
    header = segment.read_header(path)
    assert (header.events, header.first_ns, header.instruments) == (10_000, 0, (COIN,))
    assert [p.name for p in tmp_path.iterdir()] == ["a.btseg"]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.99])
def test_a_segment_that_is_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    path = written(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UsageError):
        list(segment.read(path))


def test_a_missing_last_block_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = path.read_bytes()
    position, ends = len(segment.MAGIC), []
    while position < len(data):
        position += 8 + int.from_bytes(data[position : position + 4])
        ends.append(position)
    path.write_bytes(data[: ends[-2]])
    with pytest.raises(UsageError, match="cut short"):
        list(segment.read(path))


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, at: int, by: int
) -> None:
    folder = tmp_path_factory.mktemp("segment")
    path = written(folder, 300)
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at] ^= by
    path.write_bytes(bytes(data))
    with pytest.raises(UsageError):
        list(segment.read(path))


def test_an_excerpt_opens_with_the_book_as_it_stood() -> None:
    second = 1_000_000_000
    recorded = [
        InstrumentListed(0, coin()),
        BookSnapshot(0, COIN, ((10, 1), (9, 2)), ((11, 1),), 5),
        BookDelta(1 * second, COIN, ((10, 0),), ((12, 3),), 6),
        quote("1", "2", 2.0),
        BookDelta(3 * second, COIN, ((8, 1),), (), 7),
        quote("1", "2", 5.0),
    ]
    found = list(cut(recorded, 1.5, 4.0))
    assert [type(event).__name__ for event in found] == [
        "InstrumentListed",
        "BookSnapshot",
        "Quote",
        "BookDelta",
    ]
    snapshot = found[1]
    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.bids, snapshot.asks) == (((9, 2),), ((11, 1), (12, 3)))
    book = OrderBook()
    book.replace(snapshot.bids, snapshot.asks, snapshot.update_id)
    assert book.update_id == 6
