"""One simulated run: a venue or two, a Redis, one or two traders, and the faults of a plan.

The traders are the trading role as it is: standby, lease, journal, shipping, gateway, recovery and
reconciliation. What is simulated is around them: time, the network, Redis, the disk.
"""

import asyncio
import contextlib
import contextvars
import random
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import structlog

from betatrader.chaos import bus, seams, venues
from betatrader.chaos.judge import Judge
from betatrader.chaos.loop import VirtualLoop, number_cancel_scopes
from betatrader.chaos.network import Network
from betatrader.chaos.operator import Operator
from betatrader.chaos.plan import OPERATOR, Fault, Plan
from betatrader.chaos.seams import EPOCH_S, Disk, Machine, Quartz
from betatrader.chaos.site import Site
from betatrader.chaos.venues import Side
from betatrader.config import (
    Config,
    JournalSection,
    LeaseSection,
    Reconcile,
    Risk,
    StrategyEntry,
    Watchdog,
)
from betatrader.ops.mapped_file import MappedFile
from betatrader.roles import leading, trading
from betatrader.store.schema import Schema

FAULTS_END_S = 42.0
LIVENESS_S = 20.0
"""Trading again within this time once faults have ended."""

LIVENESS_OF_BOTH_S = 30.0
"""The same at each of two venues, whose positions share a limit: pairs that were merged count as
held until that is believed, which takes an order in doubt and two looks, 10 s each."""

REDIS_STEP_S = 4.5
"""How far the server's clock is set off: a trader that starts refuses to lead beyond 5 s
(`store.lease.CLOCKS_APART_S`), and waits with that until the clocks are right."""

FEW_ORDERS = 4
"""So many may be open at each venue where the account is guarded."""

FEWEST_ORDERS, MORE_S = 50, 30.0
"""A run holds so many orders; one whose trader was often halted goes on for so much longer."""

QUIET_S = 60.0
"""From the last quote until the books must agree: pairs that were merged are believed late."""


class SimulatedService:
    """What the trading role needs of its process."""

    role = "trading"

    def __init__(self, config: Config, home: Path, redis: Any) -> None:
        self.config = config
        self.home = home
        self.redis = redis
        self.stopping = anyio.Event()
        self.failure: Exception | None = None
        self.log = structlog.get_logger()
        self.port = 0
        self.schema = Schema()
        self.shares = None  # the only trader of its account
        self.database = 0

    @property
    def web(self) -> "SimulatedService":
        """Nobody asks over HTTP."""
        return self

    def add_route(self, *_: object, **__: object) -> None:
        """As above."""

    def alert(self, *_: object) -> None:
        """Nobody is told."""

    def new_blocking(self) -> Any:
        """A client for a reader that waits."""
        return self.redis

    def ready(self) -> None:
        """Nobody waits for it."""

    def stop(self) -> None:
        """Begin to drain."""
        self.stopping.set()

    def is_stopping(self) -> bool:
        """Whether the drain has begun."""
        return self.stopping.is_set()


class Trader:
    """One trader's machine: started again whenever its process has ended."""

    def __init__(self, world: "World", name: str) -> None:
        self.quartz = Quartz.drawn(name, world.plan.seed)
        self.name = name
        self.home = world.folder / name
        self.disk = Disk(self.home)
        self.machine: Machine | None = None
        self.service: SimulatedService | None = None
        self.role: Any = None
        self.offset_s = 0.0
        self.starts = 0
        self.endings: list[str] = []
        self._world = world

    async def keep_running(self) -> None:
        """Start it, and again whenever it has ended."""
        world = self._world
        while True:
            self.home.mkdir(parents=True, exist_ok=True)
            machine = self.machine = Machine(self.name, self.disk, self.quartz)
            machine.offset_s, machine.now = self.offset_s, world.loop.time
            ended = asyncio.Event()
            machine.on_killed.append(ended.set)
            self.role = None
            self.service = SimulatedService(
                world.config, self.home, bus.SimulatedRedis(world.redis)
            )
            self.starts += 1
            task = world.loop.spawn(machine, trading.serve, self.service)
            task.add_done_callback(_setting(ended), context=contextvars.Context())
            await ended.wait()
            if task.done() and not task.cancelled() and task.exception() is not None:
                self.endings.append(f"{world.loop.time():.2f} {task.exception()!r}"[:300])
            machine.kill()
            await asyncio.sleep(world.chance.uniform(0.1, 0.8))


class World:
    """Everything of one run."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.chance = random.Random(f"world {plan.seed}")  # noqa: S311  a seed, to be repeated
        self.loop = VirtualLoop(plan.seed)  # type: ignore[abstract]  # what it lacks is never used
        self.network = self.loop.network = Network(self.loop, plan.seed)
        self.redis = bus.Server(self.loop, plan.seed, EPOCH_S)
        self.sites = [
            Site(self, name, Network(self.loop, plan.seed + at) if at else self.network)
            for at, name in enumerate(venues.names_of(plan))
        ]
        sides = [site.venue for site in self.sites]
        venues.connect(sides)
        self.config = _config(sides, plan)
        self.judge = Judge(self)
        self.operator = Operator(self)
        self.traders = [Trader(self, name) for name in (("a", "b") if plan.pair else ("a",))]
        self.open_files: list[MappedFile] = []
        within_s = LIVENESS_S if len(self.sites) == 1 else LIVENESS_OF_BOTH_S
        late_s = max(site.venue.late_s for site in self.sites)
        self._live_by = FAULTS_END_S + within_s + late_s
        self.quotes_until = self._live_by + MORE_S
        self._striking: list[object] = []

    # The run.

    def run(self) -> None:
        """To its end; what is wrong is in `judge.wrong`."""
        self.loop.call_soon(lambda: self.loop.create_task(self._main()))
        self.loop.run_until(lambda: self._over, 10_000.0)
        self.judge.after_all(self.loop.unhandled)

    def close(self) -> None:
        """Let go of the files of all processes that there were."""
        for file in self.open_files:
            with contextlib.suppress(OSError):
                file.close()

    _over = False

    async def _main(self) -> None:
        for site in self.sites:
            await site.venue.listen()
        tasks = [
            self.loop.create_task(run, context=site.context.copy())
            for at in ("run", "deliver")
            for site in self.sites
            for run in [site.venue.run(site.market()) if at == "run" else site.venue.deliver()]
        ]
        tasks += [
            asyncio.ensure_future(run)
            for run in (
                *(trader.keep_running() for trader in self.traders),
                *((self.operator.run(),) if self.plan.guarded else ()),
                self._remember(),
            )
        ]
        for fault in self.plan.faults:  # until its time comes a fault changes nothing
            self.loop.call_at(fault.at_s, self._begin, fault)
        await asyncio.sleep(FAULTS_END_S)
        for trader in self.traders:  # what waits for an order, or a write, comes no more
            trader.disk.kill_after_order = trader.disk.kill_after_writes = 0
        self.judge.faults_end()
        while self.loop.time() < self._live_by and not self.judge.trades_again:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        self.judge.liveness_ends()
        while self.loop.time() < self.quotes_until and self.judge.orders < FEWEST_ORDERS:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        self.quotes_until = self.loop.time()
        deadline = self.loop.time() + QUIET_S
        await asyncio.sleep(3.0)
        while self.loop.time() < deadline and self.judge.differences(  # noqa: ASYNC110
            self.leader()
        ):
            await asyncio.sleep(0.5)
        self.judge.quiet(self.leader())
        for task in tasks:
            task.cancel()
        self._over = True

    def leader(self) -> Any:
        """The trading role that leads with the highest epoch; None where nobody does."""
        roles = [t.role for t in self.traders if t.role is not None and t.machine is not None]
        alive = [role for role in roles if not role.service.is_stopping()]
        return max(alive, key=lambda role: role.trader.engine.state.epoch, default=None)

    def running_role(self) -> Any:
        """The trading role of the process whose code runs now."""
        machine = seams.current_machine()
        found = (trader.role for trader in self.traders if trader.machine is machine)
        return next(found, None) if machine is not None else None

    def met(self) -> dict[str, int]:
        """What befell messages to and from all venues, by kind."""
        kinds = self.sites[0].link.counts
        return {kind: sum(site.link.counts[kind] for site in self.sites) for kind in kinds}

    def now_ns(self) -> int:
        """UTC as it is: a clock may be off."""
        return int((EPOCH_S + self.loop.time()) * 1e9)

    # Faults.

    def _begin(self, fault: Fault) -> None:
        self._striking.append(self.loop.create_task(self._strike(fault)))

    async def _strike(self, fault: Fault) -> None:
        end = self.loop.time() + fault.lasts_s
        if fault.kind in OPERATOR:
            self.judge.instructions += 1
            self.operator.order(fault, end)
            return
        self.judge.counts[fault.kind] = self.judge.counts.get(fault.kind, 0) + 1
        trader = self._target(fault)
        machine = trader.machine
        match fault.kind:
            case "kill" | "wipe" | "power_cut" if machine is not None:
                await self._die(trader, machine, fault)
            case "kill_at_order":
                trader.disk.kill_after_order = 1 + int(fault.size * 8)
            case "kill_in_write":
                trader.disk.kill_after_writes = 1 + int(fault.size * 40)
            case "pause" if machine is not None:
                machine.paused_until = end
            case "end" if trader.service is not None and machine is not None and machine.alive:
                trader.service.stop()
            case "clock":
                trader.offset_s = (fault.size - 0.5) * 6.0
                if machine is not None:
                    machine.offset_s = trader.offset_s
            case "disk_full":
                trader.disk.full_until = end
            case "sync_fails":
                trader.disk.sync_fails_until = end
            case _:
                await self._strike_around(fault, end)

    def _target(self, fault: Fault) -> Trader:
        """Mostly the leader: that is where it hurts."""
        leader = self.leader()
        for trader in self.traders:
            if leader is not None and trader.role is leader and fault.size < 0.75:
                return trader
        return self.traders[int(fault.size * 100) % len(self.traders)]

    async def _die(self, trader: Trader, machine: Machine, fault: Fault) -> None:
        """At some await within the next moments, whatever it is about."""
        machine.kill_in = 1 + int(fault.size * 40)
        while machine.alive:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        if fault.kind == "power_cut":
            trader.disk.power_cut(self.chance)
        elif fault.kind == "wipe":
            shutil.rmtree(trader.home, ignore_errors=True)

    async def _strike_around(self, fault: Fault, end: float) -> None:
        redis = self.redis
        match fault.kind:
            case "redis_away":
                redis.away_until = end
            case "redis_hangs":
                redis.hangs_until = end
            case "redis_loses_answers":
                redis.loses_answers_until = end
            case "redis_full":
                redis.full_until = end
            case "redis_slow":
                redis.slowest_s = 0.3
                await asyncio.sleep(fault.lasts_s)
                redis.slowest_s = 0.001
            case "redis_empty":
                redis.restart_empty()
            case "redis_older":
                redis.fail_over()
            case "redis_clock":
                redis.ahead_s = (fault.size - 0.5) * 2 * REDIS_STEP_S
                await asyncio.sleep(fault.lasts_s)
                redis.ahead_s = 0.0
            case _:
                await self.sites[int(fault.size * 1000) % len(self.sites)].strike(fault, end)

    async def _remember(self) -> None:
        """What a replica has seen, and what a lagging balance shows."""
        while True:
            self.redis.remember()
            for site in self.sites:
                site.remember()
            await asyncio.sleep(0.3)


def _setting(event: asyncio.Event) -> Callable[[object], None]:
    return lambda _task: event.set()


def _config(sides: list[Side], plan: Plan) -> Config:
    guarded = plan.guarded
    little_usd = sum((side.little_usd for side in sides), Decimal(0))
    return Config(
        risk=Risk(
            order_notional_usd=Decimal(20),
            position_notional_usd=Decimal(max(side.stake_usd for side in sides)),
            total_notional_usd=Decimal(sum(side.stake_usd for side in sides)),
            open_orders=FEW_ORDERS * len(sides) if guarded else 20,
            daily_loss_usd=little_usd if guarded else Decimal(900),
            drawdown=Decimal(1),
            orders_per_minute=100_000,
        ),
        **venues.settings(sides),
        strategies=(StrategyEntry(name="eager" if guarded else "busy"),),
        journal=JournalSection(durability="shipped" if plan.shipped else "local", sync_ms=100),
        reconcile=Reconcile(every_seconds=Decimal(2)),
        watchdog=Watchdog(stall_seconds=Decimal(0)),
        lease=LeaseSection(mode="strict" if plan.pair else "solo", ttl_seconds=Decimal(2)),
    )


def prepare() -> None:
    """Once for each operating-system process: what is the same in every world."""
    number_cancel_scopes()
    leading.STANDBY_S = 0.15
