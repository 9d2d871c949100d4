"""Before a trader leads: an engine that follows, and a venue that is connected already.

The engine begins where this home's journal ends, goes where the leader's shipped journal goes, and
watches the market for itself, so that its strategies are warm when its turn comes.
"""

from collections.abc import Callable

import anyio
import structlog

from betatrader.config.live import bound
from betatrader.config.shard import shared
from betatrader.engine.engine import Engine
from betatrader.model.account import VenueConnection
from betatrader.model.errors import BetatraderError
from betatrader.model.event import Event
from betatrader.model.market import BookDelta, BookSnapshot, InstrumentListed, PublicTrade, Quote
from betatrader.ops import clock, metrics
from betatrader.roles import keeping, strategies
from betatrader.roles.abroad import Abroad
from betatrader.roles.choosing import venues_of
from betatrader.roles.desks import Desk, Ground, RemoteDesk
from betatrader.roles.following import Follower
from betatrader.roles.live_paper import paper_desk
from betatrader.roles.recovering import recover
from betatrader.roles.service import Service
from betatrader.store import shipping
from betatrader.store.connection import AWAY

PAUSE_S = 0.2
SHOWN = (Quote, PublicTrade, BookSnapshot, BookDelta)


class Standby:
    """What a trader takes over from itself when it begins to lead."""

    def __init__(self, service: Service) -> None:
        config = service.config
        self.described = strategies.described(config.strategies)
        loaded = strategies.load_all(config.strategies)
        limits = bound(strategies.limits_of(config.risk, config.strategies, loaded), config)
        self.engine = Engine(shared(limits, config.shard), loaded)
        folder = keeping.journals(service.home, config.mode)
        self.recovered = recover(folder, self.engine, self.described)
        if self.recovered is not None and self.recovered.left_out:
            count, run = self.recovered.left_out, self.recovered.run
            text = f"{count} records of run {run} could not be taken, and were left out"
            service.alert("error", f"{text}: the venue is compared")
        self.take: Callable[[Event], None] = self._watch
        """Where the venue's events go: to the trader, once it leads."""
        remote = [RemoteDesk(one, self._state, self._taken) for one in venues_of(config)]
        self.desks: list[Desk] = [*remote] or [
            paper_desk(
                Ground(config, service.home, service.redis, service.schema),
                self._state,
                self._taken,
            )
        ]
        self.abroad = Abroad(self.desks, service.alert)
        self._service = service
        self.shipped = keeping.shipped(config.mode)
        self._follower = Follower(service.redis, self.engine, self.described, self.shipped)
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Stay connected to every venue, until cancelled."""
        if len(self.desks) == 1:
            await self.desks[0].run()
            return
        async with anyio.create_task_group() as group:
            for desk in self.desks:
                group.start_soon(self._run_one, desk)

    async def _run_one(self, desk: Desk) -> None:
        """One of several: a venue that lets us in no more leaves the others trading. It is asked
        again when the process starts anew."""
        try:
            await desk.run()
        except BetatraderError as error:
            text = str(error).partition("\n")[0]
            self._log.error("venue_given_up", venue=desk.venue.name, error=text)
            self._service.alert("critical", f"{desk.venue.name} is given up: {text}")
            self._taken(VenueConnection(clock.now_ns(), desk.venue.name, False, text))

    @property
    def is_new(self) -> bool:
        """Whether nothing is known of an account: no journal here, and none was shipped."""
        return self.recovered is None and self._follower.records == 0

    def whole(self) -> bytes:
        """All that the engine knows, as the shipped journal keeps it."""
        return shipping.whole_engine(self.engine, self.described, self._service.schema.writes)

    def _state(self):  # type: ignore[no-untyped-def]
        return self.engine.state

    def _taken(self, event: Event) -> None:
        self.take(event)

    def _watch(self, event: Event) -> None:
        """The market is watched; what concerns the account comes by the leader's journal, and from
        reconciliation."""
        if isinstance(event, InstrumentListed) or (
            isinstance(event, SHOWN) and event.instrument in self.engine.state.markets
        ):
            self.engine.follow(event)

    async def follow(self) -> None:
        """Follow what the leader has shipped since; Redis being away is told, and waited out."""
        try:
            await self._follower.catch_up()
        except AWAY as error:
            metrics.REDIS_ERRORS.labels("following").inc()
            self._log.warning("redis_away", what="following", error=str(error))

    async def finish(self, epoch: int) -> None:
        """The lease is ours: no earlier leader ships any more, and all that it has is followed.

        Redis being away is waited out, since what it has may be what this home lacks; but a `solo`
        trader, which is alone, leads from what its home knows.
        """
        for strategy, error in self.engine.failed_watching.items():
            self._log.error("strategy_failed_watching", strategy=strategy, error=error)
        while not self._service.is_stopping():
            try:
                # where a later leader has been, the shipper's first flush fences us
                await shipping.fence(self._service.redis, epoch, self.shipped)
                await self._follower.catch_up()
            except AWAY as error:
                self._log.warning("redis_away", what="following", error=str(error))
                if self._service.config.lease.mode == "solo" and self.recovered is not None:
                    return
                await anyio.sleep(PAUSE_S)
            else:
                if self._follower.records:
                    self._log.info("followed", records=self._follower.records)
                return
