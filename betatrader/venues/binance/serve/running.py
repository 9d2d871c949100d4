"""The server on a port of this machine, with an account whose keys everyone may know."""

from collections.abc import Callable, Iterable

import anyio

from betatrader.model.event import MarketInput
from betatrader.net.serving import serving
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import FaultyLink
from betatrader.venues import parts
from betatrader.venues.binance.serve import acts
from betatrader.venues.binance.serve.requests import Account
from betatrader.venues.binance.serve.server import BinanceServer
from betatrader.venues.stage import PATH, Stage

HOST = "127.0.0.1"
OWNER = "us"
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"  # noqa: S105
"""The example key of the venue's own documents."""


async def serve_binance(
    exchange: SimulatedExchange,
    cash: int,
    faults: FaultyLink,
    market: Iterable[MarketInput],
    *,
    port: int,
    tell: Callable[[dict[str, str]], None],
) -> None:
    """Serve until cancelled; `tell` gets addresses and keys when ready. Raises OSError where the
    port is taken."""
    server = BinanceServer(exchange, cash, [Account(KEY, SECRET, OWNER)], faults)
    stage = Stage(parts.of_binance(server, faults), acts.of(server))
    async with serving(stage, HOST, port) as real_port, anyio.create_task_group() as group:
        group.start_soon(server.deliver)
        base = f"{HOST}:{real_port}"
        tell(
            {
                "venue": "binance",
                "rest": f"http://{base}",
                "stream": f"ws://{base}",
                "api": f"ws://{base}/ws-api/v3",
                "key": KEY,
                "secret": SECRET,
                "account": OWNER,
                "stage": f"http://{base}{PATH}",
            }
        )
        try:
            await server.run(market)
            await anyio.sleep_forever()  # the market has ended, the accounts have not
        finally:
            server.close()
