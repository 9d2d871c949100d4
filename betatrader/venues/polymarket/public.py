"""Polymarket's market without an account: listings, rules and books, and no key."""

from collections.abc import Callable, Iterable

import anyio
import structlog

from betatrader.config import units
from betatrader.config.venues import Polymarket
from betatrader.model.errors import UsageError
from betatrader.model.event import Event
from betatrader.model.ids import InstrumentId
from betatrader.model.market import Resolution
from betatrader.net.transport import Transport
from betatrader.ops import clock
from betatrader.venues.polymarket.following import Following
from betatrader.venues.polymarket.forms import VENUE, Rules, instrument_id, token_of
from betatrader.venues.polymarket.listing import Listing
from betatrader.venues.polymarket.market import MarketStream, check_room
from betatrader.venues.polymarket.rest import Rest

PAUSE_S = 2.0


class PolymarketMarket:
    """The market half of the adapter; `market` gets events, `changed` the reason where it breaks
    off, and "" where it flows. `rest` is given where there is an account to ask for.

    Raises UsageError where the settings name no markets.
    """

    name = VENUE

    def __init__(
        self,
        settings: Polymarket,
        transport: Transport,
        market: Callable[[Event], None],
        changed: Callable[[str], None],
        rest: Rest | None = None,
    ) -> None:
        if not settings.markets and not settings.follow:
            raise UsageError("[polymarket] markets names none: set condition ids to trade there")
        check_room(settings)
        self._market = market
        self._before: set[InstrumentId] = set()
        """What is held of before, and whose end is not known yet."""
        self._rest = rest or Rest(transport, settings.clob, None, None)
        self._stream = MarketStream(transport, settings.market_socket, self._rest, market)
        self._stream.turned = changed
        self._listing = Listing(settings.markets, self._rest, market, self._stream.listen)
        self._listing.least_taken = units(settings.least_taken_usd)
        self._stream.listing = self._listing
        if settings.follow:
            self._listing.following = Following(
                transport, settings.gamma, self._rest, settings.follow
            )
        self._log = structlog.get_logger()

    @property
    def rules(self) -> dict[str, Rules]:
        """What decides about an order's form, by token."""
        return self._listing.rules

    def remember(self, held: Callable[[], Iterable[InstrumentId]]) -> None:
        """Begin to trade on it, with what is held of before: what has ended meanwhile is told, a
        market that is followed is asked for by its tokens, and none is forgotten while held."""
        self._before = {name for name in held() if token_of(name)}
        if self._listing.following is not None:
            tokens = {token_of(name) for name in self._before}
            self._listing.following.unplaced |= tokens - {"", *self._listing.rules}
            self._listing.is_flat = lambda token: instrument_id(token) not in held()
            self._listing.look_now()

    async def _end_of_before(self) -> None:
        """Tell how those ended that ended while nobody listened."""
        while True:
            for name in list(self._before):
                if name in self._listing.payouts:
                    self._market(Resolution(clock.now_ns(), name, self._listing.payouts[name]))
                if name in self._listing.payouts or self._listing.knows(name):
                    self._before.discard(name)  # what ends from now on is told as it ends
            await anyio.sleep(PAUSE_S)

    async def _greet(self) -> None:
        """What is asked before the market; raises ConnectionError or TimeoutError."""
        await self._rest.measure_clock()

    async def run(self) -> None:
        """Show the market until cancelled."""
        while True:
            try:
                await self._greet()
                break
            except (OSError, TimeoutError) as error:
                self._log.warning("venue_away", venue=VENUE, error=str(error))
                await anyio.sleep(PAUSE_S)
        async with anyio.create_task_group() as group:
            group.start_soon(self._listing.keep)
            group.start_soon(self._end_of_before)
            await self._stream.run()
