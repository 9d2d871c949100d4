"""The paper venue inside the trader, on what real venues show now: no key, and nothing is sent.

In shadow each order is signed besides, with the real keys, and still nothing is sent.

Each venue's own market half brings the market, over the real protocol; the orders of the trader
meet the live book in the simulated exchange. A venue that is away leaves the others trading: what
it showed last grows stale, and risk lets no order by on it.
"""

from collections.abc import Callable
from typing import Any

import anyio
import structlog

from betatrader.config import Config
from betatrader.config.live import on_live_market, traded_venues
from betatrader.engine.state import State
from betatrader.model.account import CashFlow
from betatrader.model.event import Event
from betatrader.model.ids import InstrumentId, venue_of
from betatrader.model.instrument import BinaryContract
from betatrader.net.transport import Transport
from betatrader.ops import clock
from betatrader.roles.desks import Ground, PaperDesk, Take
from betatrader.sim.custody import US
from betatrader.venues.shadow import ShadowVenue

CLOSE_S = 1.0


def paper_desk(ground: Ground, state: Callable[[], State], take: Take) -> PaperDesk:
    """The paper venue inside this process, on the market that the configuration asks for."""
    kind, config = PaperDesk, ground.config
    if on_live_market(config):
        kind = ShadowDesk if config.mode == "shadow" else LivePaperDesk
    return kind(ground, state, take)


class LivePaperDesk(PaperDesk):
    """Live markets, simulated fills."""

    def __init__(self, ground: Ground, state: Callable[[], State], take: Take) -> None:
        super().__init__(ground, state, take)
        self.venue.exchange.follow_live()
        self.markets = [
            (market, transport)
            for name in traded_venues(ground.config)
            for market, transport in (self._market(ground.config, name),)
        ]
        self._quiet = False

    def _shown(self, event: Event) -> None:
        """What was due at the exchange before it comes before it, and the trader sees it first."""
        if self._quiet:
            return
        if self.venue.exchange.next_due_ns <= event.time_ns:
            self.venue.advance(event.time_ns)
        self._take(event)
        self.venue.market(event)

    def _market(self, config: Config, name: str) -> tuple[Any, Transport]:
        """One venue's market half, at the addresses of its table, and the transport it uses."""
        from betatrader.net.live import LiveTransport

        transport, settings = LiveTransport(), getattr(config, name)
        return self._kind(name)(settings, transport, self._shown, _told_by(name)), transport

    def _kind(self, name: str) -> Any:
        """The adapter's half for a venue, loaded where it is used."""
        if name == "binance":
            from betatrader.venues.binance.public import BinanceMarket

            return BinanceMarket
        from betatrader.venues.polymarket.public import PolymarketMarket

        return PolymarketMarket

    async def run(self) -> None:
        """Carry reports and show the markets, until cancelled."""
        try:
            async with anyio.create_task_group() as group:
                for market, _ in self.markets:
                    group.start_soon(market.run)
                await self.venue.run()
        finally:
            with anyio.move_on_after(CLOSE_S, shield=True):
                for _, transport in self.markets:
                    await transport.aclose()

    async def open(self, epoch: int, *, is_new: bool) -> None:
        """Open an account where there is none; the market shows by itself."""
        await self._open_books(epoch)
        for market, _ in self.markets:
            market.remember(self._held)
        if not self.venue.is_new:
            return
        self.venue.exchange.deposit(self._cash)
        if is_new:
            self._take(CashFlow(clock.now_ns(), self.venue.name, self._cash, "opening balance"))

    def _held(self) -> set[InstrumentId]:
        return {name for name, _ in self._state().portfolio.open_positions()}

    async def settle_lost(self) -> None:
        """Contracts of recorded and generated markets of before; live ones go on. One whose end we
        had taken as the process died may not have been paid: it is now."""
        exchange = self.venue.exchange
        for seen in self._state().markets.values():
            if seen.resolved and exchange.ledgers[US].held(seen.id):
                exchange.settle(seen.id, seen.payout)
        live = {market.name for market, _ in self.markets}
        lost = [
            seen.id
            for seen in self._state().markets.values()
            if isinstance(seen.definition, BinaryContract)
            and not seen.resolved
            and venue_of(seen.id) not in live
        ]
        for event in self.venue.settle_lost(lost, clock.now_ns()):
            self._take(event)

    async def feed(self) -> None:
        """The market comes from the venues for as long as we run."""
        await anyio.sleep_forever()

    async def settle(self) -> None:
        """Return when nothing is under way; the market is not followed any more."""
        self._quiet = True
        await super().settle()


class ShadowDesk(LivePaperDesk):
    """The same, and each approved order is built and signed as the real adapter would send it."""

    venue_type = ShadowVenue

    def __init__(self, ground: Ground, state: Callable[[], State], take: Take) -> None:
        super().__init__(ground, state, take)
        assert isinstance(self.venue, ShadowVenue)
        self.venue.signers = {market.name: market for market, _ in self.markets}

    def _kind(self, name: str) -> Any:
        if name == "binance":
            from betatrader.venues.binance.shadow import BinanceShadow

            return BinanceShadow
        from betatrader.venues.polymarket.shadow import PolymarketShadow

        return PolymarketShadow


def _told_by(name: str) -> Callable[[str], None]:
    log = structlog.get_logger()

    def changed(reason: str) -> None:
        if reason:
            log.warning("market_lost", venue=name, reason=reason)
        else:
            log.info("market_flows", venue=name)

    return changed
