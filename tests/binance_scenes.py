"""A Binance in memory for tests: REST by path, the WebSocket API by method, and virtual time."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import pytest
from msgspec import structs

from betatrader.chaos.loop import Process, VirtualLoop
from betatrader.config.venues import Binance
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.event import Event
from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId
from betatrader.model.money import parse
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce
from betatrader.model.secret import Secret
from betatrader.net.transport import Answer, Handler, NoAnswerError
from betatrader.ops import clock
from betatrader.venues.binance.venue import BinanceVenue

EPOCH_NS = 1_700_000_000_000_000_000
BTC = InstrumentId("BTCUSDT.BINANCE")
PEM = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIHMAyVRQgb7iNL9UGwqvFFlM8jY0sNKJO8N4N4qZSD6M\n"
    "-----END PRIVATE KEY-----\n"
)

Reply = Callable[[dict[str, str]], Any]


def name(number: int) -> ClientOrderId:
    """The id of an order of ours."""
    return ClientOrderId(f"{number:032x}")


def approved(
    number: int,
    price: str = "50000",
    quantity: str = "0.002",
    side: Side = Side.BUY,
    **other: Any,
) -> Approved:
    """An order that risk has let through."""
    kind = other.pop("type", OrderType.LIMIT)
    terms = OrderTerms(BTC, side, kind, parse(price), parse(quantity), **other)
    return Approved(name(number), StrategyId("s"), terms)


def instead(old: int, number: int, *args: str, **other: Any) -> Approved:
    """One in the stead of another."""
    return structs.replace(approved(number, *args, **other), replaces=name(old))  # type: ignore[arg-type]


def cancel(number: int) -> CancelOrder:
    """A cancel of it."""
    return CancelOrder(name(number), BTC)


def symbol(text: str = "BTCUSDT", **other: Any) -> dict[str, Any]:
    """A pair of `exchangeInfo`."""
    quote = "USDT" if text.endswith("USDT") else text[-3:]
    return {
        "symbol": text,
        "status": "TRADING",
        "baseAsset": text.removesuffix(quote),
        "quoteAsset": quote,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "stepSize": "0.00001000"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0", "stepSize": "0.00000000"},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "avgPriceMins": 5},
            {"filterType": "ICEBERG_PARTS", "limit": 100},
        ],
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER"],
        **other,
    }


def order(number: int, status: str = "NEW", **other: Any) -> dict[str, Any]:
    """An order as the venue answers it."""
    return {
        "symbol": "BTCUSDT",
        "orderId": 100 + number,
        "clientOrderId": name(number),
        "price": "50000.00000000",
        "origQty": "0.00200000",
        "executedQty": "0.00000000",
        "status": status,
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        **other,
    }


def report(number: int, execution: str = "NEW", status: str = "", **other: Any) -> dict[str, Any]:
    """An execution report: the full example of the venue's documents."""
    return {
        "e": "executionReport", "E": 1, "s": "BTCUSDT", "c": name(number), "S": "BUY",
        "o": "LIMIT", "f": "GTC", "q": "0.00200000", "p": "50000.00000000", "P": "0.00000000",
        "F": "0.00000000", "g": -1, "C": "", "x": execution, "X": status or execution,
        "r": "NONE", "i": 100 + number, "l": "0.00000000", "z": "0.00000000",
        "L": "0.00000000", "n": "0", "N": None, "T": 1, "t": -1, "I": 8641984, "w": True,
        "m": False, "M": False, "O": 1, "Z": "0.00000000", "Y": "0.00000000",
        "Q": "0.00000000", "W": 1, "V": "EXPIRE_MAKER", **other,
    }  # fmt: skip


def executed(number: int, trade: int, quantity: str = "0.00100000", **other: Any) -> dict[str, Any]:
    """A report of an execution at 50000; its fee is a thousandth of what was bought."""
    amount = parse(quantity) * 50_000
    fee = parse(quantity) // 1_000
    told = {
        "l": quantity, "L": "50000.00000000", "Y": f"{amount // 10**8}.{amount % 10**8:08d}",
        "n": f"0.{fee:08d}", "N": "BTC", "t": trade, "z": quantity, "m": True, **other,
    }  # fmt: skip
    return report(number, "TRADE", told.pop("X", "PARTIALLY_FILLED"), **told)


def trade(number: int, trade_id: int, **other: Any) -> dict[str, Any]:
    """The same execution as `myTrades` has it."""
    return {
        "symbol": "BTCUSDT", "id": trade_id, "orderId": 100 + number, "orderListId": -1,
        "price": "50000.00000000", "qty": "0.00100000", "quoteQty": "50.00000000",
        "commission": "0.00000100", "commissionAsset": "BTC", "time": 1, "isBuyer": True,
        "isMaker": True, "isBestMatch": True, **other,
    }  # fmt: skip


class RefuseError(Exception):
    """Raised by a reply: answer with this error."""

    def __init__(self, status: int, code: int, msg: str, **data: Any) -> None:
        super().__init__(msg)
        self.status = status
        self.body: dict[str, Any] = {"code": code, "msg": msg}
        if data:
            self.body["data"] = data


class CutError(Exception):
    """Raised by a reply: no answer comes."""


class Socket:
    """The client's end: what it sends is heard by the fake, a moment later."""

    def __init__(self, fake: "Fake", url: str, handler: Handler) -> None:
        self.fake, self.url, self.handler = fake, url, handler
        self.open = True

    def send(self, text: bytes) -> None:
        if self.open:
            asyncio.get_running_loop().call_soon(self.fake.heard, self, text)

    def close(self) -> None:
        self.cut("closed by us")

    def cut(self, reason: str) -> None:
        if self.open:
            self.open = False
            self.handler.lost(reason)

    def say(self, message: Mapping[str, Any]) -> None:
        """The venue speaks."""
        if self.open:
            self.handler.received(json.dumps(message).encode())


class Fake:
    """Binance as a Transport. `rest` and `api` hold the replies, and tests put others there."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.sent: list[dict[str, Any]] = []
        self.sockets: list[Socket] = []
        self.refuse_sockets = False
        self.closed = False
        self.skew_ms = 0
        self.last_id = 10
        self.rest: dict[str, Reply] = {
            "/api/v3/time": lambda _: {"serverTime": clock.now_ns() // 10**6 + self.skew_ms},
            "/api/v3/exchangeInfo": lambda _: {"symbols": [symbol()], "rateLimits": []},
            "/api/v3/depth": lambda _: {
                "lastUpdateId": self.last_id,
                "bids": [["49999.00000000", "1.00000000"]],
                "asks": [["50001.00000000", "1.00000000"]],
            },
            "/api/v3/account/commission": lambda _: {
                "standardCommission": {"maker": "0.00100000", "taker": "0.00100000"}
            },
            "/sapi/v1/account/apiRestrictions": lambda _: {"enableWithdrawals": False},
            "/api/v3/account": lambda _: {
                "balances": [{"asset": "USDT", "free": "900.0", "locked": "100.0"}]
            },
            "/api/v3/openOrders": lambda _: [],
            "/api/v3/myTrades": lambda _: [],
            "/api/v3/order": lambda _: self._none(),
        }
        self.api: dict[str, Callable[[dict[str, Any]], Any]] = {
            "session.logon": lambda _: {"userDataStream": False},
            "userDataStream.subscribe": lambda _: {"subscriptionId": 0},
            "userDataStream.subscribe.signature": lambda _: {"subscriptionId": 0},
            "ping": lambda _: {},
            "session.subscriptions": lambda _: [{"subscriptionId": 0}],
        }

    def _none(self) -> Any:
        raise RefuseError(400, -2013, "Order does not exist.")

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 5.0,
    ) -> Answer:
        """Answer one request, a hundredth of a second later."""
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query))
        self.asked.append((parts.path, given))
        await asyncio.sleep(0.005)
        try:
            found = self.rest[parts.path](given)
        except RefuseError as error:
            return Answer(error.status, json.dumps(error.body).encode(), {"retry-after": "7"})
        except CutError:
            raise NoAnswerError("no answer in 4 s") from None
        await asyncio.sleep(0.005)
        if isinstance(found, Answer):
            return found
        return Answer(200, json.dumps(found).encode())

    async def connect(self, url: str, handler: Handler, *, timeout_s: float = 5.0) -> Socket:
        """Open a socket; the stream's shows a first quote at once."""
        await asyncio.sleep(0.01)
        if self.refuse_sockets:
            raise ConnectionRefusedError("refused")
        socket = Socket(self, url, handler)
        self.sockets.append(socket)
        if "/stream?" in url:
            asyncio.get_running_loop().call_later(0.01, socket.say, ticker())
        return socket

    async def aclose(self) -> None:
        """Nothing is kept."""
        self.closed = True

    def heard(self, socket: Socket, text: bytes) -> None:
        """One request of the WebSocket API."""
        message = json.loads(text)
        self.sent.append(message)
        reply = self.api.get(message["method"])
        if reply is None:
            return
        answer: dict[str, Any] = {"id": message["id"], "status": 200}
        try:
            answer["result"] = reply(message.get("params", {}))
        except RefuseError as error:
            answer |= {"status": error.status, "error": error.body}
        except CutError:
            return
        socket.say(answer)

    @property
    def account(self) -> Socket:
        """The last socket of the WebSocket API."""
        return next(s for s in reversed(self.sockets) if "/ws-api" in s.url)

    @property
    def stream(self) -> Socket:
        """The last socket of the market stream."""
        return next(s for s in reversed(self.sockets) if "/stream?" in s.url)

    def event(self, event: Mapping[str, Any]) -> None:
        """Tell of our account."""
        self.account.say({"subscriptionId": 0, "event": event})

    def methods(self) -> list[str]:
        """What was sent over the WebSocket API but for signs of life."""
        lives = ("ping", "session.subscriptions")
        return [message["method"] for message in self.sent if message["method"] not in lives]


def ticker() -> dict[str, Any]:
    """A quote on the stream."""
    return {
        "stream": "btcusdt@bookTicker",
        "data": {"u": 5, "s": "BTCUSDT", "b": "49999.00", "B": "1.0", "a": "50001.00", "A": "1.0"},
    }


class World:
    """The adapter with its fake venue, in virtual time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.loop = VirtualLoop(1)
        monkeypatch.setattr(clock, "now_ns", lambda: EPOCH_NS + int(self.loop.time() * 1e9))
        monkeypatch.setattr(clock, "boot_s", lambda: 1.0 + self.loop.time())
        self.fake = Fake()
        self.events: list[Event] = []
        self.market: list[Event] = []
        given = {"symbols": ("BTCUSDT",), "key": Secret("KEY"), "secret": Secret("s" * 64)}
        self.settings = Binance(**{**given, **settings})
        self.error: BaseException | None = None
        self.start(self.events.append)

    def start(self, take: Callable[[Event], None]) -> None:
        """Begin a process with a new adapter."""
        self.venue = BinanceVenue(self.settings, self.fake, take, self.market.append)
        self.process = Process("p")
        self.loop.spawn(self.process, self._run)

    async def _run(self) -> None:
        try:
            with anyio.CancelScope() as self.scope:
                await self.venue.run()
        except Exception as error:
            self.error = error

    def go(self, seconds: float = 1.0) -> "World":
        """Let time pass."""
        self.loop.run_until(lambda: False, self.loop.time() + seconds)
        assert self.loop.unhandled == []
        return self

    def do(self, call: Callable[..., Any], *args: Any) -> None:
        """Call something on the loop, and let a moment pass."""
        self.loop.call_soon(call, *args)
        self.go(0.05)

    def ask(self, *asked: ClientOrderId) -> Any:
        """What `account` answers, or the error that it raises."""
        found: list[Any] = []

        async def ask() -> None:
            try:
                found.append(await self.venue.account(asked))
            except Exception as error:
                found.append(error)

        self.loop.spawn(Process("q"), ask)
        self.go(2.0)
        return found[0]

    def submit(self, command: Approved) -> None:
        """Send an order."""
        self.do(lambda: self.venue.submit(command, clock.now_ns()))

    def cancel(self, number: int) -> None:
        """Send a cancel."""
        self.do(lambda: self.venue.cancel(cancel(number), clock.now_ns()))

    def since(self) -> list[Event]:
        """The account events since the last call."""
        found, self.events[:] = list(self.events), []
        return found


IOC, FOK, GTC = TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTC
