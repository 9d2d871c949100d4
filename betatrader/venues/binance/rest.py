"""Binance's REST API: questions with their weight, and answers by what they mean for us.

Questions alone: an order goes over the WebSocket API. Each is sent once, with a timeout.
"""

from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from betatrader.model.secret import Secret
from betatrader.net.transport import Answer, NoAnswerError, NotSentError, Transport
from betatrader.ops import clock
from betatrader.venues.binance import orders, rules, sign, wire
from betatrader.venues.binance.limits import Limits, VenueClock
from betatrader.venues.binance.orders import AccountInfo, Error, KeyRights, MyTrade, OrderInfo

T = TypeVar("T")

ANSWER_S = 4.0
"""For one question; the books are to be stated within 5 s."""

BAN_S = 60.0
"""Where the venue says stop, and not for how long."""

FOR_PLAY = ("testnet.binance.vision", "demo-api.binance.com")
"""Hosts of the venue's own with play money: they need not say what a key may do."""

DEPTH = 1_000
TRADES = 1_000
"""As many as the venue answers at once."""


class RefusalError(ConnectionError):
    """The venue refused: its code, and its own words."""

    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(f"refused by the venue: {text} ({code}, HTTP {status})")
        self.code = code
        self.text = text


class UnclearError(ConnectionError):
    """The venue's answer says neither yes nor no."""


def reading(answer: Answer) -> bytes:
    """The body of a good answer; raises RefusalError or UnclearError for any other. Pure."""
    body = answer.body.strip()
    if answer.status < 300 and body[:1] in (b"{", b"["):
        return body
    try:
        error = msgspec.json.decode(body, type=Error)
    except wire.UNREADABLE:
        kind = "an HTML page" if body[:1] == b"<" else "no JSON"
        raise UnclearError(f"the venue answered HTTP {answer.status} with {kind}") from None
    if answer.status < 300 or orders.is_unclear(answer.status, error.code):
        text = f"{error.msg} ({error.code}, HTTP {answer.status})"
        raise UnclearError(f"the venue does not know: {text}")
    raise RefusalError(answer.status, error.code, error.msg)


def rest_s(answer: Answer) -> float:
    """For how many seconds nothing may be sent after this answer, 0 where it does not say stop."""
    if answer.status not in (418, 429):
        return 0.0
    stated = answer.headers.get("retry-after", "")
    return float(stated) if stated.isdigit() else BAN_S


class Rest:
    """Asks one venue; every question raises ConnectionError where it has no good answer: it was
    not sent (NotSentError, also by our own rate limit), refused (RefusalError), or unclear."""

    def __init__(
        self,
        transport: Transport,
        address: str,
        key: Secret,
        signer: sign.Signer,
        recv_window_ms: int,
    ) -> None:
        self.clock = VenueClock()
        self.limits = Limits(self.clock.now_ms)
        self.tells_rights = urlsplit(address).hostname not in FOR_PLAY
        """Whether it says what a key may do."""
        self._transport = transport
        self._address = address.rstrip("/")
        self._key = key
        self._signer = signer
        self._window_ms = recv_window_ms

    # Public questions.

    async def measure_clock(self) -> None:
        """Ask for the venue's time, and keep by how much ours is off."""
        sent_ns = clock.now_ns()
        found = await self._public("/api/v3/time", {}, 1, orders.ServerTime)
        self.clock.measured(sent_ns, clock.now_ns(), found.server_time)

    async def exchange_info(self, symbols: tuple[str, ...]) -> rules.ExchangeInfo:
        """The rules of these symbols; the limits that it states are kept from then on."""
        listed = msgspec.json.encode(symbols).decode()
        found = await self._public(
            "/api/v3/exchangeInfo", {"symbols": listed}, 20, rules.ExchangeInfo
        )
        self.limits.learn(found.rate_limits)
        return found

    async def depth(self, symbol: str) -> wire.Snapshot:
        """The book, 1,000 levels deep."""
        given: dict[str, sign.Value] = {"symbol": symbol, "limit": DEPTH}
        return await self._public("/api/v3/depth", given, 50, wire.Snapshot)

    # Questions about our account.

    async def account(self) -> AccountInfo:
        """Balances of every asset that is not 0."""
        given: dict[str, sign.Value] = {"omitZeroBalances": "true"}
        return await self._signed("/api/v3/account", given, 20, AccountInfo)

    async def commission(self, symbol: str) -> rules.Commission:
        """What we pay on a symbol."""
        return await self._signed(
            "/api/v3/account/commission", {"symbol": symbol}, 20, rules.Commission
        )

    async def key_rights(self) -> KeyRights:
        """What the key may do besides trading."""
        return await self._signed("/sapi/v1/account/apiRestrictions", {}, 1, KeyRights)

    async def open_orders(self, symbol: str) -> list[OrderInfo]:
        """What works on a symbol."""
        return await self._signed("/api/v3/openOrders", {"symbol": symbol}, 6, list[OrderInfo])

    async def order(
        self, symbol: str, *, client_id: str = "", order_id: int = 0
    ) -> OrderInfo | None:
        """One order by its client id, or by the venue's; None where the venue knows none."""
        given: dict[str, sign.Value] = {"symbol": symbol}
        if order_id:
            given["orderId"] = order_id
        else:
            given["origClientOrderId"] = client_id
        try:
            return await self._signed("/api/v3/order", given, 4, OrderInfo)
        except RefusalError as error:
            if error.code != orders.NO_SUCH_ORDER:
                raise
            return None

    async def orders_from(self, symbol: str, order_id: int) -> list[OrderInfo]:
        """Orders of a symbol from this one of the venue's ids on, 1,000 at most."""
        given: dict[str, sign.Value] = {"symbol": symbol, "orderId": order_id, "limit": TRADES}
        return await self._signed("/api/v3/allOrders", given, 20, list[OrderInfo])

    async def trades_of(self, symbol: str, order_id: int) -> list[MyTrade]:
        """The executions of one order, by the venue's id."""
        given: dict[str, sign.Value] = {"symbol": symbol, "orderId": order_id}
        return await self._signed("/api/v3/myTrades", given, 5, list[MyTrade])

    async def trades_since(self, symbol: str, since_ms: int) -> list[MyTrade]:
        """All our executions on a symbol since a moment of the venue's clock."""
        given: dict[str, sign.Value] = {"symbol": symbol, "startTime": since_ms, "limit": TRADES}
        found = await self._signed("/api/v3/myTrades", given, 20, list[MyTrade])
        last = found
        while len(last) == TRADES:
            given = {"symbol": symbol, "fromId": last[-1].id + 1, "limit": TRADES}
            last = await self._signed("/api/v3/myTrades", given, 20, list[MyTrade])
            found += last
        return found

    # The wire.

    async def _public(
        self, path: str, given: dict[str, sign.Value], weight: int, kind: type[T]
    ) -> T:
        return await self._ask(f"{path}?{sign.query(given)}".rstrip("?"), weight, kind)

    async def _signed(
        self, path: str, given: dict[str, sign.Value], weight: int, kind: type[T]
    ) -> T:
        whole = {**given, "recvWindow": self._window_ms, "timestamp": self.clock.now_ms()}
        return await self._ask(f"{path}?{sign.signed_query(self._signer, whole)}", weight, kind)

    async def _ask(self, target: str, weight: int, kind: type[T]) -> T:
        if not self.limits.may_weigh(weight):
            raise NotSentError("not sent: our share of the venue's rate limit is used up")
        headers = {"X-MBX-APIKEY": self._key.reveal()} if self._key else {}
        answer = await self._transport.request(
            "GET", self._address + target, headers=headers, timeout_s=ANSWER_S
        )
        self.limits.answered(answer.headers)
        if rest := rest_s(answer):
            self.limits.close(rest)
        body = reading(answer)
        try:
            return msgspec.json.decode(body, type=kind)
        except wire.UNREADABLE as error:
            path = target.partition("?")[0]
            raise NoAnswerError(f"{path}: an answer that cannot be read: {error}") from error
