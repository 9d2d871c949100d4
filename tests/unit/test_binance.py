"""The venue's messages as ours, and its recordings as a stream with a book that is right."""

import gzip
from bisect import bisect_right
from pathlib import Path

import pytest

from betatrader.engine.book import OrderBook
from betatrader.model.errors import UsageError
from betatrader.model.market import BookDelta, BookSnapshot, InstrumentListed, PublicTrade, Quote
from betatrader.model.money import parse
from betatrader.roles.feeds import read_file
from betatrader.venues.binance import recording, wire

TICKER = (
    b'{"stream":"btcusdt@bookTicker","data":{"u":7,"s":"BTCUSDT","b":"61837.63000000",'
    b'"B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}'
)


def line(at: int, text: str) -> bytes:
    return f"17231612540878912{at:02d} {text}\n".encode()


def depth(first: int, last: int, bid: str = "10.0") -> str:
    return (
        '{"stream":"coinusdt@depth@100ms","data":{"e":"depthUpdate","s":"COINUSDT",'
        f'"U":{first},"u":{last},"b":[["{bid}","1"]],"a":[]}}}}'
    )


def snapshot(last: int) -> str:
    return f'{{"lastUpdateId":{last},"bids":[["9.0","1"]],"asks":[["11.0","1"]]}}'


def file(tmp_path: Path, *lines: bytes) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def test_a_ticker_is_a_quote_with_exact_numbers() -> None:
    message = wire.decode_ticker(wire.decode_message(TICKER).data)
    assert wire.quote(5, message) == Quote(
        5,
        wire.instrument_id("BTCUSDT"),
        parse("61837.63"),
        parse("3.78826"),
        parse("61837.64"),
        parse("1.54698"),
        7,
    )


@pytest.mark.parametrize(
    "text", ["61837.63000000", "0.00001000", "5", "5.25", "123456789.12345678"]
)
def test_prices_are_exact_in_every_spelling(text: str) -> None:
    assert wire.units(text) == parse(text)


def test_the_book_is_joined_by_the_venues_rule(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        line(1, depth(1, 4)),
        line(2, depth(5, 8)),
        line(3, snapshot(6)),
        line(4, depth(9, 9)),
        line(5, depth(9, 9)),
    )
    found = list(recording.read(path))
    assert [type(event).__name__ for event in found] == [
        "InstrumentListed",
        "BookSnapshot",
        "BookDelta",
        "BookDelta",
    ]
    assert [event.update_id for event in found[1:]] == [6, 8, 9]  # type: ignore[union-attr]


def test_after_a_gap_changes_wait_for_the_next_snapshot(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        line(1, depth(1, 4)),
        line(2, snapshot(4)),
        line(3, depth(5, 5)),
        line(4, depth(8, 8)),
        line(5, depth(9, 9)),
        line(6, snapshot(8)),
        line(7, depth(10, 10)),
    )
    found = [event for event in recording.read(path) if not isinstance(event, InstrumentListed)]
    assert [event.update_id for event in found] == [4, 5, 8, 9, 10]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text", ["{}", "nonsense", '{"stream":"x@trade","data":{"s":1}}', '{"lastUpdateId":5}']
)
def test_a_line_that_is_no_message_is_named(tmp_path: Path, text: str) -> None:
    path = file(tmp_path, line(1, depth(1, 4)), line(2, text))
    with pytest.raises(UsageError, match=r"a\.jsonl, line 2"):
        list(recording.read(path))


def test_a_truncated_file_says_where_it_breaks_off(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(line(n % 90, depth(n, n)) for n in range(1, 3000)))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="breaks off in line"):
        list(read_file(path))


def test_other_files_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(200)))
    with pytest.raises(UsageError, match="no market data"):
        read_file(path)
    with pytest.raises(UsageError, match="No such file"):
        read_file(tmp_path / "none")
    with pytest.raises(UsageError):
        read_file(tmp_path)


@pytest.mark.parametrize(("symbol", "diffs"), [("btcusdt", 3_449), ("ethusdt", 3_432)])
def test_the_rebuilt_book_agrees_with_every_ticker(
    recordings: Path, symbol: str, diffs: int
) -> None:
    """After each change the best bid and ask are those of the last ticker at or before it."""
    events = list(read_file(recordings / f"binance_spot_{symbol}_20240808.jsonl.gz"))
    tickers = [event for event in events if isinstance(event, Quote)]
    ids = [ticker.update_id for ticker in tickers]
    book, compared = OrderBook(), 0
    for event in events:
        if isinstance(event, BookSnapshot):
            book.replace(event.bids, event.asks, event.update_id)
        elif isinstance(event, BookDelta):
            book.apply(event.bids, event.asks, event.update_id)
            assert book.best_bid < book.best_ask
            position = bisect_right(ids, event.update_id)
            if position:
                ticker = tickers[position - 1]
                assert (book.best_bid, book.best_ask) == (ticker.bid, ticker.ask)
                compared += 1
    assert compared == diffs
    assert sum(isinstance(event, PublicTrade) for event in events) > 3_000
