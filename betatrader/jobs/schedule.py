"""When jobs are due, and who runs them: each slot of a schedule runs once across all machines.

A slot is claimed by a server-side function (facts: store/functions.lua). After downtime the latest
missed slot is run once, and the earlier ones are not. A run that failed, or whose machine vanished,
is tried again up to three times.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple

import anyio
import structlog
from cronsim import CronSim, CronSimError
from redis.exceptions import RedisError
from structlog.contextvars import bound_contextvars

from betatrader.model.errors import ConfigurationError
from betatrader.ops import metrics
from betatrader.store import functions
from betatrader.store.connection import AWAY, Client

TIMEOUT_S = 60.0
LEASE_MS = 90_000
"""Longer than the time-out: a lease never ends under a run that goes on."""

IDLE_S = 1.0


class Job(NamedTuple):
    """A chore: `run` returns one sentence on what it did. `expression` is cron, in UTC."""

    name: str
    expression: str
    purpose: str
    run: Callable[[], Awaitable[str]]


class Outcome(NamedTuple):
    """What came of one claim: "done", "failed", or why it was not run."""

    status: str
    note: str


def check_expressions(expressions: dict[str, str]) -> None:
    """Raises ConfigurationError with every field whose text is no cron expression."""
    problems = []
    for field, expression in expressions.items():
        try:
            CronSim(expression, datetime.now(UTC))
        except CronSimError as error:
            problems.append(f"{field}: {expression!r} is no cron expression: {error}")
    if problems:
        raise ConfigurationError(problems)


def next_slot(job: Job, now: datetime) -> datetime:
    """The first slot after `now`."""
    return next(CronSim(job.expression, now))


def latest_slot(job: Job, now: datetime) -> datetime:
    """The last slot at or before `now`."""
    return next(CronSim(job.expression, now, reverse=True))


class Scheduler:
    """Runs every job's slots from now on, and first the latest one that was missed."""

    def __init__(self, redis: Client, jobs: list[Job], holder: str) -> None:
        self._redis = redis
        self._jobs = jobs
        self._holder = holder
        self._log = structlog.get_logger()

    async def run(self, stopping: Callable[[], bool]) -> None:
        """Until told to stop; a run under way is finished first."""
        done: dict[str, datetime] = {}
        while not stopping():
            now = datetime.now(UTC)
            for job in self._jobs:
                slot = latest_slot(job, now)
                if done.get(job.name) == slot:
                    continue
                outcome = await self.attempt(job, slot)
                if outcome.status not in ("failed", "running", "overlap", "away"):
                    done[job.name] = slot
            await anyio.sleep(IDLE_S)

    async def attempt(self, job: Job, slot: datetime) -> Outcome:
        """Claim a slot, and run it where it is ours."""
        try:
            claim = await functions.claim(
                self._redis, job.name, int(slot.timestamp() * 1000), self._holder, LEASE_MS
            )
            if not claim.run:
                return Outcome(claim.verdict, "")
            with bound_contextvars(trace=f"{job.name}-{claim.run}"):
                outcome = await self._run(job)
            await functions.finish(
                self._redis, job.name, claim.run, outcome.status, outcome.note[:500]
            )
        except AWAY as error:
            metrics.REDIS_ERRORS.labels("jobs").inc()
            self._log.warning("redis_away", what=f"job {job.name}", error=str(error))
            return Outcome("away", str(error))
        return outcome

    async def _run(self, job: Job) -> Outcome:
        began = time.monotonic()
        try:
            with anyio.fail_after(TIMEOUT_S):
                outcome = Outcome("done", await job.run())
        except RedisError:
            raise
        except TimeoutError:
            outcome = Outcome("failed", f"not done after {TIMEOUT_S:.0f} s")
        except Exception as error:  # a job's failure is its outcome, and never the role's end
            outcome = Outcome("failed", repr(error))
        metrics.JOB_RUNS.labels(job.name, outcome.status).inc()
        log = self._log.info if outcome.status == "done" else self._log.error
        log(
            "job",
            job=job.name,
            status=outcome.status,
            note=outcome.note,
            seconds=round(time.monotonic() - began, 3),
        )
        return outcome
