"""Binance's market without an account: rules, books and trades of public streams, and no key."""

from collections.abc import Callable, Iterable

import anyio

from betatrader.config.venues import Binance
from betatrader.model.errors import UsageError
from betatrader.model.event import Event
from betatrader.model.ids import InstrumentId
from betatrader.model.secret import Secret
from betatrader.net.transport import Transport
from betatrader.venues.binance import rules
from betatrader.venues.binance.account import Executions
from betatrader.venues.binance.listing import Listing
from betatrader.venues.binance.market import MarketStream
from betatrader.venues.binance.orders import KeyRights
from betatrader.venues.binance.rest import RefusalError, Rest
from betatrader.venues.binance.wire import VENUE

NO_KEY = -2015
"""The venue's own code for a question that needs a key."""


class Unsigned:
    """Nothing that is public needs a signature."""

    logs_on = False

    def sign(self, payload: bytes) -> str:
        """Never asked for."""
        raise NotImplementedError(payload)


class PublicRest(Rest):
    """The questions that need no key; what an account pays or may do is not told without one."""

    async def commission(self, symbol: str) -> rules.Commission:
        """Not told: the venue's usual fees are taken."""
        raise RefusalError(401, NO_KEY, f"what an account pays on {symbol} needs a key")

    async def key_rights(self) -> KeyRights:
        """There is no key that may do anything."""
        return KeyRights()


class BinanceMarket:
    """The market half of the adapter; `market` gets events, `changed` the reason where it breaks
    off, and "" where it flows. `rest` is given where there is an account to ask for.

    Raises UsageError where the settings name no symbols.
    """

    name = VENUE

    def __init__(
        self,
        settings: Binance,
        transport: Transport,
        market: Callable[[Event], None],
        changed: Callable[[str], None],
        rest: Rest | None = None,
    ) -> None:
        if not settings.symbols:
            raise UsageError("[binance] symbols names none: set it, as BTCUSDT, to trade there")
        if rest is None:
            window_ms = settings.recv_window_ms
            rest = PublicRest(transport, settings.rest, Secret(), Unsigned(), window_ms)
        self._executions = Executions()
        self._listing = Listing(settings.symbols, rest, self._executions, market)
        self._stream = MarketStream(transport, settings.stream, rest, market, changed)

    def remember(self, held: Callable[[], Iterable[InstrumentId]]) -> None:
        """Nothing to do: pairs are those of the settings, whatever is held."""

    def stp(self, instrument: InstrumentId) -> str:
        """The mode against trades with ourselves, as the adapter would send it."""
        return self._listing.stp(instrument)

    async def run(self) -> None:
        """Show the market until cancelled; raises UsageError where a symbol does not exist."""
        await self._listing.first()
        async with anyio.create_task_group() as group:
            group.start_soon(self._listing.keep)
            await self._stream.run(tuple(self._executions.spots))
