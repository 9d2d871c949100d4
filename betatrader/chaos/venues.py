"""The venue of a simulated world: the reference venue's link, or a real venue's protocol.

An adapter runs as it is, against the handlers of its venue's simulator: what lies between is the
simulated network.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from betatrader.chaos.network import Network
from betatrader.chaos.seams import put
from betatrader.chaos.wires import MemoryTransport, Served
from betatrader.config import Paper
from betatrader.config.venues import Binance
from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import ProportionalFees, Spot
from betatrader.model.money import SCALE, Money, Price, Quantity
from betatrader.model.secret import Secret
from betatrader.net import live
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import FaultyLink
from betatrader.venues.link.server import LinkServer

VENUES = ("sim", "binance")
TICK = SCALE // 100


class Side(Protocol):
    """What a world needs of its venue."""

    name: InstrumentId
    """What is traded there."""

    def settings(self) -> dict[str, Any]:
        """Tables of the configuration that let a trader trade there."""

    async def listen(self) -> None:
        """Take connections from now on."""

    async def run(self, market: Iterable[Any]) -> None:
        """Play a market."""

    async def deliver(self) -> None:
        """Carry requests and reports, until cancelled."""

    def restart(self) -> None:
        """Stop and come back, with every connection cut."""

    def cut_all(self) -> None:
        """Break every connection."""


class Link:
    """The reference venue."""

    name = InstrumentId("COIN.SIM")

    def __init__(
        self, exchange: SimulatedExchange, cash: int, faults: FaultyLink, network: Network
    ) -> None:
        self._server = LinkServer(exchange, cash, faults)
        self._network = network
        self.run = self._server.run
        self.deliver = self._server.deliver

    def settings(self) -> dict[str, Any]:
        """Its address."""
        return {"paper": Paper(link="venue:1")}

    async def listen(self) -> None:
        """Take connections."""
        await self._server.listen("venue", 1)

    def restart(self) -> None:
        """Stop and come back."""
        self._server.exchange.restart()
        self.cut_all()

    def cut_all(self) -> None:
        """Break every connection."""
        self._network.cut_all()


class OfBinance:
    """Binance's adapter against Binance's simulator."""

    name = InstrumentId("COINUSD.BINANCE")

    def __init__(
        self, exchange: SimulatedExchange, cash: int, faults: FaultyLink, network: Network
    ) -> None:
        from betatrader.venues.binance.serve.requests import Account
        from betatrader.venues.binance.serve.running import KEY, OWNER, SECRET
        from betatrader.venues.binance.serve.server import BinanceServer

        self._keys = Secret(KEY), Secret(SECRET)
        self._server = BinanceServer(exchange, cash, [Account(KEY, SECRET, OWNER)], faults)
        self._server.weights.orders_in_10_s = 10_000
        self._served = Served(network, self._server)
        put(live, "LiveTransport", lambda: MemoryTransport(self._served))
        self.run = self._server.run
        self.deliver = self._server.deliver

    def settings(self) -> dict[str, Any]:
        """Its addresses, on this machine, and a key."""
        key, secret = self._keys
        return {
            "paper": Paper(venue="binance"),
            "binance": Binance(
                symbols=("COINUSD",),
                rest="http://localhost",
                stream="ws://localhost",
                api="ws://localhost/ws-api/v3",
                key=key,
                secret=secret,
            ),
        }

    async def listen(self) -> None:
        """It does from the start."""

    def restart(self) -> None:
        """Stop and come back."""
        self._server.restart()
        self._served.cut_all()

    def cut_all(self) -> None:
        """Break every connection."""
        self._served.cut_all()


def make(
    venue: str, exchange: SimulatedExchange, cash: int, faults: FaultyLink, network: Network
) -> Side:
    """The venue of this name."""
    kinds: dict[str, Callable[..., Side]] = {"sim": Link, "binance": OfBinance}
    return kinds[venue](exchange, cash, faults, network)


def coin(name: InstrumentId) -> Spot:
    """What is traded: a pair with small ticks and small fees."""
    return Spot(
        id=name,
        base="COIN",
        quote="USD",
        tick=Price(TICK),
        lot=Quantity(SCALE // 10),
        min_notional=Money(SCALE // 2),
        fees=ProportionalFees(maker_rate=50_000, taker_rate=100_000),
    )
