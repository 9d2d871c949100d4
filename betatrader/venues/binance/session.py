"""One connection to Binance's WebSocket API: orders out, answers and reports on our account in.

With an Ed25519 key the session is logged on and requests go unsigned; with HMAC each is signed. It
is ready once the user data are subscribed: an order whose reports do not come is not sent.
"""

import itertools
import math
from typing import Protocol

import anyio
import msgspec
import structlog

from betatrader.model.secret import Secret
from betatrader.net.feed import Feed
from betatrader.net.transport import Socket, Transport
from betatrader.ops import clock, metrics
from betatrader.venues.binance import orders, sign
from betatrader.venues.binance.limits import Limits, VenueClock
from betatrader.venues.binance.orders import ExecutionReport, Frame
from betatrader.venues.binance.wire import UNREADABLE, VENUE

LIFE_S = 23 * 3_600.0
"""The venue ends a connection after 24 hours."""

PING_S = 5.0
SILENT_S = 15.0
READY_S = 5.0
"""How long logging on and subscribing may take."""

CONNECTS, ENTERS, LIVES = 2, 2, 1
"""What a connection weighs at the venue; logging on, and subscribing, each; a sign of life."""

LOGON, SUBSCRIBE, PING, LISTED = "logon", "subscribe", "ping", "subscriptions"
LIST_EVERY = 6
"""Each so many signs of life the venue is asked whether it still tells of our account: a session
that answers, and whose reports have ended without a word, is as bad as none."""

REPORT = "executionReport"
LEFT_ALONE = ("outboundAccountPosition", "balanceUpdate", "listStatus", "externalLockUpdate")
"""Balances and lists of orders: reconciliation looks at what these tell."""

COMPLAINT_S = 60.0
SHOWN = 80
"""Letters of a kind that nobody knows."""

encode = msgspec.json.encode


def why_lost(reason: str) -> str:
    """Why a connection ended, for those to be told; nothing where we are being ended ourselves."""
    return "" if anyio.current_effective_deadline() == -math.inf else reason or "it ended"


class Hears(Protocol):
    """Whom a session tells what it hears."""

    def ready(self) -> None:
        """Orders may be sent from now on."""

    def lost(self, reason: str) -> None:
        """The connection has ended: what was not answered never will be. Without a reason we have
        ended it ourselves."""

    def answered(self, number: int, frame: Frame) -> None:
        """The answer to the request of this number."""

    def reported(self, report: ExecutionReport) -> None:
        """A report on an order of our account."""

    def refused(self, code: int) -> None:
        """The venue does not let us in, or any more."""


class Access(msgspec.Struct, frozen=True):
    """The key of an account, and how requests are signed with it."""

    key: Secret
    signer: sign.Signer
    recv_window_ms: int
    clock: VenueClock
    limits: Limits | None = None
    """Where what the session sends of its own accord is counted."""

    def weighed(self, weight: int) -> None:
        """So much was sent."""
        if self.limits is not None:
            self.limits.weighed(weight)


def framed(
    access: Access,
    number: int | str,
    method: str,
    parameters: dict[str, sign.Value],
    *,
    signed: bool = True,
) -> bytes:
    """The bytes of one request as of now; unsigned where its session is logged on."""
    parameters["recvWindow"] = access.recv_window_ms
    parameters["timestamp"] = access.clock.now_ms()
    if signed:
        parameters = sign.signed_parameters(access.signer, access.key.reveal(), parameters)
    return encode({"id": number, "method": method, "params": parameters})


class Session:
    """Kept open, and logged on again after each break, for as long as `run` runs."""

    def __init__(self, transport: Transport, url: str, access: Access, hears: Hears) -> None:
        self.is_ready = False
        self._access = access
        self._hears = hears
        self._logged_on = False
        self._subscription = 0
        self._refusal = ""
        self._opened_s = 0.0
        self._complained_s = -COMPLAINT_S
        self._log = structlog.get_logger()
        self._next: Socket | None = None
        self._feed = Feed(
            transport,
            url,
            self._opened,
            self._received,
            self._lost,
            silent_s=SILENT_S,
            life_s=LIFE_S,
            on_next=self._begin_next,
            on_next_text=self._next_said,
        )

    @property
    def trouble(self) -> str:
        """Why it is not ready, as far as is known; "" while it is."""
        return "" if self.is_ready else self._refusal or self._feed.trouble

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_alive)
            await self._feed.run()

    def send(self, number: int | str, method: str, parameters: dict[str, sign.Value]) -> None:
        """Send one request, with its time and, where the session needs it, its signature."""
        self._feed.send(self.framed(number, method, parameters))

    # The next connection, while this one goes on: it takes over once it hears of our account.

    def _begin_next(self, socket: Socket) -> None:
        self._next = socket
        was, self._logged_on = self._logged_on, False
        self._access.weighed(CONNECTS + ENTERS)
        if self._access.signer.logs_on:
            socket.send(self.framed(LOGON, "session.logon", {}))
        else:
            socket.send(self.framed(SUBSCRIBE, "userDataStream.subscribe.signature", {}))
        self._logged_on = was

    def _next_said(self, text: bytes) -> None:
        try:
            frame = orders.decode_frame(text)
        except UNREADABLE:
            self._feed.drop_next()
            return
        if frame.error is not None:
            self._feed.drop_next()
        elif frame.id == LOGON and self._next is not None:
            self._access.weighed(ENTERS)
            self._next.send(encode({"id": SUBSCRIBE, "method": "userDataStream.subscribe"}))
        elif frame.id == SUBSCRIBE:
            self._subscription = orders.decode_subscription(frame.result).subscription_id
            self._feed.take_over()
            self._log.info("session_renewed", venue=VENUE)

    def framed(self, number: int | str, method: str, parameters: dict[str, sign.Value]) -> bytes:
        """The bytes of one request as of now."""
        return framed(self._access, number, method, parameters, signed=not self._logged_on)

    def break_off(self, reason: str) -> None:
        """End this connection; a new one is made."""
        self._feed.break_off(reason)

    async def _keep_alive(self) -> None:
        """Ask for a sign of life now and then: without reports the connection is silent."""
        for beat in itertools.count(1):
            await anyio.sleep(PING_S)
            if not self._feed.connected:
                continue
            if self.is_ready and beat % LIST_EVERY == 0:
                self._access.weighed(ENTERS)
                self._feed.send(encode({"id": LISTED, "method": "session.subscriptions"}))
            elif self.is_ready:
                self._access.weighed(LIVES)
                self._feed.send(encode({"id": PING, "method": "ping"}))
            elif clock.boot_s() - self._opened_s > READY_S:
                self.break_off("not logged on in time")

    def _opened(self, _socket: Socket) -> None:
        self._opened_s = clock.boot_s()
        self._logged_on = False
        self._access.weighed(CONNECTS + ENTERS)
        if self._access.signer.logs_on:
            self.send(LOGON, "session.logon", {})
        else:
            self.send(SUBSCRIBE, "userDataStream.subscribe.signature", {})

    def _lost(self, reason: str) -> None:
        self.is_ready = self._logged_on = False
        self._hears.lost(why_lost(reason))

    def _received(self, text: bytes) -> None:
        try:
            frame = orders.decode_frame(text)
            kind = orders.decode_kind(frame.event).e if frame.event else ""
            report = orders.decode_report(frame.event) if kind == REPORT else None
        except UNREADABLE as error:
            self.distrust(error)
            return
        if report is not None:
            self._hears.reported(report)
        elif kind == "eventStreamTerminated":
            self.break_off("the venue has ended the reports on our account")
        elif kind == "serverShutdown":
            self._log.warning("venue_restarts", venue=VENUE)
            self._feed.renew()
        elif frame.event:
            if kind not in LEFT_ALONE:
                self._complain(kind or "an event of no kind")
        elif isinstance(frame.id, int):
            self._hears.answered(frame.id, frame)
        else:
            try:
                self._own(frame)
            except UNREADABLE as error:
                self.distrust(error)

    def _complain(self, kind: str) -> None:
        """Count an event that nobody here knows, and say so once a minute: the venue may tell of
        our account in a way that is new."""
        metrics.BAD_MESSAGES.labels(VENUE, "event").inc()
        now_s = clock.boot_s()
        if now_s - self._complained_s >= COMPLAINT_S:
            self._complained_s = now_s
            self._log.warning("account_event_unknown", venue=VENUE, kind=kind[:SHOWN])

    def distrust(self, error: Exception) -> None:
        """A message cannot be read. It may have been a report: only a new connection, and the look
        at the books that follows it, helps."""
        metrics.BAD_MESSAGES.labels(VENUE, "account").inc()
        self.break_off(f"a message that cannot be read: {error}")

    def _own(self, frame: Frame) -> None:
        """The answer to a request of the session itself, or an error that nobody asked for."""
        if frame.error is not None:
            if frame.id not in (PING, LISTED):
                text = f"{frame.error.msg} ({frame.error.code})"
                self._log.error("session_refused", venue=VENUE, request=frame.id, error=text)
                self._refusal = f"refused by the venue: {text}"
                self._hears.refused(frame.error.code)
                self.break_off(self._refusal)
        elif frame.id == LOGON:
            self._logged_on = True
            self._access.weighed(ENTERS)
            self._feed.send(encode({"id": SUBSCRIBE, "method": "userDataStream.subscribe"}))
        elif frame.id == SUBSCRIBE:
            self._subscription = orders.decode_subscription(frame.result).subscription_id
            self.is_ready, self._refusal = True, ""
            self._hears.ready()
        elif frame.id == LISTED:
            listed = {one.subscription_id for one in orders.decode_subscriptions(frame.result)}
            if self.is_ready and self._subscription not in listed:
                self.break_off("the venue tells nothing of our account any more")
