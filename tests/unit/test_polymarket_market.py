"""The market channel: books that are right, or known to be missing; nothing malformed is fatal."""

import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polymarket_scenes import (
    CONDITION,
    NO,
    NO_TOKEN,
    YES,
    YES_TOKEN,
    World,
    book,
    ended,
    market,
    parameters,
)

from betatrader.engine.book import OrderBook
from betatrader.model.event import encode
from betatrader.model.instrument import BinaryFees
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    PublicTrade,
    Quote,
    Resolution,
)
from betatrader.model.money import SCALE, parse
from betatrader.net.transport import Answer
from betatrader.ops import clock, metrics
from betatrader.venues.polymarket import wire
from betatrader.venues.polymarket.books import Books
from betatrader.venues.polymarket.frames import LARGEST, Frames
from betatrader.venues.polymarket.listing import FeeCurve, payouts_of
from betatrader.venues.polymarket.market import COMPARE_S, COMPARED
from betatrader.venues.polymarket.wire import Market, MarketMessage

AT_MS = 1_700_000_001_000


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose books are there."""
    made = World(monkeypatch).go(2)
    assert [type(e) for e in made.market[-2:]] == [BookSnapshot, BookSnapshot]
    made.market.clear()
    return made


def change(token: str, price: str, size: str, side: str, **more: Any) -> dict:
    return {"asset_id": token, "price": price, "size": size, "side": side, "hash": "h", **more}


def changes(*found: dict, at_ms: int = AT_MS) -> dict:
    return {
        "event_type": "price_change", "market": CONDITION, "price_changes": list(found),
        "timestamp": str(at_ms),
    }  # fmt: skip


def of(world: World, name: str) -> list:
    return [event for event in world.market if event.instrument == name]


def test_books_come_best_first(world: World) -> None:
    world.say("market", book(YES_TOKEN, {".40": "100", "0.50": "30"}, {"0.60": "1", ".52": "25"}))
    (event,) = world.market
    assert event == BookSnapshot(
        event.time_ns,
        YES,
        ((parse("0.5"), parse("30")), (parse("0.4"), parse("100"))),
        ((parse("0.52"), parse("25")), (parse("0.6"), parse("1"))),
    )


def test_a_change_is_the_new_size_of_levels_of_both_tokens(world: World) -> None:
    world.say(
        "market",
        changes(
            change(YES_TOKEN, "0.51", "200", "BUY", best_bid="0.51", best_ask="0.6"),
            change(NO_TOKEN, "0.49", "200", "SELL", best_bid="0.4", best_ask="0.49"),
            change(YES_TOKEN, "0.5", "0", "BUY", best_bid="0.51", best_ask="0.6"),
        ),
    )
    (yes,), (no,) = of(world, YES), of(world, NO)
    assert isinstance(yes, BookDelta)
    assert yes.bids == ((parse("0.51"), parse("200")), (parse("0.5"), 0))
    assert (no.bids, no.asks) == ((), ((parse("0.49"), parse("200")),))


def test_an_array_is_so_many_messages(world: World) -> None:
    first = changes(change(YES_TOKEN, "0.51", "1", "BUY"))
    second = {
        "event_type": "last_trade_price", "asset_id": YES_TOKEN, "market": CONDITION,
        "price": "0.456", "size": "219.217767", "side": "BUY", "transaction_hash": "0xaa",
        "timestamp": "1",
    }  # fmt: skip
    world.say("market", [first, second])
    delta, trade = world.market
    assert isinstance(delta, BookDelta)
    assert trade == PublicTrade(
        trade.time_ns, YES, parse("0.456"), parse("219.217767"), True, "0xaa"
    )


def test_a_change_from_before_the_book_is_in_it_already(world: World) -> None:
    world.say("market", book(YES_TOKEN, {"0.5": "1"}, {"0.6": "1"}, AT_MS))
    world.market.clear()
    world.say("market", changes(change(YES_TOKEN, "0.51", "1", "BUY"), at_ms=AT_MS - 1))
    assert world.market == []


def test_a_change_of_tick_drops_the_book_until_the_next(world: World) -> None:
    tick = {
        "event_type": "tick_size_change", "asset_id": YES_TOKEN, "market": CONDITION,
        "old_tick_size": "0.01", "new_tick_size": "0.001", "timestamp": "1",
    }  # fmt: skip
    world.say("market", tick)
    listed, dropped = world.market
    assert isinstance(listed, InstrumentListed)
    assert listed.definition.tick == parse("0.001")
    assert (dropped.bids, dropped.asks) == ((), ())
    world.market.clear()
    world.say("market", changes(change(YES_TOKEN, "0.511", "1", "BUY")))
    assert world.market == []
    world.say("market", book(YES_TOKEN, {"0.511": "1"}, {}))
    assert len(world.market) == 1


def test_a_book_that_stays_away_is_asked_for(world: World) -> None:
    world.say("market", {"event_type": "tick_size_change", "asset_id": YES_TOKEN,
                         "new_tick_size": "0.001"})  # fmt: skip
    world.market.clear()
    world.go(6)
    assert of(world, YES)[0].bids == ((parse("0.5"), parse("30")),)


def test_a_quiet_book_is_compared_and_told_again(world: World) -> None:
    world.go(15)
    assert world.fake.posted("GET /book")
    assert {type(e) for e in world.market} == {Quote}
    assert {e.instrument for e in world.market} == {YES, NO}
    times = [event.time_ns for event in of(world, YES)]
    assert max(b - a for a, b in itertools.pairwise(times)) < 5 * 10**9
    assert len(world.fake.sockets) == 2


def test_a_book_that_moved_without_a_word_breaks_the_socket_off(world: World) -> None:
    world.fake.books[YES_TOKEN] = book(YES_TOKEN, {"0.3": "1"}, {"0.7": "1"})
    world.go(10)
    assert snapshots(world, YES)[-1].bids == ((parse("0.3"), parse("1")),)
    world.fake.books[YES_TOKEN] = book(YES_TOKEN, {"0.4": "1"}, {"0.7": "1"})
    world.go(10)
    assert connections(world) >= 2
    assert snapshots(world, YES)[-1].bids == ((parse("0.4"), parse("1")),)


def test_t33_one_book_that_moved_is_taken_from_rest_and_the_others_stay(world: World) -> None:
    world.fake.books[YES_TOKEN] = book(YES_TOKEN, {"0.3": "1"}, {"0.7": "1"})
    world.go(30)
    assert connections(world) == 1
    (taken,) = snapshots(world, YES)
    assert taken.bids == ((parse("0.3"), parse("1")),)
    assert snapshots(world, NO) == []
    assert world.venue.connected


def connections(world: World) -> int:
    """How many sockets of the market there have been."""
    return len([s for s in world.fake.sockets if s.url.endswith("market")])


def snapshots(world: World, name: str) -> list[BookSnapshot]:
    return [event for event in of(world, name) if isinstance(event, BookSnapshot)]


def test_only_the_same_content_is_the_same_book(world: World) -> None:
    """A change carries the venue's hash, whatever became of the changes before it."""
    world.say("market", {**book(YES_TOKEN, {"0.5": "1"}, {}), "hash": "abc"})
    world.fake.books[YES_TOKEN] = {**book(YES_TOKEN, {"0.50": "1.0"}, {}), "hash": "abc"}
    world.go(20)
    assert snapshots(world, YES)[1:] == []
    world.fake.books[YES_TOKEN]["bids"].insert(0, {"price": "0.4", "size": "7"})
    world.go(20)
    assert snapshots(world, YES)[-1].bids[1] == (parse("0.4"), parse("7"))


def test_a_change_that_cannot_be_read_drops_its_book_alone(world: World) -> None:
    """The engine hears of the good half of the frame, and has no book that is wrong."""
    world.go(0.6)
    world.market.clear()
    good = change(YES_TOKEN, "0.50", "0", "BUY")
    for bad in (
        change(NO_TOKEN, "oops", "1", "SELL"),
        change(NO_TOKEN, "0.49", "1", "SELL", best_bid="x"),
        change(NO_TOKEN, "0.49", "1", "?"),
    ):
        world.market.clear()
        world.do(world.fake.socket("market").say, changes(good, bad), seconds=0.01)
        (delta,) = [event for event in of(world, YES) if isinstance(event, BookDelta)]
        assert delta.bids == ((parse("0.5"), 0),)
        dropped, *_ = snapshots(world, NO)
        assert (dropped.bids, dropped.asks) == ((), ())
        world.go(1)
        assert snapshots(world, NO)[-1].bids == ((parse("0.4"), parse("100")),), "asked for at once"
    assert connections(world) == 1


HUGE = ["999999999999999", "9" * 5_000, "-1"]


@pytest.mark.parametrize("number", HUGE)
@pytest.mark.parametrize("kind", ["book", "price_change", "last_trade_price", "tick_size_change"])
def test_a_number_that_the_journal_cannot_keep_is_none(
    world: World, kind: str, number: str
) -> None:
    told = {
        "book": book(YES_TOKEN, {"0.3": "1", "0.4": number}, {}),
        "price_change": changes(change(YES_TOKEN, "0.4", number, "BUY")),
        "last_trade_price": {"event_type": kind, "asset_id": YES_TOKEN, "price": "0.4",
                             "size": number, "side": "BUY"},
        "tick_size_change": {"event_type": kind, "asset_id": YES_TOKEN, "new_tick_size": number},
    }  # fmt: skip
    world.say("market", told[kind])
    world.fake.books[YES_TOKEN] = book(YES_TOKEN, {"0.4": number}, {})
    world.go(20)
    for event in world.market:
        encode(event)
    assert connections(world) == 1, "REST's word is none either"


@pytest.mark.parametrize(
    "bad",
    [
        {"mos": 10**15}, {"mos": "NaN"}, {"mts": -1}, {"fd": {"r": "NaN", "e": 1}},
        {"fd": {"r": 0.1, "e": "NaN"}}, {"fd": {"r": 0.1, "e": 10**30}}, {"mts": "1E+999999"},
    ],
)  # fmt: skip
def test_rules_that_are_no_numbers_leave_the_market_as_it_was(world: World, bad: dict) -> None:
    world.fake.rest[f"GET /clob-markets/{CONDITION}"] = lambda _: parameters(**bad)
    world.go(61)
    assert not any(isinstance(event, InstrumentListed) for event in world.market)
    assert world.venue.connected


def test_an_end_beyond_the_journals_time_is_the_last_that_can_be(world: World) -> None:
    world.fake.rest[f"GET /markets/{CONDITION}"] = lambda _: market(end_date_iso="9999-12-31")
    world.go(61)
    listed = [event for event in world.market if isinstance(event, InstrumentListed)]
    assert len(listed) == 2
    for event in listed:
        encode(event)


def test_what_changes_while_a_book_is_asked_for_is_in_it(world: World) -> None:
    world.fake.books[YES_TOKEN] = book(YES_TOKEN, {"0.5": "9"}, {"0.6": "100"}, AT_MS)
    answer = world.fake.rest["GET /book"]

    def slowly(given: dict) -> dict:
        socket = world.fake.socket("market")
        socket.say(changes(change(YES_TOKEN, "0.45", "3", "BUY"), at_ms=AT_MS - 5))
        socket.say(changes(change(YES_TOKEN, "0.51", "3", "BUY"), at_ms=AT_MS + 5))
        return answer(given)

    world.fake.rest["GET /book"] = slowly
    world.say("market", changes(change(YES_TOKEN, "oops", "1", "BUY"), at_ms=AT_MS - 9))
    world.go(0.6)
    kept = world.venue._market.books.tokens[YES_TOKEN].book
    assert kept.bids == {parse("0.51"): parse("3"), parse("0.5"): parse("9")}
    shown = OrderBook()
    for event in of(world, YES):
        if isinstance(event, BookSnapshot):
            shown.replace(event.bids, event.asks, 0)
        elif isinstance(event, BookDelta):
            shown.apply(event.bids, event.asks, 0)
    assert shown.bids == kept.bids, "the engine has the same"


@pytest.mark.parametrize("text", [b"hello", b'{"event_type":"price_change","price_changes":[{}]}'])
def test_what_may_have_been_a_change_has_all_books_compared(world: World, text: bytes) -> None:
    before = len(world.fake.posted("GET /book"))
    world.fake.books[YES_TOKEN] = book(YES_TOKEN, {"0.3": "1"}, {"0.7": "1"})
    world.say("market", text)
    world.go(0.7)
    asked = [given["token_id"] for given in world.fake.posted("GET /book")[before:]]
    assert sorted(asked) == sorted([YES_TOKEN, NO_TOKEN])
    assert snapshots(world, YES)[-1].bids == ((parse("0.3"), parse("1")),)
    assert snapshots(world, NO) == [], "it was right"


@pytest.mark.parametrize("channel", ["price_change", "best_bid_ask"])
def test_a_best_price_that_is_not_ours_raises_doubt(world: World, channel: str) -> None:
    message: dict = changes(change(YES_TOKEN, "0.1", "1", "BUY", best_bid="0.55", best_ask="0.6"))
    if channel == "best_bid_ask":
        message = {"event_type": channel, "asset_id": YES_TOKEN, "best_bid": "0.55",
                   "best_ask": "0.6"}  # fmt: skip
    world.say("market", changes(change(NO_TOKEN, "0.1", "1", "BUY")))
    before = len(world.fake.posted("GET /book"))
    world.say("market", message)
    assert world.venue._market.books.tokens[YES_TOKEN].doubted_s
    world.go(2.8)
    assert [g["token_id"] for g in world.fake.posted("GET /book")[before:]] == [YES_TOKEN]


def test_a_book_that_is_contradicted_comes_anew_while_its_changes_flow(world: World) -> None:
    """It was heard of a moment ago, each time, and so was never asked for."""
    world.say("market", book(YES_TOKEN, {"0.5": "1"}, {"0.52": "1", "0.6": "1"}))
    world.fake.books[YES_TOKEN] = book(YES_TOKEN, {"0.5": "1"}, {"0.6": "1"})
    for _ in range(12):
        told = change(YES_TOKEN, "0.4", "1", "BUY", best_bid="0.5", best_ask="0.6")
        world.say("market", changes(told))
        world.go(0.3)
    assert snapshots(world, YES)[-1].asks == ((parse("0.6"), parse("1")),)


def wrong_books() -> float:
    return metrics.WRONG_BOOKS.labels("POLYMARKET")._value.get()


def now_ms(world: World) -> int:
    return AT_MS + int(world.loop.time() * 1000)


def stir(world: World, seconds: float, *prices: str) -> None:
    """Change the book of YES, in these levels, every half second."""
    for number in range(int(seconds * 2)):
        told = (change(YES_TOKEN, price, str(number + 1), "BUY") for price in prices)
        world.say("market", changes(*told, at_ms=now_ms(world)))
        world.go(0.45)


def show(world: World, bids: dict[str, str], asks: dict[str, str], behind_ms: int = 0) -> None:
    """What REST answers from now on, by the venue's time as of then."""
    world.fake.rest["GET /book"] = lambda given: (
        book(YES_TOKEN, bids, asks, now_ms(world) - behind_ms)
        if given["token_id"] == YES_TOKEN
        else world.fake.books[given["token_id"]]
    )


def stir_until_asked(world: World) -> None:
    """Until the busy book of YES is asked for, a minute after it came."""
    before = len(world.fake.posted("GET /book"))
    for _ in range(200):
        stir(world, 0.5, "0.49")
        if YES_TOKEN in [g["token_id"] for g in world.fake.posted("GET /book")[before:]]:
            break
    assert world.loop.time() > COMPARE_S


def test_a_busy_book_that_has_missed_a_change_far_below_comes_anew(world: World) -> None:
    """Its best prices are right all the while, and it is never quiet."""
    deep = book(YES_TOKEN, {"0.50": "30", "0.49": "1", "0.10": "500"}, {"0.60": "100"}, AT_MS)
    world.say("market", deep)
    show(world, {"0.50": "30", "0.49": "77"}, {"0.60": "100"})
    before, sockets = wrong_books(), len(world.fake.sockets)
    stir(world, 58, "0.49")
    assert parse("0.1") in world.venue._market.books.tokens[YES_TOKEN].book.bids
    stir(world, 10, "0.49")
    assert parse("0.1") not in world.venue._market.books.tokens[YES_TOKEN].book.bids
    assert parse("0.1") not in dict(snapshots(world, YES)[-1].bids), "the engine has the same"
    assert wrong_books() == before + 1
    assert len(world.fake.sockets) == sockets, "the others are left as they are"


def test_a_busy_book_is_not_wrong_where_the_socket_lags_behind_rest(world: World) -> None:
    show(world, {"0.50": "30", "0.49": "1", "0.48": "5"}, {"0.60": "100"})
    before, shown = wrong_books(), len(snapshots(world, YES))
    stir_until_asked(world)
    stir(world, 1, "0.49")
    world.say("market", changes(change(YES_TOKEN, "0.48", "5", "BUY"), at_ms=now_ms(world)))
    stir(world, 5, "0.49")
    assert (wrong_books(), len(snapshots(world, YES))) == (before, shown)


def test_a_busy_book_is_not_wrong_where_rest_lags_behind_the_socket(world: World) -> None:
    show(world, {"0.50": "30", "0.49": "1"}, {"0.60": "100"})
    before, shown = wrong_books(), len(snapshots(world, YES))
    due_s = world.venue._market.books.tokens[YES_TOKEN].compared_s + COMPARE_S
    while clock.boot_s() < due_s - 0.5:
        stir(world, 0.5, "0.49")
    world.say("market", changes(change(YES_TOKEN, "0.48", "5", "BUY"), at_ms=now_ms(world)))
    later = {"0.50": "30", "0.49": "1", "0.48": "5"}
    world.loop.call_later(2.0, show, world, later, {"0.60": "100"})
    stir_until_asked(world)
    stir(world, 5, "0.49")
    assert (wrong_books(), len(snapshots(world, YES))) == (before, shown)


def test_an_answer_that_is_older_than_what_was_heard_says_nothing_of_a_busy_book(
    world: World,
) -> None:
    show(world, {"0.50": "30"}, {"0.70": "100"}, behind_ms=30_000)
    before = wrong_books()
    stir(world, 75, "0.49")
    assert wrong_books() == before


def test_a_busy_book_that_is_not_got_is_asked_for_again_later(world: World) -> None:
    answers = iter([Answer(503, b"upstream"), {"bids": [{"price": "oops", "size": "1"}]}])
    world.fake.rest["GET /book"] = lambda given: (
        next(answers, world.fake.books[YES_TOKEN])
        if given["token_id"] == YES_TOKEN
        else world.fake.books[given["token_id"]]
    )
    stir(world, 200, "0.49")
    asked = [g for g in world.fake.posted("GET /book") if g["token_id"] == YES_TOKEN]
    assert 2 <= len(asked) <= 4
    assert world.venue.connected


def test_many_busy_books_are_compared_a_few_at_a_time(world: World) -> None:
    tokens = tuple(str(10**70 + number) for number in range(40))
    for token in tokens:
        world.fake.books[token] = book(token, {"0.5": "1"}, {"0.6": "1"})
    world.do(world.venue._market.listen, tokens)
    asked: list[int] = []
    for _ in range(160):
        before = len(world.fake.posted("GET /book"))
        told = (change(token, "0.4", "1", "BUY") for token in tokens)
        world.say("market", changes(*told, at_ms=now_ms(world)))
        world.go(0.45)
        found = [g["token_id"] for g in world.fake.posted("GET /book")[before:]]
        asked.append(len([token for token in found if token in tokens]))
    assert max(asked) <= COMPARED
    assert sum(asked) == len(tokens), "each once"


PRICES = ["0.1", "0.2", "0.3"]


@given(
    st.lists(st.tuples(st.sampled_from(PRICES), st.integers(0, 3)), max_size=12),
    st.lists(st.integers(0, 12), min_size=3, max_size=3).map(sorted),
    st.integers(0, 12),
)
def test_what_a_comparison_says_of_a_busy_book_is_so(
    told: list[tuple[str, int]], at: list[int], lost: int
) -> None:
    """The socket had told `begun` changes as it began, REST shows `shown`, and in the end the
    socket has told `heard`; one of those before it began may have been lost."""
    begun, shown, heard = at
    books = Books()
    books.listen([YES_TOKEN], 0.0)

    def hear(first: int, last: int) -> None:
        for number, (price, size) in enumerate(told[first:last], first):
            if number != lost or number >= begun:
                found = changes(change(YES_TOKEN, price, str(size), "BUY"), at_ms=AT_MS + number)
                books.changes(0, 0.0, msgspec.convert(found, MarketMessage))

    def real(count: int) -> dict[str, int]:
        return {price: size for price, size in dict(told[:count]).items() if size}

    first = msgspec.convert(book(YES_TOKEN, {}, {}, AT_MS), wire.Book)
    books.snapshot(0, 0.0, first)
    hear(0, begun)
    before = books.tokens[YES_TOKEN].changed
    books.watched(YES_TOKEN)
    hear(begun, heard)
    answer = book(YES_TOKEN, {p: str(s) for p, s in real(shown).items()}, {}, AT_MS + 99)
    missed = books.missed(msgspec.convert(answer, wire.Book), before)
    was_lost = lost < min(begun, len(told))
    again = was_lost and told[lost][0] in [price for price, _ in told[lost + 1 : heard]]
    if not was_lost or again:
        assert missed == 0
    else:
        had = dict(told[:lost]).get(told[lost][0], 0)
        assert missed == (had != told[lost][1])


def test_an_empty_side_is_no_doubt(world: World) -> None:
    world.say("market", book(YES_TOKEN, {"0.5": "1"}, {}))
    world.say("market", changes(change(YES_TOKEN, "0.4", "1", "BUY", best_bid=".5", best_ask="1")))
    assert not world.venue._market.books.tokens[YES_TOKEN].doubted_s


def test_an_end_is_told_for_both_tokens(world: World) -> None:
    world.say(
        "market",
        {"event_type": "market_resolved", "market": CONDITION, "assets_ids": [YES_TOKEN, NO_TOKEN],
         "winning_asset_id": NO_TOKEN, "winning_outcome": "No"},
    )  # fmt: skip
    assert {e.instrument: e.payout for e in world.market if isinstance(e, Resolution)} == {
        YES: 0,
        NO: SCALE,
    }
    world.market.clear()
    world.fake.rest[f"GET /markets/{CONDITION}"] = lambda _: ended(yes_wins=False)
    world.say("market", changes(change(YES_TOKEN, "0.51", "1", "BUY")))
    world.go(130)
    assert world.market == []
    assert world.account().resolved == {YES: 0, NO: SCALE}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"hello", "malformed"),
        (b"[1]", "malformed"),
        (b"[{", "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'{"event_type":"book","asset_id":"\xff"}', "malformed"),
        (b'{"x":' * 100_000, "malformed"),
        (b'{"event_type":"book"}', "malformed"),
        (b'{"event_type":"weather"}', "unknown"),
        (b"{}", "unknown"),
        (b"[" + b" " * LARGEST + b"]", "oversized"),
        (json.dumps(changes(change(NO_TOKEN, "NaN", "1", "BUY"))).encode(), "malformed"),
    ],
)
def test_what_cannot_be_used_is_counted_and_not_fatal(world: World, text: bytes, why: str) -> None:
    counter = metrics.UNUSABLE.labels("market", why)
    before = counter._value.get()
    world.say("market", text)
    assert counter._value.get() == before + 1
    world.say("market", changes(change(YES_TOKEN, "0.51", "1", "BUY")))
    assert len([event for event in of(world, YES) if isinstance(event, BookDelta)]) == 1


def test_the_unusable_is_told_once_a_minute(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = Frames("user")
    for _ in range(100):
        frames.odd("malformed", "x")
    world.go(61)
    frames.odd("malformed", "x")
    text = capsys.readouterr().out
    assert text.count("unusable_message") == 2
    assert "count=100" in text


def test_signs_of_life_are_sent(world: World) -> None:
    world.go(21)
    for kind in ("market", "user"):
        assert world.fake.socket(kind).sent.count(b"PING") >= 2
    world.fake.silent = True
    world.go(45)
    assert len(world.fake.sockets) > 2


def test_a_new_connection_brings_the_books_anew(world: World) -> None:
    world.do(world.fake.socket("market").cut, "gone")
    assert not world.venue._market.books.tokens[YES_TOKEN].whole
    world.go(2)
    kept = OrderBook()
    last = of(world, YES)[-1]
    kept.replace(last.bids, last.asks, 0)
    assert kept.top() == (parse("0.5"), parse("30"), parse("0.6"), parse("100"))


@pytest.mark.parametrize(
    ("rate", "price", "size", "fee"),
    [
        ("0.07", "0.5", "100", "1.75"),
        ("0.05", "0.5", "100", "1.25"),
        ("0.04", "0.5", "100", "1"),
        ("0.07", "0.3", "100", "1.47"),
        ("0.07", "0.01", "0.01", "0"),
        ("0.07", "0.54", "4", "0.06955"),
        ("0", "0.5", "100", "0"),
    ],
)
def test_fees_follow_the_venues_worked_values(rate: str, price: str, size: str, fee: str) -> None:
    curve = FeeCurve(parse(rate))
    assert curve.fee(parse(price), parse(size), maker=False) == parse(fee)
    assert curve.fee(parse(price), parse(size), maker=True) == 0


@given(
    st.integers(0, parse("0.1")),
    st.integers(1, 9_999).map(lambda n: n * parse("0.0001")),
    st.integers(1, 10**9).map(lambda n: n * 100),
)
def test_the_simulated_venue_takes_the_same_fee(rate: int, price: int, size: int) -> None:
    fees = BinaryFees(0, rate)
    assert fees.fee(price, size, maker=False) == FeeCurve(rate).fee(price, size, maker=False)
    assert fees.fee(price, size, maker=True) == 0


def test_a_higher_exponent_costs_less() -> None:
    curve = FeeCurve(parse("0.07"), 2, taker_only=False)
    assert curve.fee(parse("0.5"), parse("100"), maker=True) == parse("0.4375")


def test_a_market_may_end_in_halves() -> None:
    found = msgspec.convert(market(closed=True, is_50_50_outcome=True), Market)
    assert payouts_of(found) == {YES: SCALE // 2, NO: SCALE // 2}
