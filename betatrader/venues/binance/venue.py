"""Binance spot as the trader sees it: orders leave synchronously, answers come as events.

Orders and cancels go over the WebSocket API, reports come over the same connection, the market over
a stream of its own, and questions over REST. An order without a clear answer is in doubt: it is
never sent again, and the venue is asked what became of it.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

import anyio
import msgspec
import structlog

from betatrader.config.venues import Binance
from betatrader.model.account import (
    AccountEvent,
    CancelRejected,
    OrderRejected,
    VenueAccount,
    VenueConnection,
)
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.errors import ConfigurationError, UsageError
from betatrader.model.event import Event
from betatrader.model.ids import ClientOrderId
from betatrader.model.order import Order, OrderType, Side
from betatrader.net.transport import Transport
from betatrader.ops import clock
from betatrader.venues.binance import orders, sign
from betatrader.venues.binance.account import Executions
from betatrader.venues.binance.books import Books
from betatrader.venues.binance.connecting import Connecting
from betatrader.venues.binance.limits import API
from betatrader.venues.binance.listing import Listing
from betatrader.venues.binance.market import MarketStream
from betatrader.venues.binance.orders import OUT_OF_TIME, ExecutionReport, Frame
from betatrader.venues.binance.rest import BAN_S, RefusalError, Rest
from betatrader.venues.binance.session import Access, Session
from betatrader.venues.binance.wire import UNREADABLE, VENUE
from betatrader.venues.in_flight import InFlight
from betatrader.venues.pace import Breaker

ANSWER_S = 2.0
LOOK_S = 0.1
CLOSE_S = 1.0
ASKED_KEPT = 10_000
KEY_TRIES = 5
"""A key that was never let in is not tried more often."""

KEY_REMEDY = (
    "Check the key at the venue: its secret, rights and addresses (IP), and whether it has expired."
)
ORDERS_REST_S = 10.0
"""Without a new order where the venue says that there were too many, and not until when."""

CLOCK_MARGIN_MS = 1_000
"""The venue takes a timestamp that is this far ahead of its clock: an order may arrive that much
later than its window says."""

AWAY = "not sent: the venue is away"
UNTOLD = "not sent: the venue has not told yet what the key may do"
OVER_LIMIT = "not sent: it would go over the venue's rate limit"
DUPLICATE = "Duplicate order"

Take = Callable[[Event], None]


class Asked(NamedTuple):
    """What a request was about: the order to place, the one to cancel, or both; else a symbol."""

    place: ClientOrderId | None = None
    cancel: ClientOrderId | None = None


class BinanceVenue:
    """One account at Binance. `take` gets reports, `market` the market.

    Raises UsageError where the settings name no symbols, or keys that cannot be any.
    """

    name = VENUE

    def __init__(self, settings: Binance, transport: Transport, take: Take, market: Take) -> None:
        if not settings.symbols:
            raise UsageError("[binance] symbols names none: set it, as BTCUSDT, to trade there")
        key, signer = sign.checked_key(settings.key), sign.signer_of(settings.secret)
        window_ms = settings.recv_window_ms
        self.balances_lag_ns = (window_ms + CLOCK_MARGIN_MS) * 1_000_000
        self.under_way_ns = self.balances_lag_ns + settings.unseen_ms * 1_000_000
        self.connected = False
        self.changed = anyio.Event()
        """Set, and renewed, where the connection begins or ends."""
        self._take = take
        self._transport = transport
        self._log = structlog.get_logger()
        self.rest = Rest(transport, settings.rest, key, signer, window_ms)
        self._executions = Executions()
        self._books = Books(self.rest, self._executions)
        self._listing = Listing(settings.symbols, self.rest, self._executions, market)
        self._session = Session(
            Connecting(transport, self.rest.limits.connects[API]),
            settings.api,
            Access(key, signer, window_ms, self.rest.clock, self.rest.limits),
            self,
        )
        self._stream = MarketStream(transport, settings.stream, self.rest, market, self._turn)
        self._in_flight = InFlight(self._doubted, ANSWER_S)
        self._asked: dict[int, Asked] = {}
        self._breaker = Breaker()
        self._doubts = 0
        self._let_in = False
        self._refusals = 0
        self._denied = anyio.Event()

    # Requests.

    def submit(self, command: Approved, now_ns: int) -> None:
        """Send an order; where it cannot leave, or has no form here, it is refused. One that
        replaces another is placed only where that could be cancelled; where it cannot leave, the
        other is cancelled alone: it is not wanted where it stands."""
        name, old = command.order, command.replaces
        stops = command.terms.type is OrderType.STOP
        parameters, reason = self._formed(command)
        if reason:
            self._take(OrderRejected(now_ns, name, reason))
            if old and (stops or self._books.is_stop(old)):  # an old stop is better than none
                self._take(CancelRejected(now_ns, old, reason))
            elif old:
                self.cancel(CancelOrder(old, command.terms.instrument, reason), now_ns)
            return
        self._books.note(name, str(parameters["symbol"]), stops=stops)
        if old:
            parameters["cancelReplaceMode"] = "STOP_ON_FAILURE"
            parameters["cancelOrigClientOrderId"] = old
            self._send("order.cancelReplace", parameters, Asked(name, old))
        else:
            self._send("order.place", parameters, Asked(place=name))

    def _formed(self, command: Approved) -> tuple[dict[str, sign.Value], str]:
        """An order's parameters, and why it may not leave, or nothing."""
        stp = self._listing.stp(command.terms.instrument)
        try:
            parameters = orders.placing(command.order, command.terms, stp)
        except orders.UnmappableError as error:
            return {}, f"not sent: {error}"
        return parameters, self._held_back(command.terms.side)

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        """Send a cancel: it needs no permission of the breaker, and has a share of the rate limit
        for itself."""
        try:
            symbol = orders.symbol_of(command.instrument)
        except orders.UnmappableError as error:
            self._take(CancelRejected(now_ns, command.order, f"not sent: {error}"))
            return
        reason = self._cancel_held_back()
        if reason:
            self._take(CancelRejected(now_ns, command.order, reason))
            return
        parameters: dict[str, sign.Value] = {"symbol": symbol, "origClientOrderId": command.order}
        self._send("order.cancel", parameters, Asked(cancel=command.order))

    def cancel_all(self) -> bool:
        """Take everything off the book, other hands' orders on our symbols too; False where that
        cannot be sent."""
        for symbol in self._executions.spots:
            if self._cancel_held_back():
                return False
            self._send("openOrders.cancelAll", {"symbol": symbol}, Asked())
        return True

    def remember(self, orders: Iterable[Order]) -> None:
        """Note the symbols of earlier orders: the venue finds an order only by both."""
        for order in orders:
            symbol, _, venue = order.terms.instrument.rpartition(".")
            if venue == VENUE:
                stops = order.terms.type is OrderType.STOP
                self._books.note(order.id, symbol, stops=stops)

    async def account(self, orders: tuple[ClientOrderId, ...]) -> VenueAccount:
        """Ask for the account; raises OSError or TimeoutError where the venue does not answer."""
        try:
            return await self._books.look(orders)
        except RefusalError as error:
            if error.code == OUT_OF_TIME:
                self._listing.look_now()
            raise

    @property
    def busy(self) -> bool:
        """Whether an order was sent and not answered yet."""
        return bool(self._in_flight)

    @property
    def trouble(self) -> str:
        """Why it is not reached, in the venue's words where it has said any; "" while it is."""
        return self._session.trouble or self._listing.trouble or self._stream.trouble

    def _held_back(self, side: Side) -> str:
        """Why no order may leave now, or nothing. Sales need not wait for the key's rights."""
        if not self._session.is_ready:
            return AWAY
        if side is Side.BUY and self._listing.rights:
            return f"{UNTOLD}: {self._listing.rights}"
        rests_s = self._breaker.rests_s(clock.boot_s())
        if rests_s > 0:
            return f"not sent: the venue has failed too often, no new orders for {rests_s:.0f} s"
        return "" if self.rest.limits.may_order() else OVER_LIMIT

    def _cancel_held_back(self) -> str:
        if not self._session.is_ready:
            return AWAY
        return "" if self.rest.limits.may_weigh(1, last_reserve=True) else OVER_LIMIT

    def _send(self, method: str, parameters: dict[str, sign.Value], asked: Asked) -> None:
        number = self._in_flight.begin(asked.place)
        self._asked[number] = asked
        if len(self._asked) > ASKED_KEPT:
            del self._asked[next(iter(self._asked))]
        self._session.send(number, method, parameters)

    # What the session hears.

    def ready(self) -> None:
        """Orders can be sent, and their reports come."""
        self._let_in = True
        self._listing.look_now()
        self._turn("")

    def refused(self, code: int) -> None:
        """We are not let in. One that was, once, goes on trying: its key may be given back."""
        if code in orders.KEY_CODES and not self._let_in:
            self._refusals += 1
            if self._refusals == KEY_TRIES:
                self._denied.set()

    def lost(self, reason: str) -> None:
        """All that was not answered is in doubt."""
        self._turn(reason)
        self._asked.clear()
        if reason:
            self._listing.look_now()  # it may have been our clock
            why = f"the connection broke: {reason}"
            self._failed(lambda: self._in_flight.doubt_all(why), why)

    def reported(self, report: ExecutionReport) -> None:
        """A report on an order; repeated ones change nothing."""
        try:
            events = self._executions.report(clock.now_ns(), report)
        except ValueError as error:
            self._session.distrust(error)
            return
        for event in events:
            self._in_flight.reported(report.name)
            self._take(event)

    def answered(self, number: int, frame: Frame) -> None:
        """The answer to a request; a late one counts as well."""
        self.rest.limits.counted(frame.rate_limits)
        asked = self._asked.pop(number, None)
        if asked is None:
            return
        try:
            if frame.error is None and frame.status < 300:
                events, doubt = self._agreed(frame.result), ""
            else:
                events, doubt = self._refused(asked, frame)
        except UNREADABLE as error:
            events, doubt = [], f"an answer that cannot be read: {error}"
        if doubt:
            self._failed(lambda: self._in_flight.doubt(number, doubt), doubt)
        else:
            self._in_flight.answered(number)
        for event in events:
            self._take(event)

    def _agreed(self, result: msgspec.Raw) -> list[AccountEvent]:
        """What a good answer tells: of an order, of several, or of the two of a replacement."""
        if bytes(result).startswith(b"["):
            events: list[AccountEvent] = []
            for one in msgspec.json.decode(result, type=list[msgspec.Raw]):
                with suppress(msgspec.MsgspecError):  # lists of orders, which are not ours
                    events += self._told(one)
            return events
        both = orders.decode_error_data(result)
        if both.cancel_response:
            return [*self._told(both.cancel_response), *self._told(both.new_order_response)]
        return self._told(result)

    def _told(self, order: msgspec.Raw) -> list[AccountEvent]:
        return self._executions.answer(clock.now_ns(), orders.decode_order(order))

    def _refused(self, asked: Asked, frame: Frame) -> tuple[list[AccountEvent], str]:
        """What a bad answer tells, and why the order is in doubt after it, where it is."""
        error = frame.error or orders.Error(0, "no reason was given")
        text, now = f"{error.msg} ({error.code})", clock.now_ns()
        parts = orders.decode_error_data(error.data) if error.data else orders.ErrorData()
        self._heed(frame.status, error, parts)
        events: list[AccountEvent] = []
        if parts.cancel_result == "SUCCESS":
            events += self._told(parts.cancel_response)
        if parts.new_order_result == "SUCCESS":
            return events + self._told(parts.new_order_response), ""
        if parts.new_order_result == "FAILURE" and parts.new_order_response:
            error = msgspec.json.decode(parts.new_order_response, type=orders.Error)
            text = f"{error.msg} ({error.code})"
        if orders.is_unclear(frame.status, error.code) or error.msg.startswith(DUPLICATE):
            return events, f"the venue does not know: {text}"
        if asked.cancel is not None and parts.cancel_result != "SUCCESS":
            if parts.cancel_result == "FAILURE" and parts.cancel_response:
                why = msgspec.json.decode(parts.cancel_response, type=orders.Error)
                text = f"{why.msg} ({why.code})"
            events.append(CancelRejected(now, asked.cancel, text))
        if asked.place is not None:
            events.append(OrderRejected(now, asked.place, text))
        return events, ""

    def _heed(self, status: int, error: orders.Error, parts: orders.ErrorData) -> None:
        """What a refusal asks of us for the future."""
        many = error.code == orders.TOO_MANY_ORDERS
        if status in (418, 429) or many or error.code == orders.TOO_MUCH:
            left_s = (parts.retry_after - self.rest.clock.now_ms()) / 1_000
            rest_s = left_s if left_s > 0 else ORDERS_REST_S if many else BAN_S
            self.rest.limits.close(rest_s, orders_alone=many)
            self._log.warning("rate_limited", venue=VENUE, rest_s=rest_s, error=error.msg)
        elif error.code == OUT_OF_TIME:
            self._listing.look_now()
        elif error.code == orders.FILTER_FAILED or error.msg.startswith(orders.MARKET_CLOSED):
            self._listing.look_soon()

    def _failed(self, tell: Callable[[], None], reason: str) -> None:
        """The venue fails once, however many orders `tell` then leaves in doubt; where it leaves
        none, it does not count."""
        before = self._doubts
        tell()
        if self._doubts > before and self._breaker.failed(clock.boot_s()):
            self._log.error("breaker_open", venue=VENUE, reason=reason)

    def _doubted(self, event: Event) -> None:
        self._doubts += 1
        self._take(event)

    # The connection.

    async def run(self) -> None:
        """Stay connected until cancelled; raises UsageError or ConfigurationError where symbols or
        key can never do. At the end its transport lets go of what it keeps open."""
        try:
            await self._listing.first()
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch_answers)
                group.start_soon(self._end_where_denied, group.cancel_scope)
                group.start_soon(self._listing.keep)
                group.start_soon(self._session.run)
                await self._stream.run(tuple(self._executions.spots))
            text = f"[binance] key is not let in, {self._session.trouble}"
            raise ConfigurationError([text, KEY_REMEDY])
        finally:
            with anyio.move_on_after(CLOSE_S, shield=True):
                await self._transport.aclose()

    async def _watch_answers(self) -> None:
        while True:
            await anyio.sleep(LOOK_S)
            self._failed(self._in_flight.doubt_late, "no answer")

    async def _end_where_denied(self, scope: anyio.CancelScope) -> None:
        await self._denied.wait()
        scope.cancel()

    def _turn(self, reason: str) -> None:
        """The venue is reached while orders can be sent, reports come, and the market shows. Where
        it ends without a reason we end it ourselves, and there is nobody left to tell."""
        up = self._session.is_ready and self._stream.flows
        if up is self.connected:
            return
        self.connected = up
        self.changed.set()
        self.changed = anyio.Event()
        if up:
            self._log.info("venue_reached", venue=VENUE)
        elif reason:
            self._log.warning("venue_lost", venue=VENUE, reason=reason)
        else:
            return
        self._take(VenueConnection(clock.now_ns(), VENUE, up, "" if up else reason))
