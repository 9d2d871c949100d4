"""One order in another's stead, at the simulated Binance: cancelReplace with STOP_ON_FAILURE."""

import anyio
import pytest
from binance_scenes import EPOCH_NS, RefuseError, World, approved, instead, name, order

from betatrader.chaos.loop import Process, VirtualLoop
from betatrader.config.venues import Binance
from betatrader.model.event import Event
from betatrader.model.market import BookSnapshot, InstrumentListed, Quote
from betatrader.model.money import SCALE
from betatrader.model.secret import Secret
from betatrader.net.direct import Direct
from betatrader.ops import clock
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import Faults, FaultyLink
from betatrader.venues.binance import wire
from betatrader.venues.binance.serve.requests import Account
from betatrader.venues.binance.serve.running import KEY, OWNER, SECRET
from betatrader.venues.binance.serve.server import BinanceServer
from betatrader.venues.binance.venue import BinanceVenue

COIN = wire.instrument_id("BTCUSDT")


class Served:
    """The adapter at the simulator, in virtual time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = VirtualLoop(1)
        monkeypatch.setattr(clock, "now_ns", lambda: EPOCH_NS + int(self.loop.time() * 1e9))
        monkeypatch.setattr(clock, "boot_s", lambda: 1.0 + self.loop.time())
        self.told: list[Event] = []
        self.loop.spawn(Process("p"), self._run)
        self.go(2.0)
        self.since()

    async def _run(self) -> None:
        account = Account(KEY, SECRET, OWNER)
        self.server = BinanceServer(
            SimulatedExchange(1_000_000), 10**6 * SCALE, [account], FaultyLink(Faults(), 1)
        )
        levels = ((50_000 * SCALE, SCALE),), ((50_001 * SCALE, SCALE),)
        quoted = (50_000 * SCALE, SCALE, 50_001 * SCALE, SCALE)
        opening = [
            InstrumentListed(EPOCH_NS, wire.definition("BTCUSDT")),
            BookSnapshot(EPOCH_NS, COIN, *levels, 1),
            Quote(EPOCH_NS + 500_000_000, COIN, *quoted, 2),
        ]
        places = {"rest": "http://x", "stream": "ws://x", "api": "ws://x/ws-api/v3"}
        settings = Binance(symbols=("BTCUSDT",), key=Secret(KEY), secret=Secret(SECRET), **places)
        self.venue = BinanceVenue(settings, Direct(self.server), self.told.append, lambda _: None)
        async with anyio.create_task_group() as group:
            group.start_soon(self.server.deliver)
            group.start_soon(self.server.run, opening)
            await anyio.lowlevel.checkpoint()
            await self.venue.run()

    def go(self, seconds: float) -> None:
        self.loop.run_until(lambda: False, self.loop.time() + seconds)
        assert self.loop.unhandled == []

    def replace(self, old: int, new: int, price: str, **terms: object) -> list[str]:
        made = instead(old, new, price, "0.001", **terms)
        self.loop.call_soon(lambda: self.venue.submit(made, clock.now_ns()))
        self.go(1.0)
        return self.since()

    def place(self, number: int, price: str) -> list[str]:
        made = approved(number, price, "0.001")
        self.loop.call_soon(lambda: self.venue.submit(made, clock.now_ns()))
        self.go(1.0)
        return self.since()

    def since(self) -> list[str]:
        found = [f"{type(e).__name__} {getattr(e, 'order', '')[-1:]}" for e in self.told]
        self.reasons = [getattr(event, "reason", "") for event in self.told]
        self.told.clear()
        return found

    def rests(self) -> set[str]:
        return {name[-1] for name in self.server.exchange.resting(OWNER)}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    return Served(monkeypatch)


def test_one_order_takes_the_others_place(served: Served) -> None:
    assert served.place(1, "49000") == ["OrderAccepted 1"]
    assert sorted(served.replace(1, 2, "49500")) == ["OrderAccepted 2", "OrderCanceled 1"]
    assert served.rests() == {"2"}


def test_where_the_new_one_is_refused_the_old_one_is_gone(served: Served) -> None:
    served.place(1, "49000")
    assert sorted(served.replace(1, 2, "50001", post_only=True)) == [
        "OrderCanceled 1",
        "OrderRejected 2",
    ]
    assert "Order would immediately match and take. (-2010)" in served.reasons
    assert served.rests() == set()


def test_where_the_old_one_is_gone_nothing_is_placed(served: Served) -> None:
    served.place(1, "50001")  # it is filled
    assert served.replace(1, 2, "49000") == ["CancelRejected 1", "OrderRejected 2"]
    assert served.reasons[0] == "Unknown order sent. (-2011)"
    assert served.rests() == set()


@pytest.mark.parametrize(
    ("status", "code", "parts", "said"),
    [
        (504, -1007, {}, ["OrderInDoubt"]),
        (
            409,
            -2021,
            {
                "cancelResult": "SUCCESS",
                "newOrderResult": "FAILURE",
                "newOrderResponse": {"code": -1006, "msg": "Execution status unknown."},
            },
            ["OrderInDoubt", "OrderCanceled"],
        ),
    ],
)
def test_what_is_not_known_of_a_replacement_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: int,
    parts: dict[str, object],
    said: list[str],
) -> None:
    world = World(monkeypatch).go()
    world.since()
    if parts:
        parts["cancelResponse"] = order(1, "CANCELED", origClientOrderId=name(1))

    def reply(_given: object) -> None:
        raise RefuseError(status, code, "half of it", **parts)

    world.fake.api["order.cancelReplace"] = reply
    world.do(world.venue.submit, instead(1, 2, "49000"), 1)
    assert [type(event).__name__ for event in world.since()] == said
