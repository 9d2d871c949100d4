"""The simulated exchange behind a socket: one market, many accounts, and the faults it is told.

The exchange takes each market event before the clients see it. Reports go to every connection of
their account; an account without one finds them in the answer to its next question.
"""

import asyncio
from collections.abc import Iterable
from typing import TypeVar, cast

import anyio
import msgspec
import structlog

from betatrader.model.account import CancelRejected, OrderEvent, OrderRejected, VenueAccount
from betatrader.model.command import CancelOrder, SubmitOrder
from betatrader.model.ids import StrategyId
from betatrader.model.market import BookSnapshot, InstrumentListed, Resolution
from betatrader.ops import clock
from betatrader.sim.exchange import SimulatedExchange
from betatrader.sim.faults import CANCELS, LIMITED, ORDERS, QUERIES, SILENT, FaultyLink
from betatrader.sim.transit import NEVER
from betatrader.venues.link import wire

MOST_UNREAD = 8 << 20
"""Bytes that may wait for a client: one that reads no more is cut off."""

UNDER_WAY_NS = 3_000_000_000
YIELD_EVERY = 200
LONGEST_WAIT_S = 3600.0
NEW_NS = 2_000_000_000
"""Orders of so late are what a forgetful answer does not know."""

MOST_NEW = 10_000

NOBODY = StrategyId("")

PARTS: dict[type, str] = {wire.Place: ORDERS, wire.Withdraw: CANCELS, wire.AskAccount: QUERIES}
"""Which part of the venue a request goes to. The judge's question is always answered."""

DOWN = "this part of the venue is out of order"
Timed = TypeVar("Timed", wire.Shown, wire.Told)


class LinkServer:
    """Serves one exchange. `cash` is what a new account is given."""

    def __init__(self, exchange: SimulatedExchange, cash: int, faults: FaultyLink) -> None:
        self.exchange = exchange
        self.faults = faults
        self.clients: dict[_Client, None] = {}  # in the order in which they came
        self._cash = cash
        self._wake = asyncio.Event()
        self._taken_ns: dict[str, int] = {}
        self._log = structlog.get_logger()

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Accept connections; port 0 takes a free one."""
        return await asyncio.get_running_loop().create_server(lambda: _Client(self), host, port)

    def close(self) -> None:
        """Cut all clients off."""
        for client in self.clients:
            client.cut()

    async def run(self, market: Iterable[object]) -> None:
        """Play a market to the exchange and to all clients; returns where it ends."""
        in_a_row = 0
        for event in market:
            wait_s = (event.time_ns - clock.now_ns()) / 1e9  # type: ignore[attr-defined]
            in_a_row = in_a_row + 1 if wait_s <= 0 else 0
            if wait_s > 0 or in_a_row % YIELD_EVERY == 0:
                await anyio.sleep(max(0.0, wait_s))
            self._deliver(event.time_ns)  # type: ignore[attr-defined]
            self.exchange.on_market(event)
            data = wire.framed(self._by_its_clock(wire.Shown(event)))  # type: ignore[arg-type]
            for client in self.clients:
                client.send(data)
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
            for owner, report in self.exchange.deliver(now_ns):
                self.tell(owner, report)

    def tell(self, owner: str, report: OrderEvent) -> None:
        """A report to all connections of its account, as faithfully as the faults let it."""
        data = wire.framed(self._by_its_clock(wire.Told(report)))  # type: ignore[arg-type]
        for client in self.clients:
            if client.account == owner:
                self.send_faultily(client, data)

    def send_faultily(self, client: "_Client", data: bytes) -> None:
        """Send it now, late, twice, or not at all."""
        for delay_s in self.faults.deliveries():
            if delay_s:
                asyncio.get_running_loop().call_later(delay_s, client.send, data)
            else:
                client.send(data)

    def open_account(self, account: str) -> None:
        """Give a new account its cash."""
        if account not in self.exchange.ledgers or not self.exchange.ledgers[account].deposits:
            self.exchange.deposit(self._cash, account)

    def take(self, client: "_Client", request: wire.Request) -> None:
        """One message of a client."""
        now, account = clock.now_ns(), client.account
        part = PARTS.get(type(request), "")
        if part and (trouble := self.faults.meets(part)):
            if trouble != SILENT:
                self._fail(client, request, "too many requests" if trouble == LIMITED else DOWN)
            return
        match request:
            case wire.Hello():
                client.account = request.account
                self.open_account(request.account)
                client.greet([self._shown(answer) for answer in self._present(now)])
            case wire.Place():
                self._taken_ns[request.order] = now
                if len(self._taken_ns) > MOST_NEW:
                    del self._taken_ns[next(iter(self._taken_ns))]
                command = SubmitOrder(request.order, NOBODY, request.terms)
                self.exchange.submit(command, now, account)
                self.send_faultily(client, wire.framed(wire.Received(request.number)))
            case wire.Withdraw():
                command_ = CancelOrder(request.order, request.instrument)
                self.exchange.cancel(command_, now, account)
            case wire.AskAccount():
                found = self.exchange.account(request.orders, account)
                if self.faults.forgets():
                    found = self._without_the_newest(found, now)
                found = self._stated(found)
                client.send(wire.framed(wire.AccountIs(request.number, found)))
            case wire.AskLedger():
                ledger = self.exchange.ledgers[account]
                resting = tuple(sorted(self.exchange.resting(account)))
                client.send(wire.framed(wire.LedgerIs(request.number, ledger, resting)))  # type: ignore[arg-type]
        self._wake.set()

    def _fail(self, client: "_Client", request: wire.Request, reason: str) -> None:
        """Nothing is done, and it says so."""
        now, account = clock.now_ns(), client.account
        match request:
            case wire.Place():
                self.tell(account, OrderRejected(now, request.order, reason))
            case wire.Withdraw():
                self.tell(account, CancelRejected(now, request.order, reason))
            case wire.AskAccount():
                client.send(wire.framed(wire.Failed(request.number, reason)))

    def _shown(self, answer: wire.Answer) -> wire.Answer:
        return self._by_its_clock(answer) if isinstance(answer, wire.Shown) else answer

    def _by_its_clock(self, message: Timed) -> Timed:
        """A message whose time is that of the venue's own clock."""
        ahead_ns = self.faults.ahead_ns
        if not ahead_ns:
            return message
        kind, [inner] = type(message), msgspec.structs.astuple(message)
        return kind(msgspec.structs.replace(inner, time_ns=inner.time_ns + ahead_ns))

    def _stated(self, account: VenueAccount) -> VenueAccount:
        """The same for an answer: its fills happened by the venue's clock."""
        ahead_ns = self.faults.ahead_ns
        if not ahead_ns:
            return account
        replace = msgspec.structs.replace
        fills = tuple(replace(fill, time_ns=fill.time_ns + ahead_ns) for fill in account.fills)
        return replace(account, fills=fills)

    def _without_the_newest(self, found: VenueAccount, now_ns: int) -> VenueAccount:
        """As a venue answers whose orders show only after a while."""
        new = {order for order, taken in self._taken_ns.items() if now_ns - taken < NEW_NS}
        orders = {name: order for name, order in found.orders.items() if name not in new}
        fills = tuple(fill for fill in found.fills if fill.order not in new)
        return msgspec.structs.replace(found, orders=orders, fills=fills)

    def _present(self, now_ns: int) -> list[wire.Answer]:
        """What a client must know of the market that is under way."""
        shown: list[wire.Answer] = [wire.Welcome("SIM", UNDER_WAY_NS)]
        for name, pool in self.exchange.pools.items():
            shown.append(wire.Shown(InstrumentListed(now_ns, pool.definition)))
            if pool.ended:
                shown.append(wire.Shown(Resolution(now_ns, name, pool.payout)))
                continue
            book = pool.book
            bids = tuple((price, book.bids[price]) for price in reversed(book.bid_prices))
            asks = tuple((price, book.asks[price]) for price in book.ask_prices)
            shown.append(wire.Shown(BookSnapshot(now_ns, name, bids, asks, book.update_id)))
            if pool.quote is not None:
                shown.append(wire.Shown(pool.quote))
        return shown


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: LinkServer) -> None:
        self.account = ""
        self._server = server
        self._frames = wire.Frames()
        self._transport: asyncio.Transport | None = None
        self._greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not one by class
        self._server.clients[self] = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._server.clients.pop(self, None)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._frames.feed(data):
                self._server.take(self, wire.decode_request(payload))
        except (ValueError, msgspec.DecodeError) as error:
            self._server._log.warning("client_speaks_nonsense", error=str(error))
            self.cut()

    def greet(self, answers: list[wire.Answer]) -> None:
        """The welcome, and the market as it stands; what happens from now on follows."""
        self._greeted = True
        self.send(b"".join(wire.framed(answer) for answer in answers))

    def cut(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def send(self, data: bytes) -> None:
        """To a client that has said who it is, as long as it reads."""
        if self._transport is None or not self._greeted:
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MOST_UNREAD:
            self._transport.abort()
