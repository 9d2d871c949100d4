"""The live book against the recordings, with gaps put in, and a stream that holds nonsense."""

import gzip
from pathlib import Path

import pytest
from binance_scenes import World, ticker
from prometheus_client import REGISTRY

from betatrader.engine.book import OrderBook
from betatrader.model.event import MarketInput
from betatrader.model.market import BookDelta, BookSnapshot, PublicTrade, Quote
from betatrader.ops import clock
from betatrader.venues.binance import wire
from betatrader.venues.binance.book_sync import BookSync


def depth(first: int, last: int) -> wire.Depth:
    return wire.Depth("BTCUSDT", first, last, [("10.0", "1")], [])


def snapshot(last: int) -> wire.Snapshot:
    return wire.Snapshot(last, [("9.0", "1")], [("11.0", "1")])


def ids(events: list[MarketInput]) -> list[int]:
    return [event.update_id for event in events]  # type: ignore[union-attr]


def test_changes_wait_for_the_snapshot_and_follow_it() -> None:
    book = BookSync("BTCUSDT")
    assert book.change(1, depth(1, 4)) == book.change(2, depth(5, 8)) == []
    assert ids(book.snapshot(3, snapshot(6))) == [6, 8]
    assert ids(book.change(4, depth(9, 9))) == [9]
    assert book.change(5, depth(9, 9)) == []


def test_the_first_change_may_begin_right_behind_the_snapshot() -> None:
    book = BookSync("BTCUSDT")
    book.change(1, depth(1, 4))
    book.change(2, depth(5, 8))
    assert ids(book.snapshot(3, snapshot(4))) == [4, 8]


def test_a_snapshot_from_before_the_changes_is_not_taken() -> None:
    book = BookSync("BTCUSDT")
    book.change(1, depth(5, 8))
    assert book.snapshot(2, snapshot(3)) == []
    assert not book.synchronised
    assert ids(book.snapshot(3, snapshot(4))) == [4, 8]


def test_nothing_passes_after_a_gap_until_the_next_snapshot() -> None:
    book = BookSync("BTCUSDT")
    book.snapshot(1, snapshot(4))
    assert ids(book.change(2, depth(5, 5))) == [5]
    assert book.change(3, depth(7, 8)) == []
    assert not book.synchronised
    assert book.change(4, depth(10, 11)) == []  # one more while it waits
    assert book.gaps == 2
    assert book.snapshot(5, snapshot(8)) == []
    assert ids(book.snapshot(6, snapshot(9))) == [9, 11]


@pytest.mark.parametrize("missing", [(), (100,), (7, 1_000, 1_001, 2_500)])
@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt"])
def test_the_book_of_a_recording_is_right_and_stays_so_over_gaps(
    recordings: Path, symbol: str, missing: tuple[int, ...]
) -> None:
    """A shadow that misses nothing stands for the venue: where the adapter needs a snapshot after
    a gap, it gets the shadow's book; from then on both have the same best prices."""
    book, shadow = BookSync(symbol.upper()), BookSync(symbol.upper())
    ours, theirs = OrderBook(), OrderBook()
    seen = compared = 0
    for message in messages(recordings / f"binance_spot_{symbol}_20240808.jsonl.gz"):
        if isinstance(message, wire.Snapshot):
            put(theirs, shadow.snapshot(0, message))
            put(ours, book.snapshot(0, message))
            continue
        seen += 1
        put(theirs, shadow.change(0, message))
        if seen in missing:
            continue
        put(ours, book.change(0, message))
        if not book.synchronised and shadow.synchronised and seen > 50:
            put(ours, book.snapshot(0, told(theirs)))
        if book.synchronised and shadow.synchronised and seen > 50:
            assert ours.top() == theirs.top()
            assert ours.update_id == theirs.update_id
            compared += 1
    assert shadow.gaps == 0
    assert book.gaps == (len({place - (place == 1_001) for place in missing}))
    assert compared >= seen - 50 - len(missing)


def messages(path: Path):
    """The depth messages and snapshots of a recording."""
    with gzip.open(path) as lines:
        for line in lines:
            message = wire.decode_message(line.partition(b" ")[2])
            if not message.stream:
                yield wire.decode_snapshot(line.partition(b" ")[2])
            elif "@depth" in message.stream:
                yield wire.decode_depth(message.data)


def put(book: OrderBook, events: list[MarketInput]) -> None:
    for event in events:
        if isinstance(event, BookSnapshot):
            book.replace(event.bids, event.asks, event.update_id)
        elif isinstance(event, BookDelta):
            book.apply(event.bids, event.asks, event.update_id)


def told(book: OrderBook) -> wire.Snapshot:
    def texts(sizes: dict[int, int]) -> list[tuple[str, str]]:
        return [(spelt(price), spelt(size)) for price, size in sizes.items()]

    return wire.Snapshot(book.update_id, texts(book.bids), texts(book.asks))


def spelt(units: int) -> str:
    return f"{units // 10**8}.{units % 10**8:08d}"


# The stream.


def said(first: int, last: int) -> dict:
    data = {"e": "depthUpdate", "s": "BTCUSDT", "U": first, "u": last, "b": [], "a": []}
    return {"stream": "btcusdt@depth@100ms", "data": data}


def test_a_gap_on_the_stream_fetches_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch).go()
    world.market.clear()
    world.do(world.fake.stream.say, said(11, 12))
    world.fake.last_id = 14  # too old for what follows
    world.do(world.fake.stream.say, said(16, 17))
    world.go(1.0)
    books = [e for e in world.market if isinstance(e, BookSnapshot | BookDelta)]
    assert ids(books) == [12]
    world.fake.last_id = 16
    world.go(2.0)
    books = [e for e in world.market if isinstance(e, BookSnapshot | BookDelta)]
    assert ids(books) == [12, 16, 17]


def test_a_failing_snapshot_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    good = world.fake.rest["/api/v3/depth"]
    world.fake.rest["/api/v3/depth"] = lambda _: {"lastUpdateId": 5}
    world.go(2.0)
    assert not any(isinstance(event, BookSnapshot) for event in world.market)
    world.fake.rest["/api/v3/depth"] = good
    world.go(2.0)
    assert any(isinstance(event, BookSnapshot) for event in world.market)


def counted(kind: str) -> float:
    given = {"venue": "BINANCE", "kind": kind}
    return REGISTRY.get_sample_value("bt_bad_messages_total", given) or 0.0


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"nonsense", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b'{"stream":"btcusdt@trade","data":{"s":"BTCUSDT"}}', "malformed"),
        (
            b'{"stream":"btcusdt@bookTicker","data":{"u":5,"s":"BTCUSDT","b":"x","B":"1","a":"1",'
            b'"A":"1"}}',
            "malformed",
        ),
        (b'{"stream":"btcusdt@kline_1m","data":{}}', "unknown"),
        (b'{"stream":"dogeusdt@trade","data":{}}', "unknown"),
        (b'{"result":null,"id":1}', "unknown"),
        (
            b'{"stream":"btcusdt@trade","data":{"s":"BTCUSDT","t":1,"p":"1.00000000",'
            b'"q":"99999999999999999.00000000","m":true}}',
            "malformed",
        ),
        (
            b'{"stream":"btcusdt@bookTicker","data":{"u":99999999999999999999,"s":"BTCUSDT",'
            b'"b":"1","B":"1","a":"2","A":"1"}}',
            "malformed",
        ),
        (b" " * (5 << 20), "oversized"),
        (
            b'{"stream":"btcusdt@trade","data":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
            "malformed",
        ),
    ],
)
def test_nonsense_is_counted_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, text: bytes, kind: str
) -> None:
    world = World(monkeypatch).go()
    before = counted(kind)
    for _ in range(3):
        world.do(world.fake.stream.handler.received, text)
    assert counted(kind) == before + 3
    world.market.clear()
    world.do(world.fake.stream.say, ticker())
    assert [type(event) for event in world.market] == [Quote]
    assert world.venue.connected


def test_a_trade_is_a_trade(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch).go()
    world.market.clear()
    data = {"e": "trade", "s": "BTCUSDT", "t": 7, "p": "1.5", "q": "2", "m": True}
    world.do(world.fake.stream.say, {"stream": "btcusdt@trade", "data": data})
    (found,) = world.market
    assert isinstance(found, PublicTrade)
    assert (found.price, found.quantity) == (150_000_000, 200_000_000)
    assert not found.buyer_is_taker


def test_a_stream_that_says_nothing_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch).go()
    before = world.fake.stream
    world.go(62.0)
    assert world.fake.stream is not before


def changed(world: World, number: int, behind_s: float = 0.0) -> None:
    """A change of the book, as old as that by the venue's clock."""
    event_ms = clock.now_ns() // 10**6 + world.fake.skew_ms - int(behind_s * 1000)
    data = {"e": "depthUpdate", "E": event_ms, "s": "BTCUSDT", "U": number, "u": number, "a": []}
    message = {"stream": "btcusdt@depth@100ms", "data": {**data, "b": [["49999.50", "1.0"]]}}
    world.do(world.fake.stream.say, message)


def test_t13_what_is_old_by_the_venues_clock_is_not_shown_however_steadily_it_flows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch).go()
    changed(world, 11)
    world.go(2.0)
    assert any(isinstance(event, BookSnapshot) for event in world.market)
    world.market.clear()
    before = counted("late")
    for number in range(12, 40):
        changed(world, number, behind_s=60)
        world.do(world.fake.stream.say, ticker())
    assert world.market == []
    assert counted("late") == before + 28
    world.fake.last_id = 39
    changed(world, 40)
    world.go(2.0)
    world.do(world.fake.stream.say, ticker())
    kinds = [type(event) for event in world.market]
    assert kinds == [BookSnapshot, BookDelta, Quote], "the book begins anew"


def test_t13_where_it_is_our_own_clock_that_is_off_it_is_measured_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch).go()
    world.fake.skew_ms = -30_000
    assert world.venue.rest.clock.apart_s == pytest.approx(0, abs=0.1)
    changed(world, 11)
    world.go(2.0)
    assert world.venue.rest.clock.apart_s == pytest.approx(-30, abs=0.1)
    world.market.clear()
    world.fake.last_id = 11
    changed(world, 12)
    world.go(2.0)
    assert any(isinstance(event, BookSnapshot) for event in world.market)
