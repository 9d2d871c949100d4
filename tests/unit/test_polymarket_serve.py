"""The Polymarket server, in memory and on a held clock; its signatures against known answers."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from msgspec.json import decode, encode
from poly_scene import (
    CASH,
    CONDITION,
    NO,
    NO_ID,
    OTHER,
    YES,
    YES_ID,
    Clock,
    Heard,
    Wallet,
    contract,
    levels,
    market,
    server,
)

from betatrader.chaos.loop import Process, VirtualLoop
from betatrader.model.ids import InstrumentId
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    InstrumentStatus,
    PublicTrade,
    Resolution,
)
from betatrader.model.money import SCALE, parse
from betatrader.net.transport import Request
from betatrader.ops import clock
from betatrader.sim.faults import Faults
from betatrader.venues.polymarket.serve import signatures, troubles
from betatrader.venues.polymarket.serve.answers import RefusedRequestError
from betatrader.venues.polymarket.serve.authentication import ApiKey, Keys, signed
from betatrader.venues.polymarket.serve.books import book_hash
from betatrader.venues.polymarket.serve.limits import Limits
from betatrader.venues.polymarket.serve.payload import Sent, draft
from betatrader.venues.polymarket.serve.server import PolymarketServer
from betatrader.venues.polymarket.serve.state import Rules

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def known(recordings: Path) -> dict[str, Any]:
    path = recordings / "vectors_polymarket.json"
    if not path.is_file():
        pytest.skip(f"no known answers: {path} is not there")
    return decode(path.read_bytes())


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    held = Clock()
    monkeypatch.setattr(clock, "now_ns", held)
    return held


def open_venue(time: Clock, **more: Any) -> PolymarketServer:
    venue = server(**more)
    for event in market(time.now_ns):
        venue.play(event)
    return venue


def listening(venue: PolymarketServer, *tokens: str, custom: bool = True) -> Heard:
    heard = Heard()
    handler = venue.open(Request("GET", "/ws/market", "", {}, b""), heard)
    assert handler is not None
    handler.received(
        encode({"type": "market", "assets_ids": tokens, "custom_feature_enabled": custom})
    )
    return heard


def pass_time(venue: PolymarketServer, time: Clock, seconds: float) -> None:
    time.now_ns += int(seconds * SECOND)
    venue.state.advance(time.now_ns)


# Known answers.


def test_l1_signatures_are_as_known(known: dict[str, Any]) -> None:
    for one in known["l1"]:
        headers = one["headers"]
        digest = signatures.attestation(
            headers["POLY_ADDRESS"], headers["POLY_TIMESTAMP"], one["nonce"], one["chainId"]
        )
        assert "0x" + digest.hex() == one["digest"]
        signature = bytes.fromhex(headers["POLY_SIGNATURE"][2:])
        assert signatures.signed_by(digest, signature) == known["address"]


def test_l2_signatures_are_as_known(known: dict[str, Any]) -> None:
    for one in known["l2"]:
        made = signed(one["secret"], one["prehash"].encode())
        assert made.decode() == one["headers"]["POLY_SIGNATURE"], one["name"]


def test_orders_digests_and_signers_are_as_known(known: dict[str, Any]) -> None:
    for one in known["orders_v2"]:
        sent = msgspec.convert(one["post_body"], Sent).order
        order = signatures.Order(
            int(sent.salt),
            sent.maker,
            sent.signer,
            int(sent.token_id),
            int(sent.maker_amount),
            int(sent.taker_amount),
            ("BUY", "SELL").index(sent.side),
            sent.signature_type,
            int(sent.timestamp),
            bytes.fromhex(sent.metadata[2:]),
            bytes.fromhex(sent.builder[2:]),
        )
        domain = signatures.domain_for(order.token, neg_risk=one["neg_risk"])
        assert (domain.contract, domain.version) == (
            one["verifyingContract"],
            one["domain_version"],
        )
        assert "0x" + signatures.order_digest(order, domain).hex() == one["order_id"]
        signature = bytes.fromhex(sent.signature[2:])
        assert signatures.order_signer(order, domain, signature) == known["address"], one["name"]
        changed = order._replace(maker_amount=order.maker_amount + 1)
        assert signatures.order_signer(changed, domain, signature) != known["address"]


def test_book_hashes_are_as_known(known: dict[str, Any]) -> None:
    for one in known["book_hash"]:
        assert book_hash(one["book"]) == one["sha1"]


def test_every_known_order_is_taken_for_what_it_was_meant(known: dict[str, Any]) -> None:
    for one in known["orders_v2"]:
        sent = msgspec.convert(one["post_body"], Sent)
        venue = server(Rules(CASH, least_size=0, neg_risk=[CONDITION] if one["neg_risk"] else []))
        token = sent.order.token_id
        listed = msgspec.structs.replace(
            contract(YES, tick=one["tick_size"]), id=InstrumentId(f"{token}.POLYMARKET")
        )
        now_ns = known["orders_common"]["timestamp_ms"] * 1_000_000
        venue.play(InstrumentListed(now_ns, listed))
        key = ApiKey(sent.owner, "", "", known["address"], 0)
        made = draft(sent, key, venue.state.listings, now_ns)
        meant = one["input"]
        assert made.record.id == one["order_id"]
        assert made.terms.side == meant["side"]
        if "price" in meant:
            assert made.terms.price == parse(str(meant["price"])), one["name"]
        shares = meant.get("size") or (meant["side"] == "SELL" and meant["amount"])
        if shares:
            assert made.terms.quantity == parse(str(shares)) // 1_000_000 * 1_000_000


# Keys.


async def test_a_key_is_made_once_and_derived_ever_after(time: Clock) -> None:
    wallet = await Wallet(open_venue(time)).connect()
    again = await wallet.send("POST", "/auth/api-key", wallet.l1())
    assert (again.status, decode(again.body)) == (400, {"error": "Could not create api key"})
    derived = await wallet.send("GET", "/auth/derive-api-key", wallet.l1())
    assert decode(derived.body) == wallet.key
    assert len(base64.urlsafe_b64decode(wallet.key["secret"])) == 32
    never = await wallet.send("GET", "/auth/derive-api-key", wallet.l1(nonce=5))
    assert never.status == 400
    assert await wallet.ask("GET", "/auth/api-keys") == (200, {"apiKeys": [wallet.key["apiKey"]]})
    assert await wallet.ask("DELETE", "/auth/api-key") == (200, "OK")
    assert (await wallet.ask("GET", "/auth/api-keys"))[0] == 401


async def test_l1_headers_of_another_or_of_long_ago_are_refused(time: Clock) -> None:
    venue = open_venue(time)
    one, other = Wallet(venue), Wallet(venue, OTHER)
    for headers in (
        {},
        {**one.l1(), "poly_address": other.address},
        {**one.l1(), "poly_nonce": "1"},
        {**one.l1(), "poly_signature": "0x00"},
    ):
        answer = await one.send("POST", "/auth/api-key", headers)
        assert (answer.status, decode(answer.body)) == (
            401,
            {"error": "Invalid L1 Request headers"},
        )
    old = one.l1()
    time.now_ns += 120 * SECOND
    assert (await one.send("POST", "/auth/api-key", old)).status == 401


async def test_l2_headers_are_checked_in_every_part(time: Clock) -> None:
    wallet = await Wallet(open_venue(time)).connect()
    good = wallet.l2("GET", "/data/orders")
    assert (await wallet.send("GET", "/data/orders", good)).status == 200
    for name, value in (
        ("poly_passphrase", "0" * 64),
        ("poly_timestamp", str(time.now_ns // SECOND + 1)),
        ("poly_api_key", "nobody"),
        ("poly_signature", "AAAA"),
        ("poly_address", "0x" + "11" * 20),
    ):
        answer = await wallet.send("GET", "/data/orders", {**good, name: value})
        assert (answer.status, decode(answer.body)) == (
            401,
            {"error": "Unauthorized/Invalid api key"},
        )
    time.now_ns += 120 * SECOND
    assert (await wallet.send("GET", "/data/orders", good)).status == 401


async def test_a_quote_in_a_body_may_have_been_replaced_before_signing(time: Clock) -> None:
    wallet = await Wallet(open_venue(time)).connect()
    raw = b'{"heartbeat_id":"","x":"it\'s"}'
    headers = wallet.l2("POST", "/v1/heartbeats", raw.replace(b"'", b'"'))
    assert (await wallet.send("POST", "/v1/heartbeats", headers, raw)).status == 200


async def test_a_key_that_reads_may_not_trade(time: Clock) -> None:
    wallet = await Wallet(open_venue(time)).connect()
    _, wallet.key = await wallet.ask("POST", "/auth/readonly-api-key")
    assert (await wallet.ask("GET", "/data/orders"))[0] == 200
    assert (await wallet.place("BUY", "0.40", "10"))[0] == 401


def test_keys_are_the_same_in_every_run() -> None:
    address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert Keys().create(address, 0) == Keys().create(address, 0)
    assert Keys().create(address, 0) != Keys().create(address, 1)


# Orders.


async def test_all_kinds_of_wallets_may_trade_and_hold_the_same_account(time: Clock) -> None:
    wallet = await Wallet(open_venue(time)).connect()
    proxy = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    for type_ in (1, 2):
        status, answer = await wallet.place("BUY", "0.52", "5", maker=proxy, type=type_)
        assert (status, answer["status"]) == (200, "matched")
    answer = await wallet.call("GET", "/v2/positions", user=proxy)
    rows = decode(answer.body)["data"]
    assert [(row["token_id"], row["current_size"]) for row in rows] == [(YES, 10)]


async def test_an_order_in_another_name_is_refused(time: Clock) -> None:
    venue = open_venue(time)
    one, other = await Wallet(venue).connect(), await Wallet(venue, OTHER).connect()
    body = other.order("BUY", "0.40", "10")
    assert (await one.ask("POST", "/order", body))[1] == {
        "error": "the order owner has to be the owner of the API KEY"
    }
    body["owner"] = one.key["apiKey"]
    assert (await one.ask("POST", "/order", body))[1] == {
        "error": "the order signer address has to be the address of the API KEY"
    }
    body = one.order("BUY", "0.40", "10")
    body["order"]["makerAmount"] = "4000001"
    assert (await one.ask("POST", "/order", body)) == (400, {"error": "invalid signature"})
    body = one.order("BUY", "0.40", "10", neg_risk=True)
    assert (await one.ask("POST", "/order", body)) == (400, {"error": "invalid signature"})
    assert (await one.ask("POST", "/order", {"order": {}}))[1] == {"error": "Invalid order payload"}
    old = {"order": {"feeRateBps": "0"}}
    assert (await one.ask("POST", "/order", old))[1] == {"error": "order_version_mismatch"}


@pytest.mark.parametrize(
    ("asked", "status", "text"),
    [
        (("BUY", "0.405", "10"), 400, "Price (0.405) breaks minimum tick size rule: 0.01"),
        (("BUY", "0.40", "4.99"), 400, "Size (4.99) lower than the minimum: 5"),
        (("BUY", "0.40", "5.001"), 400, "max accuracy of 2 decimals"),
        (("BUY", "0.50", "5000"), 400, "not enough balance / allowance"),
        (("SELL", "0.60", "5"), 400, "not enough balance / allowance"),
        (("BUY", "0.50", "10", "FOK"), 400, "FOK orders are fully filled or killed"),
        (("BUY", "0.50", "10", "FAK"), 400, "no orders found to match with FAK order"),
        (("BUY", "0.52", "1", "FOK"), 400, "min size: $1"),
        (("BUY", "0.52", "10.33", "FOK"), 400, "max accuracy of 2 decimals"),
        (("BUY", "0.50", "10", "IOC"), 400, "Invalid order payload"),
        (("BUY", "0.50", "10", "GTD"), 400, "invalid expiration"),
    ],
)
async def test_the_venue_refuses_in_its_own_words(
    time: Clock, asked: tuple[str, ...], status: int, text: str
) -> None:
    wallet = await Wallet(open_venue(time)).connect()
    found, answer = await wallet.place(*asked)
    assert found == status
    assert text in answer["error"]
    assert (await wallet.ask("GET", "/data/orders"))[1]["count"] == 0


async def test_more_refusals(time: Clock) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()
    crossing = await wallet.place("BUY", "0.52", "5", post_only=True)
    assert crossing[1] == {"error": "invalid post-only order: order crosses book"}
    assert (await wallet.place("BUY", "0.51", "5", "FOK", post_only=True))[0] == 400
    late = await wallet.place("BUY", "0.40", "5", expiration=time.now_ns // SECOND + 600)
    assert late[1] == {"error": "invalid expiration"}
    assert (await wallet.place("BUY", "0.40", "5", token="9" * 60))[0] == 404
    venue.play(InstrumentStatus(time.now_ns, YES_ID, False))
    venue.play(InstrumentStatus(time.now_ns, NO_ID, False))
    closed = await wallet.place("BUY", "0.40", "5")
    assert closed[1] == {"error": "the market is not yet ready to process new orders"}


async def test_what_rests_may_be_worth_less_than_what_takes(time: Clock) -> None:
    wallet = await Wallet(open_venue(time)).connect()
    status, placed = await wallet.place("BUY", "0.10", "5")
    assert (status, placed["status"]) == (200, "live")


async def test_a_known_order_is_a_duplicate(time: Clock) -> None:
    wallet = await Wallet(open_venue(time)).connect()
    body = wallet.order("BUY", "0.40", "10")
    status, first = await wallet.ask("POST", "/order", body)
    assert status == 200
    again = await wallet.ask("POST", "/order", body)
    assert again == (400, {"error": f"order {first['orderID']} is invalid. Duplicated."})


async def test_fak_takes_what_there_is_and_fok_buys_for_an_amount(time: Clock) -> None:
    wallet = await Wallet(open_venue(time)).connect()
    _, fak = await wallet.place("BUY", "0.52", "30", "FAK")
    assert (fak["status"], fak["takingAmount"], fak["makingAmount"]) == ("matched", "25", "13")
    assert fak["transactionsHashes"] == []
    assert len(fak["tradeIDs"]) == 1
    _, order = await wallet.ask("GET", f"/data/order/{fak['orderID']}")
    assert (order["status"], order["size_matched"]) == ("CANCELED", "25")
    _, fok = await wallet.place("SELL", "0.50", "25", "FOK")
    assert (fok["status"], fok["makingAmount"], fok["takingAmount"]) == ("matched", "25", "12.5")


async def test_a_partly_filled_order_rests_and_its_book_shows_it(time: Clock) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()
    market_feed, user_feed = listening(venue, YES), wallet.hear()
    before = market_feed.messages("book")[0]
    assert before["bids"][-1] == {"price": "0.5", "size": "30"}
    _, answer = await wallet.place("BUY", "0.52", "35")
    assert (answer["status"], len(answer["transactionsHashes"])) == ("matched", 1)
    changes = [one for m in market_feed.messages("price_change") for one in m["price_changes"]]
    after = market_feed.messages("book")[-1]
    assert after["bids"][-1] == {"price": "0.52", "size": "10"}
    assert after["asks"][-1] == {"price": "0.6", "size": "100"}
    assert changes == [], "a trade tells of the whole book"
    assert market_feed.messages("last_trade_price")[-1]["size"] == "25"
    told = [(m["event_type"], m["type"], m["status"]) for m in user_feed.messages()]
    assert told == [
        ("order", "PLACEMENT", "LIVE"),
        ("order", "UPDATE", "LIVE"),
        ("trade", "TRADE", "MATCHED"),
    ]
    _, page = await wallet.ask("GET", "/data/orders", market=CONDITION)
    assert [(o["size_matched"], o["original_size"]) for o in page["data"]] == [("25", "35")]
    _, none = await wallet.ask("GET", "/data/orders", asset_id=NO)
    assert none == {"limit": 500, "count": 0, "next_cursor": "LTE=", "data": []}


async def test_two_accounts_meet_in_one_trade(time: Clock) -> None:
    venue = open_venue(time)
    maker, taker = await Wallet(venue).connect(), await Wallet(venue, OTHER).connect()
    heard = maker.hear()
    await taker.place("BUY", "0.52", "10")
    _, rests = await maker.place("BUY", "0.51", "8")
    _, takes = await taker.place("SELL", "0.51", "8")
    assert takes["status"] == "matched"
    _, of_maker = await maker.ask("GET", "/data/trades")
    _, of_taker = await taker.ask("GET", "/data/trades", id=takes["tradeIDs"][0])
    assert of_maker["data"][0]["id"] == of_taker["data"][0]["id"] == takes["tradeIDs"][0]
    sides = [page["data"][0]["trader_side"] for page in (of_maker, of_taker)]
    assert sides == ["MAKER", "TAKER"]
    assert of_maker["data"][0]["taker_order_id"] == takes["orderID"]
    assert of_maker["data"][0]["maker_orders"][0]["order_id"] == rests["orderID"]
    pass_time(venue, time, 2)
    assert [m["status"] for m in heard.messages("trade")] == ["MATCHED", "MINED", "CONFIRMED"]
    ledgers = venue.state.exchange.ledgers
    assert ledgers[maker.address].positions == {YES_ID: 8 * SCALE}
    assert ledgers[taker.address].positions == {YES_ID: 2 * SCALE}


async def test_a_batch_takes_and_refuses_each_order_by_itself(time: Clock) -> None:
    wallet = await Wallet(open_venue(time)).connect()
    bodies = [wallet.order("BUY", "0.40", size) for size in ("10", "1")]
    status, answers = await wallet.ask("POST", "/orders", bodies)
    assert (status, answers[0]["status"], answers[0]["errorMsg"]) == (200, "live", "")
    assert (answers[1]["success"], answers[1]["orderID"]) == (True, "")
    assert "lower than the minimum" in answers[1]["errorMsg"]
    many = [wallet.order("BUY", "0.40", "10") for _ in range(16)]
    status, refused = await wallet.ask("POST", "/orders", many)
    assert (status, refused["error"]) == (
        400,
        "Too many orders in payload: 16, max allowed: 15",
    )


async def test_cancels_of_all_kinds(time: Clock) -> None:
    venue = open_venue(time)
    wallet, other = await Wallet(venue).connect(), await Wallet(venue, OTHER).connect()
    names = [(await wallet.place("BUY", "0.40", "10"))[1]["orderID"] for _ in range(5)]
    _, no = await wallet.place("BUY", "0.40", "10", token=NO)
    reason = "order can't be found - already canceled or matched"
    foreign = await other.ask("DELETE", "/order", {"orderID": names[0]})
    assert foreign == (200, {"canceled": [], "not_canceled": {names[0]: reason}})
    one = await wallet.ask("DELETE", "/order", {"orderID": names[0]})
    assert one == (200, {"canceled": [names[0]], "not_canceled": {}})
    two = await wallet.ask("DELETE", "/orders", names[:2])
    assert two[1] == {"canceled": [names[1]], "not_canceled": {names[0]: reason}}
    token = await wallet.ask("DELETE", "/cancel-market-orders", {"asset_id": NO})
    assert token[1]["canceled"] == [no["orderID"]]
    rest = await wallet.ask("DELETE", "/cancel-all")
    assert rest[1]["canceled"] == names[2:]
    assert (await wallet.ask("DELETE", "/order", {"orderID": 5}))[0] == 400


async def test_an_order_ends_a_minute_before_its_expiration(time: Clock) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()
    heard = wallet.hear()
    at = time.now_ns // SECOND + 70
    _, answer = await wallet.place("BUY", "0.40", "10", "GTD", expiration=at)
    pass_time(venue, time, 9)
    assert (await wallet.ask("GET", "/data/orders"))[1]["count"] == 1
    pass_time(venue, time, 1)
    assert (await wallet.ask("GET", "/data/orders"))[1]["count"] == 0
    last = heard.messages()[-1]
    assert (last["type"], last["status"], last["id"]) == (
        "CANCELLATION",
        "CANCELED_EXPIRED_ORDER",
        answer["orderID"],
    )


async def test_a_missed_heartbeat_cancels_what_rests(time: Clock) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()
    await wallet.place("BUY", "0.40", "10")
    pass_time(venue, time, 60)
    assert len(venue.state.desk.working(wallet.address)) == 1, "the switch is not armed"
    _, beat = await wallet.ask("POST", "/v1/heartbeats", {"heartbeat_id": ""})
    pass_time(venue, time, 9)
    wrong = await wallet.ask("POST", "/v1/heartbeats", {"heartbeat_id": "x"})
    assert wrong == (
        400,
        {
            "error": "Invalid Heartbeat ID",
            "error_msg": "Invalid Heartbeat ID",
            "heartbeat_id": beat["heartbeat_id"],
        },
    )
    assert (await wallet.ask("POST", "/v1/heartbeats", beat))[0] == 200
    pass_time(venue, time, 9.9)
    assert len(venue.state.desk.working(wallet.address)) == 1
    pass_time(venue, time, 5.2)
    assert venue.state.desk.working(wallet.address) == []


async def test_a_delayed_order_takes_later(time: Clock) -> None:
    venue = open_venue(time, rules=Rules(CASH, taker_delay_ns=SECOND))
    wallet = await Wallet(venue).connect()
    heard = wallet.hear()
    _, answer = await wallet.place("BUY", "0.52", "10")
    assert (answer["status"], answer["tradeIDs"]) == ("delayed", [])
    name = answer["orderID"]
    early = await wallet.ask("DELETE", "/order", {"orderID": name})
    assert name in early[1]["not_canceled"]
    pass_time(venue, time, 1)
    assert [m["status"] for m in heard.messages("trade")] == ["MATCHED"]
    assert (await wallet.ask("GET", f"/data/order/{name}"))[1]["status"] == "MATCHED"


async def test_a_neg_risk_market_has_its_own_exchange(time: Clock) -> None:
    venue = open_venue(time, rules=Rules(CASH, neg_risk=[CONDITION]))
    wallet = await Wallet(venue).connect()
    assert (await wallet.place("BUY", "0.40", "10"))[1] == {"error": "invalid signature"}
    assert (await wallet.place("BUY", "0.40", "10", neg_risk=True))[0] == 200
    compact = decode((await wallet.call("GET", f"/clob-markets/{CONDITION}")).body)
    assert compact["nr"] is True


# The market.


async def test_a_new_market_is_announced_to_those_who_asked(time: Clock) -> None:
    venue = open_venue(time)
    feed, plain = listening(venue, YES), listening(venue, YES, custom=False)
    one, other = contract(YES), contract(NO)
    event = "0x" + "12" * 32
    names = [InstrumentId(f"{token}1.POLYMARKET") for token in (YES, NO)]
    for token, name, complement in ((one, *names), (other, *reversed(names))):
        changed = msgspec.structs.replace(token, id=name, complement=complement, event=event)
        venue.play(InstrumentListed(time.now_ns, changed))
    assert [m["condition_id"] for m in feed.messages("new_market")] == [event]
    assert plain.messages("new_market") == []
    wallet = Wallet(venue)
    first = decode((await wallet.call("GET", "/markets/keyset", limit="1")).body)
    query = {"limit": "1", "after_cursor": first["next_cursor"]}
    second = decode((await wallet.call("GET", "/markets/keyset", **query)).body)
    assert [m["conditionId"] for m in (*first["markets"], *second["markets"])] == [
        CONDITION,
        event,
    ]
    assert "next_cursor" not in second


async def test_subscribers_hear_of_changes_ticks_and_the_end(time: Clock) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()
    feed, plain, user = listening(venue, YES, NO), listening(venue, YES, custom=False), None
    user = wallet.hear()
    await wallet.place("BUY", "0.52", "10")
    await wallet.place("BUY", "0.40", "10")
    venue.play(BookDelta(time.now_ns, YES_ID, levels("0.51x7"), (), 2))
    last = plain.messages("price_change")[-1]
    assert [(c["price"], c["size"], c["side"]) for c in last["price_changes"]] == [
        ("0.51", "7", "BUY")
    ]
    assert last["price_changes"][0]["best_bid"] == "0.51"
    assert feed.messages("best_bid_ask")[-1]["best_bid"] == "0.51"
    book = decode((await wallet.call("GET", "/book", token_id=YES)).body)
    assert book["hash"] == last["price_changes"][0]["hash"] == book_hash(book)
    venue.play(InstrumentListed(time.now_ns, contract(YES, tick="0.001")))
    change = plain.messages("tick_size_change")[0]
    assert (change["old_tick_size"], change["new_tick_size"]) == ("0.01", "0.001")
    assert plain.messages()[-1]["event_type"] == "book"
    venue.play(Resolution(time.now_ns, YES_ID, SCALE))
    venue.play(Resolution(time.now_ns, NO_ID, 0))
    ends = feed.messages("market_resolved")
    assert [(m["winning_asset_id"], m["winning_outcome"]) for m in ends] == [(YES, "Yes")]
    assert plain.messages("market_resolved") == []
    assert user.messages("order")[-1]["status"] == "CANCELED_MARKET_RESOLVED"
    shown = decode((await wallet.call("GET", f"/markets/{CONDITION}")).body)
    assert (shown["closed"], [t["winner"] for t in shown["tokens"]]) == (True, [True, False])
    gamma = decode((await wallet.call("GET", "/markets/keyset", closed="true")).body)
    assert gamma["markets"][0]["outcomePrices"] == '["1","0"]'
    assert (await wallet.call("GET", "/book", token_id=YES)).status == 404
    assert venue.state.exchange.ledgers[wallet.address].cash > CASH


async def test_a_new_snapshot_ends_what_rests_and_says_so(time: Clock) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()
    heard = wallet.hear()
    await wallet.place("BUY", "0.40", "10")
    venue.play(BookSnapshot(time.now_ns, YES_ID, levels("0.30x5"), (), 9))
    assert heard.messages("order")[-1]["type"] == "CANCELLATION"


async def test_a_socket_answers_ping_and_an_unknown_key_is_closed(time: Clock) -> None:
    venue = open_venue(time)
    heard = Heard()
    handler = venue.open(Request("GET", "/ws/user", "", {}, b""), heard)
    assert handler is not None
    handler.received(b"PING")
    assert heard.texts == [b"PONG"]
    handler.received(encode({"type": "user", "auth": {"apiKey": "a", "secret": "b"}}))
    assert heard.closed
    assert venue.open(Request("GET", "/ws/other", "", {}, b""), heard) is None


async def test_every_public_question_has_its_answer(time: Clock) -> None:
    venue = open_venue(time)
    wallet = Wallet(venue)

    async def get(path: str, **query: str) -> Any:
        answer = await wallet.call("GET", path, **query)
        assert answer.status == 200, path
        return decode(answer.body)

    async def post(path: str, *tokens: str) -> Any:
        answer = await wallet.call("POST", path, [{"token_id": t, "side": "BUY"} for t in tokens])
        assert answer.status == 200, path
        return decode(answer.body)

    assert await get("/ok") == "OK"
    assert await get("/time") == time.now_ns // SECOND
    assert await get("/version") == {"version": 2}
    assert await get("/price", token_id=YES, side="SELL") == {"price": "0.52"}
    assert await get("/spread", token_id=YES) == {"spread": "0.02"}
    assert await get("/neg-risk", token_id=YES) == {"neg_risk": False}
    assert await get("/fee-rate", token_id=YES) == {"base_fee": 0}
    assert await get("/tick-size", token_id=YES) == {"minimum_tick_size": 0.01}
    assert (await get("/prices-history", market=YES, interval="1h"))["history"][0]["p"] == 0.51
    assert (await get(f"/markets-by-token/{NO}"))["condition_id"] == CONDITION
    compact = await get(f"/clob-markets/{CONDITION}")
    assert (compact["mts"], compact["mos"], compact["fd"]) == (
        0.01,
        5,
        {"r": 0.04, "e": 1, "to": True},
    )
    assert "nr" not in compact
    assert (await get("/simplified-markets"))["next_cursor"] == "LTE="
    assert (await get("/markets/1"))["clobTokenIds"] == f'["{YES}","{NO}"]'
    assert (await get("/events/keyset"))["events"][0]["markets"][0]["id"] == "1"
    assert len(await post("/books", YES, NO, "5")) == 2
    assert await post("/prices", YES) == {YES: {"BUY": "0.5"}}
    assert await post("/midpoints", YES, NO) == {YES: "0.51", NO: "0.49"}
    assert await post("/spreads", YES) == {YES: "0.02"}
    assert (await post("/last-trades-prices", YES, NO))[0]["price"] == "0.51"
    for path, query, status, text in (
        ("/book", {"token_id": "x"}, 400, "Invalid token id"),
        ("/book", {"token_id": "5"}, 404, "No orderbook exists for the requested token id"),
        ("/price", {"token_id": YES}, 400, "Invalid side"),
        ("/markets/0x00", {}, 404, "market not found"),
        ("/nothing", {}, 404, "404 page not found"),
    ):
        answer = await wallet.call("GET", path, **query)
        assert (answer.status, decode(answer.body)["error"]) == (status, text)


async def test_the_wallet_has_a_trade_once_it_is_mined(time: Clock) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()

    async def balances() -> list[str]:
        queries = ({"asset_type": "COLLATERAL"}, {"asset_type": "CONDITIONAL", "token_id": YES})
        answers = [await wallet.ask("GET", "/balance-allowance", **query) for query in queries]
        return [answer["balance"] for _, answer in answers]

    before = await balances()
    await wallet.place("BUY", "0.52", "10")
    assert await balances() == before
    pass_time(venue, time, 1)
    cash = venue.state.exchange.ledgers[wallet.address].cash
    assert await balances() == [str(cash // 100), "10000000"]
    await wallet.place("SELL", "0.50", "10")
    assert await balances() == [str(cash // 100), "10000000"]
    venue.fail_trades(1)
    pass_time(venue, time, 1)
    after = await balances()
    assert after[1] == "0"
    await wallet.place("BUY", "0.60", "10")
    for _ in range(2):
        assert await balances() == after, "a trade that fails never reaches it"
        pass_time(venue, time, 0.6)


async def test_an_account_may_ask_for_its_balances(time: Clock) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()
    await wallet.place("BUY", "0.52", "10")
    pass_time(venue, time, 1)
    _, cash = await wallet.ask("GET", "/balance-allowance", asset_type="COLLATERAL")
    assert int(cash["balance"]) < 994_800_000
    assert int(cash["allowances"][signatures.STANDARD]) == (1 << 256) - 1
    _, held = await wallet.ask(
        "GET", "/balance-allowance", asset_type="CONDITIONAL", token_id=YES, signature_type="0"
    )
    assert held["balance"] == "10000000"
    for kind, status in (("CONDITIONAL-V2", 200), ("CONDITIONAL-V9", 400)):
        found = await wallet.ask("GET", "/balance-allowance", asset_type=kind, token_id=YES)
        assert found[0] == status
        assert found[1].get("balance", "0") == "0", "it is no position id"
    assert (await wallet.ask("GET", "/balance-allowance/update", asset_type="COLLATERAL"))[0] == 200
    closed = await wallet.ask("GET", "/auth/ban-status/closed-only")
    assert closed == (200, {"closed_only": False})
    assert await wallet.ask("GET", "/notifications", signature_type="0") == (200, [])


# What goes wrong.


async def test_a_restart_cuts_sockets_keeps_orders_and_comes_back_post_only(time: Clock) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()
    heard = wallet.hear()
    _, kept = await wallet.place("BUY", "0.40", "10")
    venue.restart()
    assert heard.closed
    status, answer = await wallet.place("BUY", "0.40", "10")
    assert (status, answer) == (425, {"error": "Service is not ready", "retry_after_seconds": 90})
    pass_time(venue, time, 91)
    status, answer = await wallet.place("BUY", "0.40", "10")
    assert (status, answer["code"], answer["retry_after_seconds"]) == (503, "post_only_mode", 119)
    assert (await wallet.place("BUY", "0.40", "10", post_only=True))[0] == 200
    pass_time(venue, time, 120)
    assert (await wallet.place("BUY", "0.40", "10"))[0] == 200
    assert (await wallet.ask("GET", f"/data/order/{kept['orderID']}"))[1]["status"] == "LIVE"


async def test_modes(time: Clock) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()
    await wallet.place("BUY", "0.52", "10")
    modes = venue.state.troubles
    modes.closed_only.add(wallet.address)
    refused = await wallet.place("BUY", "0.40", "10")
    assert refused == (400, {"error": f"'{wallet.address}' address in closed only mode"})
    assert (await wallet.place("SELL", "0.60", "10"))[0] == 200
    modes.cancel_only = True
    status, answer = await wallet.place("SELL", "0.60", "5")
    assert (status, "cancel-only" in answer["error"]) == (503, True)
    assert len((await wallet.ask("DELETE", "/cancel-all"))[1]["canceled"]) == 1
    modes.cancel_only, modes.disabled = False, True
    assert (await wallet.place("SELL", "0.60", "5"))[0] == 503
    modes.blocked_region = True
    assert (await wallet.place("SELL", "0.60", "5"))[0] == 403


async def test_an_answer_that_is_lost_or_lies_says_nothing_of_the_order(time: Clock) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()
    venue.state.troubles.next = [
        troubles.LOST,
        troubles.NEVER_CAME,
        troubles.ERROR,
        troubles.HTML,
    ]
    for done, status in ((1, 0), (1, 0), (2, 500), (2, 502)):
        body = encode(wallet.order("BUY", "0.40", "10"))
        headers = wallet.l2("POST", "/order", body)
        answer = await venue.answer(Request("POST", "/order", "", headers, body))
        assert (answer.status if answer else 0) == status
        assert len(venue.state.desk.working(wallet.address)) == done


async def test_a_request_that_a_proxy_sends_twice_is_a_duplicate_and_its_order_rests(
    time: Clock,
) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()
    venue.state.troubles.next = [troubles.TWICE]
    status, answer = await wallet.place("BUY", "0.40", "10")
    assert (status, "Duplicated" in answer["error"]) == (400, True)
    assert len(venue.state.desk.working(wallet.address)) == 1


async def test_a_question_may_fail_too(time: Clock) -> None:
    venue = open_venue(time)
    wallet = Wallet(venue)
    venue.state.troubles.next_reads = [troubles.HTML, troubles.ERROR]
    page = await wallet.call("GET", "/book", token_id=YES)
    assert (page.status, page.headers["content-type"][:9]) == (502, "text/html")
    assert (await wallet.call("GET", "/book", token_id=YES)).status == 500
    assert (await wallet.call("GET", "/book", token_id=YES)).status == 200


async def test_replies_are_lost_and_messages_come_twice_as_the_faults_say(time: Clock) -> None:
    venue = open_venue(time, faults=Faults(twice=1.0, late_s=0.5))
    wallet = await Wallet(venue).connect()
    heard = wallet.hear()
    await wallet.place("BUY", "0.40", "10")
    pass_time(venue, time, 1)
    assert [m["type"] for m in heard.messages()] == ["PLACEMENT", "PLACEMENT"]
    venue = open_venue(time, faults=Faults(lost=1.0, unknown=1.0))
    wallet = await Wallet(venue).connect()
    body = encode(wallet.order("BUY", "0.40", "10"))
    headers = wallet.l2("POST", "/order", body)
    assert await venue.answer(Request("POST", "/order", "", headers, body)) is None
    assert (await wallet.ask("GET", "/data/orders"))[1]["count"] == 0, "not found for a while"
    time.now_ns += 3 * SECOND
    assert (await wallet.ask("GET", "/data/orders"))[1]["count"] == 1


async def test_a_failed_trade_is_taken_back_to_the_last_unit(time: Clock) -> None:
    venue = open_venue(time)
    wallet = await Wallet(venue).connect()
    heard = wallet.hear()
    venue.fail_trades(1)
    await wallet.place("BUY", "0.52", "10.01")
    ledger = venue.state.exchange.ledgers[wallet.address]
    assert ledger.cash < CASH
    pass_time(venue, time, 2)
    assert [m["status"] for m in heard.messages("trade")] == ["MATCHED", "RETRYING", "FAILED"]
    assert (ledger.cash, ledger.fees, ledger.held(YES_ID)) == (CASH, 0, 0)
    _, page = await wallet.ask("GET", "/data/trades")
    assert page["data"][0]["status"] == "FAILED"


async def test_a_silent_channel_answers_pong_and_nothing_more(time: Clock) -> None:
    venue = open_venue(time)
    feed = listening(venue, YES)
    venue.silence()
    venue.play(PublicTrade(time.now_ns, YES_ID, parse("0.51"), parse("5"), True))
    assert len(feed.texts) == 1
    venue.silence(market=False)
    venue.play(PublicTrade(time.now_ns, YES_ID, parse("0.51"), parse("5"), True))
    assert len(feed.texts) == 3


async def test_a_signer_in_a_hurry_waits(time: Clock) -> None:
    wallet = await Wallet(open_venue(time)).connect()
    for left in range(59, -1, -1):
        body = encode(wallet.order("BUY", "0.01", "5"))
        answer = await wallet.send("POST", "/order", wallet.l2("POST", "/order", body), body)
        assert answer.headers["poly-ratelimit-remaining"] == str(left)
    body = encode(wallet.order("BUY", "0.01", "5"))
    answer = await wallet.send("POST", "/order", wallet.l2("POST", "/order", body), body)
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert decode(answer.body)["error"] == "Too Many Requests"
    time.now_ns += SECOND
    assert (await wallet.place("BUY", "0.01", "5"))[0] == 200


def test_an_address_in_a_hurry_waits() -> None:
    limits, request = Limits(), Request("GET", "/ok", "", {}, b"")
    for _ in range(100):
        limits.count(request, 0)
    with pytest.raises(RefusedRequestError) as refused:
        limits.count(request, 0)
    assert (refused.value.status, refused.value.retry_after_s) == (429, 10)
    limits.count(request, 11 * SECOND)


async def test_an_exchange_with_latency_answers_when_its_word_comes(time: Clock) -> None:
    venue = open_venue(time, latency_ns=50_000_000)
    wallet = await Wallet(venue).connect()
    placing = asyncio.ensure_future(wallet.place("BUY", "0.52", "10"))
    await asyncio.sleep(0)
    assert not placing.done()
    pass_time(venue, time, 0.1)
    status, answer = await placing
    assert (status, answer["status"]) == (200, "matched")


def test_in_virtual_time_two_runs_of_one_seed_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def played(seed: int) -> list[bytes]:
        loop, process, heard = VirtualLoop(seed), Process("p"), []
        monkeypatch.setattr(
            clock, "now_ns", lambda: 1_764_000_000 * SECOND + round(loop.time() * SECOND)
        )

        async def main() -> None:
            venue = server(faults=Faults(twice=0.3, late=0.5), latency_ns=20_000_000)
            begun = clock.now_ns()
            moves = [
                PublicTrade(begun + i * SECOND, YES_ID, parse("0.44"), parse("1"), False)
                for i in range(1, 20)
            ]
            async with anyio.create_task_group() as group:
                group.start_soon(venue.deliver)
                group.start_soon(venue.run, [*market(begun), *moves])
                await anyio.sleep(0.1)
                wallet = await Wallet(venue).connect()
                heard.append(wallet.hear())
                await wallet.place("BUY", "0.45", "10")
                _, page = await wallet.ask("GET", "/data/orders")
                await wallet.place("BUY", "0.52", "10")
                await anyio.sleep(30)
                group.cancel_scope.cancel()
                assert page["count"] == 1

        loop.spawn(process, main)
        loop.run_until(lambda: False, 60.0)
        assert loop.unhandled == []
        assert len(heard[0].messages("trade")) > 30
        return heard[0].texts

    assert played(1) == played(1)
