"""The market channel: one socket for all tokens, and books that are never wrong for long.

A socket can stay open, answer every PING and tell nothing any more. So a token that is silent is
asked for over REST: where its book has moved without us, the socket is dead and is made anew. One
whose changes flow may have missed one far from its best prices: it is compared now and then in the
levels that stood still before, while and after it was asked for, and comes anew where one is wrong.
"""

from collections.abc import Callable

import anyio
import msgspec
import structlog

from betatrader.config.venues import Polymarket
from betatrader.model.errors import UsageError
from betatrader.model.event import Event
from betatrader.model.money import SCALE
from betatrader.net.feed import Feed
from betatrader.net.transport import Socket, Transport
from betatrader.ops import clock, metrics
from betatrader.venues.polymarket import wire
from betatrader.venues.polymarket.amounts import units
from betatrader.venues.polymarket.books import Books, TokenBook
from betatrader.venues.polymarket.forms import VENUE, instrument_id
from betatrader.venues.polymarket.frames import PING, PING_S, SILENT_S, Frames
from betatrader.venues.polymarket.listing import Listing
from betatrader.venues.polymarket.rest import Rest

STALE_S = 3.0
"""Below the age at which risk takes data for stale: in a quiet market, the venue's word that
nothing has moved is data as well."""

A_SECOND = 50
"""Books that are asked for a second at most; many tokens wait longer."""

DOUBT_S = 2.0
"""How soon a book is asked for that is missing, or seems wrong."""

GRACE_S = 2.0
"""A change that REST shows may still be on its way over the socket."""

COMPARE_S = 60.0
"""How often a book is compared whose changes flow."""

COMPARED = 5
"""Such books at a look, where the quiet ones leave so much of `A_SECOND`."""

AGAIN_S = 60.0
TOGETHER = 2
"""A book that moves without a word again so soon, or more books than the two of one market: then it
is the socket that is silent."""

LOOK_S = 0.5


def check_room(settings: Polymarket) -> None:
    """Raises UsageError where one socket does not carry the markets that are named."""
    most = settings.socket_tokens // 2
    if len(settings.markets) > most:
        raise UsageError(
            f"[polymarket] markets: one socket carries {most} at most, and {len(settings.markets)} "
            "are named\nName fewer, or raise socket_tokens where the venue carries more."
        )


class MarketStream:
    """Market events of the listed tokens. `turned` is called with the reason (empty: it flows)
    where the socket opens or breaks."""

    def __init__(
        self, transport: Transport, url: str, rest: Rest, take: Callable[[Event], None]
    ) -> None:
        self.books = Books()
        self.listing: Listing | None = None
        self.turned: Callable[[str], None] = lambda _reason: None
        self._rest = rest
        self._take = take
        self._frames = Frames("market")
        self._frames.lost = self.books.doubt_all
        self.books.unread = lambda detail: self._frames.odd("malformed", detail)
        self._asking: set[str] = set()
        """Tokens whose books are asked for now."""
        self._comparing: set[str] = set()
        """Tokens whose books are compared while their changes flow."""
        self._differed: dict[str, float] = {}
        """Tokens whose books had moved without a word, and when that was seen."""
        self._feed = Feed(
            transport, url, self._opened, self.received, self._lost, silent_s=SILENT_S
        )
        self._log = structlog.get_logger()

    @property
    def trouble(self) -> str:
        """Why the socket is not open, as far as is known; "" while it is."""
        return self._feed.trouble and f"market data: {self._feed.trouble}"

    @property
    def flows(self) -> bool:
        """Whether the socket is open."""
        return self._feed.connected

    def listen(self, tokens: tuple[str, ...]) -> None:
        """Hear of these tokens, too."""
        self.books.listen(tokens, clock.boot_s())
        if self._feed.connected:
            self._feed.send(_subscription({"operation": "subscribe"}, tokens))

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._ping)
            group.start_soon(self._watch)
            await self._feed.run()

    def _opened(self, socket: Socket) -> None:
        self.books.drop_all(clock.boot_s())
        socket.send(_subscription({"type": "market"}, tuple(self.books.tokens)))
        self.turned("")

    def _lost(self, reason: str) -> None:
        self.books.drop_all(clock.boot_s())
        self.turned(reason)

    def received(self, text: bytes) -> None:
        """One frame. What cannot be read of books puts them in doubt: they are asked for."""
        for message in self._frames.split(text):
            try:
                self._message(message)
            except wire.UNREADABLE as error:
                self._frames.odd("malformed", str(error))
                if _may_move_books(message):
                    self.books.doubt_all()

    def _message(self, text: bytes) -> None:
        now_ns, now_s = clock.now_ns(), clock.boot_s()
        kind = wire.decode_kind(text).event_type
        if kind == "book":
            self._tell(self.books.snapshot(now_ns, now_s, wire.decode_book(text)))
            return
        message = wire.decode_market_message(text)
        match kind:
            case "price_change":
                self._tell(self.books.changes(now_ns, now_s, message))
            case "last_trade_price":
                self._tell(self.books.trade(now_ns, message))
            case "best_bid_ask":
                self.books.best(now_s, message)
            case "tick_size_change":
                if self.listing is not None:
                    self.listing.tick_changed(message.asset_id, units(message.new_tick_size))
                self._tell(self.books.drop(now_ns, now_s, message.asset_id))
            case "market_resolved":
                self._resolved(message)
            case "new_market":
                if self.listing is not None:
                    self.listing.announced(message.market, message.slug)
            case _:
                self._frames.odd("unknown", kind or "no event_type")

    def _resolved(self, message: wire.MarketMessage) -> None:
        if self.listing is None or message.winning_asset_id not in message.assets_ids:
            return
        winner = message.winning_asset_id
        ours = [token for token in message.assets_ids if token in self.books.tokens]
        self.listing.resolve({instrument_id(t): SCALE if t == winner else 0 for t in ours})
        for token in ours:
            self.books.forget(token)

    def _tell(self, events: list) -> None:  # type: ignore[type-arg]
        listing = self.listing
        for event in events:
            if listing is None or listing.knows(event.instrument):
                self._take(event)

    # Watching.

    async def _ping(self) -> None:
        while True:
            await anyio.sleep(PING_S)
            self._feed.send(PING)

    async def _watch(self) -> None:
        """Ask for books, each by itself: one that the venue does not give holds no other up."""
        async with anyio.create_task_group() as group:
            while True:
                await anyio.sleep(LOOK_S)
                self._forget_ended()
                if not self._feed.connected:
                    continue
                longest_s = max(STALE_S, len(self.books.tokens) / A_SECOND)
                silent = self.books.silent(clock.boot_s(), longest_s, DOUBT_S)
                asked = [token for token in silent if token not in self._asking][:A_SECOND]
                self._asking.update(asked)
                for token in asked:
                    group.start_soon(self._check, token)
                unseen = self.books.unseen(clock.boot_s(), COMPARE_S)
                also = [token for token in unseen if token not in self._comparing | self._asking]
                for token in also[: min(COMPARED, A_SECOND - len(asked))]:
                    self._comparing.add(token)
                    group.start_soon(self._compare, token)

    async def _check(self, token: str) -> None:
        one = self.books.tokens.get(token)
        try:
            await self.check(token)
        except (OSError, TimeoutError) as error:
            self._not_got(one)
            self._log.warning("no_book", venue=VENUE, token=token, error=str(error))
        finally:
            self._asking.discard(token)

    async def _compare(self, token: str) -> None:
        one = self.books.tokens.get(token)
        if one is None:
            self._comparing.discard(token)
            return
        try:
            await self._look_below(token, one)
        except (OSError, TimeoutError) as error:
            metrics.NO_BOOK.labels(VENUE).inc()
            self._log.warning("no_book", venue=VENUE, token=token, error=str(error))
        except ValueError as error:
            self._frames.odd("malformed", f"/book: {error}")
        finally:
            one.touched, one.compared_s = None, clock.boot_s()
            self._comparing.discard(token)

    async def _look_below(self, token: str, one: TokenBook) -> None:
        """Compare a book that moves with the venue's. REST may lag behind the socket, or be ahead
        of it: a level counts that has not changed for a while before, nor for a while after."""
        before, touched = one.changed, self.books.watched(token)
        await anyio.sleep(STALE_S)
        if one.touched is not touched:
            return  # it has come anew
        found = await self._rest.book(token)
        await anyio.sleep(GRACE_S)
        if one.touched is not touched or one.lost:
            return
        levels = self.books.missed(found, before)
        if levels:
            metrics.WRONG_BOOKS.labels(VENUE).inc()
            self._log.warning("book_missed_a_change", venue=VENUE, token=token, levels=levels)
            one.lost = True

    def _not_got(self, one: TokenBook | None) -> None:
        metrics.NO_BOOK.labels(VENUE).inc()
        if one is not None:
            one.backoff.failed(clock.boot_s())

    def _forget_ended(self) -> None:
        if self.listing is None:
            return
        for token in [t for t in self.books.tokens if instrument_id(t) in self.listing.payouts]:
            self.books.forget(token)

    async def check(self, token: str) -> None:
        """Compare one book with the venue's; raises ConnectionError where it does not answer."""
        one = self.books.tokens.get(token)
        if one is None:
            return
        before = one.messages
        self.books.asked(token)
        try:
            found = await self._rest.book(token)
            done = not self._feed.connected or self._answered(one, token, before, found)
            one.backoff.succeeded()
            if done:
                return
        except ValueError as error:
            self._not_got(one)
            self._frames.odd("malformed", f"/book: {error}")
            return
        finally:
            one.later = None
        await anyio.sleep(GRACE_S)
        if one.messages == before and self._feed.connected and not one.lost:
            self._moved(token, found)

    def _answered(self, one: TokenBook, token: str, before: int, found: wire.Book) -> bool:
        """Whether a book of REST says all there is to say; False where it is another than ours."""
        now_ns, now_s = clock.now_ns(), clock.boot_s()
        still = one.messages == before
        if still and self.books.agrees(found):
            self._tell(self.books.confirmed(now_ns, now_s, token))
            return True
        if one.lost or not one.whole:
            self._tell(self.books.restored(now_ns, now_s, found))
            return True
        return not still

    def _moved(self, token: str, found: wire.Book) -> None:
        """A book has moved without a word. Where that is one market's alone it is taken from REST,
        and the others are left as they are; else nothing comes over this socket any more."""
        now_s = clock.boot_s()
        recent = {t: at for t, at in self._differed.items() if now_s - at < AGAIN_S}
        self._differed = {**recent, token: now_s}
        if token in recent or len(self._differed) > TOGETHER:
            self._differed.clear()
            self._feed.break_off(f"the book of {token} has moved without a word")
            return
        self._log.warning("book_moved_without_a_word", venue=VENUE, token=token)
        self._tell(self.books.snapshot(clock.now_ns(), now_s, found))


def _may_move_books(text: bytes) -> bool:
    """Whether a message that cannot be read may have been of books: also where it does not say."""
    try:
        kind = wire.decode_kind(text).event_type
    except wire.UNREADABLE:
        return True
    return kind in ("book", "price_change", "tick_size_change")


def _subscription(opening: dict[str, str], tokens: tuple[str, ...]) -> bytes:
    whole = {**opening, "assets_ids": tokens, "custom_feature_enabled": True}
    return msgspec.json.encode(whole)
