"""EIP-712 digests of what clients of the venue sign, and the address that signed.

Written from the facts alone and without the adapter's code, so that one proves the other.
"""

from typing import NamedTuple

from coincurve import PublicKey
from Crypto.Hash import keccak

POLYGON = 137
STANDARD = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK = "0xe2222d279d744050d28e00520010520000310F59"
THIRD = "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"
ATTESTS = "This message attests that I control the given wallet"
ORDER_TYPE = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
    "uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,"
    "bytes32 builder)"
)
RESERVED_BITS = ((1 << 64) - 1) << 40
WALLET = 3
"""The signature type of a contract's wallet (POLY_1271)."""


class Domain(NamedTuple):
    """The exchange contract that an order is signed for."""

    version: str
    contract: str
    chain: int = POLYGON


class Order(NamedTuple):
    """The twelve words that are signed, less the first."""

    salt: int
    maker: str
    signer: str
    token: int
    maker_amount: int
    taker_amount: int
    side: int
    signature_type: int
    timestamp: int
    metadata: bytes
    builder: bytes


def hashed(data: bytes) -> bytes:
    """Keccak-256."""
    return keccak.new(digest_bits=256, data=data).digest()


def checksummed(address: bytes) -> str:
    """An address in its checksum form (EIP-55)."""
    digits = address.hex()
    marks = hashed(digits.encode()).hex()
    shown = (d.upper() if int(m, 16) >= 8 else d for d, m in zip(digits, marks, strict=False))
    return "0x" + "".join(shown)


def address_bytes(text: str) -> bytes:
    """An address as its 20 bytes; ValueError where it is none."""
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != 20:
        raise ValueError(f"{text!r} is no address")
    return raw


def canonical(text: str) -> str:
    """An address in its checksum form, however it was written; ValueError where it is none."""
    return checksummed(address_bytes(text))


def signed_by(digest: bytes, signature: bytes) -> str:
    """The address whose key made a signature; empty where the signature is none."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        return ""
    recoverable = signature[:64] + bytes([signature[64] - 27])
    try:
        key = PublicKey.from_signature_and_message(recoverable, digest, hasher=None)
    except Exception:  # coincurve's own errors have no common base
        return ""
    return checksummed(hashed(key.format(compressed=False)[1:])[-20:])


def attestation(address: str, timestamp: str, nonce: int, chain: int = POLYGON) -> bytes:
    """The digest of the L1 headers."""
    domain = hashed(
        hashed(b"EIP712Domain(string name,string version,uint256 chainId)")
        + hashed(b"ClobAuthDomain")
        + hashed(b"1")
        + _word(chain)
    )
    struct = hashed(
        hashed(b"ClobAuth(address address,string timestamp,uint256 nonce,string message)")
        + _padded(address)
        + hashed(timestamp.encode())
        + _word(nonce)
        + hashed(ATTESTS.encode())
    )
    return hashed(b"\x19\x01" + domain + struct)


def is_position_id(token: int) -> bool:
    """Whether a token is of the newer protocol."""
    return not token & RESERVED_BITS


def domain_for(token: int, *, neg_risk: bool) -> Domain:
    """The exchange that trades a token: V3 where the token is a position id of its kind."""
    if is_position_id(token):
        return Domain("3", THIRD)
    return Domain("2", NEG_RISK if neg_risk else STANDARD)


def order_digest(order: Order, domain: Domain) -> bytes:
    """The order's digest, which is its id."""
    return hashed(b"\x19\x01" + _separator(domain) + _contents(order))


def order_signer(order: Order, domain: Domain, signature: bytes) -> str:
    """The address whose key signed an order; empty where the signature is not for it."""
    if order.signature_type != WALLET:
        return signed_by(order_digest(order, domain), signature)
    separator, contents = _separator(domain), _contents(order)
    tail = separator + contents + ORDER_TYPE.encode() + len(ORDER_TYPE).to_bytes(2)
    if signature[65:] != tail:
        return ""
    wrapped = hashed(
        hashed(
            b"TypedDataSign(Order contents,string name,string version,uint256 chainId,"
            b"address verifyingContract,bytes32 salt)" + ORDER_TYPE.encode()
        )
        + contents
        + hashed(b"DepositWallet")
        + hashed(b"1")
        + _word(domain.chain)
        + _padded(order.signer)
        + bytes(32)
    )
    return signed_by(hashed(b"\x19\x01" + separator + wrapped), signature[:65])


def _separator(domain: Domain) -> bytes:
    return hashed(
        hashed(
            b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
        )
        + hashed(b"Polymarket CTF Exchange")
        + hashed(domain.version.encode())
        + _word(domain.chain)
        + _padded(domain.contract)
    )


def _contents(order: Order) -> bytes:
    if len(order.metadata) != 32 or len(order.builder) != 32:
        raise ValueError("metadata and builder have 32 bytes each")
    return hashed(
        hashed(ORDER_TYPE.encode())
        + _word(order.salt)
        + _padded(order.maker)
        + _padded(order.signer)
        + _word(order.token)
        + _word(order.maker_amount)
        + _word(order.taker_amount)
        + _word(order.side)
        + _word(order.signature_type)
        + _word(order.timestamp)
        + order.metadata
        + order.builder
    )


def _word(value: int) -> bytes:
    if not 0 <= value < 1 << 256:
        raise ValueError(f"{value} is no uint256")
    return value.to_bytes(32)


def _padded(address: str) -> bytes:
    return bytes(12) + address_bytes(address)
