"""Our account as Binance states it, by REST: what works, what became of orders, executions, and
balances last, so that they are never older than what explains them."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from betatrader.model.account import VenueAccount
from betatrader.model.ids import ClientOrderId
from betatrader.ops import clock
from betatrader.venues.binance import account
from betatrader.venues.binance.orders import MyTrade, OrderInfo
from betatrader.venues.binance.rest import Rest, UnclearError
from betatrader.venues.binance.wire import units
from betatrader.venues.reconcile import is_ours

T = TypeVar("T")

FIRST_LOOK_MS = 23 * 3_600_000
"""How far back the first look goes for executions of orders that nobody asks about."""

MARGIN_MS = 60_000
"""How far each look goes back behind the one before: the venue's lists lag behind its engine."""

ONE_BY_ONE = 4
"""Up to so many unknown orders are asked for one by one, and more as a list."""

AT_ONCE = 8
"""Questions under way together."""

SYMBOLS_KEPT = 20_000


class Books:
    """Looks at the venue's books. What it finds it tells `executions`, which counts each once."""

    def __init__(self, rest: Rest, executions: account.Executions) -> None:
        self._rest = rest
        self._executions = executions
        self._symbols: dict[ClientOrderId, str] = {}
        self._stops: set[ClientOrderId] = set()
        self._twice: set[ClientOrderId] = set()
        self._foreign: list[str] = []
        """Ids that stand for two orders at once, at the last look."""
        self._looked_ms = 0

    def note(self, order: ClientOrderId, symbol: str, *, stops: bool = False) -> None:
        """Remember an order's symbol: the venue finds an order only by both; and whether it is a
        stop that the venue keeps."""
        self._symbols[order] = symbol
        if stops:
            self._stops.add(order)
        if len(self._symbols) > SYMBOLS_KEPT:
            oldest = next(iter(self._symbols))
            del self._symbols[oldest]
            self._stops.discard(oldest)

    def is_stop(self, order: ClientOrderId) -> bool:
        """Whether an order is known to be a stop that the venue keeps."""
        return order in self._stops

    async def look(self, asked: tuple[ClientOrderId, ...]) -> VenueAccount:
        """State our account; raises OSError or TimeoutError where the venue does not answer."""
        symbols = list(self._executions.spots)
        if not symbols:
            raise ConnectionError("the venue has not stated its instruments yet")
        began_ms = self._rest.clock.now_ms()
        try:
            orders = await self._orders(symbols, asked)
            await self._trades(symbols, orders)
            info = await self._rest.account()
            spots = list(self._executions.spots.values())
            cash, positions = account.balances(info, spots)
            told = {name: account.venue_order(order) for name, order in orders.items()}
        except ValueError as error:
            raise UnclearError(f"the venue's statement cannot be read: {error}") from error
        self._looked_ms = began_ms
        fills, twice, covers = self._executions.fills(), tuple(self._twice), tuple(positions)
        return VenueAccount(
            cash,
            positions,
            told,
            fills,
            doubled=twice,
            covers=covers,
            foreign=tuple(self._foreign),
        )

    async def _orders(
        self, symbols: list[str], asked: tuple[ClientOrderId, ...]
    ) -> dict[ClientOrderId, OrderInfo]:
        """What works, and what became of those that were asked for and do not."""
        found: dict[ClientOrderId, OrderInfo] = {}
        self._twice.clear()
        self._foreign.clear()

        async def open_ones(symbol: str) -> None:
            for shown in await self._rest.open_orders(symbol):
                order = self._executions.ours(shown)
                self._executions.learn(order)
                if is_ours(order.name):
                    if order.name in found:
                        self._twice.add(order.name)
                    found[order.name] = order
                else:
                    self._foreign.append(
                        f"{order.side} {order.orig_qty} {symbol} at {order.price} ({order.name})"
                    )

        await _together(open_ones, symbols)

        async def one(name: ClientOrderId) -> None:
            known = self._symbols.get(name)
            for symbol in [known] if known is not None else symbols:
                order = await self._rest.order(symbol, client_id=name)
                if order is not None:
                    self.note(name, symbol)
                    self._executions.learn(order)
                    found[name] = order
                    return

        await _together(one, [name for name in asked if name not in found])
        return found

    async def _trades(self, symbols: list[str], orders: dict[ClientOrderId, OrderInfo]) -> None:
        """Executions since the last look, and of these orders all that we miss."""
        last_ms = self._looked_ms or self._rest.clock.now_ms() - FIRST_LOOK_MS
        trades: list[MyTrade] = []

        async def since(symbol: str) -> None:
            found = await self._rest.trades_since(symbol, last_ms - MARGIN_MS)
            await self._name_orders(symbol, found)
            trades.extend(found)

        await _together(since, symbols)
        self._count(trades)
        missed = [
            order
            for name, order in orders.items()
            if units(order.executed_qty) > self._executions.filled(name)
        ]

        async def of(order: OrderInfo) -> None:
            self._count(await self._rest.trades_of(order.symbol, order.order_id))

        await _together(of, missed)

    def _count(self, trades: Iterable[MyTrade]) -> None:
        now = clock.now_ns()
        for trade in sorted(trades, key=lambda one: one.id):
            self._executions.trade(now, trade)

    async def _name_orders(self, symbol: str, trades: list[MyTrade]) -> None:
        """Learn the client ids of the orders behind executions."""
        unknown = sorted(
            {t.order_id for t in trades if self._executions.name(symbol, t.order_id) is None}
        )
        while len(unknown) > ONE_BY_ONE:
            for order in await self._rest.orders_from(symbol, unknown[0]):
                self._executions.learn(order)
            left = [n for n in unknown if self._executions.name(symbol, n) is None]
            if left == unknown:
                break
            unknown = left

        async def one(order_id: int) -> None:
            order = await self._rest.order(symbol, order_id=order_id)
            if order is not None:
                self._executions.learn(order)

        await _together(one, unknown)


async def _together(ask: Callable[[T], Awaitable[None]], about: list[T]) -> None:
    """Ask several questions at once; the first error ends them all, and is raised alone."""
    slots = anyio.Semaphore(AT_ONCE)

    async def one(item: T) -> None:
        async with slots:
            await ask(item)

    try:
        async with anyio.create_task_group() as group:
            for item in about:
                group.start_soon(one, item)
    except BaseExceptionGroup as several:
        first = several.exceptions[0]
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
