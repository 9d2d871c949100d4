"""Signatures against known answers, keys that are refused, and the time that signing takes."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from betatrader.model.errors import UsageError
from betatrader.model.secret import Secret
from betatrader.venues.binance import sign

PEM = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIHMAyVRQgb7iNL9UGwqvFFlM8jY0sNKJO8N4N4qZSD6M\n"
    "-----END PRIVATE KEY-----\n"
)
NAMES = [
    "docs_rest_hmac_ascii",
    "docs_rest_hmac_nonascii_percent_encoded",
    "docs_wsapi_hmac_ascii",
    "docs_wsapi_hmac_nonascii_raw_utf8",
    "ccxt_limit_buy",
    "ccxt_limit_maker_stp",
    "ccxt_market_quote_qty",
    "ccxt_query_order",
    "ccxt_cancel_order",
    "ccxt_account",
    "sdk_new_order",
    "sdk_new_order_recv_window",
    "sdk_cancel_replace",
    "sdk_list_param_percent_encoded",
    "ed25519_rest_order",
    "ed25519_wsapi_session_logon",
    "ed25519_wsapi_order_place",
    "ed25519_ccxt_order",
    "hmac_wsapi_userDataStream_subscribe_signature",
]


@pytest.fixture(scope="session")
def vectors(recordings: Path) -> dict[str, dict[str, Any]]:
    """The known answers by name."""
    found = json.loads((recordings / "vectors_binance.json").read_text())
    return {vector["name"]: vector for vector in found["vectors"]}


def signer(vector: dict[str, Any]) -> sign.Signer:
    return sign.signer_of(Secret(vector.get("private_pem") or vector["secret"]))


@pytest.mark.parametrize("name", NAMES)
def test_a_known_payload_has_its_known_signature(vectors: Any, name: str) -> None:
    vector = vectors[name]
    assert signer(vector).sign(vector["payload"].encode()) == vector["signature"]


def test_every_known_answer_is_tested_but_those_of_rsa(vectors: Any) -> None:
    assert set(vectors) - set(NAMES) == {"rsa_rest_order", "rsa_ccxt_order"}


@pytest.mark.parametrize("name", NAMES)
def test_parameters_become_the_payload(vectors: Any, name: str) -> None:
    """Both spellings: a query in its order, and the WebSocket API's by name."""
    vector = vectors[name]
    pairs = [part.split("=", 1) for part in vector["payload"].split("&")]
    if "wsapi" in name:
        mixed = dict(sorted(pairs, key=lambda pair: pair[0][::-1]))
        assert sign.api_payload(mixed).decode() == vector["payload"]
        given = {key: value for key, value in mixed.items() if key != "apiKey"}
        whole = sign.signed_parameters(signer(vector), mixed["apiKey"], given)
        assert whole["signature"] == vector["signature"]
        if "request" in vector:
            sent = {key: str(value) for key, value in vector["request"]["params"].items()}
            assert {key: str(value) for key, value in whole.items()} == sent
        return
    plain = {key: unquote(value) for key, value in pairs}
    assert sign.query(plain) == vector["payload"]
    wire = vector.get("signature_on_wire") or vector["signature"].replace("+", "%2B").replace(
        "/", "%2F"
    ).replace("=", "%3D")
    assert sign.signed_query(signer(vector), plain) == f"{vector['payload']}&signature={wire}"


def test_a_key_may_come_as_one_line() -> None:
    one_line = Secret(PEM.replace("\n", "\\n"))
    assert sign.signer_of(one_line).sign(b"a") == sign.signer_of(Secret(PEM)).sign(b"a")


RSA_LIKE = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("text", ["", "short", "with a space in it", RSA_LIKE, "é" * 64])
def test_what_is_no_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(UsageError, match="neither an HMAC secret nor an Ed25519 key") as found:
        sign.signer_of(Secret(text))
    assert not text or text not in str(found.value)
    with pytest.raises(UsageError, match="no API key"):
        sign.checked_key(Secret("a b"))


def test_an_rsa_key_is_refused(vectors: Any) -> None:
    with pytest.raises(UsageError, match="Ed25519"):
        sign.signer_of(Secret(vectors["rsa_rest_order"]["private_pem"]))
