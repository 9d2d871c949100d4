"""One stream freezes under a live socket: its quotes are pulled, and /readyz says which it is."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from msgspec.structs import replace
from running import PROGRAM, environment, free_port
from scenes import COIN, coin, quote

from betatrader.model.ids import InstrumentId
from betatrader.model.market import InstrumentListed
from betatrader.model.money import SCALE
from betatrader.ops import clock, http
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.link.server import LinkServer

RESTS = Path(__file__).with_name("rests.py")
OTHER = InstrumentId("OTHER.SIM")


class Streams:
    """The reference venue on a socket, showing two instruments; each may freeze."""

    def __init__(self) -> None:
        self.exchange = SimulatedExchange(1_000_000)
        self.server = LinkServer(self.exchange, 100 * SCALE, FaultyLink(Faults(), 1))
        self.frozen: set[InstrumentId] = set()
        for name in (COIN, OTHER):
            self.exchange.on_market(InstrumentListed(1, replace(coin(), id=name)))

    async def show(self) -> None:
        while True:
            for name in {COIN, OTHER} - self.frozen:
                now_s = clock.now_ns() / 1e9
                await self.server.run([quote("9.99", "10.01", now_s, name)])
            await anyio.sleep(0.05)

    def resting(self) -> set[InstrumentId]:
        ledger = self.exchange.ledgers["us"]
        return {ledger.orders[name].instrument for name in self.exchange.resting()}  # type: ignore[index]


async def until(look: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    with anyio.fail_after(seconds):
        while not await look():
            await anyio.sleep(0.02)


async def page(port: int) -> tuple[int, list[str]]:
    """What the health page says, over HTTP: its status, and the streams that stand still."""
    try:
        answer = await http.request("GET", f"http://127.0.0.1:{port}/readyz", timeout_s=5)
    except OSError:
        return 0, []
    return answer.status, json.loads(answer.body).get("stale", [])


async def test_t13_quotes_of_a_frozen_stream_are_pulled_and_the_page_names_it(
    own_home: Path,
) -> None:
    streams, port = Streams(), free_port()
    listening = await streams.server.listen("127.0.0.1", 0)
    link = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    both, other = {COIN, OTHER}, {OTHER}

    async def shows(status: int, still: list[str], resting: set[InstrumentId]) -> bool:
        return await page(port) == (status, still) and streams.resting() == resting

    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as redis:
        async with anyio.create_task_group() as group:
            group.start_soon(streams.server.deliver)
            group.start_soon(streams.show)
            trader = await anyio.open_process(
                [*PROGRAM, "--role", "trading"],
                env=environment(
                    REDIS_URL=redis.url,
                    BETATRADER_HEALTH__PORT=str(port),
                    BETATRADER_PAPER__LINK=link,
                    BETATRADER_RISK__STALE_DATA_SECONDS="1",
                    BETATRADER_STRATEGIES=f"[{{name = '{RESTS}'}}]",
                ),
                stderr=None,
            )
            try:
                await until(lambda: shows(200, [], both))
                streams.frozen = {COIN}
                await until(lambda: shows(200, [COIN], other))
                streams.frozen = set()
                await until(lambda: shows(200, [], both))
                assert len(streams.server.clients) == 1, "the socket stood all the time"
            finally:
                trader.kill()
                await trader.wait()
                group.cancel_scope.cancel()
        listening.close()
