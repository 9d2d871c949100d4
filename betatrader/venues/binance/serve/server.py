"""Binance as a Core: requests of all kinds in, answers and streams out, an exchange behind.

It has no sockets of its own, and its clock is `ops.clock`: a simulation in virtual time runs it as
it is.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import anyio
import msgspec
import structlog

from betatrader.model.event import MarketInput
from betatrader.net.transport import Answer, Handler, Request, Socket
from betatrader.ops import clock
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import FaultyLink
from betatrader.sim.transit import NEVER
from betatrader.venues.binance.serve.api import ApiSession
from betatrader.venues.binance.serve.books import Execution, Record, balances
from betatrader.venues.binance.serve.keeping import Ends, Keeping, Kept
from betatrader.venues.binance.serve.market import Market, Subscriber
from betatrader.venues.binance.serve.operations import Operations
from betatrader.venues.binance.serve.requests import (
    Account,
    Keys,
    Parameters,
    Refusal,
    of_rest,
)
from betatrader.venues.binance.serve.trading import Trading
from betatrader.venues.binance.serve.weights import Weights

YIELD_EVERY = 200
LONGEST_WAIT_S = 3_600.0
JSON = {"Content-Type": "application/json;charset=UTF-8"}
PATHS = {
    ("GET", "/api/v3/ping"): "ping",
    ("GET", "/api/v3/time"): "time",
    ("GET", "/api/v3/exchangeInfo"): "exchangeInfo",
    ("GET", "/api/v3/depth"): "depth",
    ("GET", "/api/v3/trades"): "trades.recent",
    ("GET", "/api/v3/aggTrades"): "trades.aggregate",
    ("GET", "/api/v3/klines"): "klines",
    ("GET", "/api/v3/ticker/bookTicker"): "ticker.book",
    ("POST", "/api/v3/order"): "order.place",
    ("POST", "/api/v3/order/test"): "order.test",
    ("GET", "/api/v3/order"): "order.status",
    ("DELETE", "/api/v3/order"): "order.cancel",
    ("POST", "/api/v3/order/cancelReplace"): "order.cancelReplace",
    ("PUT", "/api/v3/order/amend/keepPriority"): "order.amend.keepPriority",
    ("GET", "/api/v3/order/amendments"): "order.amendments",
    ("GET", "/api/v3/openOrders"): "openOrders.status",
    ("DELETE", "/api/v3/openOrders"): "openOrders.cancelAll",
    ("GET", "/api/v3/allOrders"): "allOrders",
    ("GET", "/api/v3/myTrades"): "myTrades",
    ("GET", "/api/v3/account"): "account.status",
    ("GET", "/api/v3/account/commission"): "account.commission",
    ("GET", "/api/v3/rateLimit/order"): "account.rateLimits.orders",
    ("GET", "/sapi/v1/account/apiRestrictions"): "apiRestrictions",
    ("GET", "/sapi/v1/asset/tradeFee"): "tradeFee",
}
ELSEWHERE = (
    "Service unavailable from a restricted location according to 'b. Eligibility' in "
    "https://www.binance.com/en/terms."
)
HTML = b"<html><head><title>502 Bad Gateway</title></head></html>"


class Troubles(NamedTuple):
    """What is wrong with the venue now."""

    html: bool = False
    """Every HTTP answer is a page."""
    unclear: bool = False
    """Orders are carried out, and answered with -1007."""
    elsewhere: bool = False
    """Clients come from where the venue serves nobody."""


class BinanceServer:
    """One exchange, many accounts. `cash` is what each is given."""

    def __init__(
        self, exchange: SimulatedExchange, cash: int, accounts: list[Account], faults: FaultyLink
    ) -> None:
        self.exchange = exchange
        exchange.keeps_fees = True
        self.faults = faults
        self.troubles = Troubles()
        self.keeping = Keeping()
        self.lines: dict[Kept, None] = {}
        """All connections."""
        self.sessions: dict[ApiSession, None] = {}
        self.keys = Keys(accounts, self.now_ms)
        self.weights = Weights(self.now_ms)
        self.market = Market(exchange, self.now_ms)
        self.trading = Trading(exchange, self.market, clock.now_ns, self._told)
        self.operations = Operations(exchange, self.market, self.trading, self.weights, self.now_ms)
        self.operations.forgets = faults.forgets
        self.trading.wake = self._woken
        self._wake = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()
        for account in accounts:
            known = exchange.ledgers.get(account.owner)
            if known is None or not known.deposits:
                exchange.deposit(cash, account.owner)

    def now_ms(self) -> int:
        """The venue's clock."""
        return clock.now_ns() // 1_000_000

    # What goes on.

    async def run(self, market: Iterable[MarketInput]) -> None:
        """Play a market to the exchange and to all who listen; returns where it ends."""
        in_a_row = 0
        for event in market:
            wait_s = (event.time_ns - clock.now_ns()) / 1e9
            in_a_row = in_a_row + 1 if wait_s <= 0 else 0
            if wait_s > 0 or in_a_row % YIELD_EVERY == 0:
                await anyio.sleep(max(0.0, wait_s))
            self.play(event)

    def play(self, event: MarketInput) -> None:
        """One event of the market, to the exchange and to all who listen."""
        self._deliver(event.time_ns)
        old = self.market.before(event)
        self.exchange.on_market(event)
        self.market.tell(event, old)
        self._wake.set()

    async def deliver(self) -> None:
        """Let requests arrive and reports leave when their time has come, until cancelled."""
        while True:
            self._deliver(clock.now_ns())
            due = self.exchange.next_due_ns
            wait_s = LONGEST_WAIT_S if due >= NEVER else max(0.0, (due - clock.now_ns()) / 1e9)
            self._wake.clear()
            with anyio.move_on_after(wait_s):
                await self._wake.wait()

    def _deliver(self, now_ns: int) -> None:
        while self.exchange.next_due_ns <= now_ns:
            self.trading.deliver(self.exchange.deliver(now_ns))

    def _woken(self) -> None:
        self._wake.set()

    def close(self) -> None:
        """Cut all clients off, and end what is under way."""
        self.cut_all()
        for task in self._work:
            task.cancel()

    def restart(self) -> None:
        """Stop and come back: what rested is cancelled, and nobody is told. What was matched is in
        the books."""
        self.trading.deliver(list(self.exchange.matched()))
        self.exchange.restart()
        self.trading.restarted()
        for task in self._work:
            task.cancel()
        self.cut_all()

    def cut_all(self) -> None:
        """End every connection without a word; the books stay."""
        for line in list(self.lines):
            line.cut()

    def shut_down(self, after_s: float, *, restarts: bool) -> None:
        """Tell all who are connected that it ends, and end their connections after so long; those
        that came since stay, unless the whole venue restarts."""
        told = list(self.lines)
        for line in told:
            line.warn()

        async def end() -> None:
            await anyio.sleep(after_s)
            if restarts:
                asyncio.get_running_loop().call_soon(self.restart)
                return
            for line in told:
                line.cut()

        self.start(end())

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that waits, for as long as the server stands."""
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._work.discard(task)
        if not task.cancelled() and task.exception() is not None:
            structlog.get_logger().error("request_failed", error=repr(task.exception()))

    # HTTP.

    async def answer(self, request: Request) -> Answer | None:
        """One REST request."""
        if self.troubles.html:
            return Answer(502, HTML, {"Content-Type": "text/html"})
        if self.troubles.elsewhere:
            return _json(451, {"code": 0, "msg": ELSEWHERE}, {})
        name = PATHS.get((request.method, request.path))
        if name is None:
            body = {"code": -1000, "msg": f"No such endpoint: {request.method} {request.path}"}
            return _json(404, body, {})
        operation, owner = self.operations.by_name[name], ""
        try:
            account, parameters = (
                self.keys.of_rest(request) if operation.signed else (_NOBODY, of_rest(request))
            )
            owner = account.owner
            status, found = 200, await self.done(name, account, parameters)
        except Refusal as refusal:
            status, found = refusal.status, refusal.body()
        headers = self.weights.headers(owner if operation.places else "")
        if status in (418, 429):
            until = found["data"]["retryAfter"] if "data" in found else 0
            headers["Retry-After"] = str(max(1, -(-(until - self.now_ms()) // 1_000)))
            found.pop("data", None)
        if operation.trades and not self.faults.deliveries():
            return None
        return _json(status, found, headers)

    async def done(self, name: str, account: Account, parameters: Parameters) -> Any:
        """What an operation answers; raises Refusal."""
        operation = self.operations.by_name.get(name)
        if operation is None:
            raise Refusal(400, -1104, f"Unknown method {name}.")
        self.weights.weigh(operation.weight)
        if operation.trades and not account.can_trade:
            raise Refusal(401, -2015, "Invalid API-key, IP, or permissions for action.")
        if operation.places:
            self.weights.order(account.owner)
        found = await operation.handle(account, parameters)
        if operation.places and self.troubles.unclear:
            text = "Timeout waiting for response from backend server. Send status unknown; "
            raise Refusal(504, -1007, f"{text}execution status unknown.")
        return found

    # WebSockets.

    def open(self, request: Request, socket: Socket) -> Handler | None:
        """A connection to the streams or to the WebSocket API."""
        limited = not request.path.startswith("/ws-api")
        kind = "stream connections" if limited else "api connections"
        if not self.weights.connect(kind) or self.troubles.elsewhere:
            return None
        handler = self._heard_by(request, socket)
        if handler is None:
            return None
        flooded = self.weights.flooded if limited else None
        return Kept(self.keeping, socket, handler, self.lines, flooded)

    def _heard_by(self, request: Request, socket: Socket) -> Ends | None:
        path = request.path.rstrip("/")
        if path == "/ws-api/v3":
            return ApiSession(self, socket)
        if path == "/stream":
            names = parse_qs(request.query).get("streams", [""])[0]
            wanted = [name for name in names.split("/") if name]
            return Subscriber(self.market, socket, wanted, combined=True)
        if path == "/ws" or path.startswith("/ws/"):
            wanted = [name for name in path.removeprefix("/ws").split("/") if "@" in name]
            return Subscriber(self.market, socket, wanted, combined=False)
        return None

    def send_faultily(self, socket: Socket, data: bytes) -> None:
        """Send it now, late, twice, or not at all."""
        for delay_s in self.faults.deliveries():
            if delay_s:
                asyncio.get_running_loop().call_later(delay_s, socket.send, data)
            else:
                socket.send(data)

    def _told(self, owner: str, record: Record, kind: str, last: Execution | None) -> None:
        """What became of an order, to all sessions that hear of its account."""
        hearing = [one for one in self.sessions if one.subscribed and one.subscribed.owner == owner]
        if not hearing:
            return
        event = record.report(kind, self.market.pool(record.symbol)[0], last)
        position = self._position(owner) if last is not None else None
        for session in hearing:
            session.tell(event)
            if position is not None:
                session.tell(position)

    def _position(self, owner: str) -> dict[str, Any]:
        ledger, open_ = self.exchange.ledgers[owner], self.trading.of(owner).open()
        held = {str(name): quantity for name, quantity in ledger.positions.items()}
        found = balances(self.market.spots(), ledger.cash, held, open_)
        return {
            "e": "outboundAccountPosition",
            "E": self.now_ms(),
            "u": self.now_ms(),
            "B": [{"a": one["asset"], "f": one["free"], "l": one["locked"]} for one in found],
        }


_NOBODY = Account("", "", "")


def _json(status: int, body: Any, headers: dict[str, str]) -> Answer:
    return Answer(status, msgspec.json.encode(body), {**JSON, **headers})
