"""Shadow: orders are built and signed as they would leave, and none has a way to leave."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from binance_scenes import BTC, PEM, approved
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from eth_account import Account
from poly_scene import PRIVATE, YES, YES_ID
from scenes import Scene

from betatrader.config.venues import Binance, Polymarket
from betatrader.model.account import OrderSigned
from betatrader.model.command import Approved, Booked
from betatrader.model.ids import InstrumentId
from betatrader.model.money import SCALE
from betatrader.model.order import OrderTerms, OrderType, Side
from betatrader.model.secret import Secret
from betatrader.sim.exchange import SimulatedExchange
from betatrader.venues.binance.shadow import BinanceShadow
from betatrader.venues.polymarket import eip712
from betatrader.venues.polymarket.forms import Rules, UnmappableError
from betatrader.venues.polymarket.shadow import PolymarketShadow
from betatrader.venues.shadow import ShadowVenue, SignedRequest

HMAC = "a-secret-of-hmac-kind"


class Unreached:
    """A network that nobody may use."""

    async def request(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("something was sent")

    async def connect(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("something was connected to")

    async def aclose(self) -> None:
        """Nothing is open."""


def binance(secret: str) -> BinanceShadow:
    settings = Binance(symbols=("BTCUSDT",), key=Secret("the-key"), secret=Secret(secret))
    return BinanceShadow(settings, Unreached(), print, print)


def polymarket(**more: Any) -> PolymarketShadow:
    keys = {
        "api_key": Secret("the-api-key"),
        "api_secret": Secret(base64.urlsafe_b64encode(b"mac").decode()),
        "api_passphrase": Secret("pass"),
    }
    settings = Polymarket(markets=("0x1",), private_key=Secret(PRIVATE), **{**keys, **more})
    return PolymarketShadow(settings, Unreached(), print, print)


def buy_yes(quantity: int = 10 * SCALE) -> Approved:
    terms = OrderTerms(YES_ID, Side.BUY, OrderType.LIMIT, SCALE // 2, quantity)
    return Approved("0" * 32, "s", terms)  # type: ignore[arg-type]


@pytest.mark.parametrize("secret", [HMAC, PEM])
def test_what_binance_would_get_bears_a_signature_that_verifies(secret: str) -> None:
    made = binance(secret).signed(approved(1), 0)
    sent = json.loads(made.request)
    parameters = sent["params"]
    signature = parameters.pop("signature")
    payload = "&".join(f"{name}={parameters[name]}" for name in sorted(parameters)).encode()
    assert (sent["method"], parameters["apiKey"]) == ("order.place", "the-key")
    assert (parameters["symbol"], parameters["side"]) == ("BTCUSDT", "BUY")
    if secret == HMAC:
        assert signature == hmac.new(HMAC.encode(), payload, hashlib.sha256).hexdigest()
    else:
        public = load_pem_private_key(PEM.encode(), None).public_key()
        public.verify(base64.b64decode(signature), payload)  # type: ignore[union-attr,call-arg]
    assert made.digest == f"sha256:{hashlib.sha256(made.request).hexdigest()}"


def test_what_polymarket_would_get_bears_signatures_that_verify() -> None:
    shadow = polymarket()
    shadow.rules[YES] = Rules(SCALE // 100, 5 * SCALE, False)
    made = shadow.signed(buy_yes(), 1_700_000_000_000_000_000)
    head, _, body = made.request.decode().partition("\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.split("\r\n"))
    proven = f"{headers['POLY_TIMESTAMP']}POST/order{body}".encode()
    mac = base64.urlsafe_b64encode(hmac.new(b"mac", proven, hashlib.sha256).digest()).decode()
    assert headers["POLY_SIGNATURE"] == mac
    order = json.loads(body)["order"]
    assert order["maker"] == Account.from_key(PRIVATE).address
    digest = bytes.fromhex(made.digest.removeprefix("0x"))
    recovered = Account._recover_hash(digest, signature=order["signature"])
    assert recovered == order["signer"]
    assert eip712.checksummed(eip712.address_bytes(recovered)) == order["maker"]


def test_what_has_no_form_there_is_refused_in_words() -> None:
    shadow = polymarket()
    with pytest.raises(UnmappableError, match="not listed"):
        shadow.signed(buy_yes(), 0)
    shadow.rules[YES] = Rules(SCALE // 100, 5 * SCALE, False)
    with pytest.raises(UnmappableError, match="minimum of 5 shares"):
        shadow.signed(buy_yes(SCALE), 0)
    no_key = polymarket(api_key=Secret())
    no_key.rules[YES] = Rules(SCALE // 100, 5 * SCALE, False)
    with pytest.raises(UnmappableError, match="no API key"):
        no_key.signed(buy_yes(), 0)


class Signer:
    """Signs what it is given."""

    def signed(self, command: Approved, now_ns: int) -> SignedRequest:
        if command.terms.quantity > SCALE:
            raise ValueError("too much")
        return SignedRequest("sha256:ab", b"keys and all")


def test_each_order_is_signed_told_by_its_digest_and_filled_inside() -> None:
    told: list[Any] = []
    exchange = SimulatedExchange()
    venue = ShadowVenue(exchange, told.append)
    venue.signers = {"BINANCE": Signer()}
    elsewhere = Approved(
        "2" * 32,  # type: ignore[arg-type]
        "s",  # type: ignore[arg-type]
        OrderTerms(InstrumentId("A.SIM"), Side.BUY, OrderType.LIMIT, SCALE, SCALE),
    )
    for command in (approved(1), approved(3, quantity="2"), elsewhere):
        venue.submit(command, 7)
    signed, unfit, other = told
    assert signed == OrderSigned(7, approved(1).order, "sha256:ab")
    assert (unfit.digest, unfit.reason) == ("", "too much")
    assert (other.digest, other.reason) == ("", "SIM is not traded live")
    assert exchange.next_due_ns == 7, "and all of them reach the exchange inside"
    assert BTC.endswith("BINANCE")


def test_the_digest_is_in_the_step_that_is_journaled_and_audited() -> None:
    scene = Scene()
    step = scene.take(OrderSigned(0, "a" * 32, "0xfeed"))  # type: ignore[arg-type]
    assert step is not None
    assert step.changes == (Booked("signed", "a" * 32, "0xfeed, not sent"),)
    step = scene.take(OrderSigned(0, "a" * 32, "", "too small"))  # type: ignore[arg-type]
    assert step is not None
    assert step.changes[0].text == "has no form there: too small, not sent"  # type: ignore[union-attr]
