"""Transactions of a wallet that the venue's relayer sends and pays for, signed by its owner. Pure.

Shapes: `polymarket-client` 0.14 (`_internal/actions/relayer/gasless.py` and `signing/`). An account
of its own (type 0) has no wallet that the relayer could call.
"""

from betatrader.venues.polymarket.calldata import Call, selector
from betatrader.venues.polymarket.eip712 import address_bytes, word
from betatrader.venues.polymarket.keccak import keccak
from betatrader.venues.polymarket.sign import PROXY, SAFE, WALLET, Signer

PROXY_FACTORY = "0xaB45c5A4B0c941a2F231C04C3f49182e1A254052"
WALLET_FACTORY = "0x00000000000Fb5C9ADea0298D729A0CB3823Cc07"
MULTISEND = "0xA238CBeb142c10Ef7Ad8442C6D1f9E89e07e7761"
RELAY_HUB = "0xD216153c06E857cD7f72665E0aF1d7D82172F494"
NOBODY = "0x" + "00" * 20
GAS_LIMIT = 200_000
"""What the venue's client asks for where it cannot estimate; the relayer pays."""

KINDS = {PROXY: "PROXY", SAFE: "SAFE", WALLET: "WALLET"}
"""The relayer's name of each type of wallet."""

_SAFE_DOMAIN = keccak(b"EIP712Domain(uint256 chainId,address verifyingContract)")
_SAFE_TX = keccak(
    b"SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,"
    b"uint256 baseGas,uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
)
_CALL_TYPE = b"Call(address target,uint256 value,bytes data)"
_CALL = keccak(_CALL_TYPE)
_BATCH = keccak(b"Batch(address wallet,uint256 nonce,uint256 deadline,Call[] calls)" + _CALL_TYPE)
_WALLET_DOMAIN = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_PROXY = selector("proxy((uint8,address,uint256,bytes)[])")
_MULTISEND = selector("multiSend(bytes)")

Body = dict[str, object]


def body(
    signer: Signer,
    calls: list[Call],
    nonce: int,
    metadata: str,
    *,
    relay: str = NOBODY,
    deadline_s: int = 0,
) -> Body:
    """What is posted to the relayer for calls by the signer's wallet, in the venue's own order of
    keys. `relay` counts for proxies, `deadline_s` for deposit wallets; `nonce` lets it happen once.

    Raises ValueError for an account without a wallet.
    """
    match signer.signature_type:
        case 1:
            return _of_proxy(signer, calls, nonce, metadata, relay)
        case 2:
            return _of_safe(signer, calls, nonce, metadata)
        case 3:
            return _of_wallet(signer, calls, nonce, metadata, deadline_s)
    raise ValueError("an account of its own has no wallet at the relayer")


def _of_safe(signer: Signer, calls: list[Call], nonce: int, metadata: str) -> Body:
    to, data, operation = _one(calls)
    signature = signer.message(_safe_digest(signer, to, data, operation, nonce))
    signature = signature[:64] + bytes((signature[64] + 4,))  # the mark of a signed message
    return {
        "type": "SAFE",
        "from": signer.address,
        "to": to,
        "proxyWallet": signer.maker,
        "data": _hex(data),
        "nonce": str(nonce),
        "signature": _hex(signature),
        "metadata": metadata,
        "signatureParams": {
            "baseGas": "0",
            "gasPrice": "0",
            "gasToken": NOBODY,
            "operation": str(operation),
            "refundReceiver": NOBODY,
            "safeTxnGas": "0",
        },
    }


def _of_proxy(signer: Signer, calls: list[Call], nonce: int, metadata: str, relay: str) -> Body:
    data = _PROXY + word(32) + _array([_tuple(call) for call in calls])
    signed = keccak(
        b"".join(
            (
                b"rlx:",
                address_bytes(signer.address),
                address_bytes(PROXY_FACTORY),
                data,
                word(0),  # the relayer's fee, and the price of gas
                word(0),
                word(GAS_LIMIT),
                word(nonce),
                address_bytes(RELAY_HUB),
                address_bytes(relay),
            )
        )
    )
    return {
        "type": "PROXY",
        "from": signer.address,
        "to": PROXY_FACTORY,
        "proxyWallet": signer.maker,
        "data": _hex(data),
        "nonce": str(nonce),
        "signature": _hex(signer.message(signed)),
        "metadata": metadata,
        "signatureParams": {
            "gasLimit": str(GAS_LIMIT),
            "gasPrice": "0",
            "relay": relay,
            "relayHub": RELAY_HUB,
            "relayerFee": "0",
        },
    }


def _of_wallet(
    signer: Signer, calls: list[Call], nonce: int, metadata: str, deadline_s: int
) -> Body:
    hashes = b"".join(
        keccak(_CALL + bytes(12) + address_bytes(call.to) + word(0) + keccak(call.data))
        for call in calls
    )
    wallet = bytes(12) + address_bytes(signer.maker)
    contents = keccak(_BATCH + wallet + word(nonce) + word(deadline_s) + keccak(hashes))
    domain = keccak(
        _WALLET_DOMAIN + keccak(b"DepositWallet") + keccak(b"1") + word(signer.chain) + wallet
    )
    signature = signer.digest(keccak(b"\x19\x01" + domain + contents))
    return {
        "type": "WALLET",
        "from": signer.address,
        "to": WALLET_FACTORY,
        "nonce": str(nonce),
        "signature": _hex(signature),
        "metadata": metadata,
        "depositWalletParams": {
            "depositWallet": signer.maker,
            "deadline": str(deadline_s),
            "calls": [{"target": call.to, "value": "0", "data": _hex(call.data)} for call in calls],
        },
    }


def _safe_digest(signer: Signer, to: str, data: bytes, operation: int, nonce: int) -> bytes:
    wallet = bytes(12) + address_bytes(signer.maker)
    domain = keccak(_SAFE_DOMAIN + word(signer.chain) + wallet)
    contents = keccak(
        b"".join(
            (
                _SAFE_TX,
                bytes(12) + address_bytes(to),
                word(0),
                keccak(data),
                word(operation),
                bytes(5 * 32),  # no gas is paid back, to nobody
                word(nonce),
            )
        )
    )
    return keccak(b"\x19\x01" + domain + contents)


def _one(calls: list[Call]) -> tuple[str, bytes, int]:
    """Calls as one of the Safe: itself, or one that makes several (by delegation)."""
    if len(calls) == 1:
        return calls[0].to, calls[0].data, 0
    packed = b"".join(
        bytes(1) + address_bytes(call.to) + word(0) + word(len(call.data)) + call.data
        for call in calls
    )
    return MULTISEND, _MULTISEND + word(32) + _bytes(packed), 1


def _tuple(call: Call) -> bytes:
    head = word(1) + bytes(12) + address_bytes(call.to) + word(0) + word(4 * 32)
    return head + _bytes(call.data)


def _array(items: list[bytes]) -> bytes:
    """An ABI array of items of no fixed length: where each begins, then all of them."""
    places, at = [], 32 * len(items)
    for item in items:
        places.append(word(at))
        at += len(item)
    return word(len(items)) + b"".join(places) + b"".join(items)


def _bytes(data: bytes) -> bytes:
    return word(len(data)) + data + bytes(-len(data) % 32)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
