"""The venue of a simulated world: the reference venue's link, or a real venue's protocol.

An adapter runs as it is, against the handlers of its venue's simulator: what lies between is the
simulated network.
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

import msgspec

from betatrader.chaos.network import Network
from betatrader.chaos.plan import Plan
from betatrader.chaos.seams import EPOCH_S, put
from betatrader.chaos.wires import RoutedTransport, Served
from betatrader.config import Paper
from betatrader.config.venues import Binance, Polymarket
from betatrader.model.ids import InstrumentId
from betatrader.model.instrument import (
    BinaryContract,
    BinaryFees,
    Instrument,
    ProportionalFees,
    Spot,
)
from betatrader.model.market import BookDelta, BookSnapshot, Level, Quote
from betatrader.model.money import SCALE, Money, Price, Quantity
from betatrader.model.secret import Secret
from betatrader.net import live
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import FaultyLink
from betatrader.sim.ledger import Ledger
from betatrader.venues import pace, parts
from betatrader.venues.link.server import LinkServer
from betatrader.venues.pace import Rules

VENUES = ("sim", "binance", "polymarket", "both")
BINANCE_AT, POLYMARKET_AT = "localhost", "127.0.0.1"
"""One transport reaches both, and tells them apart by their hosts."""
CHAIN = 137
CONDITION = f"0x{'c0' * 32}"
TOKENS = (3 << 240 | 7 << 50, 5 << 240 | 9 << 50)
"""As long as real ones; what their middle holds tells which exchange they are of."""
TICK = SCALE // 100
CASH = 1_000 * SCALE


class Side(Protocol):
    """What a world needs of its venue."""

    name: InstrumentId
    """What is traded there."""
    served: Served | None
    """What answers its adapter; None where that speaks over a plain connection."""
    host: str
    owner: str
    """The exchange's name of our account."""
    middle: int
    """Around which price it moves."""
    stake_usd: int
    """The most at stake: some five of the smallest orders."""
    little_usd: Decimal
    """What a guarded account may lose until it halts: a few rounds."""
    late_s: float
    """How much later than elsewhere the books may agree after a start."""
    most_skew_s: float
    """How far its clock may be set off: less than an order may be under way where its simulator
    goes by that clock in what it forgets and settles."""

    def listed(self) -> list[Instrument]:
        """What can be traded there."""

    def names_of(self, order: str, desk: Any) -> tuple[str, ...]:
        """The exchange's names of an order of ours, as the desk that sent it knows."""

    def ours(self, ledger: Ledger, desk: Any) -> Ledger:
        """The exchange's books under our names of the orders."""

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


class _OfPairs:
    """What venues have in common that trade a pair, and know orders by our ids."""

    name: InstrumentId
    served: Served | None = None
    host = BINANCE_AT
    owner = "us"
    middle = 10 * SCALE
    stake_usd = 10
    little_usd = Decimal("0.1")
    late_s = 0.0
    most_skew_s = 3.0

    def listed(self) -> list[Instrument]:
        """A pair."""
        return [coin(self.name)]

    def names_of(self, order: str, desk: Any) -> tuple[str, ...]:  # noqa: ARG002
        """Ours."""
        return (order,)

    def ours(self, ledger: Ledger, desk: Any) -> Ledger:  # noqa: ARG002
        """They have them."""
        return ledger


class Link(_OfPairs):
    """The reference venue."""

    name = InstrumentId("COIN.SIM")
    most_skew_s = 30.0

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


class OfBinance(_OfPairs):
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
        self.served: Served | None = Served(network, parts.of_binance(self._server, faults))
        self.run = self._server.run
        self.deliver = self._server.deliver

    def settings(self) -> dict[str, Any]:
        """Its addresses, on this machine, and a key."""
        key, secret = self._keys
        return {
            "paper": Paper(venues=("binance",)),
            "binance": Binance(
                symbols=("COINUSD",),
                rest=f"http://{BINANCE_AT}",
                stream=f"ws://{BINANCE_AT}",
                api=f"ws://{BINANCE_AT}/ws-api/v3",
                key=key,
                secret=secret,
            ),
        }

    async def listen(self) -> None:
        """It does from the start."""

    def restart(self) -> None:
        """Stop and come back."""
        self._server.restart()
        _cut(self.served)

    def cut_all(self) -> None:
        """Break every connection."""
        _cut(self.served)


class OfPolymarket:
    """Polymarket's adapter against Polymarket's simulator."""

    host = POLYMARKET_AT
    middle = SCALE // 2
    stake_usd = 25
    little_usd = Decimal("2.5")
    most_skew_s = 3.0

    def __init__(
        self,
        exchange: SimulatedExchange,
        cash: int,
        faults: FaultyLink,
        network: Network,
        *,
        merges: bool = False,
    ) -> None:
        """`merges`: the account is a Safe, and merges what it holds in pairs."""
        from betatrader.venues.polymarket.serve.server import PolymarketServer
        from betatrader.venues.polymarket.serve.state import Rules
        from betatrader.venues.polymarket.sign import Signer

        self._key = Secret("0x" + "4c" * 32)
        self._merges = merges
        self.late_s = 15.0 if merges else 0.0  # a merge that nobody booked is believed at two looks
        self.owner = Signer(self._key, CHAIN, 0, "").address
        self._pair = [InstrumentId(f"{token}.POLYMARKET") for token in TOKENS]
        self.name = self._pair[0]
        rules = Rules(cash, enforce_limits=False)
        self._server = PolymarketServer(exchange, rules, faults)
        self.served: Served | None = Served(network, parts.of_polymarket(self._server, faults))
        self.deliver = self._server.deliver

    def listed(self) -> list[Instrument]:
        """YES and NO of one condition."""
        return [contract(self._pair[at], self._pair[1 - at], yes=at == 0) for at in (0, 1)]

    def names_of(self, order: str, desk: Any) -> tuple[str, ...]:
        """Its hashes."""
        found: tuple[str, ...] = desk.venue.ids.theirs(order)
        return found

    def ours(self, ledger: Ledger, desk: Any) -> Ledger:
        """Each hash as the order that it is of."""
        ids = desk.venue.ids

        def name(order: str) -> Any:
            return ids.ours(order) if ids.is_known(order) else order

        fills = [msgspec.structs.replace(fill, order=name(fill.order)) for fill in ledger.fills]
        orders = {name(order): terms for order, terms in ledger.orders.items()}
        return msgspec.structs.replace(ledger, fills=fills, orders=orders)

    def settings(self) -> dict[str, Any]:
        """Its addresses, on this machine, and a wallet."""
        return {
            "paper": Paper(venues=("polymarket",)),
            "polymarket": Polymarket(
                markets=(CONDITION,),
                clob=f"http://{POLYMARKET_AT}",
                gamma=f"http://{POLYMARKET_AT}",
                data=f"http://{POLYMARKET_AT}",
                geoblock=f"http://{POLYMARKET_AT}/api/geoblock",
                relayer=f"http://{POLYMARKET_AT}",
                market_socket=f"ws://{POLYMARKET_AT}/ws/market",
                user_socket=f"ws://{POLYMARKET_AT}/ws/user",
                private_key=self._key,
                signature_type=2 if self._merges else 0,
                funder="0x" + "5a" * 20 if self._merges else "",
                relayer_key=Secret("a key") if self._merges else Secret(),
                merge=self._merges,
            ),
        }

    async def listen(self) -> None:
        """It does from the start."""

    async def run(self, market: Iterable[Any]) -> None:
        """Play a market, whose quotes are books of both tokens here."""
        await self._server.run(self._books(market))

    def _books(self, market: Iterable[Any]) -> Iterator[Any]:
        yes, no = self._pair
        last: Quote | None = None
        for event in market:
            if not isinstance(event, Quote):
                yield event
                continue
            bids, asks = _levels(last, event)
            kind = BookSnapshot if last is None else BookDelta
            yield kind(event.time_ns, yes, bids, asks)
            yield kind(event.time_ns, no, _mirrored(asks), _mirrored(bids))
            last = event

    def restart(self) -> None:
        """Stop and come back: the engine is away for a moment."""
        self._server.restart(down_ns=500_000_000, post_only_ns=0)
        _cut(self.served)

    def cut_all(self) -> None:
        """Break every connection."""
        _cut(self.served)


def _levels(last: Quote | None, now: Quote) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    gone_bid = ((last.bid, 0),) if last is not None and last.bid != now.bid else ()
    gone_ask = ((last.ask, 0),) if last is not None and last.ask != now.ask else ()
    return (*gone_bid, (now.bid, now.bid_size)), (*gone_ask, (now.ask, now.ask_size))


def _mirrored(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    return tuple((SCALE - price, size) for price, size in levels)


def names_of(plan: Plan) -> tuple[str, ...]:
    """The venues of a plan."""
    return ("binance", "polymarket") if plan.venue == "both" else (plan.venue,)


def make(
    plan: Plan,
    name: str,
    exchange: SimulatedExchange,
    faults: FaultyLink,
    network: Network,
) -> Side:
    """One of the plan's venues."""
    kinds: dict[str, Callable[..., Side]] = {
        "sim": Link,
        "binance": OfBinance,
        "polymarket": partial(OfPolymarket, merges=plan.seed % 2 == 1),
    }
    return kinds[name](exchange, CASH, faults, network)


def connect(sides: list[Side]) -> None:
    """Let adapters reach these venues. Their breakers rest for a moment, not for minutes: a run
    has not so many."""
    put(pace, "Rules", lambda: Rules(rest_s=2.0))
    served = {side.host: side.served for side in sides if side.served is not None}
    put(live, "LiveTransport", lambda: RoutedTransport(served))


def settings(sides: list[Side]) -> dict[str, Any]:
    """Tables of the configuration that let one trader trade at all of them."""
    found: dict[str, Any] = {}
    venues: tuple[str, ...] = ()
    for side in sides:
        found |= side.settings()
        venues += found["paper"].venues
    return found | {"paper": msgspec.structs.replace(found["paper"], venues=venues)}


def _cut(served: Served | None) -> None:
    assert served is not None
    served.cut_all()


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


def contract(name: InstrumentId, other: InstrumentId, *, yes: bool) -> BinaryContract:
    """One outcome of a condition that never ends."""
    return BinaryContract(
        id=name,
        event=CONDITION,
        outcome="Yes" if yes else "No",
        complement=other,
        expires_ns=int((EPOCH_S + 86_400) * 1e9),
        resolution_source="nobody asks",
        tick=Price(TICK),
        lot=Quantity(SCALE // 100),
        min_notional=Money(SCALE // 2),
        fees=BinaryFees(maker_rate=0, taker_rate=7_000_000),
        nets=False,
    )
