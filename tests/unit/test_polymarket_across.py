"""Orders of both tokens of a market meet at the simulated Polymarket: MINT and MERGE."""

import pytest
from msgspec.json import decode, encode
from poly_scene import CASH, NO, NO_ID, OTHER, YES, YES_ID, Clock, Heard, Wallet, market, server

from betatrader.model.money import parse
from betatrader.net.transport import Request
from betatrader.ops import clock
from betatrader.sim.ledger import Ledger
from betatrader.venues.polymarket.serve.server import PolymarketServer


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> PolymarketServer:
    time = Clock()
    monkeypatch.setattr(clock, "now_ns", time)
    made = server()
    for event in market(time.now_ns):
        made.play(event)
    return made


async def two(venue: PolymarketServer) -> tuple[Wallet, Wallet]:
    return await Wallet(venue).connect(), await Wallet(venue, OTHER).connect()


def ledger(venue: PolymarketServer, wallet: Wallet) -> Ledger:
    return venue.state.exchange.ledgers[wallet.address]


async def test_two_buys_mint_a_pair_and_the_taker_has_the_better_price(
    venue: PolymarketServer,
) -> None:
    maker, taker = await two(venue)
    _, rests = await maker.place("BUY", "0.49", "8", token=NO)
    _, takes = await taker.place("BUY", "0.52", "8")
    assert (rests["status"], takes["status"]) == ("live", "matched")
    assert (takes["makingAmount"], takes["takingAmount"]) == ("4.08", "8")
    made, paid = ledger(venue, maker), ledger(venue, taker)
    assert (made.held(NO_ID), CASH - made.cash) == (parse("8"), parse("3.92"))
    assert (paid.held(YES_ID), CASH - paid.cash - paid.fees) == (parse("8"), parse("4.08"))
    _, page = await taker.ask("GET", "/data/trades")
    (trade,) = page["data"]
    assert (trade["asset_id"], trade["side"], trade["price"]) == (YES, "BUY", "0.51")
    (theirs,) = trade["maker_orders"]
    assert (theirs["order_id"], theirs["asset_id"], theirs["side"]) == (
        rests["orderID"],
        NO,
        "BUY",
    )
    assert (theirs["price"], theirs["outcome"], theirs["matched_amount"]) == ("0.49", "No", "8")
    _, seen = await maker.ask("GET", "/data/trades")
    assert [(one["id"], one["trader_side"]) for one in seen["data"]] == [(trade["id"], "MAKER")]


async def test_two_sales_merge_a_pair(venue: PolymarketServer) -> None:
    maker, taker = await two(venue)
    ledger(venue, maker).positions[NO_ID] = parse("8")
    ledger(venue, taker).positions[YES_ID] = parse("8")
    await maker.place("SELL", "0.49", "6", token=NO)
    _, takes = await taker.place("SELL", "0.51", "8")
    assert takes["takingAmount"] == "3.06"
    assert ledger(venue, maker).held(NO_ID) == parse("2")
    assert ledger(venue, taker).held(YES_ID) == parse("2")
    got = sum(ledger(venue, one).cash + ledger(venue, one).fees - CASH for one in (maker, taker))
    assert got == parse("6")


async def test_an_order_stands_in_both_books(venue: PolymarketServer) -> None:
    maker, taker = await two(venue)
    await maker.place("BUY", "0.49", "8", token=NO)
    book = decode((await taker.call("GET", "/book", token_id=YES)).body)
    assert book["asks"][-1] == {"price": "0.51", "size": "8"}
    _, refused = await taker.place("BUY", "0.51", "5", post_only=True)
    assert "crosses book" in refused["error"]
    await maker.ask("DELETE", "/cancel-all")
    book = decode((await taker.call("GET", "/book", token_id=YES)).body)
    assert book["asks"][-1] == {"price": "0.52", "size": "25"}


async def test_what_an_order_changes_in_both_books_is_one_message(venue: PolymarketServer) -> None:
    maker, _ = await two(venue)
    feed = Heard()
    handler = venue.open(Request("GET", "/ws/market", "", {}, b""), feed)
    assert handler is not None
    handler.received(encode({"type": "market", "assets_ids": [YES, NO]}))
    await maker.place("BUY", "0.49", "8", token=NO)
    (message,) = feed.messages("price_change")
    assert {
        (c["asset_id"], c["side"], c["price"], c["size"]) for c in message["price_changes"]
    } == {
        (YES, "SELL", "0.51", "8"),
        (NO, "BUY", "0.49", "8"),
    }


async def test_prices_that_leave_a_gap_do_not_meet(venue: PolymarketServer) -> None:
    maker, taker = await two(venue)
    _, one = await maker.place("BUY", "0.49", "8", token=NO)
    _, other = await taker.place("BUY", "0.50", "8")
    assert (one["status"], other["status"]) == ("live", "live")


async def test_a_pair_whose_minting_fails_is_taken_back(venue: PolymarketServer) -> None:
    maker, taker = await two(venue)
    heard = taker.hear()
    venue.fail_trades(1)
    await maker.place("BUY", "0.49", "8", token=NO)
    await taker.place("BUY", "0.52", "8")
    venue.state.advance(clock.now_ns() + 10**9)
    assert [m["status"] for m in heard.messages("trade")] == ["MATCHED", "RETRYING", "FAILED"]
    for wallet in (maker, taker):
        assert ledger(venue, wallet).cash == CASH
        assert not any(ledger(venue, wallet).positions.values())
