"""Simulated venues as processes: the exchange, a market, and a venue's protocol before them."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from betatrader import config as configuration
from betatrader.config import Config
from betatrader.model.errors import RefusedError
from betatrader.ops import clock
from betatrader.ops.process import cancel_on_signal
from betatrader.roles import contracts, feeds
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.link.server import LinkServer

HOST = "127.0.0.1"

Tell = Callable[[dict[str, str]], None]
Serve = Callable[[SimulatedExchange, Config, int, FaultyLink, Tell], Awaitable[None]]


def run(name: str, config: Config, port: int, faults: Faults, tell: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `tell` gets one JSON line with the addresses when ready."""
    if name != "sim":  # the reference venue's clock is off in what it says alone
        clock.set_ahead(faults.ahead_s)
    anyio.run(
        _until_signal,
        SERVED[name],
        config,
        port,
        FaultyLink(faults, config.feed.seed),
        lambda found: tell(json.dumps(found)),
        backend_options={"use_uvloop": sys.platform != "win32"},
    )


async def _until_signal(
    serve: Serve, config: Config, port: int, faults: FaultyLink, tell: Tell
) -> None:
    exchange = SimulatedExchange(config.paper.latency_ms * 1_000_000)
    async with anyio.create_task_group() as group:
        group.start_soon(cancel_on_signal, group.cancel_scope)
        try:
            await serve(exchange, config, port, faults, tell)
        except OSError as error:
            raise RefusedError(
                f"port {port} cannot be used: {error.strerror}\nChoose another with --port."
            ) from error


async def _sim(
    exchange: SimulatedExchange, config: Config, port: int, faults: FaultyLink, tell: Tell
) -> None:
    server = LinkServer(exchange, configuration.units(config.paper.cash_usd), faults)
    listening = await server.listen(HOST, port)
    try:
        host, real_port = listening.sockets[0].getsockname()[:2]
        async with anyio.create_task_group() as group:
            group.start_soon(server.deliver)
            tell({"venue": "sim", "link": f"{host}:{real_port}"})
            await server.run(feeds.open_feed(config.feed, clock.now_ns()))
            await anyio.sleep_forever()  # the market has ended, the accounts have not
    finally:
        listening.close()
        server.close()


async def _binance(
    exchange: SimulatedExchange, config: Config, port: int, faults: FaultyLink, tell: Tell
) -> None:
    from betatrader.venues.binance.serve import serve_binance

    cash = configuration.units(config.paper.cash_usd)
    market = contracts.as_binance(config.feed, clock.now_ns())
    async with _ledger_shown(exchange, cash) as link:
        await serve_binance(
            exchange,
            cash,
            faults,
            market,
            port=port,
            tell=lambda found: tell({**found, "link": link}),
        )


async def _polymarket(
    exchange: SimulatedExchange, config: Config, port: int, faults: FaultyLink, tell: Tell
) -> None:
    from betatrader.venues.polymarket.serve.hosting import serve_polymarket

    cash = configuration.units(config.paper.cash_usd)
    start_ns = clock.now_ns()
    market = contracts.as_polymarket(config.feed, start_ns)
    first = contracts.condition(config.feed, start_ns)
    async with _ledger_shown(exchange, cash) as link:
        await serve_polymarket(
            exchange,
            cash,
            faults,
            market,
            port=port,
            tell=lambda found: tell({**found, "link": link, "market": first}),
        )


@asynccontextmanager
async def _ledger_shown(exchange: SimulatedExchange, cash: int) -> AsyncIterator[str]:
    """The exchange's own books at a link of their own, for the judge of a run: a real venue shows
    nobody its ledger."""
    server = LinkServer(exchange, cash, FaultyLink(Faults(), 0))
    listening = await server.listen(HOST, 0)
    try:
        host, port = listening.sockets[0].getsockname()[:2]
        yield f"{host}:{port}"
    finally:
        listening.close()
        server.close()


SERVED: dict[str, Serve] = {"sim": _sim, "binance": _binance, "polymarket": _polymarket}
