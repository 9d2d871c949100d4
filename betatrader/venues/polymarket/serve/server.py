"""The venue as a core without sockets: every path, the market, and the passing of time.

The exchange takes each market event before the clients see it. Accounts' orders for the two tokens
of a market meet (MINT and MERGE); what is recorded of them stays two books, as it was recorded.
"""

from collections.abc import Awaitable, Callable, Iterable

import anyio
from msgspec.structs import replace

from betatrader.model.event import MarketInput
from betatrader.model.instrument import BinaryContract
from betatrader.model.market import (
    BookSnapshot,
    InstrumentListed,
    PublicTrade,
    Resolution,
)
from betatrader.model.money import Money
from betatrader.model.order import Side
from betatrader.net.transport import Answer, Handler, Request, Socket
from betatrader.ops import clock
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import FaultyLink
from betatrader.venues.polymarket.serve import records, troubles
from betatrader.venues.polymarket.serve.access import Access
from betatrader.venues.polymarket.serve.accounts import Accounts
from betatrader.venues.polymarket.serve.agenda import NEVER
from betatrader.venues.polymarket.serve.answers import RefusedRequestError
from betatrader.venues.polymarket.serve.discovery import Discovery
from betatrader.venues.polymarket.serve.reading import Reading
from betatrader.venues.polymarket.serve.relaying import Relaying
from betatrader.venues.polymarket.serve.state import Rules, State
from betatrader.venues.polymarket.serve.trading import Trading

Endpoint = Callable[[Request], Awaitable[Answer]]

YIELD_EVERY = 200
LONGEST_WAIT_S = 3600.0
CHANGES = {
    "POST /order",
    "POST /orders",
    "DELETE /order",
    "DELETE /orders",
    "DELETE /cancel-all",
    "DELETE /cancel-market-orders",
    "POST /submit",
}
"""The requests whose answers the faults and troubles reach."""


class PolymarketServer:
    """Serves one exchange. `state` is open to tests: its modes, channels, orders and trades."""

    def __init__(self, exchange: SimulatedExchange, rules: Rules, faults: FaultyLink) -> None:
        self.state = State(exchange, rules, faults)
        self._paths, self._prefixes = _endpoints(self.state)

    # The core.

    async def answer(self, request: Request) -> Answer | None:
        """Answer a request; None cuts the connection."""
        state, now_ns = self.state, clock.now_ns()
        state.advance(now_ns)
        try:
            state.limits.count(request, now_ns)
            name = f"{request.method} {request.path}"
            endpoint = self._paths.get(name) or self._below(request)
            if name in CHANGES:
                return await self._answer_faultily(endpoint, request)
            trouble = state.troubles.take_next_read() if request.method == "GET" else ""
            if trouble:
                return troubles.broken_answer(trouble)
            return await endpoint(request)
        except RefusedRequestError as refused:
            return refused.answer()

    def open(self, request: Request, socket: Socket) -> Handler | None:
        """A client's WebSocket, by its path."""
        path = request.path.rstrip("/")
        if path == "/ws/market":
            return self.state.channels.open_market(socket)
        if path == "/ws/user":
            return self.state.channels.open_user(socket)
        return None

    def _below(self, request: Request) -> Endpoint:
        start, _, rest = request.path.rpartition("/")
        name = f"{request.method} {start}/"
        if name == "GET /markets/" and rest.isdecimal():
            name = "GET gamma/markets/"
        if not rest or name not in self._prefixes:
            raise RefusedRequestError(404, "404 page not found")
        return self._prefixes[name]

    async def _answer_faultily(self, endpoint: Endpoint, request: Request) -> Answer | None:
        trouble = self.state.troubles.take_next()
        if trouble == troubles.NEVER_CAME:
            return None
        if trouble == troubles.HTML:
            return troubles.broken_answer(trouble)
        answer = await _granted_or_refused(endpoint, request)
        if trouble == troubles.TWICE:
            return await _granted_or_refused(endpoint, request)
        if trouble:
            return troubles.broken_answer(trouble)
        delays = self.state.faults.deliveries()
        if not delays:
            return None
        if delays[0]:
            await anyio.sleep(delays[0])
        return answer

    # Time and the market.

    async def run(self, market: Iterable[MarketInput]) -> None:
        """Play a market to the exchange and to all subscribers; returns where it ends."""
        in_a_row = 0
        for event in market:
            wait_s = (event.time_ns - clock.now_ns()) / 1e9
            in_a_row = in_a_row + 1 if wait_s <= 0 else 0
            if wait_s > 0 or in_a_row % YIELD_EVERY == 0:
                await anyio.sleep(max(0.0, wait_s))
            self.play(event)

    def play(self, event: MarketInput) -> None:
        """One event of the market, now."""
        state = self.state
        state.advance(event.time_ns)
        if isinstance(event, InstrumentListed) and isinstance(event.definition, BinaryContract):
            event = _without_least_value(event, event.definition)
        state.exchange.on_market(event)
        self._tell(event)
        state.advance(event.time_ns)  # of an exchange without latency, the reports are due

    def _tell(self, event: MarketInput) -> None:
        news = self.state.news
        match event:
            case InstrumentListed():
                if isinstance(event.definition, BinaryContract):
                    news.listed(event.definition, event.time_ns)
            case BookSnapshot():
                news.book(event.instrument, event.time_ns)
            case PublicTrade():
                side = Side.BUY if event.buyer_is_taker else Side.SELL
                hash_ = records.transaction(event.time_ns)
                news.traded(event.instrument, event.price, event.quantity, side, hash_)
            case Resolution():
                news.refresh(event.instrument, event.time_ns)
                news.resolved(event.instrument, event.payout, event.time_ns)
            case _:
                news.refresh(event.instrument, event.time_ns)

    async def deliver(self) -> None:
        """Let happen what is due when its time has come, until cancelled."""
        state = self.state
        while True:
            state.advance(clock.now_ns())
            due = state.next_due_ns
            wait_s = LONGEST_WAIT_S if due >= NEVER else max(0.0, (due - clock.now_ns()) / 1e9)
            state.wake.clear()
            with anyio.move_on_after(wait_s):
                await state.wake.wait()

    def close(self) -> None:
        """Cut all sockets."""
        self.state.channels.cut()

    # What goes wrong on request.

    def restart(
        self,
        down_ns: int = troubles.RESTART_NS,
        post_only_ns: int = troubles.POST_ONLY_NS,
    ) -> None:
        """The matching engine restarts: sockets are cut, orders and accounts are kept."""
        self.state.troubles.restart(clock.now_ns(), down_ns, post_only_ns)
        self.close()

    def fail_trades(self, count: int) -> None:
        """Let the next trades fail to settle: they are taken back."""
        self.state.desk.settlement.fail_next += count

    def silence(self, *, market: bool = True, user: bool = False) -> None:
        """Say nothing more on a channel but PONG; both false ends it."""
        self.state.channels.silent_market = market
        self.state.channels.silent_user = user


async def _granted_or_refused(endpoint: Endpoint, request: Request) -> Answer:
    try:
        return await endpoint(request)
    except RefusedRequestError as refused:
        return refused.answer()


def _endpoints(state: State) -> tuple[dict[str, Endpoint], dict[str, Endpoint]]:
    """What answers each path, and each path below another."""
    reading, discovery, relaying = Reading(state), Discovery(state), Relaying(state)
    paths: dict[str, Endpoint] = {
        "GET /": reading.ok,
        "GET /ok": reading.ok,
        "GET /time": reading.time,
        "GET /version": reading.version,
        "GET /markets": reading.markets,
        "GET /sampling-markets": reading.markets,
        "GET /simplified-markets": reading.simplified,
        "GET /sampling-simplified-markets": reading.simplified,
        "GET /book": reading.book,
        "POST /books": reading.books,
        "GET /price": reading.price,
        "POST /prices": reading.prices,
        "GET /midpoint": reading.midpoint,
        "POST /midpoints": reading.midpoints,
        "GET /spread": reading.spread,
        "POST /spreads": reading.spreads,
        "GET /last-trade-price": reading.last_trade,
        "POST /last-trades-prices": reading.last_trades,
        "GET /tick-size": reading.tick_size,
        "GET /neg-risk": reading.neg_risk,
        "GET /fee-rate": reading.fee_rate,
        "GET /prices-history": reading.history,
        "GET /api/geoblock": discovery.geoblock,
        "GET /markets/keyset": discovery.markets,
        "GET /events/keyset": discovery.events,
        "GET /v1/account/transactions/params": relaying.params,
        "GET /relay-payload": relaying.params,
        "GET /deployed": relaying.deployed,
        "POST /submit": relaying.submit,
        "GET /v2/positions": discovery.positions,
        "GET /v2/trades": discovery.trades,
        "GET /v2/value": discovery.value,
    }
    prefixes: dict[str, Endpoint] = {
        "GET /markets/": reading.market,
        "GET gamma/markets/": discovery.market,
        "GET /clob-markets/": reading.compact,
        "GET /markets-by-token/": reading.by_token,
        "GET /data/order/": Accounts(state).order,
        "GET /v1/account/transactions/": relaying.transaction,
    }
    return {**paths, **_own(state)}, prefixes


def _own(state: State) -> dict[str, Endpoint]:
    access, accounts, trading = Access(state), Accounts(state), Trading(state)
    return {
        "POST /auth/api-key": access.create,
        "GET /auth/derive-api-key": access.derive,
        "GET /auth/api-keys": access.listed,
        "DELETE /auth/api-key": access.delete,
        "GET /auth/ban-status/closed-only": access.closed_only,
        "POST /auth/readonly-api-key": access.create_reading,
        "GET /auth/readonly-api-keys": access.listed_reading,
        "DELETE /auth/readonly-api-key": access.delete_reading,
        "GET /data/orders": accounts.orders,
        "GET /data/trades": accounts.trades,
        "GET /data/pre-migration-orders": accounts.no_orders,
        "GET /balance-allowance": accounts.balance,
        "GET /balance-allowance/update": accounts.refreshed,
        "GET /order-scoring": accounts.scoring,
        "POST /orders-scoring": accounts.scorings,
        "GET /notifications": accounts.notifications,
        "DELETE /notifications": accounts.drop_notifications,
        "POST /order": trading.place,
        "POST /orders": trading.place_many,
        "DELETE /order": trading.cancel,
        "DELETE /orders": trading.cancel_many,
        "DELETE /cancel-all": trading.cancel_all,
        "DELETE /cancel-market-orders": trading.cancel_market,
        "POST /v1/heartbeats": trading.heartbeat,
    }


def _without_least_value(event: InstrumentListed, contract: BinaryContract) -> InstrumentListed:
    """This venue holds orders that rest to a number of shares, whatever they are worth."""
    return replace(event, definition=replace(contract, min_notional=Money(0)))
