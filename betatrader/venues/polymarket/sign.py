"""Signs orders and requests for API keys, by libsecp256k1 alone.

One order takes some 40 us. Where the library cannot be loaded there is no slower way: it is a
UsageError at the start.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from betatrader.model.errors import UsageError
from betatrader.model.secret import Secret
from betatrader.venues.polymarket import eip712
from betatrader.venues.polymarket.eip712 import Exchange, OrderData
from betatrader.venues.polymarket.keccak import keccak

EOA, PROXY, SAFE, WALLET = range(4)
Sign = Callable[[bytes], bytes]


class Terms(NamedTuple):
    """What an order asks for, in the venue's units (10^-6), and what makes it unique."""

    token: int
    selling: bool
    maker_amount: int
    taker_amount: int
    salt: int
    timestamp_ms: int
    metadata: bytes = eip712.NOTHING
    builder: bytes = eip712.NOTHING


class SignedOrder(NamedTuple):
    """An order that can be sent: its id at the venue, and the JSON of its `order` object."""

    id: str
    json: str


class Signer:
    """The signing account, and the wallet that it orders for.

    Raises UsageError where the key or the funder cannot be any, without showing either.
    """

    def __init__(self, key: Secret, chain: int, signature_type: int, funder: str = "") -> None:
        self.chain = chain
        self._sign, owner = _backend(key)
        self._owner = owner
        self.address = eip712.checksummed(owner)
        self.signature_type = signature_type
        maker = owner if signature_type == EOA else _funder(funder, signature_type)
        signer = maker if signature_type == WALLET else owner
        self.maker = eip712.checksummed(maker)
        self.order_signer = eip712.checksummed(signer)
        self._maker = bytes(12) + maker
        self._wallets = self._maker + bytes(12) + signer
        type_ = eip712.word(signature_type)
        self._kinds = (eip712.word(0) + type_, eip712.word(1) + type_)
        """By whether it sells."""
        self._names = f'"maker":"{self.maker}","signer":"{self.order_signer}"'

    def __repr__(self) -> str:
        return f"Signer({self.address}, type {self.signature_type})"

    def order_id(self, terms: Terms, exchange: Exchange) -> str:
        """The id that the venue will know the order by."""
        separator = eip712.domain_separator(exchange, self.chain)
        contents = eip712.order_contents(self._data(terms))
        return "0x" + eip712.order_digest(separator, contents).hex()

    def order(self, terms: Terms, exchange: Exchange, expiration_s: int = 0) -> SignedOrder:
        """Sign an order. `expiration_s` (0: none) is told to the venue, and not signed."""
        separator = eip712.domain_separator(exchange, self.chain)
        contents = eip712.order_contents(self._data(terms))
        digest = eip712.order_digest(separator, contents)
        if self.signature_type == WALLET:
            inner = eip712.wallet_digest(separator, contents, self.chain, self._maker)
            signature = eip712.wallet_signature(self._sign(inner), separator, contents)
        else:
            signature = self._sign(digest)
        return SignedOrder("0x" + digest.hex(), self._json(terms, expiration_s, signature))

    def attestation(self, timestamp: str, nonce: int) -> str:
        """The signature that asks for an API key."""
        digest = eip712.auth_digest(self.chain, self._owner, timestamp, nonce)
        return "0x" + self._sign(digest).hex()

    def digest(self, digest: bytes) -> bytes:
        """The account's signature of a digest: 65 bytes, the last 27 or 28."""
        return self._sign(digest)

    def message(self, hashed: bytes) -> bytes:
        """The same of 32 bytes as a personal message (EIP-191)."""
        return self._sign(keccak(b"\x19Ethereum Signed Message:\n32" + hashed))

    def _data(self, terms: Terms) -> OrderData:
        return OrderData(
            terms.salt,
            self._wallets,
            terms.token,
            terms.maker_amount,
            terms.taker_amount,
            self._kinds[terms.selling],
            terms.timestamp_ms,
            terms.metadata,
            terms.builder,
        )

    def _json(self, terms: Terms, expiration_s: int, signature: bytes) -> str:
        """Nothing in it needs escaping; the order of keys is that of the venue's own client."""
        return (
            f'{{"salt":{terms.salt},{self._names},'
            f'"tokenId":"{_decimal(terms.token)}","makerAmount":"{terms.maker_amount}",'
            f'"takerAmount":"{terms.taker_amount}","side":"{"SELL" if terms.selling else "BUY"}",'
            f'"expiration":"{expiration_s}","signatureType":{self.signature_type},'
            f'"timestamp":"{terms.timestamp_ms}","metadata":"0x{terms.metadata.hex()}",'
            f'"builder":"0x{terms.builder.hex()}","signature":"0x{signature.hex()}"}}'
        )


_decimal = lru_cache(4_096)(str)
"""A token's number as text: of 77 digits, and asked for with every order."""


def _backend(key: Secret) -> tuple[Sign, bytes]:
    """A function that signs a digest, and the account's address."""
    try:
        import coincurve
    except ImportError as error:
        text = f"[polymarket] orders cannot be signed, coincurve does not load: {error}"
        raise UsageError(text) from None
    try:
        raw = bytes.fromhex(key.reveal().removeprefix("0x"))
        if len(raw) != 32:
            raise ValueError  # noqa: TRY301  one message for all that is wrong with it
        private = coincurve.PrivateKey(raw)
    except ValueError:
        text = "[polymarket] private_key is no key: 0x and 64 hexadecimal digits"
        raise UsageError(text) from None

    def sign(digest: bytes) -> bytes:
        made = private.sign_recoverable(digest, hasher=None)
        return made[:64] + bytes((made[64] + 27,))

    return sign, keccak(private.public_key.format(compressed=False)[1:])[12:]


def _funder(text: str, signature_type: int) -> bytes:
    try:
        return eip712.address_bytes(text)
    except ValueError:
        raise UsageError(
            f"[polymarket] funder must be the wallet's address with signature_type"
            f" {signature_type}: 0x and 40 hexadecimal digits"
        ) from None
