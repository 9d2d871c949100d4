"""The venue's own client redeems at the simulated relayer, over real sockets."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from poly_scene import CASH, CONDITION, NO_ID, PRIVATE, YES_ID, Wallet, market, server

from betatrader.model.market import Resolution
from betatrader.model.money import SCALE, parse
from betatrader.net.serving import serving
from betatrader.ops import clock
from betatrader.venues.polymarket.serve.hosting import addresses
from betatrader.venues.polymarket.serve.server import PolymarketServer
from betatrader.venues.polymarket.serve.state import Rules

unified = pytest.importorskip("polymarket", reason="polymarket-client is not installed")

from polymarket._internal.wallet import derive_safe_wallet_address  # noqa: E402
from polymarket.environments import PRODUCTION, _create_environment  # noqa: E402

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def hosted() -> AsyncIterator[tuple[PolymarketServer, dict[str, str]]]:
    """The venue on a port; a winner there waits for its holder."""
    venue = server(Rules(CASH, auto_redeem=False))
    async with serving(venue, "127.0.0.1", 0) as port, anyio.create_task_group() as group:
        group.start_soon(venue.deliver)
        for event in market(clock.now_ns()):
            venue.play(event)
        yield venue, addresses(port)
        group.cancel_scope.cancel()


async def test_the_unified_client_redeems() -> None:
    async with hosted() as (venue, where):
        await redeem(venue, where)


async def redeem(venue: PolymarketServer, where: dict[str, str]) -> None:
    holder = await Wallet(venue).connect()
    await holder.place("BUY", "0.52", "10")
    for name, payout in ((YES_ID, SCALE), (NO_ID, 0)):
        venue.play(Resolution(clock.now_ns(), name, payout))
    ledger = venue.state.exchange.ledgers[holder.address]
    before = ledger.cash
    config: Any = dataclasses.replace(
        PRODUCTION._config,
        clob_url=where["clob"],
        gamma_url=where["gamma"],
        data_url=where["data"],
        relayer_url=where["relayer"],
        rpc_url="http://127.0.0.1:1",
        relayer_poll_frequency_ms=100,
    )
    safe = derive_safe_wallet_address(holder.address, PRODUCTION._config.wallet_derivation)
    key = unified.RelayerApiKey(key="a key", address=holder.address)
    async with await unified.AsyncSecureClient.create(
        private_key=PRIVATE,
        wallet=safe,
        api_key=key,
        environment=_create_environment(name="simulated", config=config),
    ) as client:
        sent = await client.redeem_positions(condition_id=CONDITION)
        done = await sent.wait()
    assert done.transaction_hash.startswith("0x")
    assert (ledger.held(YES_ID), ledger.cash - before) == (0, parse("10"))
