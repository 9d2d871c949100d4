"""A book whose changes stay away while its best bid and ask go on: it is found, and made anew by
itself, and no market that is merely calm is taken for one."""

import gzip
from itertools import pairwise
from pathlib import Path

import pytest
from binance_scenes import EPOCH_NS
from binance_served import Served
from prometheus_client import REGISTRY

from betatrader.model.market import BookDelta, BookSnapshot, Quote
from betatrader.model.money import SCALE
from betatrader.ops import clock
from betatrader.venues.binance import wire
from betatrader.venues.binance.book_sync import FROZEN_S, LONGEST_S, BookSync
from betatrader.venues.binance.serve import acts

SYMBOLS = ("BTCUSDT", "ETHUSDT")
BTC, ETH = (wire.instrument_id(symbol) for symbol in SYMBOLS)


def when_frozen(path: Path, without_s: float) -> float | None:
    """When a book of a recording is found frozen, in seconds since its begin; its changes stay
    away after `without_s`."""
    book, began_ns = BookSync("X"), 0
    with gzip.open(path) as lines:
        for line in lines:
            stamp, _, text = line.partition(b" ")
            began_ns = began_ns or int(stamp)
            now_s = (int(stamp) - began_ns) / 1e9
            message = wire.decode_message(text)
            if not message.stream:
                book.snapshot(0, wire.decode_snapshot(text))
            elif "@bookTicker" in message.stream:
                book.ticker(wire.decode_ticker(message.data).update_id, now_s)
            elif "@depth" in message.stream and now_s < without_s:
                book.change(0, wire.decode_depth(message.data))
            if book.is_frozen(now_s):
                return now_s
    return None


@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt"])
def test_no_recording_is_taken_for_frozen_and_a_frozen_one_is_found(
    recordings: Path, symbol: str
) -> None:
    path = recordings / f"binance_spot_{symbol}_20240808.jsonl.gz"
    assert when_frozen(path, 1e9) is None
    found_s = when_frozen(path, 20.0)
    assert found_s is not None
    assert 20.0 + FROZEN_S - 0.2 < found_s < 20.0 + FROZEN_S + 2.0


def test_where_it_stays_frozen_it_is_made_anew_more_and_more_seldom() -> None:
    book, now_s, found = BookSync("BTCUSDT"), 0.0, []
    for number in range(2_000):
        now_s = number / 10
        if not book.synchronised:
            book.snapshot(0, wire.Snapshot(number, [], []))
        book.ticker(number + 1, now_s)
        if book.is_frozen(now_s):
            found.append(now_s)
            book.thaw()
    pauses = [later - before for before, later in pairwise(found)]
    assert pauses[:3] == pytest.approx([6.0, 12.0, 24.0], abs=0.3)
    assert max(pauses) == pytest.approx(LONGEST_S, abs=0.3)
    book.snapshot(0, wire.Snapshot(5_000, [], []))
    book.ticker(5_001, now_s)
    book.change(0, wire.Depth("BTCUSDT", 5_001, 5_001, [], []))
    book.ticker(5_002, now_s)
    assert book.is_frozen(now_s + FROZEN_S), "what has moved since is watched closely again"


def frozen(symbol: str) -> float:
    given = {"venue": "BINANCE", "symbol": symbol}
    return REGISTRY.get_sample_value("bt_frozen_books_total", given) or 0.0


def move(served: Served, seconds: int) -> None:
    """Both markets move for a while, the best bids with them."""
    for _ in range(seconds * 2):
        for name in (BTC, ETH):
            served.bid += SCALE // 100
            level = ((served.bid, SCALE),)
            events = (
                BookDelta(clock.now_ns(), name, level, ()),
                Quote(clock.now_ns(), name, served.bid, SCALE, 50_001 * SCALE, SCALE),
            )
            for event in events:
                served.loop.call_soon(served.server.play, event)
        served.go(0.5)


def heard(served: Served, name: str, kind: type) -> int:
    return sum(isinstance(e, kind) and e.instrument == name for e in served.shown)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    made = Served(monkeypatch, SYMBOLS)
    made.bid = 49_000 * SCALE
    return made


@pytest.mark.parametrize("stays", ["", "true"])
def test_t33_one_book_that_freezes_is_made_anew_and_the_others_stay(
    served: Served, stays: str
) -> None:
    move(served, 3)
    served.shown.clear()
    lines, before = set(served.server.lines), frozen("BTCUSDT")
    act = acts.of(served.server)["freeze"]
    served.loop.call_soon(act, {"symbol": "BTCUSDT", "stays": stays})
    move(served, 10)
    assert frozen("BTCUSDT") - before == (2 if stays else 1)
    snapshots = [e for e in served.shown if isinstance(e, BookSnapshot) and e.instrument == BTC]
    assert len(snapshots) == (2 if stays else 1)
    assert snapshots[-1].bids[0][0] > 49_000 * SCALE + 10 * SCALE // 100
    assert (heard(served, BTC, BookDelta) > 5) is not bool(stays), "its changes are heard again"
    assert (heard(served, ETH, BookSnapshot), heard(served, ETH, BookDelta)) == (0, 20)
    assert frozen("ETHUSDT") == 0.0
    assert set(served.server.lines) == lines, "nobody was cut off"
    assert served.venue.connected
    served.loop.call_soon(act, {"symbol": "BTCUSDT", "stays": "false"})
    served.shown.clear()
    move(served, 10)
    assert heard(served, BTC, BookDelta) >= 5


def test_a_market_that_stands_still_is_not_frozen(served: Served) -> None:
    counted = frozen("BTCUSDT") + frozen("ETHUSDT")
    move(served, 2)
    quote = Quote(EPOCH_NS, BTC, served.bid, SCALE, 50_001 * SCALE, SCALE)
    for _ in range(6):
        served.loop.call_soon(served.server.play, quote)
        served.go(8.0)
    assert frozen("BTCUSDT") + frozen("ETHUSDT") == counted
