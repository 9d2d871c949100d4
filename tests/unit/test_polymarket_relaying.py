"""The simulated relayer: what it refuses, and what its contracts do not do."""

from typing import Any

import msgspec
import pytest
from poly_scene import CASH, CONDITION, NO_ID, PRIVATE, YES_ID, Clock, Wallet, market, server

from betatrader.model.market import Resolution
from betatrader.model.money import SCALE, parse
from betatrader.model.secret import Secret
from betatrader.net.transport import Answer, Request
from betatrader.ops import clock
from betatrader.venues.polymarket import calldata, relay
from betatrader.venues.polymarket.calldata import Call
from betatrader.venues.polymarket.eip712 import NEG_RISK, STANDARD
from betatrader.venues.polymarket.serve.server import PolymarketServer
from betatrader.venues.polymarket.serve.state import Rules
from betatrader.venues.polymarket.sign import SAFE, Signer

FUNDER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
SIGNER = Signer(Secret(PRIVATE), 137, SAFE, FUNDER)
MERGE = calldata.merge(CONDITION, STANDARD, 5_000_000)


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> PolymarketServer:
    time = Clock()
    monkeypatch.setattr(clock, "now_ns", time)
    made = server()
    for event in market(time.now_ns):
        made.play(event)
    return made


async def post(venue: PolymarketServer, body: dict[str, Any], key: str = "k") -> Answer:
    sent = {"relayer_api_key": key, "relayer_api_key_address": SIGNER.address}
    raw = msgspec.json.encode(body)
    answer = await venue.answer(Request("POST", "/submit", "", sent, raw))
    assert answer is not None
    return answer


async def ended(venue: PolymarketServer, answer: Answer) -> dict[str, Any]:
    """What became of a transaction that was taken."""
    name = msgspec.json.decode(answer.body)["transactionID"]
    venue.state.advance(clock.now_ns() + 10**9)
    path = f"/v1/account/transactions/{name}"
    told = await venue.answer(Request("GET", path, "", {}, b""))
    assert told is not None
    found: dict[str, Any] = msgspec.json.decode(told.body)
    return found


def body(nonce: int = 0, call: Call = MERGE, **other: Any) -> dict[str, Any]:
    return {**relay.body(SIGNER, [call], nonce, "why"), **other}


@pytest.mark.parametrize(
    ("given", "status", "text"),
    [
        (body(metadata="another"), 200, ""),  # it is not signed
        (body(data="0x" + calldata.merge(CONDITION, STANDARD, 9).data.hex()), 400, "signature"),
        (body(proxyWallet=SIGNER.address), 400, "signature"),
        (body(nonce=3), 400, "nonce 3 does not match on-chain nonce 0"),
        (body(signature="0x12"), 400, "signature"),
        (body(type="ELSE"), 400, "unknown type"),
        (body(call=Call(FUNDER, b"1234")), 400, "unknown call"),
        ({"type": "SAFE"}, 400, "invalid transaction"),
    ],
)
async def test_a_transaction_is_taken_only_as_it_was_signed(
    venue: PolymarketServer, given: dict[str, Any], status: int, text: str
) -> None:
    answer = await post(venue, given)
    assert answer.status == status
    assert text.encode() in answer.body


async def test_a_number_is_used_once(venue: PolymarketServer) -> None:
    assert (await post(venue, body())).status == 200
    again = await post(venue, body())
    assert (again.status, b"does not match on-chain nonce 1" in again.body) == (400, True)


async def test_without_a_key_nothing_is_taken(venue: PolymarketServer) -> None:
    assert (await post(venue, body(), key="")).status == 401


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (MERGE, "insufficient balance"),
        (calldata.redeem(CONDITION, STANDARD, (0, 0))[0], "result for condition not received"),
        (calldata.merge(CONDITION, NEG_RISK, 1), "not a contract of this market"),
        (calldata.merge("0x" + "ab" * 32, STANDARD, 1), "not prepared"),
    ],
)
async def test_what_a_contract_would_refuse_fails(
    venue: PolymarketServer, call: Call, reason: str
) -> None:
    told = await ended(venue, await post(venue, body(call=call)))
    assert told["state"] == "STATE_FAILED"
    assert reason in told["error_msg"]


async def test_offers_that_nothing_stands_behind_any_more_are_cancelled(
    venue: PolymarketServer,
) -> None:
    wallet = await Wallet(venue).connect()
    ledger = venue.state.exchange.ledgers[SIGNER.address]
    for token in venue.state.listings.markets[CONDITION].tokens:
        ledger.positions[token.id] = parse("8")
    await wallet.place("SELL", "0.90", "6")
    assert len(venue.state.desk.working(SIGNER.address)) == 1
    told = await ended(venue, await post(venue, body()))
    assert told["state"] == "STATE_CONFIRMED"
    assert ledger.held(YES_ID) == parse("3")
    assert venue.state.desk.working(SIGNER.address) == []


async def test_a_winner_is_paid_when_its_holder_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of accounts that have not let the venue's operator redeem for them."""
    time = Clock()
    monkeypatch.setattr(clock, "now_ns", time)
    venue = server(Rules(CASH, auto_redeem=False))
    for event in market(time.now_ns):
        venue.play(event)
    wallet = await Wallet(venue).connect()
    await wallet.place("BUY", "0.52", "10")
    ledger = venue.state.exchange.ledgers[SIGNER.address]
    before = ledger.cash
    for name, payout in ((YES_ID, SCALE), (NO_ID, 0)):
        venue.play(Resolution(time.now_ns, name, payout))
    assert (ledger.held(YES_ID), ledger.cash) == (parse("10"), before)
    call = calldata.redeem(CONDITION, STANDARD, (0, 0))[0]
    told = await ended(venue, await post(venue, body(call=call)))
    assert told["state"] == "STATE_CONFIRMED"
    assert (ledger.held(YES_ID), ledger.cash) == (0, before + parse("10"))
