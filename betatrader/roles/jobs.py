"""The jobs role: the schedule with the chores wired to what they need."""

from functools import partial
from pathlib import Path

import anyio

from betatrader.config import Config
from betatrader.jobs import pnl_report, schedule, stream_upkeep
from betatrader.jobs.leader_watch import LeaderWatch
from betatrader.jobs.schedule import Job, Scheduler
from betatrader.roles.service import Service
from betatrader.store.connection import Client


def all_jobs(redis: Client, config: Config, reports: Path) -> list[Job]:
    """Every job there is; raises ConfigurationError where an expression is no schedule."""
    settings = config.jobs
    keep_ms = int(settings.keep_hours * 3_600_000)
    jobs = [
        Job(
            "pnl_report",
            settings.pnl_report,
            "profit and loss of the current run, as JSON and Markdown",
            partial(pnl_report.write, redis, reports, settings.cost_usd_per_month),
        ),
        Job(
            "stream_upkeep",
            settings.stream_upkeep,
            "trims streams, never what a consumer has not read",
            partial(stream_upkeep.tend, redis, keep_ms),
        ),
    ]
    schedule.check_expressions({f"jobs.{job.name}": job.expression for job in jobs})
    return jobs


async def serve(service: Service) -> None:
    """Run the schedule until the service stops."""
    jobs = all_jobs(service.redis, service.config, service.home / "reports")
    scheduler = Scheduler(service.redis, jobs, service.instance)
    watch = LeaderWatch(service.redis, service.alert)
    async with anyio.create_task_group() as group:
        group.start_soon(watch.run)
        service.ready()
        await scheduler.run(service.is_stopping)
        group.cancel_scope.cancel()
