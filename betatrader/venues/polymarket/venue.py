"""Polymarket as the trader sees it: orders are signed at once, and answers come as events.

Reports come over the user channel, the market over another, questions go over REST. An order
without a clear answer is in doubt: it is never sent again, and the venue is asked for its hash.
"""

from collections.abc import Callable, Iterable, Sequence

import anyio
import msgspec
import structlog

from betatrader.config import units
from betatrader.config.venues import Polymarket
from betatrader.model.account import (
    CancelRejected,
    OrderRejected,
    VenueAccount,
    VenueConnection,
)
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.errors import ConfigurationError, UsageError
from betatrader.model.event import Event
from betatrader.model.ids import ClientOrderId
from betatrader.model.order import Order, OrderTerms
from betatrader.net.transport import Transport
from betatrader.ops import clock
from betatrader.venues.egress import of_polymarket
from betatrader.venues.pace import Breaker
from betatrader.venues.polymarket import forms
from betatrader.venues.polymarket.account import Accounts, Happening
from betatrader.venues.polymarket.belt import expiring
from betatrader.venues.polymarket.following import Following
from betatrader.venues.polymarket.headers import Credentials
from betatrader.venues.polymarket.heartbeat import Heartbeat
from betatrader.venues.polymarket.ids import Ids
from betatrader.venues.polymarket.listing import FeeCurve, Listing
from betatrader.venues.polymarket.market import MarketStream, check_room
from betatrader.venues.polymarket.modes import Modes
from betatrader.venues.polymarket.redeeming import redeemer_of
from betatrader.venues.polymarket.rest import ORDER_S, PAGE, RefusalError, Rest
from betatrader.venues.polymarket.sending import QUEUE_S, Sending, Sent, body_of
from betatrader.venues.polymarket.sign import Signer
from betatrader.venues.polymarket.standing import Standing
from betatrader.venues.polymarket.statement import Statement
from betatrader.venues.polymarket.user import UserStream
from betatrader.venues.venue import Timed

VENUE = forms.VENUE
AWAY = "not sent: the venue is away"
UNKNOWN = "not sent: no id of it at the venue is known"
PAUSE_S = 2.0
LOOK_S = 0.5
OVERDUE_S = 1.0
PERMISSION_S = 60.0
UNAUTHORIZED = 401
KEY_TRIES = 3
"""An API key that was never let in is not tried more often."""

KEY_REMEDY = (
    "Check api_key, api_secret and api_passphrase, or leave them out: they are made from "
    "private_key."
)
DOWN_S = 15.0
"""Without an answer over REST for so long, the venue is away."""

UNDER_WAY_S = QUEUE_S + ORDER_S + 3.0
"""In our queue, on the way, and in the venue's before its own lists show it."""

Take = Callable[[Event], None]


class PolymarketVenue:
    """One account at Polymarket. `take` gets reports, `market` the market.

    Raises UsageError where the settings name no markets, or keys that cannot be any.
    """

    name = VENUE
    under_way_ns = int(UNDER_WAY_S * 1e9)

    def __init__(
        self, settings: Polymarket, transport: Transport, take: Take, market: Take
    ) -> None:
        if not settings.markets and not settings.follow:
            raise UsageError("[polymarket] markets names none: set condition ids to trade there")
        check_room(settings)
        signer = Signer(
            settings.private_key, settings.chain, settings.signature_type, settings.funder
        )
        keys = None
        if settings.api_key:
            keys = Credentials(settings.api_key, settings.api_secret, settings.api_passphrase)
        self.connected = False
        self.changed = anyio.Event()
        """Set, and renewed, where the connection begins or ends."""
        self._take = take
        self._log = structlog.get_logger()
        self.rest = Rest(transport, settings.clob, signer, keys, tier=settings.rate_tier)
        self.ids = Ids(signer, clock.now_ns())
        self._accounts = Accounts(self.ids, self._curve)
        self._market = MarketStream(transport, settings.market_socket, self.rest, market)
        self._listing = Listing(settings.markets, self.rest, market, self._market.listen)
        self._listing.least_taken = units(settings.least_taken_usd)
        if settings.follow:
            self._listing.following = Following(
                transport, settings.gamma, self.rest, settings.follow
            )
            self._listing.is_flat = lambda token: self._statement.held(token) == 0
        self._market.listing = self._listing
        self._market.turned = self._turned
        self._user = UserStream(
            transport, settings.user_socket, self._accounts, self._tell, self._turned
        )
        self._statement = Statement(self.rest, self.ids, self._accounts, self._listing)
        self._statement.heard_from_ns = lambda: self._user.opened_ns
        self._heartbeat = Heartbeat(settings, self.rest, take, self._answered)
        self._sending = Sending(self.rest, self.ids, self._accounts, self._tell)
        self._sending.refused = self._refused
        self._sending.failed = self._failed
        self._redeemer = redeemer_of(settings, transport, self.rest, signer, self._listing)
        self._redeemer.leads = lambda: self._heartbeat.beats and self.connected
        self._redeemer.busy = lambda: self._sending.busy
        self._redeemer.held = self._statement.held
        self._redeemer.moving = self._statement.moving
        self._redeemer.moved = self._accounts.traded.update
        self._breaker = Breaker()
        self._modes = Modes()
        self._rest_s = settings.rest_seconds
        self._answered_s = 0.0
        self._standing = Standing()
        self._transport = transport
        self._geoblock = settings.geoblock
        self._trouble = "it has not answered yet"

    @property
    def cautions(self) -> tuple[tuple[str, str, str], ...]:
        """What works, and a person should know of: a name, what it is, and how to mend it."""
        return self._redeemer.cautions

    # Requests.

    def submit(self, command: Approved, now_ns: int) -> None:
        """Sign and send an order; where it cannot leave, or has no form here, it is refused."""
        made = self._made(command, now_ns)
        if isinstance(made, Sent):
            self._sending.place([made])
        else:
            self._take(made)

    def submit_many(self, orders: Sequence[Timed]) -> None:
        """Send several orders in one request (POST /orders). What is refused here is told when the
        others are on their way: whoever hears it may cancel them."""
        made = [self._made(command, now_ns) for command, now_ns in orders]
        sent = [one for one in made if isinstance(one, Sent)]
        if sent:
            self._sending.place(sent)
        for one in made:
            if isinstance(one, OrderRejected):
                self._take(one)

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        """Send a cancel: it needs no permission of the breaker, and has a rate limit of its own."""
        if not self.ids.theirs(command.order):
            self._take(CancelRejected(now_ns, command.order, UNKNOWN))
            return
        self._sending.cancel(command.order)

    def cancel_many(self, commands: Sequence[CancelOrder], now_ns: int) -> None:
        """Send several cancels in one request (DELETE /orders)."""
        known = []
        for command in commands:
            if self.ids.theirs(command.order):
                known.append(command.order)
            else:
                self._take(CancelRejected(now_ns, command.order, UNKNOWN))
        self._sending.cancel_many(known)

    def cancel_all(self) -> bool:
        """Take everything of our API key off the book; False where that cannot be sent."""
        return self._sending.cancel_all()

    def remember(self, orders: Iterable[Order]) -> None:
        """Orders from before this process, also those that have ended: their ids at the venue are
        made from them again."""
        orders = list(orders)
        self.ids.remember(orders)
        if self._listing.following is not None:
            traded = {forms.token_of(order.terms.instrument) for order in orders}
            self._listing.following.unplaced |= traded - {"", *self._listing.rules}
        self._accounts.begin_anew()
        self._statement.begin_anew()
        self._heartbeat.leads = True

    def heed(self, may: Callable[[], bool]) -> None:
        """Ask this before each heartbeat and transaction, and each order that has waited."""
        self._heartbeat.may = self._sending.may = may

    async def account(self, orders: tuple[ClientOrderId, ...]) -> VenueAccount:
        """Ask for the account; raises OSError or TimeoutError where the venue does not answer."""
        found = await self._statement.look(orders)
        by_hand = (*self._redeemer.by_hand, *self._statement.unread, *self._standing.by_hand)
        return msgspec.structs.replace(found, by_hand=by_hand)

    @property
    def trouble(self) -> str:
        """Why it is not reached, in the venue's words where it has said any; "" while it is."""
        return self._trouble or self._user.trouble or self._market.trouble or self._listing.trouble

    @property
    def busy(self) -> bool:
        """Whether an order was sent and not answered yet."""
        return self._sending.busy

    def _made(self, command: Approved, now_ns: int) -> Sent | OrderRejected:
        """The signed order, or why it does not leave."""
        terms, order = command.terms, command.order
        reason = self._held_back(terms)
        rules = self._listing.rules.get(forms.token_of(terms.instrument))
        if not reason and (rules is None or not self._listing.knows(terms.instrument)):
            reason = "not sent: the market is not listed"
        if reason or rules is None:
            return OrderRejected(now_ns, order, reason)
        try:
            form = forms.form_of(terms, rules)
        except forms.UnmappableError as error:
            return OrderRejected(now_ns, order, f"not sent: {error}")
        if not self.rest.limits.take("order"):
            text = "not sent: it would go over the venue's rate limit"
            return OrderRejected(now_ns, order, text)
        assert self.rest.keys is not None
        signed = self.ids.sign(order, terms, now_ns, form, rules)
        body = body_of(signed.json, self.rest.keys, form)
        if self._rest_s and form.kind == "GTC":
            body = expiring(body, self.rest.clock.now_s(), self._rest_s)
        return Sent(order, signed.id, body, form.kind, clock.boot_s())

    def _held_back(self, terms: OrderTerms) -> str:
        """Why no order may leave now, or nothing. What only sells is let through where the venue
        lets positions be closed."""
        if not self.connected or self.rest.keys is None:
            return AWAY
        if said := self._standing.held_back(terms):
            return said
        now_s = clock.boot_s()
        if self._modes.until_s > now_s and (said := self._modes.held_back(terms)):
            return said
        rests_s = self._breaker.rests_s(now_s)
        if rests_s > 0:
            return f"not sent: the venue has failed too often, no new orders for {rests_s:.0f} s"
        return ""

    def _curve(self, token: str) -> FeeCurve:
        return self._listing.curves.get(token, FeeCurve())

    # What comes back.

    def _tell(self, events: Iterable[Happening]) -> None:
        for event in events:
            self._take(event)  # type: ignore[arg-type]

    def _refused(self, error: RefusalError) -> None:
        """What a refusal asks of us for the future."""
        text = error.text.lower()
        if error.text.startswith(PAGE):
            self._failed(error.text)
        elif self._modes.heed(error, clock.boot_s()):
            self._log.warning("mode", venue=VENUE, reason=error.text)
        elif self._standing.heed(error):
            return
        elif error.status == UNAUTHORIZED:
            self._log.error("unauthorized", venue=VENUE, reason=error.text)
        elif "is invalid" in text or "not yet ready" in text:
            self._listing.look_soon()

    def _failed(self, reason: str) -> None:
        if self._breaker.failed(clock.boot_s()):
            self._log.error("breaker_open", venue=VENUE, reason=reason)

    def _answered(self, reason: str) -> None:
        if not reason:
            self._answered_s = clock.boot_s()
        self._turned(reason)

    # The connection.

    async def run(self) -> None:
        """Stay connected until cancelled; raises ConfigurationError where the API key can never
        do."""
        await self._greet()
        async with anyio.create_task_group() as group:
            self._sending.open(group)
            try:
                group.start_soon(self._listing.keep)
                group.start_soon(self._keep_permission)
                group.start_soon(self._heartbeat.keep)
                group.start_soon(self._redeemer.keep)
                group.start_soon(self._user.run)
                group.start_soon(self._watch)
                await self._market.run()
            finally:
                self._sending.close()
                self.connected = False

    async def _greet(self) -> None:
        """The API key, the venue's clock and our permission, before anything else."""
        refusals = 0
        while True:
            try:
                await self.rest.measure_clock()
                keys = self.rest.keys or await self.rest.key_of_account()
                await self._ask_permission()
            except (OSError, TimeoutError) as error:
                self._trouble = str(error) or "no answer"
                self._log.warning("venue_away", venue=VENUE, error=self._trouble)
                refusals += isinstance(error, RefusalError) and error.status == UNAUTHORIZED
                if refusals == KEY_TRIES:
                    text = f"[polymarket] api_key is not let in, {error}"
                    raise ConfigurationError([text, KEY_REMEDY]) from None
                await anyio.sleep(PAUSE_S)
                continue
            self._trouble = ""
            self._accounts.key = keys.key.reveal()
            self._user.keys = keys
            return

    async def _keep_permission(self) -> None:
        while True:
            await anyio.sleep(PERMISSION_S)
            try:
                await self.rest.measure_clock()
                await self._ask_permission()
            except (OSError, TimeoutError) as error:
                self._log.warning("no_permission_known", venue=VENUE, error=str(error))

    async def _ask_permission(self) -> None:
        self._standing.stated(closed_only=await self.rest.closed_only())
        if self._standing.barred:
            await self._ask_where()

    async def _ask_where(self) -> None:
        """A bar of the region holds until the venue's own page says that it is none."""
        found = await of_polymarket(self._transport, self._geoblock)
        if found is not None and not found.blocked:
            self._standing.barred = ""
            self._log.warning("no_longer_barred", venue=VENUE, told=found.told)

    async def _watch(self) -> None:
        """Ends whose fills stay away, a REST that answers no more, and a channel that is frozen."""
        while True:
            await anyio.sleep(LOOK_S)
            self._turned("no answer over REST")
            self._user.look()
            overdue = self._accounts.overdue(clock.boot_s(), OVERDUE_S)
            if not overdue:
                continue
            try:
                oldest_s = min(one.event.time_ns for one in overdue) // 1_000_000_000
                for trade in await self.rest.trades(oldest_s - 120, self._odd):
                    try:
                        self._tell(self._accounts.trade(clock.now_ns(), trade))
                    except ValueError as error:
                        self._odd(f"trade {trade.id}", error)
            except (OSError, TimeoutError) as error:
                self._log.warning("no_trades", venue=VENUE, error=str(error))
                continue
            for ending in overdue:
                self._tell(self._accounts.give_up(ending))

    def _odd(self, row: str, error: Exception) -> None:
        self._log.warning("unreadable_row", venue=VENUE, row=row, error=str(error))

    def _turned(self, reason: str) -> None:
        """The venue is reached while both channels are open and REST answers."""
        answers = self._answered_s > 0 and clock.boot_s() - self._answered_s < DOWN_S
        known = self._listing.has_looked  # else what is held would count as gone
        up = self._market.flows and self._user.is_ready and answers and known
        if up is self.connected:
            return
        self.connected = up
        self.changed.set()
        self.changed = anyio.Event()
        if up:
            self._log.info("venue_reached", venue=VENUE)
        else:
            self._log.warning("venue_lost", venue=VENUE, reason=reason)
        self._take(VenueConnection(clock.now_ns(), VENUE, up, "" if up else reason))
