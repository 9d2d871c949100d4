"""What users complain of in other systems' connections, over sockets, in Polymarket's protocol."""

import asyncio
import itertools
import os
from typing import Any

import anyio
import pytest
from poly_scene import CASH, NO, NO_ID, YES, YES_ID, levels
from prometheus_client import REGISTRY
from venue_floor import Floor, open_files, polymarket_floor, tasks_are

from betatrader.model.account import OrderInDoubt, OrderRejected
from betatrader.model.market import BookDelta, BookSnapshot
from betatrader.model.money import parse
from betatrader.model.order import OrderState, OrderTerms, OrderType, Side
from betatrader.net import feed
from betatrader.ops import clock
from betatrader.venues.polymarket import market, rest
from betatrader.venues.polymarket.serve.answers import RefusedRequestError

pytestmark = pytest.mark.asyncio

CUTS = min(int(os.environ.get("BETATRADER_RECONNECTS", "40")), 1_000)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """It comes back at once, and waits for little."""
    monkeypatch.setattr(feed, "FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(feed, "LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(market, "LOOK_S", 0.05)
    monkeypatch.setattr(market, "DOUBT_S", 0.2)
    return monkeypatch


def buy(price: str, size: str = "10") -> OrderTerms:
    return OrderTerms(YES_ID, Side.BUY, OrderType.LIMIT, parse(price), parse(size))


def sessions(made: Floor) -> set[Any]:
    channels = made.server.state.channels
    return {*channels.market_sessions, *channels.user_sessions}


def back(made: Floor, before: set[Any]) -> bool:
    """Whether the adapter has made both of its channels anew."""
    now = sessions(made)
    return made.venue.connected and len(now) == 2 and not before & now


def no_books() -> float:
    return REGISTRY.get_sample_value("bt_no_book_total", {"venue": "POLYMARKET"}) or 0.0


def move(made: Floor, bid: str) -> None:
    """The book of YES moves."""
    change = BookDelta(clock.now_ns(), YES_ID, levels(f"{bid}x30"), (), 0)
    made.server.play(change)


async def test_t24_after_many_cuts_sockets_and_tasks_are_as_before(
    hasty: pytest.MonkeyPatch,
) -> None:
    async with polymarket_floor() as made:
        order = made.submit(buy("0.40"))  # the connection that orders take is open
        await made.until(lambda: made.fate(order) == ["OrderAccepted"])
        tasks, files = len(asyncio.all_tasks()), open_files()
        for _ in range(CUTS):
            before = sessions(made)
            made.server.close()
            await made.until(lambda old=before: back(made, old))
        await tasks_are(tasks)
        await made.until(lambda: open_files() <= files)
        assert not made.venue.busy
        made.cancel(order, YES_ID)
        await made.until(lambda: made.fate(order)[-1] == "OrderCanceled")


async def test_t26_an_open_socket_shows_no_book_before_one_has_come(
    hasty: pytest.MonkeyPatch,
) -> None:
    """The venue acknowledges nothing. Where its socket says nothing either, each of the books that
    share it is asked for, and none is shown before."""
    hasty.setattr(market, "DOUBT_S", 0.5)
    async with polymarket_floor() as made:
        before = sessions(made)
        made.server.silence(market=True)
        made.server.close()
        await made.until(lambda: len(sessions(made)) == 2 and not before & sessions(made))
        made.shown.clear()
        books = made.venue._market.books.tokens
        assert [books[token].whole for token in (YES, NO)] == [False, False]
        await anyio.sleep(0.2)
        assert made.of(YES_ID, BookSnapshot) == made.of(NO_ID, BookSnapshot) == []
        for instrument in (YES_ID, NO_ID):
            await made.until(lambda name=instrument: made.of(name, BookSnapshot))
        assert made.venue.connected


async def test_t33_what_cannot_be_read_of_one_book_leaves_the_other(
    hasty: pytest.MonkeyPatch,
) -> None:
    async with polymarket_floor() as made:
        before = sessions(made)
        made.shown.clear()
        change = {"asset_id": YES, "price": "no price", "size": "1", "side": "BUY"}
        message = {"event_type": "price_change", "market": "0x1", "price_changes": [change]}
        made.server.state.channels.tell_market([YES], message)
        await made.until(lambda: len(made.of(YES_ID, BookSnapshot)) == 2)
        empty, again = made.of(YES_ID, BookSnapshot)
        assert (empty.bids, again.bids[0]) == ((), levels("0.50x30")[0])
        assert made.of(NO_ID, BookSnapshot) == []
        move(made, "0.45")
        await made.until(lambda: made.of(YES_ID, BookDelta))
        assert (sessions(made), made.ups) == (before, 1)


async def test_a_busy_book_that_has_missed_a_change_comes_anew_and_one_that_has_not_is_left(
    hasty: pytest.MonkeyPatch,
) -> None:
    """Its changes flow all the while, so that it is never asked for as a quiet one is."""
    for name, seconds in (("STALE_S", 0.4), ("GRACE_S", 0.3), ("COMPARE_S", 0.5)):
        hasty.setattr(market, name, seconds)
    async with polymarket_floor() as made:
        before, book = sessions(made), made.venue._market.books
        missed = book.missed
        compared: list[int] = []
        hasty.setattr(book, "missed", lambda *one: compared.append(missed(*one)) or compared[-1])

        async def stir() -> None:
            for number in itertools.count(1):
                made.server.play(BookDelta(clock.now_ns(), YES_ID, levels(f"0.45x{number}"), (), 0))
                await anyio.sleep(0.02)

        async with anyio.create_task_group() as group:
            group.start_soon(stir)
            await made.until(lambda: len(compared) >= 3)
            assert set(compared) == {0}
            made.server.silence(market=True)
            move(made, "0.20")
            made.server.silence(market=False)
            deep = parse("0.20")
            assert deep not in book.tokens[YES].book.bids
            await made.until(lambda: deep in book.tokens[YES].book.bids)
            group.cancel_scope.cancel()
        assert compared.count(1) == 1
        assert (sessions(made), made.ups) == (before, 1)


async def test_t34_a_book_that_cannot_be_got_is_asked_for_less_often_and_harms_no_other(
    hasty: pytest.MonkeyPatch,
) -> None:
    async with polymarket_floor() as made:
        paths, asked = made.server._paths, []
        good = paths["GET /book"]

        async def book(request: Any) -> Any:
            asked.append(request.query)
            if YES in request.query:
                raise RefusedRequestError(500, "Internal server error")
            return await good(request)

        paths["GET /book"] = book
        counted = no_books()
        made.venue._market.books.drop_all(clock.boot_s())
        made.shown.clear()
        await made.until(lambda: made.of(NO_ID, BookSnapshot), 1.0)
        await anyio.sleep(1.6)
        mine = [query for query in asked if YES in query]
        assert len(mine) == 2, "at once, and a second later"
        assert no_books() == counted + 2
        assert made.of(YES_ID, BookSnapshot) == []
        paths["GET /book"] = good
        await made.until(lambda: made.of(YES_ID, BookSnapshot))
        assert made.ups == 1


async def test_t35_a_rejection_leaves_the_connection_usable(hasty: pytest.MonkeyPatch) -> None:
    async with polymarket_floor() as made:
        before = sessions(made)
        made.server.state.listings.least_size = parse("20")
        for price, size in (("0.40", "10"), ("0.45", "9000"), ("0.40", "30")):
            order = made.submit(buy(price, size))
            await made.until(lambda order=order: made.fate(order))
        assert made.fate(order) == ["OrderAccepted"]
        refused = [event.reason for event in made.told if isinstance(event, OrderRejected)]
        assert len(refused) == 2
        assert "Size (10) lower than the minimum: 20" in refused[0]
        assert refused[1].startswith("not enough balance / allowance")
        made.cancel(order, YES_ID)
        await made.until(lambda: made.fate(order)[-1] == "OrderCanceled")
        assert (sessions(made), made.ups) == (before, 1)


async def test_t35_what_is_not_answered_ends_at_its_limit(hasty: pytest.MonkeyPatch) -> None:
    hasty.setattr(rest, "ORDER_S", 0.3)
    async with polymarket_floor() as made:
        paths = made.server._paths
        good = paths["POST /order"]

        async def silence(_request: Any) -> Any:
            await anyio.sleep(2)
            raise RefusedRequestError(500, "Internal server error")

        paths["POST /order"] = silence
        order = made.submit(buy("0.40"))
        await made.until(lambda: made.fate(order), 1.5)
        [doubt] = [event for event in made.told if isinstance(event, OrderInDoubt)]
        assert doubt.order == order
        paths["POST /order"] = good
        after = made.submit(buy("0.41"))
        await made.until(lambda: made.fate(after) == ["OrderAccepted"])
        assert made.ups == 1


async def test_t37_what_arrives_after_all_was_cancelled_is_found_and_cancelled(
    hasty: pytest.MonkeyPatch,
) -> None:
    """The order is under way for longer than anyone waits, and misses the cancel of all."""
    hasty.setattr(rest, "ORDER_S", 0.3)
    async with polymarket_floor() as made:
        state = made.server.state
        [owner] = state.keys.addresses()
        state.exchange.latency_ns = 1_000_000_000
        order = made.submit(buy("0.40"))
        await made.until(lambda: made.fate(order) == ["OrderInDoubt"])
        state.exchange.latency_ns = 1_000_000
        assert made.venue.cancel_all()
        await anyio.sleep(0.1)
        assert state.exchange.resting(owner) == set()
        await made.until(lambda: state.exchange.resting(owner))
        await made.reports(order)
        assert made.state.orders.open[order].state is OrderState.ACCEPTED
        made.cancel(order, YES_ID)
        await made.until(lambda: made.fate(order)[-1] == "OrderCanceled")
        assert state.exchange.resting(owner) == set()
        assert state.exchange.ledgers[owner].cash == CASH
