"""A recording of Polymarket, line by line, as events."""

import json
from pathlib import Path
from typing import Any

import pytest
from polymarket_scenes import (
    CONDITION,
    EPOCH_NS,
    NO,
    NO_TOKEN,
    YES,
    YES_TOKEN,
    book,
    market,
    parameters,
)

from betatrader.model.errors import UsageError
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    InstrumentStatus,
    PublicTrade,
    Resolution,
)
from betatrader.model.money import SCALE, parse
from betatrader.roles.feeds import read_file
from betatrader.venues.polymarket.recording import is_recording

TRADE = {
    "event_type": "last_trade_price", "asset_id": YES_TOKEN, "market": CONDITION,
    "price": "0.456", "size": "219.217767", "side": "BUY", "transaction_hash": "0x1",
}  # fmt: skip
CHANGE = {
    "event_type": "price_change", "market": CONDITION, "timestamp": "1764000000999",
    "price_changes": [{"asset_id": YES_TOKEN, "price": "0.5", "size": "7", "side": "BUY"}],
}  # fmt: skip
TICK = {"event_type": "tick_size_change", "asset_id": YES_TOKEN, "new_tick_size": "0.001"}
END = {
    "event_type": "market_resolved", "market": CONDITION,
    "assets_ids": [YES_TOKEN, NO_TOKEN], "winning_asset_id": NO_TOKEN,
}  # fmt: skip
BIDS, ASKS = {"0.40": "100"}, {"0.60": "50"}


def written(folder: Path, *messages: Any) -> Path:
    """A recording of these, a second apart."""
    path = folder / "market.jsonl"
    lines = (
        f"{EPOCH_NS + at * 10**9} {m if isinstance(m, str) else json.dumps(m)}\n"
        for at, m in enumerate(messages)
    )
    path.write_text("".join(lines))
    return path


def test_the_market_the_books_and_the_end(tmp_path: Path) -> None:
    books = [book(YES_TOKEN, BIDS, ASKS), book(NO_TOKEN, BIDS, ASKS)]
    path = written(tmp_path, market(), parameters(), books, CHANGE, TRADE, END, TRADE)
    assert is_recording(path)
    events = list(read_file(path))
    assert [type(event) for event in events] == [
        *[InstrumentListed] * 2,
        *[InstrumentStatus] * 2,
        *[BookSnapshot] * 2,
        BookDelta,
        PublicTrade,
        *[Resolution] * 2,
    ], "after its end a market tells nothing"
    trade = events[7]
    assert isinstance(trade, PublicTrade)
    assert (trade.quantity, trade.buyer_is_taker) == (parse("219.217767"), True)
    ends = {event.instrument: event.payout for event in events if isinstance(event, Resolution)}
    assert ends == {YES: 0, NO: SCALE}


def test_a_change_waits_for_a_whole_book_and_a_new_tick_drops_it(tmp_path: Path) -> None:
    asked = {**book(YES_TOKEN, BIDS, ASKS)}
    del asked["event_type"]
    path = written(
        tmp_path,
        market(),
        parameters(),
        CHANGE,
        asked,
        asked,
        CHANGE,
        TICK,
        CHANGE,
        market(),
        parameters(),
    )
    events = list(read_file(path))[4:]
    assert [type(event) for event in events[:4]] == [
        BookSnapshot,  # of REST, once
        BookDelta,
        InstrumentListed,
        BookSnapshot,  # an empty one
    ]
    assert isinstance(events[2], InstrumentListed)
    assert events[2].definition.tick == parse("0.001")


@pytest.mark.parametrize("line", ["no JSON", '{"event_type":"book"}', "[1]", '{"mts": "x"}'])
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, market(), parameters(), line)
    with pytest.raises(UsageError, match=r"line 3: no Polymarket message"):
        list(read_file(path))
