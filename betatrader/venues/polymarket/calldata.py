"""Calls of the venue's contracts that merge pairs of positions and redeem what has ended. Pure.

Shapes: `polymarket-client` 0.14 (its `relayer/calls.py`). The whole sets of a binary market
are the index sets 1 and 2 under no parent; a market of "position ids" goes over a router.
"""

from typing import NamedTuple

from betatrader.venues.polymarket.eip712 import (
    NEG_RISK,
    POSITIONS,
    POSITIONS_AMOY,
    Exchange,
    address_bytes,
    word,
)
from betatrader.venues.polymarket.keccak import keccak

COLLATERAL = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
ADAPTER = "0xAdA100Db00Ca00073811820692005400218FcE1f"
NEG_RISK_ADAPTER = "0xadA2005600Dec949baf300f4C6120000bDB6eAab"
ROUTER = "0x12121212006e4CD160D18e3f00711DA5c3372600"


class Call(NamedTuple):
    """One call of a contract, without money of the chain's own."""

    to: str
    data: bytes


def selector(signature: str) -> bytes:
    """The four bytes that name a function."""
    return keccak(signature.encode())[:4]


_MERGE = selector("mergePositions(address,bytes32,bytes32,uint256[],uint256)")
_REDEEM = selector("redeemPositions(address,bytes32,bytes32,uint256[])")
_ROUTER_MERGE = selector("merge(bytes31,uint256)")
_ROUTER_REDEEM = selector("redeem(bytes31,uint256,uint256)")
_NO_PARENT = bytes(32)
_BOTH = word(2) + word(1) + word(2)
"""The array of both index sets."""


def merge(condition: str, exchange: Exchange, amount: int) -> Call:
    """So many pairs of both outcomes, in base units of 10^-6, into as much collateral.

    Raises ValueError where the condition is none.
    """
    if _by_router(exchange):
        return Call(ROUTER, _ROUTER_MERGE + _short(condition) + word(amount))
    head = _collateral() + _NO_PARENT + _whole(condition) + word(5 * 32) + word(amount)
    return Call(_adapter(exchange), _MERGE + head + _BOTH)


def redeem(condition: str, exchange: Exchange, balances: tuple[int, int]) -> list[Call]:
    """All that is held of both outcomes of an ended market; what pays nothing goes with it.

    `balances` (base units) matter to the router alone: elsewhere the contract knows them.
    """
    if _by_router(exchange):
        return [
            Call(ROUTER, _ROUTER_REDEEM + _short(condition) + word(outcome) + word(balance))
            for outcome, balance in enumerate(balances)
            if balance > 0
        ]
    head = _collateral() + _NO_PARENT + _whole(condition) + word(4 * 32)
    return [Call(_adapter(exchange), _REDEEM + head + _BOTH)]


def _by_router(exchange: Exchange) -> bool:
    return exchange in (POSITIONS, POSITIONS_AMOY)


def _adapter(exchange: Exchange) -> str:
    return NEG_RISK_ADAPTER if exchange == NEG_RISK else ADAPTER


def _collateral() -> bytes:
    return bytes(12) + address_bytes(COLLATERAL)


def _whole(condition: str) -> bytes:
    raw = bytes.fromhex(condition.removeprefix("0x"))
    if len(raw) != 32:
        raise ValueError(f"{condition!r} is no condition: 0x and 64 hexadecimal digits")
    return raw


def _short(condition: str) -> bytes:
    """The 31 bytes of a condition of the router, and a byte of nothing behind them."""
    return _whole(condition)[:31] + bytes(1)
