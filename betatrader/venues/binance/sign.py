"""Signatures of Binance requests: HMAC-SHA256 or Ed25519, over exactly the bytes that are sent.

REST signs the query as it goes over the wire, percent-encoded. The WebSocket API signs its
parameters by name, raw. RSA keys are not taken: Ed25519 is faster and shorter.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from betatrader.model.errors import UsageError
from betatrader.model.secret import Secret

Value = str | int
Parameters = Mapping[str, Value]

HMAC_SECRET = re.compile(r"[A-Za-z0-9_-]{8,256}")
API_KEY = re.compile(r"[A-Za-z0-9_-]{1,256}")
NO_KEY = (
    "[binance] secret is neither an HMAC secret nor an Ed25519 key in PEM (PKCS#8).\n"
    "Give the venue's secret as it was shown, or the whole text of the private key's file, in "
    "BETATRADER_BINANCE__SECRET."
)


class Signer(Protocol):
    """Signs the payload of a request."""

    logs_on: bool
    """Whether a WebSocket session can be logged on with this key, and its requests go unsigned."""

    def sign(self, payload: bytes) -> str:
        """The signature as a WebSocket request bears it; in a query it is percent-encoded."""


class HmacSigner:
    """A shared secret: HMAC-SHA256 in hexadecimal digits."""

    logs_on = False

    def __init__(self, secret: Secret) -> None:
        self._keyed = hmac.new(secret.reveal().encode(), digestmod=hashlib.sha256)

    def sign(self, payload: bytes) -> str:
        """64 hexadecimal digits."""
        keyed = self._keyed.copy()  # quicker than anew, above all where the caches are cold
        keyed.update(payload)
        return keyed.hexdigest()


class Ed25519Signer:
    """A private key, parsed once: Ed25519 in base64."""

    logs_on = True

    def __init__(self, secret: Secret) -> None:
        self._key = _private_key(secret)

    def sign(self, payload: bytes) -> str:
        """88 digits of base64."""
        return base64.b64encode(self._key.sign(payload)).decode()


def signer_of(secret: Secret) -> Signer:
    """The signer of a key by its form; raises UsageError, without the key, where it has none."""
    text = secret.reveal().strip()
    if "-----BEGIN" in text:
        return Ed25519Signer(secret)
    if not HMAC_SECRET.fullmatch(text):
        raise UsageError(NO_KEY)
    return HmacSigner(Secret(text))


def checked_key(key: Secret) -> Secret:
    """The API key; raises UsageError, without it, where it cannot be one."""
    text = key.reveal().strip()
    if not API_KEY.fullmatch(text):
        raise UsageError(
            "[binance] key is no API key: letters, digits, - and _ are expected.\n"
            "Give the venue's key as it was shown, in BETATRADER_BINANCE__KEY."
        )
    return Secret(text)


def query(parameters: Parameters) -> str:
    """Parameters as a query, percent-encoded, in the order given."""
    return "&".join([f"{name}={quote(str(value), safe='')}" for name, value in parameters.items()])


def signed_query(signer: Signer, parameters: Parameters) -> str:
    """A query with its signature last."""
    payload = query(parameters)
    return f"{payload}&signature={quote(signer.sign(payload.encode()), safe='')}"


def api_payload(parameters: Parameters) -> bytes:
    """What the WebSocket API wants signed: all parameters by name, raw UTF-8."""
    return "&".join([f"{name}={parameters[name]}" for name in sorted(parameters)]).encode()


def signed_parameters(signer: Signer, key: str, parameters: Parameters) -> dict[str, Value]:
    """Parameters of a WebSocket request with the API key and the signature."""
    whole = {"apiKey": key, **parameters}
    whole["signature"] = signer.sign(api_payload(whole))
    return whole


def _private_key(secret: Secret) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = secret.reveal().replace("\\n", "\n").strip()  # an environment's file may have no lines
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UsageError(NO_KEY) from None  # its text may quote the key
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(NO_KEY)
    return key
