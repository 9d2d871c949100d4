"""Merging and redeeming: the same bytes as the venue's own client sends, for every wallet."""

from typing import Any

import msgspec
import pytest
from eth_account import Account
from polymarket._internal.actions.relayer import calls as theirs
from polymarket._internal.actions.relayer import gasless
from polymarket._internal.actions.relayer.signing.deposit_wallet import sign_deposit_wallet_batch
from polymarket._internal.actions.relayer.signing.proxy import (
    build_proxy_transaction_hash,
    sign_proxy_message,
)
from polymarket._internal.actions.relayer.signing.safe import sign_safe_transaction
from polymarket.environments import PRODUCTION

from betatrader.model.secret import Secret
from betatrader.venues.polymarket import calldata, relay
from betatrader.venues.polymarket.calldata import Call
from betatrader.venues.polymarket.eip712 import NEG_RISK, POSITIONS, STANDARD
from betatrader.venues.polymarket.sign import EOA, PROXY, SAFE, WALLET, Signer

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
FUNDER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
RELAY = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
CONDITION = "0x5f65177b394277fd294cd75650044e32ba009a95022d88a0c1d565897d72f8f1"
POSITION = "0x" + "0a" * 31 + "00"
ENVIRONMENT: Any = PRODUCTION._config
OWNER = Account.from_key(KEY)


def signer(kind: int) -> Signer:
    return Signer(Secret(KEY), 137, kind, FUNDER if kind != EOA else "")


def given(call: Call) -> Any:
    return theirs.TransactionCall(to=call.to, data="0x" + call.data.hex())  # type: ignore[arg-type]


CALLS = {
    "one": [calldata.merge(CONDITION, STANDARD, 1_500_000)],
    "two": calldata.redeem(POSITION, POSITIONS, (7_000_000, 2)),
}


def same(ours: relay.Body, official: Any) -> None:
    """Byte for byte, in the same order of keys."""
    assert msgspec.json.encode(ours) == msgspec.json.encode(dict(official))


@pytest.mark.parametrize(
    ("exchange", "target"),
    [
        (STANDARD, ENVIRONMENT.collateral_adapter),
        (NEG_RISK, ENVIRONMENT.neg_risk_collateral_adapter),
    ],
)
def test_calls_of_the_adapters_are_the_clients(exchange: Any, target: str) -> None:
    collateral = ENVIRONMENT.collateral_token
    merge = theirs.ctf_merge_positions_call(
        target=target, collateral=collateral, condition_id=CONDITION, amount=12_345_678
    )
    assert given(calldata.merge(CONDITION, exchange, 12_345_678)) == merge
    redeem = theirs.ctf_redeem_positions_call(
        ctf=target, collateral=collateral, condition_id=CONDITION
    )
    assert [given(call) for call in calldata.redeem(CONDITION, exchange, (1, 2))] == [redeem]


def test_calls_of_the_router_are_the_clients() -> None:
    router = ENVIRONMENT.protocol_v2_router
    merge = theirs.router_merge_call(router=router, condition_id=POSITION, amount=5_000_000)
    assert given(calldata.merge(POSITION, POSITIONS, 5_000_000)) == merge
    redeem = theirs.router_redeem_call(
        router=router, condition_id=POSITION, outcome_index=1, amount=9
    )
    assert [given(call) for call in calldata.redeem(POSITION, POSITIONS, (0, 9))] == [redeem]


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
def test_a_safes_transaction_is_the_clients(calls: list[Call]) -> None:
    made = [given(call) for call in calls]
    target, data, value, operation = gasless._resolve_safe_call(ENVIRONMENT.safe_multisend, made)
    signature = sign_safe_transaction(
        OWNER, safe_address=FUNDER, to=target, data=data, value=value,
        operation=operation, nonce="7", chain_id=137,
    )  # fmt: skip
    official = gasless.build_safe_payload(
        signer_address=OWNER.address, wallet=FUNDER, target=target, data=data, value=value,
        operation=operation, nonce="7", signature=signature, metadata="why",
    )  # fmt: skip
    same(relay.body(signer(SAFE), calls, 7, "why"), official)


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
def test_a_proxys_transaction_is_the_clients(calls: list[Call]) -> None:
    factory, hub = ENVIRONMENT.wallet_derivation.proxy_factory, ENVIRONMENT.relay_hub
    data = theirs.encode_proxy_call([given(call) for call in calls])
    digest = build_proxy_transaction_hash(
        from_address=OWNER.address, to=factory, data=data, relayer_fee="0", gas_price="0",
        gas_limit="200000", nonce="3", relay_hub=hub, relay=RELAY,
    )  # fmt: skip
    official = gasless.build_proxy_payload(
        signer_address=OWNER.address, proxy_factory=factory, wallet=FUNDER, data=data, nonce="3",
        signature=sign_proxy_message(OWNER, digest), gas_limit="200000", relay=RELAY,
        relay_hub=hub, metadata="why",
    )  # fmt: skip
    same(relay.body(signer(PROXY), calls, 3, "why", relay=RELAY), official)


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
def test_a_deposit_wallets_transaction_is_the_clients(calls: list[Call]) -> None:
    made = [given(call) for call in calls]
    signature = sign_deposit_wallet_batch(
        OWNER, wallet=FUNDER, calls=made, nonce="4", deadline="1764000600", chain_id=137
    )
    official = gasless.build_deposit_wallet_payload(
        signer_address=OWNER.address,
        deposit_wallet_factory=ENVIRONMENT.wallet_derivation.deposit_wallet_factory,
        wallet=FUNDER, calls=made, nonce="4", deadline="1764000600", signature=signature,
        metadata="why",
    )  # fmt: skip
    same(relay.body(signer(WALLET), calls, 4, "why", deadline_s=1_764_000_600), official)


def test_an_account_of_its_own_has_no_wallet_there() -> None:
    with pytest.raises(ValueError, match="no wallet"):
        relay.body(signer(EOA), CALLS["one"], 1, "")


def test_a_condition_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no condition"):
        calldata.merge("0x12", STANDARD, 1)
