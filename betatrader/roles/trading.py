"""The trading role: feeds to engine to venue, and the bus beside it.

feed ──▶ trader ──▶ gateway ──▶ venue ──▶ trader …
           │ ▲
           ▼ └── signals, instructions (Redis)
         audit (Redis)
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
from anyio.abc import TaskGroup
from structlog.contextvars import bound_contextvars

from betatrader.engine.sweeping import standing_still
from betatrader.model.errors import UsageError
from betatrader.model.event import OperatorInput
from betatrader.model.instruction import CancelAll, Fenced, Started, TimerFired, TradingState
from betatrader.model.market import InstrumentListed
from betatrader.model.signal import Forecast
from betatrader.ops import clock, door, metrics, watchdog
from betatrader.ops.deadman import Deadman
from betatrader.ops.files import replace_whole
from betatrader.roles import journaling, keeping, vitals
from betatrader.roles.account import summarise
from betatrader.roles.accounts import Accounts
from betatrader.roles.controlling import Control, may_obey, open_control
from betatrader.roles.desks import Desk
from betatrader.roles.ladder import Witness, permit
from betatrader.roles.leading import Leadership
from betatrader.roles.service import Service
from betatrader.roles.sharing import Sharing
from betatrader.roles.standby import Standby
from betatrader.roles.trader import Trader
from betatrader.store import keys
from betatrader.store.audit import AuditLog
from betatrader.store.bus import Consumer, Seen
from betatrader.store.connection import AWAY
from betatrader.store.journal import JournalBrokenError
from betatrader.store.shipping import Shipper
from betatrader.venues.gateway import Gateway

SLOT = "trading-0"
TICK_S = 1.0
SUMMARY_S = 0.5
SETTLE_S = 3.0
"""How long the drain waits for what is under way at the venue."""

BROKEN_SETTLE_S = 0.2
"""The same where the journal is broken: reports are not taken any more."""

LAST_LOOK_S = 4.5
"""How long that and the last comparison with the venue may take together."""

BOOKS_S, WRITE_S = 1.0, 2.0
"""How long the drain waits for the venue's own books, and for Redis: 7.5 s in all, of 8."""

PAUSE_S = 0.5


async def serve(service: Service) -> None:
    """Trade until told to stop or the feed ends; then drain, and write the final summary."""
    await permit(service)
    sharing = Sharing(service)
    await sharing.check()
    leadership = Leadership(service)
    standby = Standby(service)
    control = open_control(service, leadership.may_order)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(standby.run)
            group.start_soon(standby.abroad.keep)
            if await leadership.win(standby.follow):
                async with anyio.create_task_group() as leading:
                    leading.start_soon(leadership.keep)
                    await standby.finish(leadership.lease.epoch)
                    if await sharing.claim():
                        leading.start_soon(sharing.keep)
                        await _trade(TradingRole(service, leadership, standby), control)
                    leading.cancel_scope.cancel()
                await leadership.leave()
            group.cancel_scope.cancel()
    finally:
        door.remove(service.home)


async def _trade(role: "TradingRole", control: Control) -> None:
    service = role.service
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as starting:  # a venue may not answer, and the lease be lost
            group.start_soon(_cancel_when, service.stopping, starting)
            await role.start(group)
        if starting.cancelled_caught:
            group.cancel_scope.cancel()
            return
        group.start_soon(watchdog.watch, float(service.config.watchdog.stall_seconds))
        async with anyio.create_task_group() as intake:
            intake.start_soon(role.feed, intake.cancel_scope)
            intake.start_soon(role.receive, role.signals, role.take_forecast)
            intake.start_soon(role.receive, role.instructions, role.take_instruction)
            intake.start_soon(role.tick)
            intake.start_soon(role.publish_summary)
            intake.start_soon(role.keep_reconciled)
            intake.start_soon(role.hold_back)
            intake.start_soon(Deadman(service.config.alerts, role.leadership.is_well).run)
            control.role = role
            service.ready()
            await service.stopping.wait()
            intake.cancel_scope.cancel()
        await role.drain()
        group.cancel_scope.cancel()


async def _cancel_when(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


class TradingRole:
    """One trader that leads, with all that stands around it."""

    def __init__(self, service: Service, leadership: Leadership, standby: Standby) -> None:
        config = service.config
        self.leadership = leadership
        self.service = service
        self.started_ns = clock.now_ns()
        self.run = keeping.new_run(service.home, self.started_ns)
        self.audit = AuditLog(service.redis, self.run, service.schema, leadership.leads)
        self.standby = standby
        self.desk = standby.desks[0]
        engine = standby.engine
        self.journal = journaling.begin(service, self.run, standby.described, engine)
        self.trader = Trader(engine, self.run, self.audit, self.journal)
        self.accounts = Accounts(
            standby.desks,
            lambda: engine.state,
            self.trader.take,
            config.reconcile.unexplained,
            leadership.leads,
        )
        self.accounts.on_difference(lambda text: service.alert("error", text))
        self.accounts.before_start(self._permit)
        self.accounts.on_overtaken(leadership.overtaken)
        self.trader.connect(Gateway(self.accounts.sender, leadership))
        self.shipper = Shipper(service.redis, standby.whole, standby.shipped, service.schema)
        self.shipper.on_fenced = leadership.lose
        self.trader.ship(self.shipper, hold=config.journal.durability == "shipped")
        self.trader.on_alert = service.alert
        self.trader.on_doubt = self.accounts.look_now
        service.facts = lambda: {
            "stale": standing_still(engine.state, engine.limits, clock.now_ns())
        }
        service.vitals = lambda: vitals.of_trader(engine.state, leadership, self.accounts)
        leadership.on_fenced = self._fenced
        leadership.on_regained = self._regained
        self.signals = self._consumer(keys.signals(self.run), Forecast)
        self.instructions = self._consumer(keys.instructions(self.run), OperatorInput)
        self.witness = Witness(service, self.trader, leadership.leads)
        self.seen = Seen()
        self.error = ""

    async def keep_journal(self) -> None:
        """Until it breaks: then nothing can be done any more, and the trader ends."""
        settings, trader = self.service.config.journal, self.trader
        try:
            await journaling.tend(self.journal, settings, lambda: trader.broken is not None)
        except JournalBrokenError as error:
            self.trader.give_up(error)
        self.error = str(self.trader.broken)
        self.service.failure = self.trader.broken
        self.service.log.error("journal_broke", error=self.error)
        self.service.alert("critical", self.error)
        self.service.stop()

    def _consumer(self, stream: str, kind: Any) -> Consumer[Any]:
        service = self.service
        return Consumer(
            service.redis,
            service.new_blocking(),
            stream,
            keys.TRADING_GROUP,
            name=SLOT,
            decode=msgspec.msgpack.Decoder(kind).decode,
        )

    async def start(self, group: TaskGroup) -> None:
        """Say which run this is, keep the trading state of the last, and agree with the venue."""
        self.accounts.check()
        await self._announce()
        before = self.trader.engine.state
        is_new, recovered = self.standby.is_new, self.standby.recovered
        state, reason, made = before.trading_state, before.halt_reason, self._made()
        if is_new:
            kept = await self._kept()
            state = TradingState(kept.get(b"state", b"ACTIVE").decode())
            reason = kept.get(b"reason", b"").decode()
            made = (1 << 48, 0)  # without a journal no fill can be told from one counted long ago
        await self.standby.abroad.asked.wait()
        if recovered is not None:
            self.service.log.info("recovered", **recovered._asdict())
        now = self.started_ns
        epoch = max(self.leadership.lease.epoch, before.epoch + 1)
        limits = self.trader.engine.limits
        self.shipper.begin(epoch)
        names = self.accounts.names
        self.trader.take(Started(now, epoch, state, reason, True, limits, names))
        self.standby.abroad.hold_now(before, self.trader.take)
        for seen in list(before.markets.values()):  # a replica of this run must know them too
            self.trader.take(InstrumentListed(now, seen.definition))
        self.standby.take = self.trader.take
        for run in (self.shipper.run, self.audit.run, self.keep_journal, self.witness.run):
            group.start_soon(run)
        await self.accounts.start(group, epoch, made, is_new=is_new)
        self._summarise()
        with suppress(*AWAY):  # `audit.run` goes on with it
            await self.audit.flush()

    async def _kept(self) -> dict[bytes, bytes]:
        """The trading state that outlives a run. Redis being away is waited out: HALTED may stand
        there and nowhere else."""
        while True:
            try:
                found: dict[bytes, bytes] = await self.service.redis.hgetall(keys.KEPT)
            except AWAY as error:
                self.service.log.warning("redis_away", what="start", error=str(error))
                await anyio.sleep(PAUSE_S)
                if self.service.is_stopping():
                    return {}
            else:
                return found

    async def _announce(self) -> None:
        """Say which run this is, and be ready for messages; what fails now is done again later, by
        the audit log and by each reader."""
        with suppress(*AWAY):
            await self.signals.join()
            await self.instructions.join()
            await self.service.redis.set(keys.RUN, self.run)

    def _fenced(self, reason: str) -> None:
        self.trader.take(Fenced(clock.now_ns(), reason))

    def _regained(self) -> None:
        """The lease is ours again: others may have traded, so that the books come first."""
        state = self.trader.engine.state
        made, epoch = self._made(), self.leadership.lease.epoch
        if epoch > state.epoch:
            now, reason = clock.now_ns(), state.halt_reason
            self.shipper.begin(epoch)
            self.trader.take(Started(now, epoch, state.trading_state, reason, reconcile=True))
        self.accounts.look_now(made)

    def _made(self) -> tuple[int, int]:
        """All orders of ours up to this epoch and counter are in our journal."""
        state = self.trader.engine.state
        return state.epoch, state.order_counter

    async def feed(self, scope: anyio.CancelScope) -> None:
        """The market; where it ends or breaks, the run ends."""
        try:
            await self.accounts.feed()
        except UsageError as error:
            self.error = str(error)
            self.service.failure = error
            self.service.log.error("feed_broke", error=self.error)  # noqa: TRY400  one line tells all
            self.service.alert("critical", self.error)
        self.service.stop()
        scope.cancel()

    async def receive(self, consumer: Consumer[Any], take: Callable[[Any], None]) -> None:
        """Messages of one stream into the trader; Redis going away is waited out."""
        while not self.service.is_stopping():
            try:
                messages = await consumer.read(block_s=1.0)
                for message in messages:
                    if self.seen.first_time(message.id):
                        with bound_contextvars(trace=message.trace or message.id):
                            take(message.body)
                await consumer.acknowledge(*(message.entry for message in messages))
            except AWAY as error:
                metrics.REDIS_ERRORS.labels(consumer.stream.rpartition(":")[2]).inc()
                self.service.log.warning("redis_away", what=consumer.stream, error=str(error))
                await anyio.sleep(PAUSE_S)
                await consumer.rejoin()

    def take_forecast(self, forecast: Forecast) -> None:
        """A forecast, stamped with the time at which it reached us."""
        self.trader.take(msgspec.structs.replace(forecast, time_ns=clock.now_ns()))

    def take_instruction(self, instruction: Any) -> None:
        """What the operator orders, stamped alike."""
        if not may_obey(self.service, instruction):
            return
        self.service.log.info("instruction", kind=type(instruction).__name__, by=instruction.author)
        self.trader.obey(msgspec.structs.replace(instruction, time_ns=clock.now_ns()))
        self._summarise()

    async def tick(self) -> None:
        """The engine's clock where no market moves it."""
        while True:
            await anyio.sleep(TICK_S)
            now = clock.now_ns()
            self.trader.give_up_held(now)
            self.trader.take(TimerFired(now, "tick"))

    async def publish_summary(self) -> None:
        """The account in a few lines, twice a second; on disk too, should all be killed."""
        kept = True
        while True:
            await anyio.sleep(SUMMARY_S)
            data = self._summarise()
            metrics.EQUITY.set(self.trader.engine.state.equity() / 1e8)
            try:
                self._keep_summary(data)
                kept = True
            except OSError as error:
                if kept:
                    self.service.log.warning("summary_not_kept", error=str(error))
                kept = False

    def _keep_summary(self, data: bytes) -> None:
        target = self.service.home / "reports" / self.run / "summary.json"
        replace_whole(target, data)

    async def _permit(self, desk: Desk) -> None:
        """Before an account is compared: its venue has said whether it serves us, or does not."""
        abroad = self.standby.abroad
        await abroad.known(desk)
        abroad.hold_now(self.trader.engine.state, self.trader.take)

    async def hold_back(self) -> None:
        """No new risk at a venue that does not serve this address."""
        await self.standby.abroad.hold_back(self.trader.engine.state, self.trader.take)

    async def keep_reconciled(self) -> None:
        """Look again now and then, for as long as the trader runs."""
        await self.accounts.keep(float(self.service.config.reconcile.every_seconds))

    async def drain(self) -> None:
        """Cancel what rests (stops that venues keep stay), wait for what is under way, judge the
        run, and write it all down."""
        stay = all(desk.outlives_us for desk in self.standby.desks)
        self.trader.take(CancelAll(clock.now_ns(), "drain", "betatrader", "stopping", stay))
        settle_s = SETTLE_S + 2 * self.service.config.paper.latency_ms / 1000
        with anyio.move_on_after(LAST_LOOK_S):
            with anyio.move_on_after(settle_s if self.trader.broken is None else BROKEN_SETTLE_S):
                await self.accounts.settle()
            if self.trader.broken is None and self.leadership.leads():
                await self.accounts.agree(self._made())
        verdicts: dict[str, bool] = {}
        if self.trader.broken is None:
            with anyio.move_on_after(BOOKS_S):
                verdicts = await self.accounts.verdicts(self.trader.engine.limits)
        data = self._summarise(verdicts)
        with suppress(OSError):  # a full disk: Redis has it too
            self._keep_summary(data)
        with anyio.move_on_after(WRITE_S):
            await self._write_all()
        if self.trader.broken is None:
            self.journal.close()
            self.accounts.close()

    async def _write_all(self) -> None:
        while True:
            try:
                await self.audit.flush()
                await self.shipper.flush()
            except AWAY as error:
                self.service.log.warning("redis_away", what="final summary", error=str(error))
                await anyio.sleep(0.2)
            else:
                return

    def _summarise(self, verdicts: dict[str, bool] | None = None) -> bytes:
        summary = summarise(
            self.trader,
            mode=self.service.config.mode,
            started_ns=self.started_ns,
            now_ns=clock.now_ns(),
            invariants=verdicts,
            error=self.error,
        )
        metrics.EVENTS.set(summary.events)
        metrics.ORDERS.set(summary.orders)
        data = msgspec.json.encode(summary)
        self.audit.summarise(data, summary.trading_state, summary.reason)
        return data
