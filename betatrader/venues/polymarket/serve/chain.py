"""Transactions of wallets as the relayer gets them: who signed, and what they ask of the contracts.

Written without the adapter's code, so that one proves the other; raises ValueError for what cannot
be read.
"""

from typing import NamedTuple

import msgspec

from betatrader.venues.polymarket.serve.signatures import (
    POLYGON,
    address_bytes,
    canonical,
    hashed,
    signed_by,
)

ADAPTER = "0xAdA100Db00Ca00073811820692005400218FcE1f"
NEG_RISK_ADAPTER = "0xadA2005600Dec949baf300f4C6120000bDB6eAab"
COLLATERAL = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
WORD = 32


def _selector(text: str) -> bytes:
    return hashed(text.encode())[:4]


MERGE = _selector("mergePositions(address,bytes32,bytes32,uint256[],uint256)")
REDEEM = _selector("redeemPositions(address,bytes32,bytes32,uint256[])")
PROXY = _selector("proxy((uint8,address,uint256,bytes)[])")
MULTISEND = _selector("multiSend(bytes)")


class WalletCall(msgspec.Struct):
    """One call of a deposit wallet."""

    target: str
    value: str
    data: str


class WalletParams(msgspec.Struct, rename="camel"):
    """What a deposit wallet is asked to do."""

    deposit_wallet: str
    deadline: str
    calls: list[WalletCall]


class Signed(msgspec.Struct, rename="camel"):
    """A body of POST /submit. What belongs to other types of wallet is empty."""

    type: str
    sender: str = msgspec.field(name="from")
    to: str
    nonce: str
    signature: str
    metadata: str = ""
    data: str = "0x"
    proxy_wallet: str = ""
    signature_params: dict[str, str] = {}
    deposit_wallet_params: WalletParams | None = None

    @property
    def wallet(self) -> str:
        """The wallet that acts."""
        found = self.deposit_wallet_params
        return canonical(found.deposit_wallet if found is not None else self.proxy_wallet)


class Asked(NamedTuple):
    """One call of the venue's contracts. `amount` (base units) is that of a merge: 0 redeems."""

    target: str
    condition: str
    amount: int


def signer_of(sent: Signed) -> str:
    """The address whose key signed a transaction; empty where it is for another one."""
    signature = bytes.fromhex(sent.signature[2:])
    match sent.type:
        case "SAFE":
            if signature[64:] not in (b"\x1f", b"\x20"):  # 27 or 28, and 4: a signed message
                return ""
            return signed_by(_message(_safe(sent)), signature[:64] + bytes([signature[64] - 4]))
        case "PROXY":
            return signed_by(_message(_proxy(sent)), signature)
        case "WALLET" if sent.deposit_wallet_params is not None:
            return signed_by(_batch(sent, sent.deposit_wallet_params), signature)
    raise ValueError(f"an unknown type of transaction: {sent.type}")


def asked_of(sent: Signed) -> list[Asked]:
    """What a transaction asks for."""
    data = _raw(sent.data)
    if sent.deposit_wallet_params is not None:
        calls = [(one.target, _raw(one.data)) for one in sent.deposit_wallet_params.calls]
    elif sent.type == "PROXY":
        calls = _proxied(data)
    elif sent.signature_params.get("operation") == "1":
        calls = _several(data)
    else:
        calls = [(sent.to, data)]
    return [_asked(canonical(target), call) for target, call in calls]


def _asked(target: str, data: bytes) -> Asked:
    head, words = data[:4], data[4:]
    if head not in (MERGE, REDEEM) or len(words) % WORD:
        raise ValueError(f"an unknown call of {target}: {head.hex()}")
    if words[12:32] != address_bytes(COLLATERAL) or any(words[32:64]):
        raise ValueError("other collateral, or a parent collection")
    sets = words[_number(words, 3) :]
    if [_number(sets, at) for at in range(3)] != [2, 1, 2]:
        raise ValueError("other index sets than both outcomes")
    return Asked(target, "0x" + words[64:96].hex(), _number(words, 4) if head == MERGE else 0)


def _proxied(data: bytes) -> list[tuple[str, bytes]]:
    if data[:4] != PROXY:
        raise ValueError("no call of the proxy factory")
    items = data[4 + WORD :]
    places = items[WORD:]
    calls = []
    for at in range(_number(items, 0)):
        one = places[_number(places, at) :]
        inner = one[_number(one, 3) :]
        calls.append(("0x" + one[44:64].hex(), inner[WORD : WORD + _number(inner, 0)]))
    return calls


def _several(data: bytes) -> list[tuple[str, bytes]]:
    if data[:4] != MULTISEND:
        raise ValueError("no call of the multisend contract")
    inner = data[4 + WORD :]
    packed, calls = inner[WORD : WORD + _number(inner, 0)], []
    while packed:
        size = int.from_bytes(packed[53:85])
        calls.append(("0x" + packed[1:21].hex(), packed[85 : 85 + size]))
        packed = packed[85 + size :]
    return calls


def _safe(sent: Signed) -> bytes:
    domain = hashed(
        hashed(b"EIP712Domain(uint256 chainId,address verifyingContract)")
        + POLYGON.to_bytes(WORD)
        + _padded(sent.proxy_wallet)
    )
    kind = (
        b"SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 "
        b"baseGas,uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
    )
    given = sent.signature_params
    struct = hashed(
        hashed(kind)
        + _padded(sent.to)
        + bytes(WORD)
        + hashed(_raw(sent.data))
        + _text(given["operation"])
        + _text(given["safeTxnGas"])
        + _text(given["baseGas"])
        + _text(given["gasPrice"])
        + _padded(given["gasToken"])
        + _padded(given["refundReceiver"])
        + _text(sent.nonce)
    )
    return hashed(b"\x19\x01" + domain + struct)


def _proxy(sent: Signed) -> bytes:
    given = sent.signature_params
    return hashed(
        b"rlx:"
        + address_bytes(sent.sender)
        + address_bytes(sent.to)
        + _raw(sent.data)
        + _text(given["relayerFee"])
        + _text(given["gasPrice"])
        + _text(given["gasLimit"])
        + _text(sent.nonce)
        + address_bytes(given["relayHub"])
        + address_bytes(given["relay"])
    )


def _batch(sent: Signed, given: WalletParams) -> bytes:
    domain = hashed(
        hashed(
            b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
        )
        + hashed(b"DepositWallet")
        + hashed(b"1")
        + POLYGON.to_bytes(WORD)
        + _padded(given.deposit_wallet)
    )
    call = b"Call(address target,uint256 value,bytes data)"
    calls = b"".join(
        hashed(hashed(call) + _padded(one.target) + _text(one.value) + hashed(_raw(one.data)))
        for one in given.calls
    )
    struct = hashed(
        hashed(b"Batch(address wallet,uint256 nonce,uint256 deadline,Call[] calls)" + call)
        + _padded(given.deposit_wallet)
        + _text(sent.nonce)
        + _text(given.deadline)
        + hashed(calls)
    )
    return hashed(b"\x19\x01" + domain + struct)


def _message(digest: bytes) -> bytes:
    return hashed(b"\x19Ethereum Signed Message:\n32" + digest)


def _number(data: bytes, word: int) -> int:
    raw = data[WORD * word : WORD * (word + 1)]
    if len(raw) != WORD:
        raise ValueError("the call is cut short")
    return int.from_bytes(raw)


def _text(number: str) -> bytes:
    return int(number).to_bytes(WORD)


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _padded(address: str) -> bytes:
    return bytes(12) + address_bytes(address)
