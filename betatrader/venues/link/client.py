"""The reference venue as the trader sees it: orders leave synchronously, answers come as events.

A request that is not answered in time, or whose connection breaks, leaves its order in doubt: it is
never sent again, and the venue is asked what became of it. While the venue is away no order passes
(`VenueConnection`), and after it is back the books are compared first.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

import anyio
import msgspec
import structlog

from betatrader.model.account import (
    CancelRejected,
    OrderRejected,
    VenueAccount,
    VenueConnection,
)
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.event import Event, MarketInput
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.market import InstrumentListed, Resolution
from betatrader.model.order import Order
from betatrader.ops import clock
from betatrader.sim.ledger import Ledger
from betatrader.venues.in_flight import InFlight
from betatrader.venues.link import wire

ANSWER_S = 2.0
LOOK_S = 0.1
CONNECT_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
MOST_UNSENT = 1 << 20
"""Bytes that may wait in the socket: a venue that reads no more is away."""

Take = Callable[[Event], None]


class LinkVenue:
    """A connection that is made again when it breaks. `take` gets reports, `market` the market."""

    name = "SIM"

    def __init__(self, host: str, port: int, account: str, take: Take, market: Take) -> None:
        self.under_way_ns = int(ANSWER_S * 1e9)
        self.address = (host, port)
        self._account = account
        self._take = take
        self._market = market
        self._log = structlog.get_logger()
        self._transport: asyncio.Transport | None = None
        self._in_flight = InFlight(take, ANSWER_S)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._lost = anyio.Event()
        self.connected = False
        self.changed = anyio.Event()
        """Set, and renewed, where the connection begins or ends."""
        self.trouble = "nobody answers"
        """Why it is not reached, as far as is known."""
        self._greeted = False
        self._listed: set[InstrumentId] = set()
        self._unlisted: set[InstrumentId] = set()
        """What was spoken of nevertheless: told once a connection."""

    # Requests.

    def submit(self, command: Approved, now_ns: int) -> None:
        """Send an order; where there is no connection it has not left, and is refused."""
        if self._transport is None:
            self._take(OrderRejected(now_ns, command.order, "not sent: the venue is away"))
            return
        number = self._in_flight.begin(command.order)
        self._send(wire.Place(number, command.order, command.terms))

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        """Send a cancel."""
        if self._transport is None:
            self._take(CancelRejected(now_ns, command.order, "not sent: the venue is away"))
            return
        self._send(wire.Withdraw(self._in_flight.begin(), command.order, command.instrument))

    def remember(self, orders: Iterable[Order]) -> None:
        """Nothing to remember: orders are known here by our ids."""

    async def account(self, orders: tuple[ClientOrderId, ...]) -> VenueAccount:
        """Ask for the account; raises TimeoutError, or OSError where it is away."""
        answer: VenueAccount = (await self._ask(lambda n: wire.AskAccount(n, orders))).account
        now_ns = clock.now_ns()  # its clock is not ours: fills count from when we hear of them
        fills = tuple(msgspec.structs.replace(fill, time_ns=now_ns) for fill in answer.fills)
        return msgspec.structs.replace(answer, fills=fills)

    async def ledger(self) -> tuple[Ledger, set[str]]:
        """The venue's own books, and the ids of what rests; raises as `account` does."""
        answer = await self._ask(wire.AskLedger)
        return answer.ledger, set(answer.resting)

    @property
    def busy(self) -> bool:
        """Whether an order was sent and not answered yet."""
        return bool(self._in_flight)

    async def _ask(self, make: Callable[[int], wire.Request]) -> Any:
        if self._transport is None:
            raise ConnectionError("the venue is away")
        number = self._in_flight.begin()
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        self._send(make(number))
        try:
            async with asyncio.timeout(ANSWER_S):
                return await future
        finally:
            del self._asked[number]

    def _send(self, request: wire.Request) -> None:
        transport = self._transport
        if transport is None:
            return
        transport.write(wire.framed(request))
        if transport.get_write_buffer_size() > MOST_UNSENT:
            transport.abort()

    # The connection.

    async def run(self) -> None:
        """Stay connected until cancelled."""
        try:
            await self._stay_connected()
        finally:
            if self._transport is not None:
                self._transport.abort()

    async def _stay_connected(self) -> None:
        pause_s = FIRST_PAUSE_S
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch_answers)
            while True:
                self._greeted = False
                try:
                    with anyio.fail_after(CONNECT_S):
                        await self._connect()
                    await self._lost.wait()
                except (OSError, TimeoutError) as error:
                    self._log.warning("venue_away", venue=self.name, error=str(error))
                if self._greeted:
                    pause_s = FIRST_PAUSE_S
                    continue
                await anyio.sleep(pause_s)  # one that hangs up before its welcome is away, too
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _connect(self) -> None:
        self._lost = anyio.Event()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _Wire(self), *self.address)

    async def _watch_answers(self) -> None:
        while True:
            await anyio.sleep(LOOK_S)
            self._in_flight.doubt_late()

    def opened(self, transport: asyncio.Transport) -> None:
        """The socket stands: say who we are. The venue's welcome makes it a connection."""
        self._transport = transport
        self._send(wire.Hello(self._account))

    def _turn(self, *, connected: bool) -> None:
        self.connected = connected
        self.changed.set()
        self.changed = anyio.Event()

    def disconnected(self, reason: str) -> None:
        """All that was not answered is in doubt."""
        self._transport = None
        self._turn(connected=False)
        self._log.warning("venue_lost", venue=self.name, reason=reason)
        self._take(VenueConnection(clock.now_ns(), self.name, False, reason))
        self._in_flight.doubt_all(f"the connection broke: {reason}")
        for future in self._asked.values():
            if not future.done():
                future.set_exception(ConnectionError(reason))
        self._lost.set()

    def take(self, answer: wire.Answer) -> None:
        """One message of the venue. Its clock is not ours: what it says is stamped as it comes."""
        match answer:
            case wire.Shown(event=event):
                if self._knows(event):
                    self._market(msgspec.structs.replace(event, time_ns=clock.now_ns()))
            case wire.Told(report=report):
                self._in_flight.reported(report.order)
                self._take(msgspec.structs.replace(report, time_ns=clock.now_ns()))
            case wire.Received(number=number):
                self._in_flight.answered(number)
            case wire.Welcome():
                self.name, self.under_way_ns = answer.name, answer.under_way_ns
                self._greeted = True
                self._listed.clear()  # all that is listed follows
                self._unlisted.clear()
                self._log.info("venue_reached", venue=self.name)
                self._turn(connected=True)
                self._take(VenueConnection(clock.now_ns(), self.name, True))
            case wire.AccountIs(number=number) | wire.LedgerIs(number=number):
                future = self._asked.get(number)
                if future is not None and not future.done():
                    future.set_result(answer)
            case wire.Failed(number=number, reason=reason):
                future = self._asked.get(number)
                if future is not None and not future.done():
                    future.set_exception(ConnectionError(f"not answered: {reason}"))

    def _knows(self, event: MarketInput) -> bool:
        """News of what was never listed is left out: the engine has no place for it."""
        if isinstance(event, InstrumentListed):
            self._listed.add(event.definition.id)
            return True
        if event.instrument not in self._listed:
            if event.instrument not in self._unlisted:
                self._log.warning("unlisted_instrument", instrument=event.instrument)
                self._unlisted.add(event.instrument)
            return False
        if isinstance(event, Resolution):
            self._listed.discard(event.instrument)
        return True


class _Wire(asyncio.Protocol):
    """Bytes of one connection to messages."""

    def __init__(self, venue: LinkVenue) -> None:
        self._venue = venue
        self._frames = wire.Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not one by class
        self._venue.opened(self._transport)

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._frames.feed(data):
                self._venue.take(wire.decode_answer(payload))
        except (ValueError, msgspec.DecodeError) as error:
            self._venue._log.error("venue_speaks_nonsense", error=str(error))
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._venue.disconnected(str(exc or "closed by the venue"))
