"""From keys to a proven connection, a step at a time: what is found, and how to mend what is not.

The order of the last step goes the way of every order: a strategy, risk, the gateway, the adapter.
"""

from typing import Any

import anyio

from betatrader.config import Config
from betatrader.engine.engine import Engine
from betatrader.engine.market import Market
from betatrader.engine.strategy import Intents, Place, Strategy, View
from betatrader.model.account import CashFlow
from betatrader.model.errors import BetatraderError, UsageError
from betatrader.model.instruction import CancelAll, Started, TradingState
from betatrader.model.instrument import BinaryContract, Instrument
from betatrader.model.money import SCALE, cost, show
from betatrader.model.order import OrderState, OrderTerms, OrderType, Side, TimeInForce
from betatrader.ops import clock
from betatrader.roles import permits
from betatrader.roles.choosing import named
from betatrader.roles.desks import Choice, RemoteVenue
from betatrader.roles.permits import Step, Tell
from betatrader.roles.service import first_error
from betatrader.roles.trader import Trader
from betatrader.venues.gateway import Gateway

CONNECT_S, ANSWER_S, ORDER_S, LAST_S = 15.0, 10.0, 15.0, 3.0
LISTED_S, QUOTED_S = 5.0, 5.0
MARKETS = "write symbols or condition ids as the venue does"
SKEW_WARN_S = 1.0


class Probe(Strategy):
    """One post-only order far below the market, the smallest that the venue takes."""

    name = "setup"

    def __init__(self) -> None:
        self.armed = False

    def on_quote(self, view: View, market: Market) -> Intents:
        """Place it once, on the first market that has a bid."""
        if not self.armed or not market.bid or not view.may_add_risk_in(market):
            return None
        self.armed = False
        price, quantity = far(market.definition, market.bid)
        terms = OrderTerms(
            market.id, Side.BUY, OrderType.LIMIT, price, quantity, TimeInForce.GTC, True
        )
        return [Place(terms, "setup")]

    on_tick = on_quote


def far(definition: Instrument, bid: int) -> tuple[int, int]:
    """Price and quantity of a buy that will not fill, as small as it may be."""
    below = bid // 2 if isinstance(definition, BinaryContract) else bid * 8 // 10
    price = max(definition.tick, below // definition.tick * definition.tick)
    return price, _least(definition, price)


def _least(definition: Instrument, price: int) -> int:
    """The smallest quantity that the venue takes at a price: of its least value a tenth over, and
    no less than its least quantity."""
    lot, worth = definition.lot, definition.min_notional * 11 // 10 * SCALE
    wanted = max(-(-worth // price), definition.min_quantity, 1)
    return -(-wanted // lot) * lot


def smallest(seen: Market) -> int:
    """What the smallest order costs near the market: at its ask, where it shows one, and at its
    bid; a contract that shows nothing may cost all that it can pay."""
    contract = isinstance(seen.definition, BinaryContract)
    price = seen.ask or seen.bid or (SCALE if contract else 0)
    return cost(price, _least(seen.definition, price)) if price else seen.definition.min_notional


class _Unheard:
    """Nobody follows this."""

    def offer(self, record: object) -> None:
        """Nothing."""

    def ask(self, request: object) -> None:
        """Nothing."""


async def prove(
    config: Config, name: str, tell: Tell, *, order: bool, key_alone: bool = False
) -> None:
    """The steps at a venue, in their order, until one fails; with `order`, one is placed and
    cancelled. With `key_alone` what the key has no part in only warns: from where it is asked,
    what the venue lists, how much cash there is."""
    try:
        choice = named(config, name)
        probe = Probe()
        engine = Engine(config.risk.limits(), [probe])
        trader = Trader(engine, "setup", _Unheard(), None)  # type: ignore[arg-type]
        venue: Any = choice.make(trader.take, trader.take)
    except BetatraderError as error:
        tell(_failed("keys", error))
        return
    tell(Step("keys", "ok", "they have the form of keys"))
    for caution, found, remedy in getattr(venue, "cautions", ()):
        tell(Step(caution, "warn", found, remedy))
    trader.connect(Gateway(venue))
    epoch = clock.now_ns() // 1_000_000  # another run's order has another id
    trader.take(Started(clock.now_ns(), epoch, TradingState.ACTIVE))
    try:
        if await _asked(choice, venue, tell, key_alone=key_alone) and await permits.asked_of(name)(
            venue.rest, tell
        ):
            if order and name == "polymarket":
                await permits.resting(venue.rest, tell)
            await _connected(venue, trader, tell, probe if order else None, key_alone=key_alone)
    finally:
        with anyio.CancelScope(shield=True):
            await choice.close()


def _failed(name: str, error: Exception) -> Step:
    what, _, remedy = str(error).partition("\n")
    return Step(name, "fail", what or type(error).__name__, remedy)


async def _asked(choice: Choice, venue: Any, tell: Tell, *, key_alone: bool) -> bool:
    """What is asked over REST alone: whether it is reached, the clock, where we are."""
    began = clock.boot_s()
    try:
        await venue.rest.measure_clock()
    except (OSError, TimeoutError) as error:
        tell(Step("reach", "fail", str(error) or "no answer", "Check address and network."))
        return False
    tell(Step("reach", "ok", f"it answers in {(clock.boot_s() - began) * 1000:.0f} ms"))
    apart = abs(venue.rest.clock.apart_s)
    late = apart > SKEW_WARN_S
    remedy = "Set this machine's clock by NTP." if late else ""
    tell(Step("clock", "warn" if late else "ok", f"{apart:.1f} s apart from the venue's", remedy))
    egress = await choice.egress()
    if egress is None:
        tell(Step("region", "warn", "the venue does not say whether it serves this address"))
    elif egress.blocked:
        remedy = "Trade from where the venue may serve you."
        tell(Step("region", "warn" if key_alone else "fail", egress.told, remedy))
        return key_alone
    else:
        tell(Step("region", "ok", egress.told))
    return True


async def _connected(
    venue: RemoteVenue, trader: Trader, tell: Tell, probe: Probe | None, *, key_alone: bool
) -> None:
    """What needs the connection: that it stands, the balance, one order."""
    async with anyio.create_task_group() as group:
        failed: list[Exception] = []
        group.start_soon(_run, venue, failed)
        with anyio.move_on_after(CONNECT_S):
            while not venue.connected and not failed:
                with anyio.move_on_after(0.1):
                    await venue.changed.wait()
        if failed:
            tell(_failed("connection", failed[0]))
        elif not venue.connected:
            text = f"not all of it stands after {CONNECT_S:.0f} s: {venue.trouble}"
            tell(Step("connection", "fail", text, "Check keys, addresses and network."))
        else:
            tell(Step("connection", "ok", "orders, reports and market data stand"))
            listed = await _listed(venue, trader, tell, key_alone=key_alone)
            milder = _milder(tell) if key_alone else tell
            allowed = listed and await _allowed(venue, trader, milder)
            paid = (allowed or key_alone) and await _paid(venue, trader, tell, milder)
            if probe is not None and allowed and paid:
                venue.remember([])
                try:
                    tell(await _ordered(trader, probe))
                finally:
                    with anyio.CancelScope(shield=True):
                        await _taken_back(trader)
            elif probe is not None and key_alone:
                tell(Step("order", "fail", "none could be placed", "Do without one, or mend that."))
        group.cancel_scope.cancel()


def _milder(tell: Tell) -> Tell:
    """What keeps an account from trading says nothing of its key."""

    def told(step: Step) -> None:
        tell(step._replace(verdict="warn") if step.verdict == "fail" else step)

    return told


async def _listed(venue: RemoteVenue, trader: Trader, tell: Tell, *, key_alone: bool) -> bool:
    """Whether there is a market to trade in."""
    with anyio.move_on_after(LISTED_S):
        while not trader.engine.state.markets:  # noqa: ASYNC110
            await anyio.sleep(0.05)
    if not trader.engine.state.markets:
        text = venue.trouble or "it lists nothing of what is configured"
        remedy = f"Mend [{venue.name.lower()}]: {MARKETS}."
        tell(Step("markets", "warn" if key_alone else "fail", text, remedy))
    return bool(trader.engine.state.markets)


async def _run(venue: RemoteVenue, failed: list[Exception]) -> None:
    try:
        await venue.run()
    except (BetatraderError, OSError) as error:
        failed.append(error)
    except ExceptionGroup as errors:
        failed.append(first_error(errors))


async def _allowed(venue: Any, trader: Trader, tell: Tell) -> bool:
    """Where a wallet's contracts must be allowed to take what it holds: whether they are."""
    if venue.name != "POLYMARKET":
        return True
    listed = [seen.definition for seen in trader.engine.state.markets.values()]
    return await permits.allowances(venue.rest, listed, tell)


async def _paid(venue: RemoteVenue, trader: Trader, tell: Tell, milder: Tell) -> bool:
    """Whether what is there buys the smallest order."""
    try:
        with anyio.fail_after(ANSWER_S):
            account = await venue.account(())
    except (OSError, TimeoutError) as error:
        tell(Step("balance", "fail", str(error) or "no answer", "Check the key's right to read."))
        return False
    trader.take(CashFlow(clock.now_ns(), venue.name, account.cash, "balance"))
    markets = trader.engine.state.markets.values()
    with anyio.move_on_after(QUOTED_S):
        while not any(seen.bid for seen in markets):  # noqa: ASYNC110
            await anyio.sleep(0.05)
    least = min(map(smallest, markets), default=0)
    assets = sum(1 for quantity in account.positions.values() if quantity)
    held = f"${show(account.cash)}, {assets} assets held; the smallest order costs ${show(least)}"
    if account.cash < least:
        milder(Step("balance", "fail", held, "Pay in what you are ready to lose, and no more."))
        return False
    tell(Step("balance", "ok", held))
    return True


async def _taken_back(trader: Trader) -> None:
    """Whatever became of it, the order does not stay."""
    orders = trader.engine.state.orders
    if orders.open:
        trader.obey(CancelAll(clock.now_ns(), "setup", "betatrader", "setup ends"))
        with anyio.move_on_after(LAST_S):
            while orders.open:  # noqa: ASYNC110
                await anyio.sleep(0.05)


async def _ordered(trader: Trader, probe: Probe) -> Step:
    """The order's whole life; what the venue or risk says against it is told."""
    orders, probe.armed = trader.engine.state.orders, True
    asked = False
    with anyio.move_on_after(ORDER_S):
        while True:
            await anyio.sleep(0.05)
            ended = [*orders.closed.values(), *orders.denied.values()]
            if ended:
                one = ended[0]
                if one.state is OrderState.CANCELED and not one.filled:
                    price = show(one.terms.price)
                    text = f"{show(one.terms.quantity)} {one.terms.instrument} at {price}"
                    return Step("order", "ok", f"{text}: placed, accepted and cancelled")
                return Step("order", "fail", f"{one.state}: {one.reason}", "See docs/venues.md.")
            if not asked and any(o.accepted for o in orders.open.values()):
                asked = True
                trader.obey(CancelAll(clock.now_ns(), "setup", "betatrader", "setup"))
    return Step("order", "fail", f"no end of it in {ORDER_S:.0f} s", "Cancel it at the venue.")


def check_name(config: Config, name: str) -> None:
    """Raises UsageError where nothing at this venue is configured."""
    if name == "binance" and not config.binance.symbols:
        raise UsageError('[binance] symbols names none\nSet it, as ["BTCUSDT"].')
    if name == "polymarket" and not (config.polymarket.markets or config.polymarket.follow):
        raise UsageError("[polymarket] markets names none\nSet condition ids.")
