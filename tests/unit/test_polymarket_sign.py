"""Orders and headers against known answers of the venue's own client."""

import builtins
import json
import struct
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path

import coincurve
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from betatrader.model.errors import UsageError
from betatrader.model.ids import ClientOrderId
from betatrader.model.money import parse
from betatrader.model.order import Order, OrderState, OrderTerms, OrderType, Side, TimeInForce
from betatrader.model.secret import Secret
from betatrader.venues.polymarket import (
    amounts,
    forms,
    headers,
    keccak,
    sign,
    wire,
)
from betatrader.venues.polymarket.eip712 import Terms, exchange_of
from betatrader.venues.polymarket.forms import Rules
from betatrader.venues.polymarket.ids import Ids
from betatrader.venues.polymarket.sign import Signer

FLOAT_DUST = {1.15}
"""A size that the vectors' client loses a cent of, in floats; ours does not."""

KEY = Secret("0x" + "17" * 32)
TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
ORDER = ClientOrderId("ab" * 16)


@pytest.fixture(scope="module")
def vectors(recordings: Path) -> dict:
    path = recordings / "vectors_polymarket.json"
    if not path.is_file():
        pytest.skip(f"no vectors: {path} is not there")
    return json.loads(path.read_text())


def signer_of(vectors: dict, kind: int, chain: int = 137) -> Signer:
    funder = vectors["funder_for_types_1_2_3"]
    return Signer(Secret(vectors["private_key"]), chain, kind, funder)


def terms_of(body: dict) -> Terms:
    return Terms(
        int(body["tokenId"]),
        body["side"] == "SELL",
        int(body["makerAmount"]),
        int(body["takerAmount"]),
        body["salt"],
        int(body["timestamp"]),
        bytes.fromhex(body["metadata"][2:]),
        bytes.fromhex(body["builder"][2:]),
    )


def test_orders_are_signed_as_the_venues_client_signs_them(vectors: dict) -> None:
    seen = set()
    for vector in vectors["orders_v2"]:
        body = vector["post_body"]["order"]
        signer = signer_of(vectors, vector["signature_type"])
        exchange = exchange_of(int(body["tokenId"]), 137, neg_risk=vector["neg_risk"])
        assert exchange.address == vector["verifyingContract"], vector["name"]
        assert exchange.version == vector["domain_version"]
        signed = signer.order(terms_of(body), exchange, int(body["expiration"]))
        assert signed.id == vector["order_id"] == vector["digest"], vector["name"]
        assert json.loads(signed.json) == body, vector["name"]
        assert signed.json in vector["post_body_raw"]
        assert signer.order_id(terms_of(body), exchange) == signed.id
        seen.add((vector["signature_type"], exchange.version, vector["neg_risk"]))
    assert {kind for kind, _, _ in seen} == {0, 1, 2, 3}
    assert len(vectors["orders_v2"]) == 16


def test_key_requests_are_signed_as_the_venues_client_signs_them(vectors: dict) -> None:
    for vector in vectors["l1"]:
        signer = signer_of(vectors, 0, vector["chainId"])
        made = headers.l1(signer, vector["timestamp"], vector["nonce"])
        assert made == vector["headers"]


def test_requests_carry_the_venues_hmac(vectors: dict) -> None:
    """One client hashes another text than it sends, with each ' as a double quote: ours never sends
    one, and has the same proof of the text that was hashed."""
    proven = 0
    for vector in vectors["l2"]:
        wanted = vector["headers"]
        keys = headers.Credentials(
            Secret(wanted["POLY_API_KEY"]),
            Secret(vector["secret"]),
            Secret(wanted["POLY_PASSPHRASE"]),
        )
        made = keys.l2(
            vectors["address"],
            vector["timestamp"],
            vector["method"],
            vector["signed_path"],
            (vector["body"] or "").replace("'", '"'),
        )
        assert made == wanted, vector["name"]
        assert vector["secret"] not in repr(keys)
        proven += 1
    assert proven == 9


def test_amounts_follow_the_venues_table(vectors: dict) -> None:
    for row in vectors["rounding"]:
        price, tick = parse(str(row["price"])), parse(row["tick"])
        selling = row["side"] == "SELL"
        if row["kind"] == "limit":
            size = parse("1.14" if row["size"] in FLOAT_DUST else str(row["size"]))
            found = amounts.limit_amounts(price, size, selling=selling)
        elif selling:
            found = amounts.limit_amounts(price, parse(str(row["amount"])), selling=True)
        else:
            found = amounts.market_buy_amounts(price, parse(str(row["amount"])), tick)
        assert found == (row["makerAmount"], row["takerAmount"]), row


def test_amounts_of_the_order_vectors(vectors: dict) -> None:
    for vector in vectors["orders_v2"]:
        body, given = vector["post_body"]["order"], vector["input"]
        if "price" not in given or (vector["kind"], given["side"]) == ("market", "BUY"):
            continue
        size = parse(str(given.get("size", given.get("amount"))))
        found = amounts.limit_amounts(
            parse(str(given["price"])), size, selling=given["side"] == "SELL"
        )
        assert found == (int(body["makerAmount"]), int(body["takerAmount"])), vector["name"]


def test_a_size_keeps_its_cents() -> None:
    found = amounts.limit_amounts(parse("0.57"), parse("1.15"), selling=False)
    assert found == (655_500, 1_150_000)  # as polymarket-client, which counts in decimals


def test_books_hash_as_the_venue_hashes_them(vectors: dict) -> None:
    for vector in vectors["book_hash"]:
        book = wire.decode_book(json.dumps(vector["book"]).encode())
        assert wire.book_hash(book) == vector["sha1"]


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("neg_risk", [False, True])
def test_eth_account_agrees(kind: int, neg_risk: bool) -> None:
    """An oracle that shares no code with ours."""
    funder = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    signer = Signer(KEY, 137, kind, funder)
    terms = Terms(int(TOKEN), True, 5_000_000, 2_500_000, 12345, 1_764_000_000_123)
    exchange = exchange_of(int(TOKEN), 137, neg_risk=neg_risk)
    body = json.loads(signer.order(terms, exchange).json)
    names = (
        "uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
        "uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,"
        "bytes32 metadata,bytes32 builder"
    )
    fields = [dict(zip(("type", "name"), one.split(), strict=True)) for one in names.split(",")]
    message = encode_typed_data(
        {
            "name": "Polymarket CTF Exchange",
            "version": "2",
            "chainId": 137,
            "verifyingContract": exchange.address,
        },
        {"Order": fields},
        {
            **body,
            "tokenId": int(TOKEN),
            "makerAmount": 5_000_000,
            "takerAmount": 2_500_000,
            "side": 1,
            "timestamp": 1_764_000_000_123,
            "metadata": bytes(32),
            "builder": bytes(32),
        },
    )
    signed = Account.sign_message(message, KEY.reveal())
    assert body["signature"] == "0x" + signed.signature.hex()
    assert signer.address == Account.from_key(KEY.reveal()).address
    assert signer.order_id(terms, exchange) == "0x" + signed.message_hash.hex()


def order_terms(
    price: str = "0.56",
    size: str = "21.04",
    side: Side = Side.BUY,
    force: TimeInForce = TimeInForce.GTC,
    **more: object,
) -> OrderTerms:
    name = forms.instrument_id(TOKEN)
    return OrderTerms(name, side, OrderType.LIMIT, parse(price), parse(size), force, **more)


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (order_terms(size="4.99"), "below the venue's minimum of 5 shares"),
        (order_terms("0.565"), "not a multiple of 0.01"),
        (order_terms("0"), "invalid price (0), min: 0.01 - max: 0.99"),
        (order_terms("0.995"), "min: 0.01 - max: 0.99"),
        (order_terms(force=TimeInForce.FOK, post_only=True), "post-only"),
        (order_terms(size="0.01", force=TimeInForce.IOC), "too few"),
    ],
)
def test_what_has_no_form_says_why(terms: OrderTerms, text: str) -> None:
    with pytest.raises(forms.UnmappableError) as error:
        forms.form_of(terms, Rules(parse("0.01"), parse("5"), False))
    assert text in str(error.value)


def test_a_market_order_without_a_collar_has_no_form() -> None:
    name = forms.instrument_id(TOKEN)
    terms = OrderTerms(name, Side.SELL, OrderType.MARKET, 0, parse("5"))
    with pytest.raises(forms.UnmappableError, match="collar"):
        forms.form_of(terms, Rules(parse("0.01"), parse("5"), False))


def test_what_takes_at_once_spends_whole_cents() -> None:
    rules = Rules(parse("0.01"), parse("5"), False)
    form = forms.form_of(order_terms("0.57", "10.5", force=TimeInForce.IOC), rules)
    assert form.kind == "FAK"
    assert form.amounts == (5_980_000, 10_491_200)  # of 5.985 pUSD
    selling = forms.form_of(order_terms("0.57", "3.337", Side.SELL, TimeInForce.FOK), rules)
    assert (selling.kind, selling.amounts) == ("FOK", (3_330_000, 1_898_100))


@pytest.mark.parametrize("force", list(TimeInForce))
@pytest.mark.parametrize("neg_risk", [False, True])
@pytest.mark.parametrize("tick", ["0.01", "0.001"])
def test_a_hash_is_found_again_after_a_restart(
    force: TimeInForce, neg_risk: bool, tick: str
) -> None:
    rules = Rules(parse(tick), parse("5"), neg_risk)
    terms = order_terms("0.57", "10.5", force=force)
    before = Ids(Signer(KEY, 137, 0), 0)
    made_ns = 1_764_000_000_123_456_789
    signed = before.sign(ORDER, terms, made_ns, forms.form_of(terms, rules), rules)
    after = Ids(Signer(KEY, 137, 0), made_ns + 1)
    assert not after.is_known(signed.id)
    ended = Order(ORDER, "s", terms, made_ns, OrderState.CANCELED, updated_ns=made_ns - 5)
    after.remember([ended])
    assert after.ours(signed.id) == ORDER
    assert (after.heard_ns, after.oldest_ns) == (made_ns, made_ns - 5)
    assert signed.id in after.theirs(ORDER)
    after.confirm(signed.id.upper().replace("0X", "0x"))
    assert after.theirs(ORDER) == (signed.id,)


def test_an_order_of_a_lost_journal_has_a_name_of_its_own() -> None:
    ids = Ids(Signer(KEY, 137, 0), 0)
    strange = "0x" + "c4" * 32
    assert ids.ours(strange) == "c4" * 16
    assert ids.theirs(ClientOrderId("c4" * 16)) == (strange,)
    assert ids.theirs(ORDER) == ()


def test_salts_are_exact_in_any_json_reader() -> None:
    salts = {forms.salt_of(ClientOrderId(f"{number:032x}")) for number in range(500)}
    assert len(salts) == 500
    assert all(0 <= salt < 1 << 53 for salt in salts)


@pytest.mark.parametrize("key", ["", "0x12", "zz" * 32, "00" * 32])
def test_a_key_that_is_none_is_told_without_being_shown(key: str) -> None:
    with pytest.raises(UsageError, match="private_key") as error:
        Signer(Secret(key), 137, 0)
    assert not key or key not in str(error.value)


def test_a_wallet_needs_its_address() -> None:
    with pytest.raises(UsageError, match="funder"):
        Signer(KEY, 137, 2, "")


def test_without_the_library_nothing_is_signed_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: object) -> object:
        if name == "coincurve":
            raise ImportError("no shared object")
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="coincurve does not load"):
        Signer(KEY, 137, 0)


@pytest.mark.parametrize(
    ("text", "wanted"), [(".48", "0.48"), ("0.5", "0.5"), ("", "0"), ("219.217767", "219.217767")]
)
def test_the_venues_texts_are_exact(text: str, wanted: str) -> None:
    assert amounts.units(text) == parse(wanted)


def test_numbers_are_exact() -> None:
    assert amounts.number(Decimal("0.0001")) == 10_000
    assert amounts.number(Decimal("0.07")) == 7_000_000
    with pytest.raises(ValueError, match="no number"):
        amounts.number(Decimal("NaN"))


def test_times_tell_seconds_from_milliseconds() -> None:
    assert wire.moment_ns("1672290701") == 1_672_290_701 * 10**9
    assert wire.moment_ns(1_764_000_000_123) == 1_764_000_000_123 * 10**6
    assert wire.moment_ns("soon") == 0


def test_the_quick_hash_is_the_librarys_own_also_in_threads() -> None:
    given = [bytes([number % 256]) * number for number in range(700)]
    wanted = [keccak.plain(data) for data in given]
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: [keccak.keccak(data) for data in given], range(8)):
            assert found == wanted


def test_without_the_librarys_inner_form_its_public_way_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert keccak._chosen() is not keccak.plain
    monkeypatch.setattr(keccak._keccak, "_raw_keccak_lib", object())
    assert keccak._chosen() is keccak.plain
    monkeypatch.setattr(keccak._raw_api, "backend", "ctypes")
    assert keccak._chosen() is keccak.plain


def test_signatures_are_the_librarys_own_whoever_signs_beside() -> None:
    """Its buffers are kept: what one thread signs must not end in another's signature."""
    private = coincurve.PrivateKey(bytes.fromhex(KEY.reveal()[2:]))
    quick = sign._chosen(private)
    assert not isinstance(quick, partial), "the quick way is taken"
    given = [keccak.keccak(bytes((number,))) for number in range(64)]
    wanted = [sign._plain(private, digest) for digest in given]
    assert {one[64] for one in wanted} == {27, 28}
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: [quick(digest) for digest in given], range(8)):
            assert found == wanted
    with pytest.raises(ValueError, match="32 bytes"):
        quick(given[0][:31])


def test_without_the_signing_librarys_inner_form_its_public_way_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    private = coincurve.PrivateKey(bytes.fromhex(KEY.reveal()[2:]))
    digest = keccak.keccak(b"x")
    for inner in (object(), None):
        monkeypatch.setattr(sign, "import_module", lambda _, inner=inner: inner)
        public = sign._chosen(private)
        assert isinstance(public, partial)
        assert public(digest) == sign._plain(private, digest)
    monkeypatch.setattr(sign, "_kept", lambda _: lambda _: bytes(65))
    assert isinstance(sign._chosen(private), partial), "it answers otherwise"


def test_a_number_that_fits_no_word_of_ours_is_an_error_and_not_another_order() -> None:
    signer, exchange = Signer(KEY, 137, 0), exchange_of(int(TOKEN), 137, neg_risk=False)
    with pytest.raises(struct.error):
        signer.order(Terms(int(TOKEN), False, 1 << 64, 1, 1, 1), exchange)
