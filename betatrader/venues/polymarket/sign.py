"""Signs orders and requests for API keys, by libsecp256k1 alone.

One order takes some 35 us. Where the library cannot be loaded there is no slower way: it is a
UsageError at the start.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from betatrader.model.errors import UsageError
from betatrader.model.secret import Secret
from betatrader.venues.polymarket import eip712
from betatrader.venues.polymarket.eip712 import Exchange, Terms
from betatrader.venues.polymarket.keccak import keccak

if TYPE_CHECKING:
    from coincurve import PrivateKey

EOA, PROXY, SAFE, WALLET = range(4)
Sign = Callable[[bytes], bytes]
ENDS = tuple(bytes((27 + number,)) for number in range(4))
"""The last byte of a signature, by which point of the curve it is of."""


class SignedOrder(Struct, frozen=True, gc=False):
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
        contents = eip712.order_contents(terms, self._wallets, self._kinds[terms.selling])
        return "0x" + eip712.order_digest(separator, contents).hex()

    def order(self, terms: Terms, exchange: Exchange, expiration_s: int = 0) -> SignedOrder:
        """Sign an order. `expiration_s` (0: none) is told to the venue, and not signed."""
        separator = eip712.domain_separator(exchange, self.chain)
        contents = eip712.order_contents(terms, self._wallets, self._kinds[terms.selling])
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

    def _json(self, terms: Terms, expiration_s: int, signature: bytes) -> str:
        """Nothing in it needs escaping; the order of keys is that of the venue's own client."""
        return (
            f'{{"salt":{terms.salt},{self._names},'
            f'"tokenId":"{_decimal(terms.token)}","makerAmount":"{terms.maker_amount}",'
            f'"takerAmount":"{terms.taker_amount}","side":"{"SELL" if terms.selling else "BUY"}",'
            f'"expiration":"{expiration_s}","signatureType":{self.signature_type},'
            f'"timestamp":"{terms.timestamp_ms}",{_marks(terms.metadata, terms.builder)},'
            f'"signature":"0x{signature.hex()}"}}'
        )


_decimal = lru_cache(4_096)(str)
"""A token's number as text: of 77 digits, and asked for with every order."""


@lru_cache(16)
def _marks(metadata: bytes, builder: bytes) -> str:
    return f'"metadata":"0x{metadata.hex()}","builder":"0x{builder.hex()}"'


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

    return _chosen(private), keccak(private.public_key.format(compressed=False)[1:])[12:]


def _chosen(private: "PrivateKey") -> Sign:
    """The quicker of two ways; where the library's inner form is another one, or answers
    otherwise, its public way."""
    plain = partial(_plain, private)
    try:
        kept = _kept(private)
        probes = [keccak(bytes((number,))) for number in range(4)]
        right = [kept(probe) for probe in probes] == [plain(probe) for probe in probes]
    except (AttributeError, ImportError, TypeError, ValueError):
        return plain
    return kept if right else plain


def _plain(private: "PrivateKey", digest: bytes) -> bytes:
    made = private.sign_recoverable(digest, hasher=None)
    return made[:64] + bytes((made[64] + 27,))


def _kept(private: "PrivateKey") -> Sign:
    """The same calls of the same library, its buffers made once: each set of them is used by one
    caller at a time, since other threads run meanwhile."""
    library = import_module("coincurve._libsecp256k1")
    ffi, lib = library.ffi, library.lib
    make = lib.secp256k1_ecdsa_sign_recoverable
    write = lib.secp256k1_ecdsa_recoverable_signature_serialize_compact
    none = ffi.NULL
    context = private.context.ctx
    free: list[tuple[Any, Any, Any, Any]] = []

    def buffers() -> tuple[Any, Any, Any, Any]:
        out = ffi.new("unsigned char[64]")
        return (
            ffi.new("secp256k1_ecdsa_recoverable_signature *"),
            out,
            ffi.buffer(out),
            ffi.new("int *"),
        )

    def sign(digest: bytes) -> bytes:
        if len(digest) != 32:  # the library reads as many
            raise ValueError("a digest has 32 bytes")
        mine = free.pop() if free else buffers()
        made, out, shown, recovery = mine
        if not make(context, made, digest, private.secret, none, none):
            raise ValueError("libsecp256k1 does not sign with this key")
        write(context, out, recovery, made)
        found: bytes = shown[:] + ENDS[recovery[0]]
        free.append(mine)
        return found

    return sign


def _funder(text: str, signature_type: int) -> bytes:
    try:
        return eip712.address_bytes(text)
    except ValueError:
        raise UsageError(
            f"[polymarket] funder must be the wallet's address with signature_type"
            f" {signature_type}: 0x and 40 hexadecimal digits"
        ) from None
