"""Storms: orders and cancels while answers, requests, reports and connections get lost. At the end
our books are the venue's, and every difference was found by asking for orders and executions: no
balance had to be adopted."""

import random
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from binance_scenes import BTC, RefuseError, World, approved
from binance_scenes import order as shown

from betatrader.chaos.loop import Process
from betatrader.engine.engine import Engine
from betatrader.model.account import (
    CancelRejected,
    CashFlow,
    Fill,
    OrderInDoubt,
    PositionTransfer,
    Reconciled,
    VenueConnection,
)
from betatrader.model.command import CancelOrder
from betatrader.model.event import Event
from betatrader.model.instruction import Started, TradingState
from betatrader.model.limits import Limits
from betatrader.model.money import SCALE, parse, show
from betatrader.model.order import CLOSED, OrderState, OrderType, Side, TimeInForce
from betatrader.ops import clock
from betatrader.roles.reconciling import Reconciler
from betatrader.venues.pace import Breaker, Rules

CASH = parse("100000")
PRICES = ("49999.99", "50000", "50000.01")


class Exchange:
    """Orders and balances of one account behind the fake: what it does counts, whatever we hear."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.chance = world, random.Random(seed)
        self.cash, self.held = CASH, 0
        self.orders: dict[str, dict[str, Any]] = {}
        self.trades: list[dict[str, Any]] = []
        self.numbers: dict[int, str] = {}
        self.storm = True
        fake = world.fake
        fake.api["order.place"], fake.api["order.cancel"] = self.place, self.cancel
        fake.rest["/api/v3/account"] = lambda _: {
            "balances": [
                {"asset": "USDT", "free": show(self.cash), "locked": "0"},
                {"asset": "BTC", "free": show(self.held), "locked": "0"},
            ]
        }
        fake.rest["/api/v3/openOrders"] = lambda _: [
            order for order in self.orders.values() if self.works(order)
        ]
        fake.rest["/api/v3/order"] = self.order
        fake.rest["/api/v3/allOrders"] = lambda given: [
            order for order in self.orders.values() if order["orderId"] >= int(given["orderId"])
        ]
        fake.rest["/api/v3/myTrades"] = lambda given: [
            t for t in self.trades if given.get("orderId", str(t["orderId"])) == str(t["orderId"])
        ]

    @staticmethod
    def works(order: dict[str, Any]) -> bool:
        return order["status"] in ("NEW", "PARTIALLY_FILLED")

    def order(self, given: dict[str, str]) -> dict[str, Any]:
        key = given.get("origClientOrderId") or self.numbers.get(int(given["orderId"]), "")
        if key not in self.orders:
            raise RefuseError(400, -2013, "Order does not exist.")
        return self.orders[key]

    def place(self, given: dict[str, Any]) -> Any:
        fate = self.chance.random() if self.storm else 1.0
        if fate < 0.05:
            raise RefuseError(400, -2010, "Account has insufficient balance.")
        if fate < 0.10:
            raise RefuseError(503, -1008, "Server is currently overloaded.")
        if fate < 0.15:
            self.cut()
            return None
        order = self.taken(given)
        if fate < 0.20:
            raise RefuseError(500, -1006, "Execution status unknown.")
        if fate < 0.25:
            self.cut()
        return {**order}

    def taken(self, given: dict[str, Any]) -> dict[str, Any]:
        number = len(self.orders) + 1
        key = given["newClientOrderId"]
        assert key not in self.orders, "sent twice"
        self.numbers[number] = key
        order = self.orders[key] = {
            "symbol": "BTCUSDT",
            "orderId": number,
            "clientOrderId": key,
            "price": given["price"],
            "origQty": given["quantity"],
            "executedQty": "0",
            "status": "NEW",
            "timeInForce": given.get("timeInForce", "GTC"),
            "type": given["type"],
            "side": given["side"],
        }
        self.tell(order, "NEW")
        if self.chance.random() < 0.4:
            self.trade(order)
        if order["timeInForce"] == "IOC" and self.works(order):
            order["status"] = "EXPIRED"
            self.tell(order, "EXPIRED", eR="UNFILLED_IOC_QUANTITY_EXPIRED")
        return order

    def cancel(self, given: dict[str, Any]) -> Any:
        fate = self.chance.random() if self.storm else 1.0
        order = self.orders.get(given["origClientOrderId"])
        if order is None or not self.works(order):
            raise RefuseError(400, -2011, "Unknown order sent.")
        if fate < 0.1:
            self.cut()
            return None
        order["status"] = "CANCELED"
        self.tell(order, "CANCELED", C=order["clientOrderId"], c="x")
        if fate < 0.2:
            self.cut()
        return {**order, "origClientOrderId": order["clientOrderId"], "clientOrderId": "x"}

    def trade(self, order: dict[str, Any]) -> None:
        """A part of an order, or the rest of it, is executed."""
        left = parse(order["origQty"]) - parse(order["executedQty"])
        quantity = left if self.chance.random() < 0.5 else max(1_000, left // 2_000 * 1_000)
        quantity = min(left, quantity)
        amount = parse(order["price"]) * quantity // SCALE
        buys = order["side"] == "BUY"
        fee = (quantity if buys else amount) // 1_000
        self.cash += -amount if buys else amount - fee
        self.held += quantity - fee if buys else -quantity
        filled = parse(order["executedQty"]) + quantity
        order["executedQty"] = show(filled)
        order["status"] = "FILLED" if quantity == left else "PARTIALLY_FILLED"
        told = {
            "symbol": "BTCUSDT",
            "id": len(self.trades) + 1,
            "orderId": order["orderId"],
            "price": order["price"],
            "qty": show(quantity),
            "quoteQty": show(amount),
            "commission": show(fee),
            "commissionAsset": "BTC" if buys else "USDT",
            "isBuyer": buys,
            "isMaker": True,
        }
        self.trades.append(told)
        self.tell(
            order,
            "TRADE",
            t=told["id"],
            l=told["qty"],
            L=told["price"],
            Y=told["quoteQty"],
            n=told["commission"],
            N=told["commissionAsset"],
            m=True,
        )

    def tell(self, order: dict[str, Any], execution: str, **more: Any) -> None:
        if self.storm and self.chance.random() < 0.03:
            self.cut()
        message = {
            "e": "executionReport",
            "s": "BTCUSDT",
            "c": order["clientOrderId"],
            "S": order["side"],
            "x": execution,
            "X": order["status"],
            "i": order["orderId"],
            "z": order["executedQty"],
            **more,
        }
        for _ in range(1 + (self.chance.random() < 0.1)):
            self.world.fake.event(message)

    def cut(self) -> None:
        """The connection is lost, with all that is said now."""
        self.world.fake.account.cut("reset")

    def live(self) -> None:
        """One moment of the market."""
        working = [order for order in self.orders.values() if self.works(order)]
        if working and self.chance.random() < 0.3:
            self.trade(self.chance.choice(working))


class Trader:
    """An engine at the venue, with the reconciliation that a trading role has."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.engine = Engine(Limits(), [])
        self.taken: list[Event] = []
        self.made = 0
        self.take(Started(clock.now_ns(), 1, TradingState.ACTIVE))
        self.take(CashFlow(clock.now_ns(), "BINANCE", CASH, "opening balance"))
        for event in world.market:
            self.engine.process(event)
        self.taken.clear()
        self.start()

    def start(self) -> None:
        """A process begins: what the last one had in memory, but for the books, is gone."""
        world = self.world
        world.process.kill()
        for socket in world.fake.sockets:
            socket.open = False
        world.start(self.told)
        world.venue.remember(list(self.engine.state.orders.open.values()))
        world.venue._breaker = Breaker(Rules(failures=1_000_000))  # this storm is to go on
        self.reconciler = Reconciler(world.venue, lambda: self.engine.state, self.take)
        self.take(VenueConnection(clock.now_ns(), "BINANCE", False, "a new process"))
        reconciler = self.reconciler
        world.loop.spawn(world.process, lambda: reconciler.keep(1.0))

    def take(self, event: Event) -> None:
        self.taken.append(event)
        self.engine.process(event)

    def told(self, event: Event) -> None:
        self.take(event)
        if isinstance(event, VenueConnection | CancelRejected):
            self.reconciler.look_now()

    def order(self, chance: random.Random) -> None:
        """Place something, as risk has let it through."""
        if self.engine.state.reconciling or not self.world.venue.connected:
            return
        self.made += 1
        sells = self.engine.state.portfolio.quantity(BTC) > parse("0.01") and chance.random() < 0.5
        command = approved(
            self.made,
            chance.choice(PRICES),
            show(chance.randrange(1, 200) * 1_000),
            Side.SELL if sells else Side.BUY,
            type=chance.choice(list(OrderType)),
            time_in_force=chance.choice([TimeInForce.GTC, TimeInForce.IOC]),
        )
        self.engine.state.orders.submit(command, clock.now_ns())
        self.world.venue.submit(command, clock.now_ns())

    def cancel(self, chance: random.Random) -> None:
        """Take something off the book."""
        resting = self.engine.state.orders.resting()
        if resting:
            self.withdraw(chance.choice(resting).id)

    def withdraw(self, order: Any) -> None:
        command = CancelOrder(order, BTC)
        self.engine.state.orders.cancel(command, clock.now_ns())
        self.world.venue.cancel(command, clock.now_ns())


@pytest.mark.parametrize("restarts", [(), (150, 400, 401)])
@pytest.mark.parametrize("seed", range(15))
def test_after_a_storm_our_books_are_the_venues(
    monkeypatch: pytest.MonkeyPatch, seed: int, restarts: tuple[int, ...]
) -> None:
    world = World(monkeypatch).go()
    exchange, trader = Exchange(world, seed), Trader(world)
    chance = random.Random(seed)

    async def storm() -> None:
        for step in range(800):
            await anyio.sleep(0.1)
            exchange.storm = step < 700
            if step in restarts:
                trader.start()
            if step % 20 == 0 and world.venue.connected:
                world.fake.stream.say({"stream": "x", "data": {}})
            (trader.order, trader.cancel, lambda _: exchange.live())[chance.randrange(3)](chance)

    world.loop.spawn(Process("storm"), storm)
    world.go(100.0)
    for order in list(trader.engine.state.orders.open):
        world.do(trader.withdraw, order)
    world.go(15.0)
    state = trader.engine.state
    found = [event for event in trader.taken if isinstance(event, CashFlow | PositionTransfer)]
    assert found == []
    assert not state.orders.open, list(state.orders.open.values())
    assert (state.portfolio.cash, state.portfolio.quantity(BTC)) == (exchange.cash, exchange.held)
    assert not any(exchange.works(order) for order in exchange.orders.values())
    for key, order in exchange.orders.items():
        ours = state.orders.find(key)  # type: ignore[arg-type]
        assert ours is not None
        assert ours.state in CLOSED
        assert ours.filled == parse(order["executedQty"])
    assert exchange.trades
    assert {OrderInDoubt, VenueConnection, Reconciled, Fill} <= {type(e) for e in trader.taken}


def test_t1_an_order_that_the_venue_shows_late_is_in_doubt_until_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No answer came, and for 9 s the venue's lists do not know it: it must not count as refused,
    since a strategy would send another. Meanwhile it is asked for now and then, and no more."""
    world = World(monkeypatch).go()
    trader = Trader(world)
    world.go(2.0)
    made, sent_s = approved(1), world.loop.time()
    assert "order.place" not in world.fake.api, "no answer comes"

    def late(given: dict[str, str]) -> dict[str, Any]:
        if world.loop.time() - sent_s < 9.0:
            raise RefuseError(400, -2013, "Order does not exist.")
        return shown(1)

    world.fake.rest["/api/v3/order"] = late
    trader.engine.state.orders.submit(made, clock.now_ns())
    world.submit(made)
    world.go(2.5)
    before = [path for path, _ in world.fake.asked].count("/api/v3/account")

    async def start() -> None:
        await trader.reconciler.at_start((1, 0), anyio.lowlevel.checkpoint)

    world.process.kill()
    world.start(trader.told)
    world.loop.spawn(world.process, start)
    world.go(16.0)
    found = trader.engine.state.orders.find(made.order)
    assert found is not None
    assert (found.state, found.accepted) == (OrderState.ACCEPTED, True)
    looks = [path for path, _ in world.fake.asked].count("/api/v3/account") - before
    assert 4 <= looks <= 20
