"""Paper, shadow, micro, full: the record of each step, kept; and who may enter the next one.

A record belongs to a venue and its address, so that a simulator's says nothing of the real one. It
stands in the home, and with shipped durability in Redis too: the machine may go, the record stays.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import anyio
import msgspec
import structlog

from betatrader.config import Config
from betatrader.config.live import on_live_market, traded_venues
from betatrader.engine.state import State
from betatrader.model.account import CashFlow, Fill, OrderFound, OrderSigned, PositionTransfer
from betatrader.model.command import Approved, Step
from betatrader.model.errors import RefusedError, UsageError
from betatrader.model.event import Event
from betatrader.model.ids import InstrumentId, venue_of
from betatrader.model.instruction import StageAllowed
from betatrader.model.ladder import Allowed, Day, Record, Stage, lacking
from betatrader.model.money import SCALE, cost
from betatrader.model.order import Side
from betatrader.ops import clock
from betatrader.ops.files import replace_whole
from betatrader.roles.service import Service
from betatrader.roles.trader import Trader
from betatrader.store import keys
from betatrader.store.connection import AWAY, Client

LOOK_S = 1.0
KEEP_S = 10.0
LAST_KEEP_S = 1.0
ADDRESSES = {"binance": "rest", "polymarket": "clob"}
ALLOWED = "allowed"

Places = dict[str, str]
"""Where a record is of, by the venue that instrument ids name."""


class Kept(NamedTuple):
    """All that is known: records by place, and overrides."""

    records: dict[str, Record]
    allowed: dict[str, Allowed]


_decode_records = msgspec.json.Decoder(dict[str, Record]).decode
_decode_allowed = msgspec.json.Decoder(Allowed).decode


def stage_of(config: Config) -> Stage | None:
    """The step that a trader of this configuration is on; None off the ladder: on recorded
    markets, and at simulated venues."""
    if config.mode == "live":
        return Stage(config.live.stage)
    if not on_live_market(config):
        return None
    return Stage.SHADOW if config.mode == "shadow" else Stage.PAPER


def places(config: Config) -> Places:
    """The venues that the configuration trades, and where each is."""
    found = {}
    for name in traded_venues(config):
        address = getattr(getattr(config, name), ADDRESSES[name])
        found[name.upper()] = f"{name.upper()} {urlsplit(address).hostname}"
    return found


def load(home: Path) -> Kept:
    """What stands in a home; raises UsageError where it cannot be read."""
    kept = Kept({}, {})
    path = home / "ladder" / "records.json"
    try:
        if path.exists():
            kept.records.update(_decode_records(path.read_bytes()))
        for path in sorted((home / "ladder").glob(f"{ALLOWED}-*.json")):
            one = _decode_allowed(path.read_bytes())
            kept.allowed[one.id] = one
    except (OSError, msgspec.MsgspecError) as error:
        text = f"{path} cannot be read: {error}\nMend or move it: without it the record is gone."
        raise UsageError(text) from error
    return kept


async def load_shipped(redis: Client, kept: Kept) -> None:
    """Add what stands in Redis; raises what the client raises."""
    found: dict[bytes, bytes] = await redis.hgetall(keys.LADDER)
    for field, value in found.items():
        if field == b"records":
            for place, record in _decode_records(value).items():
                kept.records.setdefault(place, Record()).merge(record)
        else:
            one = _decode_allowed(value)
            kept.allowed[one.id] = one


def allow(home: Path, one: Allowed) -> None:
    """Keep an override in the home, for whoever has that; raises OSError."""
    path = home / "ladder" / f"{ALLOWED}-{one.id}.json"
    replace_whole(path, msgspec.json.encode(one), sync=True, private=True)
    owner = home.stat()
    if owner.st_uid != os.geteuid():  # given as root in the trader's machine, which goes on there
        for made in (path.parent, path):
            os.chown(made, owner.st_uid, owner.st_gid)


async def ship_allowed(redis: Client, one: Allowed) -> None:
    """Keep it in Redis; raises what the client raises."""
    await redis.hset(keys.LADDER, f"{ALLOWED}:{one.id}", msgspec.json.encode(one))


def overrides(kept: Kept, stage: Stage, place: str) -> list[Allowed]:
    """What a person has stated for a stage at a place, the last one last."""
    found = [one for one in kept.allowed.values() if one.stage == stage and place in one.places]
    return sorted(found, key=lambda one: one.time_ns)


def check(config: Config, kept: Kept) -> None:
    """Raises RefusedError where the stage's record lacks something that nobody has overridden."""
    stage = stage_of(config)
    if stage is None:
        return
    for place in places(config).values():
        missing = lacking(stage, kept.records.get(place, Record()))
        if missing and not overrides(kept, stage, place):
            raise RefusedError(
                f"{stage} at {place} needs the record of the step before: {'; '.join(missing)}\n"
                "See `betatrader live status`; or state why not: "
                f"betatrader live allow {stage} --reason TEXT"
            )


async def permit(service: Service) -> None:
    """The same for a trading role at its start, by all that is kept; raises RefusedError."""
    if stage_of(service.config) is None:
        return
    kept = load(service.home)
    if service.config.journal.durability == "shipped":
        try:
            await load_shipped(service.redis, kept)
        except AWAY as error:
            service.log.warning("redis_away", what="ladder", error=str(error))
    check(service.config, kept)


class Witness:
    """Sees what a trader does on its step, and keeps the record of it."""

    def __init__(
        self, service: Service, trader: Trader, leads: Callable[[], bool] = lambda: True
    ) -> None:
        self._stage = stage_of(service.config)
        self._places = places(service.config)
        self._service = service
        self._trader = trader
        self._leads = leads
        self._ships = service.config.journal.durability == "shipped"
        self._fills = trader.engine.state.orders.fills
        self._log = structlog.get_logger()
        self._kept = Kept({}, {})
        if self._stage is not None:
            self._kept = load(service.home)
            trader.on_done = self.take

    async def run(self) -> None:
        """Journal the overrides that this stage stands on, then keep the record until cancelled."""
        if self._stage is None:
            return
        if self._ships:
            try:
                await load_shipped(self._service.redis, self._kept)
            except AWAY as error:
                self._log.warning("redis_away", what="ladder", error=str(error))
        self._journal_overrides(self._stage)
        try:
            await self._count(self._stage)
        finally:
            with anyio.move_on_after(LAST_KEEP_S, shield=True):
                await self._keep()

    def _journal_overrides(self, stage: Stage) -> None:
        used = {one.id: one for place in self._places.values() for one in self._standing(place)}
        for one in used.values():
            self._trader.take(
                StageAllowed(clock.now_ns(), one.id, one.author, one.reason, stage, one.time_ns)
            )

    def _standing(self, place: str) -> list[Allowed]:
        """The override that a place stands on: none where its record suffices."""
        assert self._stage is not None
        if not lacking(self._stage, self._kept.records.get(place, Record())):
            return []
        return overrides(self._kept, self._stage, place)[-1:]

    async def _count(self, stage: Stage) -> None:
        """Seconds of trading, and the record kept now and then."""
        since, kept_s, passed = clock.boot_s(), 0.0, dict.fromkeys(self._places, 0.0)
        while True:
            await anyio.sleep(LOOK_S)
            now = clock.boot_s()
            state = self._trader.engine.state
            for venue in passed:
                if self._leads() and state.account(venue) not in state.shut:
                    passed[venue] += now - since
            since = now
            if now - kept_s >= KEEP_S:
                kept_s = now
                for venue in passed:
                    whole = int(passed[venue])
                    passed[venue] -= whole
                    self._day(venue, stage).seconds += whole
                await self._keep()

    async def _keep(self) -> None:
        data = msgspec.json.encode(self._kept.records)
        try:
            replace_whole(self._service.home / "ladder" / "records.json", data)
            if self._ships:
                await self._service.redis.hset(keys.LADDER, "records", data)
        except AWAY as error:  # OSError is one of them: a full disk
            self._log.warning("ladder_not_kept", error=str(error))

    def _day(self, venue: str, stage: Stage) -> Day:
        date = clock.iso(clock.now_ns())[:10]
        return self._kept.records.setdefault(self._places[venue], Record()).day(stage, date)

    # What counts.

    def take(self, event: Event, step: Step | None) -> None:
        """Count one event of the trader's, after it is done with it."""
        stage, state = self._stage, self._trader.engine.state
        assert stage is not None
        for change in step.changes if step is not None else ():
            if isinstance(change, Approved) and (day := self._at(change.terms.instrument)):
                day.orders += 1
                day.ordered += cost(change.terms.price, change.terms.quantity)
        if isinstance(event, Fill):
            if state.orders.fills != self._fills and (day := self._at(event.instrument)):
                day.fills += 1
                _count_fill(day, event, state)
            self._fills = state.orders.fills
        elif isinstance(event, OrderSigned):
            self._count_signed(event, state)
        else:
            for venue in self._unexplained(event):
                self._day(venue, stage).unexplained += 1

    def _at(self, instrument: InstrumentId) -> Day | None:
        assert self._stage is not None
        venue = venue_of(instrument)
        return self._day(venue, self._stage) if venue in self._places else None

    def _count_signed(self, event: OrderSigned, state: State) -> None:
        order = state.orders.find(event.order)
        if order is not None and (day := self._at(order.terms.instrument)):
            day.signed += bool(event.digest)
            day.unfit += not event.digest

    def _unexplained(self, event: Any) -> list[str]:
        """The venues whose books differed from ours in a way that no order of ours explains."""
        if getattr(event, "aside", False):
            return []
        if isinstance(event, CashFlow):
            venues = [event.venue] if event.venue in self._places else list(self._places)
        elif isinstance(event, PositionTransfer):
            venues = [venue_of(event.instrument)]
        elif isinstance(event, OrderFound):
            venues = [venue_of(event.terms.instrument)]
        else:
            return []
        state = self._trader.engine.state  # what was there before us differs from nothing
        return [one for one in venues if one in self._places and state.account(one) in state.agreed]


def _count_fill(day: Day, fill: Fill, state: State) -> None:
    """A fill's worth and what it cost: its fee, and how far it was from the market's middle."""
    worth = cost(fill.price, fill.quantity)
    seen = state.markets.get(fill.instrument)
    middle = (seen.bid + seen.ask) // 2 if seen is not None and seen.bid and seen.ask else 0
    apart = 0
    if middle:
        apart = (fill.price - middle) * fill.quantity // SCALE
        apart = apart if fill.side is Side.BUY else -apart
    day.filled += worth
    day.cost += fill.fee + fill.kept * fill.price // SCALE + apart
