"""The venue's REST API: each question once, with a timeout, and its answer by what it means for us.

A refusal (the venue's own words) is told apart from an answer that leaves open what was done.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from betatrader.config.venues import Tier
from betatrader.model.secret import Secret
from betatrader.net.transport import Answer, NotSentError, Transport
from betatrader.ops import clock
from betatrader.venues.polymarket import headers, wire
from betatrader.venues.polymarket.amounts import BASE, MOST
from betatrader.venues.polymarket.eip712 import is_position_id
from betatrader.venues.polymarket.headers import Credentials
from betatrader.venues.polymarket.limits import Limits, VenueClock, retry_after_s
from betatrader.venues.polymarket.sign import Signer

T = TypeVar("T")
Odd = Callable[[str, Exception], None]
"""Hears of a row of a list that cannot be read: its beginning, and why."""

ROW_SHOWN = 80
DIGITS = 20
"""More are no number of the venue's."""

LATEST_S = 100_000_000_000

ANSWER_S = 4.0
"""For one question; the books are to be stated within 5 s."""

ORDER_S = 5.0
BATCH = 15
"""Orders in one request."""

PAGES = 20
"""Pages of one list: beyond it something is wrong with its cursor."""

PAGE = "an HTML page"
"""What stands before the venue has answered in its stead."""

MODES = ("post-only mode", "trading is currently", "trading is disabled")
"""A 503 of these words is a refusal: the engine was not asked."""

OPEN = ("context canceled", "order match delayed")
"""A 4xx of these words is no refusal: the venue's own call was cut off, or the order may match
yet."""


class RefusalError(ConnectionError):
    """The venue refused, in `text`, its own words; nothing came of the request."""

    def __init__(self, status: int, text: str, fault: wire.Fault | None = None) -> None:
        super().__init__(f"refused by the venue: {text} (HTTP {status})")
        self.status = status
        self.text = text
        self.fault = fault or wire.Fault()


class UnclearError(ConnectionError):
    """The answer says neither yes nor no."""


class UnreadableError(UnclearError):
    """The venue has answered, and not in a shape that is known."""


def leaves_open(text: str) -> bool:
    """Whether these words of the venue, though an error, do not say that nothing was done. Pure."""
    return any(words in text.lower() for words in OPEN)


def reading(answer: Answer) -> bytes:
    """The body of a good answer; raises RefusalError or UnclearError for any other. Pure."""
    body, status = answer.body.strip(), answer.status
    if status < 300 and body[:1] not in (b"", b"<"):
        return body
    fault = wire.Fault()
    try:
        fault = msgspec.json.decode(body, type=wire.Fault)
        text = fault.error or fault.error_msg or "no reason was given"
    except wire.UNREADABLE:
        text = f"{PAGE if body[:1] == b'<' else 'no JSON'} with status {status}"
    known = any(text.lower().startswith(mode) for mode in MODES) or fault.code == "post_only_mode"
    refused = 400 <= status < 500 and status != 408 and not leaves_open(text)
    if refused or (status == 503 and known):
        raise RefusalError(status, text, fault)
    raise UnclearError(f"the venue does not say what it did: {text} (HTTP {status})")


class Rest:
    """Asks one venue; every question raises ConnectionError where it has no good answer: it was
    not sent (NotSentError, also by our own rate limit), refused (RefusalError), or unclear."""

    def __init__(
        self,
        transport: Transport,
        address: str,
        signer: Signer | None,
        keys: Credentials | None,
        *,
        tier: Tier = "standard",
    ) -> None:
        """Without a signer, only public questions."""
        self.limits = Limits(tier)
        self.clock = VenueClock()
        self.keys = keys
        self._transport = transport
        self._address = address.rstrip("/")
        self._given = signer

    @property
    def _signer(self) -> Signer:
        if self._given is None:
            raise NotSentError("not sent: no account is set")
        return self._given

    # Public questions.

    async def measure_clock(self) -> None:
        """Ask for the venue's time, and keep by how much ours is off."""
        sent_ns = clock.now_ns()
        body = await self._get("/time", {}, "other")
        if body.isdigit() and len(body) <= DIGITS:
            stated_s = int(body)
        else:
            found = _as(wire.ServerTime, body)
            stated_s = found.time or found.timestamp
        if not 0 <= stated_s < LATEST_S:
            raise UnclearError("/time: no time that can be")
        self.clock.measured(sent_ns, clock.now_ns(), stated_s)

    async def parameters(self, condition: str) -> wire.Parameters:
        """A market's compact parameters: tokens, tick, minimum size, fees."""
        return _as(wire.Parameters, await self._get(f"/clob-markets/{condition}", {}, "other"))

    async def market(self, condition: str) -> wire.Market:
        """A market: its end, and whether it takes orders."""
        return _as(wire.Market, await self._get(f"/markets/{condition}", {}, "other"))

    async def market_of(self, token: str) -> bytes:
        """Which market a token is of."""
        return await self._get(f"/markets-by-token/{token}", {}, "other")

    async def book(self, token: str) -> wire.Book:
        """A token's book."""
        return _as(wire.Book, await self._get("/book", {"token_id": token}, "book"))

    async def tick_size(self, token: str) -> wire.TickSize:
        """A token's tick."""
        return _as(wire.TickSize, await self._get("/tick-size", {"token_id": token}, "tick"))

    async def neg_risk(self, token: str) -> bool:
        """Whether a token's orders go to the neg-risk exchange."""
        found = _as(wire.NegRisk, await self._get("/neg-risk", {"token_id": token}, "tick"))
        return found.neg_risk

    # Questions about our account.

    async def key_of_account(self) -> Credentials:
        """The account's API key: made, or derived where it has one already. It is used from then
        on."""
        try:
            body = await self._l1("POST", "/auth/api-key")
        except RefusalError as error:
            if error.status != 400:
                raise
            body = await self._l1("GET", "/auth/derive-api-key")
        found = _as(wire.ApiKey, body)
        secret = Secret
        self.keys = Credentials(
            secret(found.api_key), secret(found.secret), secret(found.passphrase)
        )
        return self.keys

    async def closed_only(self) -> bool:
        """Whether the account may only close what it holds."""
        body = await self._signed("GET", "/auth/ban-status/closed-only", "auth")
        return _as(wire.ClosedOnly, body).closed_only

    async def open_orders(self, odd: Odd | None = None) -> list[wire.OpenOrder]:
        """All orders that rest; `odd` as of `trades`."""
        return _rows(wire.OpenOrder, await self._list("/data/orders", {}), odd)

    async def order(self, order_id: str) -> wire.OpenOrder | None:
        """One order, also one that has ended; None where the venue itself says that it knows none:
        a page that stands before it knows nothing of orders."""
        try:
            body = await self._signed("GET", f"/data/order/{order_id}", "orders")
        except RefusalError as error:
            if error.status != 404:
                raise
            if not (error.fault.error or error.fault.error_msg):
                raise UnclearError(f"/data/order: no word of the venue's: {error}") from error
            return None
        return None if body == b"null" else _as(wire.OpenOrder, body)

    async def trades(self, after_s: int, odd: Odd | None = None) -> list[wire.Trade]:
        """Our trades since a moment, in seconds of the venue's clock. A row that cannot be read is
        told to `odd` and left out; without `odd` it makes the answer none."""
        found = await self._list("/data/trades", {"after": str(after_s)})
        return _rows(wire.Trade, found, odd)

    async def balance(self, token: str = "") -> int:
        """What the wallet holds of a token, or of pUSD, in base units of 10^-6."""
        query = self._of_asset(token)
        body = await self._signed("GET", "/balance-allowance", "balance", query=query)
        text = _as(wire.Balance, body).balance
        if not text.isdecimal() or len(text) > DIGITS or int(text) * BASE > MOST:
            raise UnclearError("/balance-allowance: the balance is no whole number that can be")
        return int(text)

    @property
    def signer(self) -> Signer:
        """The account that asks; raises NotSentError where none is set."""
        return self._signer

    async def holding(self, signature_type: int, token: str = "") -> wire.Balance:
        """What the account's wallet of this kind holds of an asset, and how much of that each of
        the venue's contracts may take."""
        query = {**self._of_asset(token), "signature_type": str(signature_type)}
        body = await self._signed("GET", "/balance-allowance", "balance", query=query)
        return _as(wire.Balance, body)

    async def refresh_balance(self, token: str = "") -> None:
        """Let the venue look at the chain again for what the wallet holds of an asset."""
        query = self._of_asset(token)
        await self._signed("GET", "/balance-allowance/update", "balance", query=query)

    def _of_asset(self, token: str) -> dict[str, str]:
        kind = {"asset_type": "COLLATERAL"}
        if token:
            newer = is_position_id(int(token))
            name = "CONDITIONAL-V2" if newer else "CONDITIONAL"
            kind = {"asset_type": name, "token_id": token}
        return {**kind, "signature_type": str(self._signer.signature_type)}

    # What changes something. The limits of orders and cancels are asked by the caller.

    async def place(self, body: str) -> wire.Placed:
        """Send one order."""
        answer = await self._signed("POST", "/order", "", body, timeout_s=ORDER_S)
        return _as(wire.Placed, answer)

    async def place_many(self, bodies: list[str]) -> list[wire.Placed | None]:
        """Send up to 15 orders in one request; each has an answer of its own, in their order,
        unless one is absent."""
        self._count("order-many")
        text = "[" + ",".join(bodies) + "]"
        answer = await self._signed("POST", "/orders", "", text, timeout_s=ORDER_S)
        return _as(list[wire.Placed | None], answer)

    async def cancel(self, order_id: str) -> wire.Canceled:
        """Take one order off the book."""
        body = f'{{"orderID":"{order_id}"}}'
        answer = await self._signed("DELETE", "/order", "", body, timeout_s=ORDER_S)
        return _as(wire.Canceled, answer)

    async def cancel_many(self, order_ids: list[str]) -> wire.Canceled:
        """Take several orders off the book in one request."""
        body = msgspec.json.encode(order_ids).decode()
        answer = await self._signed("DELETE", "/orders", "", body, timeout_s=ORDER_S)
        return _as(wire.Canceled, answer)

    async def cancel_all(self) -> wire.Canceled:
        """Take everything of this API key off the book."""
        return _as(wire.Canceled, await self._signed("DELETE", "/cancel-all", "cancel-all"))

    async def heartbeat(self, heartbeat_id: str) -> str:
        """Keep the dead-man switch from falling; the id to send next. A refusal may carry it."""
        body = msgspec.json.encode({"heartbeat_id": heartbeat_id}).decode()
        answer = await self._signed("POST", "/v1/heartbeats", "other", body)
        return _as(wire.HeartbeatAnswer, answer).heartbeat_id

    # The wire.

    async def _list(self, path: str, query: Mapping[str, str]) -> list[msgspec.Raw]:
        found: list[msgspec.Raw] = []
        cursor = ""
        for _ in range(PAGES):
            whole = {**query, "next_cursor": cursor} if cursor else dict(query)
            page = _as(wire.Page, await self._signed("GET", path, "ledger", query=whole))
            found += page.data or []
            cursor = page.next_cursor
            if cursor in ("", wire.LAST_CURSOR):
                return found
        raise UnclearError(f"{path}: more than {PAGES} pages")

    async def _get(self, path: str, query: Mapping[str, str], kind: str) -> bytes:
        return await self._ask("GET", path, kind, query=query)

    async def _l1(self, method: str, path: str) -> bytes:
        made = headers.l1(self._signer, self.clock.now_s())
        return await self._ask(method, path, "auth", proof=made)

    async def _signed(
        self,
        method: str,
        path: str,
        kind: str,
        body: str = "",
        *,
        query: Mapping[str, str] | None = None,
        timeout_s: float = ANSWER_S,
    ) -> bytes:
        if self.keys is None:
            raise NotSentError("not sent: there is no API key yet")
        proof = self.keys.l2(self._signer.address, self.clock.now_s(), method, path, body)
        return await self._ask(
            method, path, kind, query=query, proof=proof, body=body, timeout_s=timeout_s
        )

    async def _ask(
        self,
        method: str,
        path: str,
        kind: str,
        *,
        query: Mapping[str, str] | None = None,
        proof: Mapping[str, str] | None = None,
        body: str = "",
        timeout_s: float = ANSWER_S,
    ) -> bytes:
        if kind:
            self._count(kind)
        target = f"{self._address}{path}"
        if query:
            target += "?" + urlencode(query)
        sent = dict(proof or {})
        if body:
            sent["Content-Type"] = "application/json"
        answer = await self._transport.request(
            method, target, headers=sent, body=body.encode(), timeout_s=timeout_s
        )
        counted = kind or ("cancel" if method == "DELETE" else "order")
        try:
            found = reading(answer)
        except RefusalError as error:
            self.limits.heed(counted, answer, error.fault.retry_after_seconds or 0.0)
            if not error.fault.retry_after_seconds:
                error.fault.retry_after_seconds = retry_after_s(answer.headers)
            raise
        self.limits.heed(counted, answer)
        return found

    def _count(self, kind: str) -> None:
        if not self.limits.take(kind):
            raise NotSentError("not sent: our share of the venue's rate limit is used up")


def _as(kind: type[T], body: bytes | msgspec.Raw) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except wire.UNREADABLE as error:
        text = f"an answer that cannot be read as {getattr(kind, '__name__', kind)}: {error}"
        raise UnreadableError(text) from error


def _rows(kind: type[T], rows: list[msgspec.Raw], odd: Odd | None) -> list[T]:
    found = []
    for raw in rows:
        try:
            found.append(_as(kind, raw))
        except UnreadableError as error:
            if odd is None:
                raise
            odd(bytes(raw)[:ROW_SHOWN].decode(errors="replace"), error)
    return found
