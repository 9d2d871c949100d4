"""What users complain of in other systems' connections, at Binance's own protocol over sockets."""

import asyncio
import os
from typing import Any

import anyio
import pytest
from prometheus_client import REGISTRY
from venue_floor import Floor, binance_floor, open_files, tasks_are

from betatrader.model.account import Fill, OrderInDoubt, OrderRejected
from betatrader.model.market import BookDelta, BookSnapshot
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderState, OrderTerms, OrderType, Side
from betatrader.net import feed
from betatrader.venues.binance import book_sync, market, venue, wire
from betatrader.venues.binance.serve.requests import Refusal
from betatrader.venues.binance.serve.running import OWNER

pytestmark = pytest.mark.asyncio

SYMBOLS = ("BTCUSDT", "ETHUSDT")
BTC, ETH = (wire.instrument_id(symbol) for symbol in SYMBOLS)
CUTS = min(
    int(os.environ.get("BETATRADER_RECONNECTS", "40")), 100
)  # the venue takes 300 in 5 minutes


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """It comes back at once, and waits for little."""
    monkeypatch.setattr(feed, "FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(feed, "LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(market, "SNAPSHOT_PAUSE_S", 0.05)
    monkeypatch.setattr(venue, "ANSWER_S", 0.3)
    return monkeypatch


def buy(price: str, instrument: str = BTC) -> OrderTerms:
    return OrderTerms(instrument, Side.BUY, OrderType.LIMIT, parse(price), parse("0.001"))


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"venue": "BINANCE", **labels}) or 0.0


def back(made: Floor, before: set[Any]) -> bool:
    """Whether the adapter has made both of its connections anew."""
    lines = made.server.lines
    return made.venue.connected and len(lines) == 2 and not before & set(lines)


async def test_t24_after_many_cuts_sockets_and_tasks_are_as_before(
    hasty: pytest.MonkeyPatch,
) -> None:
    async with binance_floor(*SYMBOLS) as made:
        tasks, files = len(asyncio.all_tasks()), open_files()
        for _ in range(CUTS):
            before = set(made.server.lines)
            made.server.cut_all()
            await made.until(lambda old=before: back(made, old))
        await tasks_are(tasks)
        assert open_files() <= files
        assert (len(made.server.sessions), len(made.server.market.subscribers)) == (1, 1)
        assert not made.venue._asked
        assert not made.venue.busy
        order = made.submit(buy("49000"))
        await made.until(lambda: made.fate(order) == ["OrderAccepted"])


async def test_t26_what_was_subscribed_to_is_up_when_data_came(hasty: pytest.MonkeyPatch) -> None:
    async with binance_floor(*SYMBOLS, silent=True) as made:
        await made.until(lambda: any(one.subscribed for one in made.server.sessions))
        await made.until(lambda: made.server.market.subscribers)
        await anyio.sleep(0.2)
        assert (made.ups, made.venue.connected) == (0, False), "connected, and nothing was heard"
        made.server.market.silent = False
        await made.until(lambda: made.ups == 1)


async def test_t26_of_many_in_one_connection_each_must_have_come_back(
    hasty: pytest.MonkeyPatch,
) -> None:
    """After a cut the venue tells of one symbol's book no more: that one is found, and alone."""
    hasty.setattr(book_sync, "FROZEN_S", 0.3)
    hasty.setattr(market, "LOOK_S", 0.05)
    async with binance_floor(*SYMBOLS) as made:
        before = counted("bt_frozen_books_total", symbol="BTCUSDT")
        made.server.market.frozen.add("BTCUSDT")
        lines = set(made.server.lines)
        made.server.cut_all()
        await made.until(lambda: back(made, lines))
        made.shown.clear()
        await made.until(lambda: counted("bt_frozen_books_total", symbol="BTCUSDT") > before)
        await made.until(lambda: len(made.of(BTC, BookSnapshot)) >= 2)
        assert made.of(BTC, BookDelta) == []
        made.server.market.frozen.clear()
        await made.until(lambda: made.of(BTC, BookDelta))
        assert len(made.of(ETH, BookSnapshot)) <= 1
        assert len(made.of(ETH, BookDelta)) > 10
        assert len(made.server.lines) == 2


def deaf_to_btc(made: Floor) -> list[str]:
    """The venue gives the book of one symbol no more; what was asked since."""
    asked: list[str] = []
    table = made.server.operations.by_name
    good = table["depth"]

    async def depth(account: Any, parameters: Any) -> Any:
        asked.append(parameters["symbol"])
        if parameters["symbol"] == "BTCUSDT":
            raise Refusal(500, -1000, "An unknown error occurred while processing the request.")
        return await good.handle(account, parameters)

    table["depth"] = good._replace(handle=depth)
    return asked


async def test_t33_t34_a_book_that_cannot_be_got_is_asked_for_less_often_and_harms_no_other(
    hasty: pytest.MonkeyPatch,
) -> None:
    async with binance_floor(*SYMBOLS) as made:
        good, lines = made.server.operations.by_name["depth"], set(made.server.lines)
        before = counted("bt_no_book_total")
        asked = deaf_to_btc(made)
        made.server.market._sequence["BTCUSDT"] += 5  # a gap
        await made.until(lambda: asked)
        made.shown.clear()
        await anyio.sleep(1.6)
        assert asked == ["BTCUSDT"] * 2, "at once, and a second later"
        assert counted("bt_no_book_total") == before + 2
        assert made.of(BTC, BookDelta) == []
        assert (made.of(ETH, BookSnapshot), len(made.of(ETH, BookDelta)) > 30) == ([], True)
        made.server.operations.by_name["depth"] = good
        await made.until(lambda: made.of(BTC, BookSnapshot))
        assert set(made.server.lines) == lines
        assert made.ups == 1


async def test_t34_one_number_at_two_symbols_is_two_trades(hasty: pytest.MonkeyPatch) -> None:
    async with binance_floor(*SYMBOLS) as made:
        made.server.trading._executions = 6
        first = made.submit(buy("50001"))
        await made.until(lambda: "Fill" in made.fate(first))
        made.server.trading._executions = 6
        second = made.submit(buy("50001", ETH))
        await made.until(lambda: "Fill" in made.fate(second))
        fills = [event for event in made.told if isinstance(event, Fill)]
        assert [(one.trade_id, one.instrument) for one in fills] == [("7", BTC), ("7", ETH)]
        account = await made.venue.account((first, second))
        assert {(one.order, one.trade_id) for one in account.fills} == {(first, "7"), (second, "7")}


async def test_t35_a_rejection_leaves_the_connection_usable(hasty: pytest.MonkeyPatch) -> None:
    async with binance_floor(*SYMBOLS) as made:
        lines = set(made.server.lines)
        for price in ("49000.001", "0.01", "49000"):
            order = made.submit(buy(price))
            await made.until(lambda order=order: made.fate(order))
        assert made.fate(order) == ["OrderAccepted"]
        refused = [event.reason for event in made.told if isinstance(event, OrderRejected)]
        assert refused == [
            "Filter failure: PRICE_FILTER (-1013)",
            "Filter failure: NOTIONAL (-1013)",
        ]
        made.cancel(order, BTC)
        await made.until(lambda: made.fate(order)[-1] == "OrderCanceled")
        assert (set(made.server.lines), made.ups) == (lines, 1)


async def test_t35_what_is_not_answered_ends_at_its_limit(hasty: pytest.MonkeyPatch) -> None:
    async with binance_floor(*SYMBOLS) as made:
        table = made.server.operations.by_name
        good = table["order.place"]

        async def silence(_account: Any, _parameters: Any) -> Any:
            await anyio.sleep_forever()

        table["order.place"] = good._replace(handle=silence)
        order = made.submit(buy("49000"))
        await made.until(lambda: made.fate(order), 1.5)
        [doubt] = [event for event in made.told if isinstance(event, OrderInDoubt)]
        assert (doubt.order, made.venue.busy) == (order, False)
        table["order.place"] = good
        after = made.submit(buy("49000"))
        await made.until(lambda: made.fate(after) == ["OrderAccepted"])


async def test_t37_what_arrives_after_all_was_cancelled_is_found_and_cancelled(
    hasty: pytest.MonkeyPatch,
) -> None:
    """The order is under way for longer than anyone waits, and the cancel overtakes it."""
    async with binance_floor(*SYMBOLS) as made:
        exchange = made.server.exchange
        exchange.latency_ns = 1_000_000_000
        order = made.submit(buy("49000"))
        await made.until(lambda: exchange.next_due_ns < 1 << 61)
        await made.until(lambda: made.fate(order) == ["OrderInDoubt"])
        exchange.latency_ns = 1_000_000
        made.cancel(order, BTC)
        await made.until(lambda: "CancelRejected" in made.fate(order))
        assert made.state.orders.open[order].state is OrderState.IN_DOUBT
        await made.until(lambda: exchange.resting(OWNER))
        await made.reports(order)
        assert made.state.orders.open[order].state is OrderState.ACCEPTED
        made.cancel(order, BTC)
        await made.until(lambda: made.fate(order)[-1] == "OrderCanceled")
        assert exchange.resting(OWNER) == set()
        assert exchange.ledgers[OWNER].cash == 10**6 * SCALE
