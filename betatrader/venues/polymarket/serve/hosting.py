"""The venue on a port of this machine, for clients nobody here wrote."""

from collections.abc import Callable, Iterable

import anyio

from betatrader.model.event import MarketInput
from betatrader.net.serving import serving
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import FaultyLink
from betatrader.venues import parts
from betatrader.venues.polymarket.serve import acts
from betatrader.venues.polymarket.serve.listings import SLUGS
from betatrader.venues.polymarket.serve.server import PolymarketServer
from betatrader.venues.polymarket.serve.state import Rules
from betatrader.venues.stage import PATH, Stage

HOST = "127.0.0.1"


async def serve_polymarket(
    exchange: SimulatedExchange,
    /,
    cash: int,
    faults: FaultyLink,
    market: Iterable[MarketInput],
    port: int,
    tell: Callable[[dict[str, str]], None],
    *,
    rules: Rules | None = None,
) -> None:
    """Serve until cancelled; `tell` gets the addresses when ready. `rules` replace the usual ones.

    A new account is given `cash`. The market may end; the accounts go on.
    """
    server = PolymarketServer(exchange, rules or Rules(cash), faults)
    stage = Stage(parts.of_polymarket(server, faults), acts.of(server))
    async with serving(stage, HOST, port) as real_port, anyio.create_task_group() as group:
        group.start_soon(server.deliver)
        tell(addresses(real_port))
        await server.run(market)
        await anyio.sleep_forever()


def addresses(port: int) -> dict[str, str]:
    """Where the parts of the venue are found: all on one port."""
    base = f"http://{HOST}:{port}"
    return {
        "venue": "polymarket",
        "clob": base,
        "gamma": base,
        "data": base,
        "geoblock": f"{base}/api/geoblock",
        "relayer": base,
        "stage": f"{base}{PATH}",
        "follow": SLUGS,
        "market_socket": f"ws://{HOST}:{port}/ws/market",
        "user_socket": f"ws://{HOST}:{port}/ws/user",
    }
