"""`up` and `demo`: a private server and the three roles side by side, watched, and a report."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
import structlog

from betatrader.model.errors import DeadlineError
from betatrader.model.summary import Summary
from betatrader.ops import home as homes
from betatrader.ops.clock import now_ns
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.ops.home import Hold, Runtime
from betatrader.ops.owners import environment_of
from betatrader.ops.probe import readiness
from betatrader.ops.process import alive
from betatrader.ops.supervision import Child
from betatrader.roles import ROLES, report
from betatrader.roles.report import Report, RoleLine
from betatrader.roles.venue_process import served, together
from betatrader.store import keys, records
from betatrader.store.connection import AWAY, Client, connected

READY_DEADLINE_S = 30.0
STOP_S = 12.0
WATCH_S = 0.5


class Plan(NamedTuple):
    """What to run: where, for how long, with which further environment for the roles."""

    home: Path
    reports: Path
    seconds: float | None
    environment: Mapping[str, str]
    mode: str
    demo: bool
    logs: IO[bytes] | None
    venues: tuple[str, ...] = ()
    """Simulated venues to start beside the roles; none: the paper venue inside the trader."""
    live: bool = False
    """Whether --live stands on the command line: the trading role gets it on its own."""


class Watch(NamedTuple):
    """What a live view gets about twice a second."""

    summary: Summary | None
    roles: dict[str, RoleLine]
    seconds: float
    records: list[records.Record]


View = Callable[[Watch], None]


class Result(NamedTuple):
    """The report, the folder that it was kept in, and the run's exit status."""

    report: Report | None
    folder: Path | None
    status: int


def run(plan: Plan, view: View | None) -> Result:
    """Run it all to its end; raises RefusedError where another run holds the home."""
    clear_leftovers()
    hold = Hold(plan.home)
    with contextlib.ExitStack() as stack:
        found = [
            stack.enter_context(served(venue, {**os.environ, **plan.environment}, plan.logs))
            for venue in plan.venues
        ]
        environment = {**plan.environment, **together(found)}
        return _run(plan._replace(environment=environment), hold, view)


def _run(plan: Plan, hold: Hold, view: View | None) -> Result:
    try:
        url = os.environ.get("REDIS_URL")
        if url:
            return asyncio.run(LocalRun(plan, hold, url, view).run())
        with EmbeddedRedis(plan.home / "redis", hold.folder) as server:
            return asyncio.run(_kept_running(server, LocalRun(plan, hold, server.url, view)))
    finally:
        hold.release()


async def _kept_running(server: EmbeddedRedis, run: "LocalRun") -> Result:
    """A run whose own server is started again where it dies, up to the last word of the report."""
    keeper = asyncio.create_task(server.keep_running())
    try:
        return await run.run()
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper


def demo_home() -> Path:
    """A fresh home for one demo, named by its process so that leftovers can be told."""
    folder = homes.sockets_root() / f"demo-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    return folder


def clear_leftovers() -> None:
    """What runs left behind that were killed: sockets' folders, and homes of demos."""
    for folder in homes.sockets_root().glob("*"):
        if folder.name.startswith("demo-"):
            pid = folder.name.removeprefix("demo-")
            if pid.isdigit() and not alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
            continue
        with contextlib.suppress(OSError, msgspec.DecodeError):
            runtime = msgspec.json.decode((folder / "runtime.json").read_bytes(), type=Runtime)
            if not alive(runtime.pid):
                shutil.rmtree(folder, ignore_errors=True)


class LocalRun:
    """One run of the three roles on one Redis."""

    def __init__(self, plan: Plan, hold: Hold, url: str, view: View | None) -> None:
        self._plan = plan
        self._hold = hold
        self._url = url
        self._view = view
        self._stop = asyncio.Event()
        self._log = structlog.get_logger()
        self._health = dict.fromkeys(ROLES, "starting")
        self._beats: dict[str, dict[bytes, bytes]] = {role: {} for role in ROLES}
        self._began = time.monotonic()
        self._since_ns = now_ns()
        self._after = b"-"
        self._last: Summary | None = None
        self._run_before: bytes | None = None
        self._at_end: dict[str, RoleLine] = {}
        self._unsealer = records.Unsealer()
        self._children = {role: self._child(role) for role in ROLES}

    def _child(self, role: str) -> Child:
        live = ["--live"] if self._plan.live and role == "trading" else []
        environment = {
            **environment_of(role, {**os.environ, **self._plan.environment}),
            "REDIS_URL": self._url,
            "BETATRADER_HOME": str(self._plan.home),
            "BETATRADER_SUPERVISED": "1",
            "BETATRADER_HEALTH__PORT": "0",
        }
        return Child(
            role,
            [sys.executable, "-P", "-m", "betatrader", "--role", role, *live],
            environment,
            stderr=self._plan.logs,
            final=lambda status: status in (2, 3) or (status == 0 and role == "trading"),
            essential=role == "trading",
        )

    async def run(self) -> Result:
        """Start, watch, stop in order, report."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with connected(self._url) as redis:
            self._run_before = await redis.get(keys.RUN)
            self._announce()
            async with asyncio.TaskGroup() as group:
                for child in self._children.values():
                    group.create_task(child.run())
                try:
                    await self._await_ready(redis)
                    self._began = time.monotonic()
                    self._announce()
                    await self._watch(redis)
                finally:
                    seconds = time.monotonic() - self._began
                    await self._stop_all()
            return await self._result(redis, seconds)

    async def _await_ready(self, redis: Client) -> None:
        deadline = time.monotonic() + READY_DEADLINE_S
        while not self._over():
            with contextlib.suppress(*AWAY):
                await self._look(redis)
            if all(self._ready_ms(role) for role in ROLES):
                return
            if time.monotonic() > deadline:
                late = [role for role in ROLES if not self._ready_ms(role)]
                raise DeadlineError(
                    f"not ready after {READY_DEADLINE_S:.0f} s: {', '.join(late)}\n"
                    "Look at the log lines above, or run one role alone: betatrader --role NAME"
                )
            await asyncio.sleep(0.05)

    def _over(self) -> bool:
        """Whether a person, the feed's end or a child that cannot run has ended the run."""
        return self._stop.is_set() or any(c.ended.is_set() for c in self._children.values())

    async def _watch(self, redis: Client) -> None:
        while not self._over():
            with contextlib.suppress(*AWAY):
                await self._look(redis)
                await self._show(redis)
            left = WATCH_S
            if self._plan.seconds is not None:
                left = min(left, self._plan.seconds - (time.monotonic() - self._began))
                if left <= 0:
                    break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), left)
        await self._probe()

    async def _look(self, redis: Client) -> None:
        for role, child in self._children.items():
            child.sample()
            beat = await redis.hgetall(keys.beat(role))
            if beat.get(b"pid", b"") == str(child.pid).encode():
                self._beats[role] = beat
            elif self._beats[role]:
                self._health[role] = "away"
        await self._probe()

    async def _probe(self) -> None:
        for role in ROLES:
            port = self._port(role)
            if port:
                self._health[role] = await readiness(port)

    def _port(self, role: str) -> int:
        return int(self._beats[role].get(b"port", b"0"))

    def _ready_ms(self, role: str) -> int:
        return int(self._beats[role].get(b"ready_ms", b"0"))

    async def _show(self, redis: Client) -> None:
        if self._view is None:
            return
        news: list[records.Record] = []
        run = await redis.get(keys.RUN)
        if run not in (None, self._run_before):
            async for entry, data in records.pages(redis, run.decode(), self._after):
                self._after = entry
                record = self._unsealer.open(data)
                if record is not None:
                    news.append(record)
        summary = await self._summary(redis)
        self._view(Watch(summary, self._roles(), time.monotonic() - self._began, news))

    async def _summary(self, redis: Client) -> Summary | None:
        run = await redis.get(keys.RUN)
        if run in (None, self._run_before):
            return self._last  # the trader of this run has not opened its account yet
        data = await redis.get(keys.summary(run.decode()))
        if data is not None:
            self._last = msgspec.json.decode(data, type=Summary)
        return self._last

    def _roles(self) -> dict[str, RoleLine]:
        return {
            role: RoleLine(
                pid=child.pid,
                restarts=child.restarts,
                rss_mb=round(child.rss_mb, 1),
                ready_ms=self._ready_ms(role),
                health="ended" if child.ended.is_set() else self._health[role],
                port=self._port(role),
            )
            for role, child in self._children.items()
        }

    async def _stop_all(self) -> None:
        """The trader first: it may still need the others' streams, and they nothing of it."""
        self._at_end = self._roles()
        for role in ("trading", "intel", "jobs"):
            await self._children[role].stop(STOP_S)

    async def _result(self, redis: Client, seconds: float) -> Result:
        failed = next((c for c in self._children.values() if c.status not in (0, None)), None)
        status = 0 if failed is None or failed.status is None else max(1, failed.status)
        try:
            summary = await self._summary(redis)
        except AWAY as error:
            self._log.error("redis_away", what="final summary", error=str(error))
            summary, status = self._last, status or 4
        summary = self._newer_on_disk(summary)
        if summary is None:
            return Result(None, None, status or 1)
        made = report.make(summary, self._at_end, seconds)
        folder = report.keep(made, summary, self._plan.reports)
        with contextlib.suppress(*AWAY):
            await records.save(redis, summary.run, folder)
        if not all(made.invariants.values()) or not made.invariants:
            status = status or 1
        return Result(made, folder, status)

    def _newer_on_disk(self, told: Summary | None) -> Summary | None:
        """What the trader of this run wrote to its disk, where Redis has not told as much."""
        kept = None
        with contextlib.suppress(OSError, msgspec.DecodeError):
            kept = report.last_on_disk(self._plan.home / "reports")
        if kept is None or kept.started_ns < self._since_ns:
            return told
        return kept if told is None or kept.time_ns > told.time_ns else told

    def _announce(self) -> None:
        self._hold.announce(
            Runtime(
                home=str(self._plan.home),
                pid=os.getpid(),
                redis_url=self._url,
                mode=self._plan.mode.upper(),
                demo=self._plan.demo,
                roles={role: child.pid for role, child in self._children.items()},
                ports={role: self._port(role) for role in ROLES},
            )
        )
