"""API keys, and the headers that prove who asks: L1 by the wallet's key, L2 by an API key."""

import base64
import hashlib
import hmac
import uuid

import msgspec

from betatrader.net.transport import Request
from betatrader.venues.polymarket.serve import signatures
from betatrader.venues.polymarket.serve.answers import RefusedRequestError

CLOCK_WINDOW_S = 60
"""How far a request's timestamp may be from our time; the venue does not publish its own."""

SEED = b"betatrader's polymarket"
NO_KEY = "Unauthorized/Invalid api key"
NO_L1 = "Invalid L1 Request headers"


class ApiKey(msgspec.Struct, frozen=True):
    """A key of an account; one that only reads may not trade."""

    key: str
    secret: str
    passphrase: str
    address: str
    nonce: int
    reads_only: bool = False


class Keys:
    """All API keys. What an address and a nonce give is always the same."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}

    def create(self, address: str, nonce: int) -> ApiKey:
        """Make a key that is not there yet."""
        made = _derived(address, nonce)
        if made.key in self._keys:
            raise RefusedRequestError(400, "Could not create api key")
        self._keys[made.key] = made
        return made

    def derive(self, address: str, nonce: int) -> ApiKey:
        """Find the key that was made with that nonce."""
        found = self._keys.get(_derived(address, nonce).key)
        if found is None:
            raise RefusedRequestError(400, "Could not derive api key!")
        return found

    def create_reading(self, address: str) -> ApiKey:
        """Make one more key that only reads."""
        number = sum(key.address == address and key.reads_only for key in self._keys.values())
        made = msgspec.structs.replace(_derived(address, -1 - number), reads_only=True)
        self._keys[made.key] = made
        return made

    def of(self, address: str, *, reads_only: bool = False) -> list[str]:
        """The ids of an account's keys."""
        return [
            key.key
            for key in self._keys.values()
            if key.address == address and key.reads_only is reads_only
        ]

    def addresses(self) -> set[str]:
        """The accounts that have keys."""
        return {key.address for key in self._keys.values()}

    def allow(self, *, trade: bool, alive: bool) -> None:
        """What all keys that there are may do from now on."""
        for name, key in list(self._keys.items()):
            self._keys[name] = msgspec.structs.replace(key, reads_only=not trade)
        if not alive:
            self._keys.clear()

    def delete(self, key: str) -> None:
        """End a key."""
        self._keys.pop(key, None)

    def named(self, key: str, secret: str, passphrase: str) -> ApiKey | None:
        """The key with exactly these three, as the user channel is given them."""
        found = self._keys.get(key)
        right = found is not None and (found.secret, found.passphrase) == (secret, passphrase)
        return found if right else None

    def wallet(self, request: Request, now_ns: int) -> tuple[str, int]:
        """Whose wallet signed the L1 headers, and the nonce."""
        headers = request.headers
        try:
            address = signatures.canonical(headers["poly_address"])
            timestamp, nonce = headers["poly_timestamp"], int(headers.get("poly_nonce", "0"))
            digest = signatures.attestation(address, timestamp, nonce)
            signature = bytes.fromhex(headers["poly_signature"].removeprefix("0x"))
        except (KeyError, ValueError):
            raise RefusedRequestError(401, NO_L1) from None
        if signatures.signed_by(digest, signature) != address or not _timely(timestamp, now_ns):
            raise RefusedRequestError(401, NO_L1)
        return address, nonce

    def account(self, request: Request, now_ns: int) -> ApiKey:
        """Whose API key signed the L2 headers."""
        headers = request.headers
        key = self._keys.get(headers.get("poly_api_key", ""))
        if (
            key is None
            or headers.get("poly_address", "").lower() != key.address.lower()
            or headers.get("poly_passphrase") != key.passphrase
            or not _timely(headers.get("poly_timestamp", ""), now_ns)
        ):
            raise RefusedRequestError(401, NO_KEY)
        signature = headers.get("poly_signature", "").encode()
        start = f"{headers['poly_timestamp']}{request.method}{request.path}".encode()
        for body in (request.body, request.body.replace(b"'", b'"')):
            if hmac.compare_digest(signature, signed(key.secret, start + body)):
                return key
        raise RefusedRequestError(401, NO_KEY)


def signed(secret: str, message: bytes) -> bytes:
    """The signature of L2 headers."""
    key = base64.urlsafe_b64decode(secret)
    return base64.urlsafe_b64encode(hmac.digest(key, message, "sha256"))


def _timely(timestamp: str, now_ns: int) -> bool:
    if not timestamp.isdecimal():
        return False
    return abs(int(timestamp) - now_ns // 1_000_000_000) <= CLOCK_WINDOW_S


def _derived(address: str, nonce: int) -> ApiKey:
    base = hmac.digest(SEED, f"{address} {nonce}".encode(), "sha256")
    name = uuid.UUID(bytes=base[:16], version=4)
    secret = base64.urlsafe_b64encode(hashlib.sha256(base + b"secret").digest()).decode()
    passphrase = hashlib.sha256(base + b"passphrase").hexdigest()
    return ApiKey(str(name), secret, passphrase, address, nonce)
