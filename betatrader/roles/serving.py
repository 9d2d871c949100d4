"""The reference venue as a process: the simulated exchange, a market, and a socket before them."""

import json
import signal
import sys
from collections.abc import Callable

import anyio

from betatrader import config as configuration
from betatrader.config import Config
from betatrader.model.errors import RefusedError
from betatrader.ops import clock
from betatrader.roles import feeds
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.link.server import LinkServer


def run(config: Config, port: int, faults: Faults, tell: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `tell` gets one JSON line with the addresses when ready."""
    anyio.run(
        _serve,
        config,
        port,
        faults,
        tell,
        backend_options={"use_uvloop": sys.platform != "win32"},
    )


async def _serve(config: Config, port: int, faults: Faults, tell: Callable[[str], None]) -> None:
    exchange = SimulatedExchange(config.paper.latency_ms * 1_000_000)
    server = LinkServer(
        exchange,
        configuration.units(config.paper.cash_usd),
        FaultyLink(faults, config.feed.seed),
    )
    try:
        listening = await server.listen("127.0.0.1", port)
    except OSError as error:
        raise RefusedError(
            f"port {port} cannot be used: {error.strerror}\nChoose another with --port."
        ) from error
    host, real_port = listening.sockets[0].getsockname()[:2]
    async with anyio.create_task_group() as group:
        group.start_soon(server.deliver)
        group.start_soon(_end_on_signal, group.cancel_scope)
        tell(json.dumps({"venue": "sim", "link": f"{host}:{real_port}"}))
        await server.run(feeds.open_feed(config.feed, clock.now_ns()))
        await anyio.sleep_forever()  # the market has ended, the accounts have not
    listening.close()
    server.close()


async def _end_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        async for _ in received:
            scope.cancel()
            return
