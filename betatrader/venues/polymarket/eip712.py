"""Typed data of the venue as EIP-712 hashes: orders of exchange 2 and 3, wallets, key requests.

Domain separators and type hashes are made once. Shapes: the venue's `py-clob-client-v2` 1.2.1, and
ERC-7739 for deposit wallets. Pure.
"""

from functools import cache
from struct import Struct as Layout
from typing import NamedTuple

from msgspec import Struct

from betatrader.venues.polymarket.keccak import keccak


def word(number: int) -> bytes:
    """An unsigned number as 32 bytes."""
    return number.to_bytes(32)


def address_bytes(text: str) -> bytes:
    """The 20 bytes of an address; raises ValueError where it is none."""
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != 20 or not text.startswith("0x"):
        raise ValueError(f"{text!r} is no address: 0x and 40 hexadecimal digits")
    return raw


def checksummed(address: bytes) -> str:
    """An address with the capitals of EIP-55."""
    text = address.hex()
    marks = keccak(text.encode()).hex()
    mixed = (c.upper() if int(mark, 16) > 7 else c for c, mark in zip(text, marks, strict=False))
    return "0x" + "".join(mixed)


class Exchange(NamedTuple):
    """One of the venue's contracts that orders are made for."""

    version: str
    address: str


STANDARD = Exchange("2", "0xE111180000d2663C0091e4f400237545B87B996B")
NEG_RISK = Exchange("2", "0xe2222d279d744050d28e00520010520000310F59")
POSITIONS = Exchange("3", "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa")
POSITIONS_AMOY = Exchange("3", "0x9fE6e61422AdB6F610d8597F9684b16912D50C3D")
AMOY = 80002


def is_position_id(token: int) -> bool:
    """Whether a token is a "position id" of the newer protocol: bits 40 to 103 all zero."""
    return not token >> 40 & (1 << 64) - 1


def exchange_of(token: int, chain: int, *, neg_risk: bool) -> Exchange:
    """The contract for a token: a position id goes to version 3."""
    if is_position_id(token):
        return POSITIONS_AMOY if chain == AMOY else POSITIONS
    return NEG_RISK if neg_risk else STANDARD


ORDER_TYPE = (
    b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
    b"uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,"
    b"bytes32 builder)"
)
_ORDER_HASH = keccak(ORDER_TYPE)
_WALLET_HASH = keccak(
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,"
    b"address verifyingContract,bytes32 salt)" + ORDER_TYPE
)
_DOMAIN_HASH = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_AUTH_DOMAIN_HASH = keccak(b"EIP712Domain(string name,string version,uint256 chainId)")
_AUTH_HASH = keccak(b"ClobAuth(address address,string timestamp,uint256 nonce,string message)")
_AUTH_MESSAGE = keccak(b"This message attests that I control the given wallet")
_WALLET_NAME, _WALLET_VERSION = keccak(b"DepositWallet"), keccak(b"1")
NOTHING = bytes(32)


_ORDER = Layout(">32s24xQ64s32s24xQ24xQ64s24xQ32s32s")
"""The words of an order, of which amounts, times and our salts are far below 2^64."""


class Terms(Struct, frozen=True, gc=False):
    """What an order asks for, in the venue's units (10^-6), and what makes it unique."""

    token: int
    selling: bool
    maker_amount: int
    taker_amount: int
    salt: int
    timestamp_ms: int
    metadata: bytes = NOTHING
    builder: bytes = NOTHING


@cache
def domain_separator(exchange: Exchange, chain: int) -> bytes:
    """The EIP-712 domain of one contract."""
    return keccak(
        _DOMAIN_HASH
        + keccak(b"Polymarket CTF Exchange")
        + keccak(exchange.version.encode())
        + word(chain)
        + bytes(12)
        + address_bytes(exchange.address)
    )


def order_contents(terms: Terms, wallets: bytes, kind: bytes) -> bytes:
    """The hash of the order alone, without its domain. `wallets` are maker and signer, addresses of
    32 bytes each, and `kind` is side and signature type, words alike. Raises struct.error where a
    number is not below 2^64."""
    return keccak(
        _ORDER.pack(
            _ORDER_HASH,
            terms.salt,
            wallets,
            terms.token.to_bytes(32),
            terms.maker_amount,
            terms.taker_amount,
            kind,
            terms.timestamp_ms,
            terms.metadata,
            terms.builder,
        )
    )


def order_digest(separator: bytes, contents: bytes) -> bytes:
    """What is signed, and the id that the venue knows the order by."""
    return keccak(b"".join((b"\x19\x01", separator, contents)))


def wallet_digest(separator: bytes, contents: bytes, chain: int, wallet: bytes) -> bytes:
    """What the owner of a deposit wallet signs for it (ERC-7739); `wallet` is 32 bytes."""
    nested = keccak(
        b"".join(
            (
                _WALLET_HASH,
                contents,
                _WALLET_NAME,
                _WALLET_VERSION,
                word(chain),
                wallet,
                NOTHING,
            )
        )
    )
    return keccak(b"\x19\x01" + separator + nested)


def wallet_signature(signature: bytes, separator: bytes, contents: bytes) -> bytes:
    """The owner's signature with all that the wallet needs to check it."""
    return signature + separator + contents + ORDER_TYPE + len(ORDER_TYPE).to_bytes(2)


def auth_digest(chain: int, address: bytes, timestamp: str, nonce: int) -> bytes:
    """What is signed to make or to derive an API key."""
    domain = keccak(_AUTH_DOMAIN_HASH + keccak(b"ClobAuthDomain") + keccak(b"1") + word(chain))
    contents = keccak(
        _AUTH_HASH + bytes(12) + address + keccak(timestamp.encode()) + word(nonce) + _AUTH_MESSAGE
    )
    return keccak(b"\x19\x01" + domain + contents)
