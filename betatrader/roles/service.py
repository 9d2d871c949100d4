"""The life of every role: configuration, logs, health, heartbeat, readiness, and a clean drain."""

import contextlib
import importlib
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import structlog
from anyio.abc import TaskStatus

from betatrader import __version__
from betatrader.config import Config, find_file, load
from betatrader.config.live import check_command_line
from betatrader.model.errors import BetatraderError, UnreachableError
from betatrader.model.event import OLDEST_SCHEMA, SCHEMA_VERSION
from betatrader.model.secret import without_password
from betatrader.ops import build, door, health, home, logs, redaction
from betatrader.ops.process import age_s
from betatrader.ops.webhook import Webhook
from betatrader.roles import ROLES
from betatrader.store import functions, keys, schema
from betatrader.store.connection import (
    AWAY,
    Client,
    client,
    connected,
    database_of,
    in_database,
)
from betatrader.store.shares import Shares

PORTS = {"trading": 8701, "intel": 8702, "jobs": 8703}
DRAIN_S = 8.0
BEAT_S = 1.0
BEAT_EXPIRES_S = 5
PATIENCE_S = 5.0
AWAY_TOLD_S = 5.0
"""An outage of Redis that is shorter is no trouble for anybody."""

LAST_ALERTS_S = 2.0
"""How long a role that ends waits for its last alerts to be taken."""

Serve = Callable[["Service"], Awaitable[None]]
E = TypeVar("E", bound=BaseException)


class Outage:
    """Tells when Redis has been away for a while, and when it is back. Times in monotonic seconds.

    Both at one level: who hears of the one hears of the other.
    """

    def __init__(self, alert: Callable[[str, str], None]) -> None:
        self._alert = alert
        self._since: float | None = None
        self.told = False
        """Whether it has been away for long enough to be told."""

    def unanswered(self, now_s: float) -> None:
        """A call has failed."""
        if self._since is None:
            self._since = now_s
        if not self.told and now_s - self._since >= AWAY_TOLD_S:
            self.told = True
            self._alert("error", f"Redis does not answer, for {AWAY_TOLD_S:.0f} s and more")

    def answered(self, now_s: float) -> None:
        """A call has succeeded."""
        if self.told and self._since is not None:
            self._alert("error", f"Redis answers again, after {now_s - self._since:.0f} s")
        self._since, self.told = None, False


class Service:
    """What a role's module works with; it calls `ready()`, and returns after `stopping` is set."""

    def __init__(self, role: str, config: Config, redis_url: str) -> None:
        self.role = role
        self.config = config
        self.instance = f"{role}-{os.getpid()}-{secrets.token_hex(2)}"
        self.home = home.default_home()
        self.stopping = anyio.Event()
        self.failure: BetatraderError | None = None
        self.log = structlog.get_logger()
        self.redis: Client
        self.shares: Shares | None = None
        """Where all traders of this account see each other's share of its limits."""
        self.database = 0
        self.schema = schema.Schema()
        """What this process writes in Redis and in its journal."""
        self.alerts = Webhook(config.alerts, role, __version__)
        self.outage = Outage(self.alert)
        self.facts: Callable[[], dict[str, Any]] = dict
        """What /readyz shows besides: `stale`, the instruments whose data has stopped."""
        self._build = {"version": __version__, "revision": build.revision()}
        self.vitals: Callable[[], dict[str, str]] = dict
        """What a role's heartbeat tells besides, of its own work."""
        self.web = health.application(
            lambda: self._not_ready, lambda: {**self._build, **self.facts()}
        )
        self._own_clients: list[Client] = []
        self.port = 0
        self._redis_url = redis_url
        self._ready_ms = 0
        self._not_ready = "starting"

    def new_blocking(self) -> Client:
        """A client for one reader that waits at the server; closed with the service."""
        self._own_clients.append(client(self._redis_url, blocking=True))
        return self._own_clients[-1]

    def _find_shares(self) -> None:
        self.database = database_of(self.redis)
        root = self.redis if self.database == 0 else in_database(self._redis_url, 0)
        self._own_clients += [root] if root is not self.redis else []
        self.shares = Shares(root, keys.shares(self.config.mode, self.config.shard.account))

    def ready(self) -> None:
        """All that this role needs stands."""
        self._not_ready = ""
        self._ready_ms = int(age_s(os.getpid()) * 1000)
        self.log.info("ready", ready_ms=self._ready_ms, port=self.port)

    def stop(self) -> None:
        """Begin to drain."""
        self._not_ready = "draining"
        self.stopping.set()

    def alert(self, level: str, text: str) -> None:
        """Post trouble to the webhook, if there is one; never waits."""
        self.alerts.offer(level, text)

    def is_stopping(self) -> bool:
        """Whether the drain has begun."""
        return self.stopping.is_set()

    async def run(self, serve: Serve) -> None:
        """Everything from the first connection to the last."""
        everywhere = self.config.health.everywhere
        port = self.config.health.port
        sockets = health.bind(PORTS[self.role] if port is None else port, everywhere=everywhere)
        self.port = sockets[0].getsockname()[1]
        async with connected(self._redis_url, PATIENCE_S) as self.redis:
            await functions.load(self.redis)
            self._find_shares()
            self.schema = await schema.begin(self.redis, _unreleased(self.config))
            try:
                async with anyio.create_task_group() as group:
                    await group.start(self._watch_signals, group.cancel_scope)
                    group.start_soon(health.serve, sockets, self.web)
                    group.start_soon(self._beat)
                    group.start_soon(self.alerts.run)
                    await serve(self)
                    self.log.info("drained")
                    group.cancel_scope.cancel()
            except BaseExceptionGroup as errors:
                self.alert("critical", f"{self.role} ends: {first_error(errors)}")
                raise
            finally:
                await self.alerts.finish(LAST_ALERTS_S)
            with anyio.CancelScope(shield=True), contextlib.suppress(*AWAY):
                await self.redis.delete(keys.beat(self.role))
            for reader in self._own_clients:
                await reader.aclose()

    async def _watch_signals(
        self, scope: anyio.CancelScope, *, task_status: TaskStatus[None]
    ) -> None:
        """The first signal drains within a deadline, the second ends at once."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            task_status.started()
            async for number in received:
                if self.is_stopping():
                    break
                self.log.info("draining", signal=number.name, deadline_s=DRAIN_S)
                self.stop()
                break
            with anyio.move_on_after(DRAIN_S):
                async for _ in received:
                    break
        self.log.warning("drain_cut_off")
        scope.cancel()

    async def _beat(self) -> None:
        """A sign of life that expires."""
        while True:
            beat = {
                "pid": str(os.getpid()),
                "port": str(self.port),
                "instance": self.instance,
                **self._build,
                "host": socket.gethostname(),
                "ready_ms": str(self._ready_ms),
                "not_ready": self._not_ready,
                "machine": os.environ.get("FLY_MACHINE_ID", ""),
                "image": os.environ.get("FLY_IMAGE_REF", ""),
                "reads": f"{OLDEST_SCHEMA} {SCHEMA_VERSION}",
                "errors": str(logs.errors_told()),
                **self.vitals(),
            }
            try:
                async with self.redis.pipeline(transaction=True) as pipe:
                    pipe.delete(keys.beat(self.role))  # the other colour's own fields
                    pipe.hset(keys.beat(self.role), mapping=beat)
                    pipe.expire(keys.beat(self.role), BEAT_EXPIRES_S)
                    await pipe.execute()
                await self.schema.look(self.redis)
            except AWAY:
                self.outage.unanswered(time.monotonic())
            else:
                self.outage.answered(time.monotonic())
            await anyio.sleep(BEAT_S if self._ready_ms else 0.05)


def _unreleased(config: Config) -> int:
    """The schema to write where no release has confirmed one: one machine alone has one version."""
    return config.journal.schema or (
        SCHEMA_VERSION if config.lease.mode == "solo" else OLDEST_SCHEMA
    )


def run_role(role: str, config_path: str | None, *, live: bool = False) -> int:
    """Run one role in the foreground until it is drained; returns the exit status. `live` says
    that --live is on its command line, which the trading role needs where the mode is live."""
    path = find_file(config_path, home.default_home())
    config = load(Path(path) if path is not None else None).config
    if role == "trading":
        check_command_line(config, live=live)
        door.given_token()
    redis_url = home.redis_url()
    redaction.learn_password(redis_url)
    module = importlib.import_module(ROLES[role])
    service = Service(role, config, redis_url)
    logs.configure(config.log_level, role=role, version=__version__, instance=service.instance)
    service.log.info("starting", pid=os.getpid(), revision=build.revision())
    try:
        anyio.run(service.run, module.serve, backend_options={"use_uvloop": _has_uvloop()})
    except* BetatraderError as errors:
        service.failure = service.failure or first_error(errors)
    except* AWAY as errors:
        service.failure = service.failure or UnreachableError(
            f"Redis at {without_password(redis_url)} went away during the start: "
            f"{errors.exceptions[0]}\nTry again; `betatrader doctor` tells more."
        )
    if service.failure is not None:
        if not os.environ.get("BETATRADER_SUPERVISED"):
            raise service.failure
        service.log.error("failed", error=str(service.failure))
        return service.failure.exit_status
    return 0


def first_error(errors: BaseExceptionGroup[E]) -> E:
    """The first error in a group of groups."""
    found = errors.exceptions[0]
    return first_error(found) if isinstance(found, BaseExceptionGroup) else found


def _has_uvloop() -> bool:
    return sys.platform != "win32"
