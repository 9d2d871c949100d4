"""`jobs list|run|history`: the schedule."""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

import click

from betatrader import __version__
from betatrader.cli.output import Group, json_option, print_json, print_table
from betatrader.model.errors import BetatraderError, UsageError
from betatrader.ops.clock import iso


@click.group(cls=Group)
def jobs() -> None:
    """The schedule: what runs when, and what came of it.

    Example: betatrader jobs list
    """


@jobs.command("list")
@json_option
def jobs_list(as_json: bool) -> None:
    """Every job: schedule, next slot, and its last run.

    Example: betatrader jobs list --json
    """
    rows = asyncio.run(_list())
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows], "no jobs")


@jobs.command("run")
@click.argument("name")
@json_option
def jobs_run(name: str, as_json: bool) -> None:
    """Run one job now; it counts as a slot of its own.

    Example: betatrader jobs run pnl_report
    """
    status, note = asyncio.run(_run(name))
    if as_json:
        print_json({"job": name, "status": status, "note": note})
    else:
        click.echo(f"{name}: {status}. {note}")
    if status != "done":
        raise BetatraderError(f"job {name} was not done: {status} {note}")


@jobs.command("history")
@click.argument("name")
@json_option
def jobs_history(name: str, as_json: bool) -> None:
    """The last runs of a job.

    Example: betatrader jobs history pnl_report
    """
    rows = asyncio.run(_history(name))
    if as_json:
        print_json(rows)
    else:
        heads = list(rows[0]) if rows else []
        print_table(heads, [list(row.values()) for row in rows], "never ran")


async def _with_jobs(work: Any) -> Any:
    from betatrader.config import find_file, load
    from betatrader.ops import home, logs
    from betatrader.roles.jobs import all_jobs
    from betatrader.store import functions
    from betatrader.store.connection import connected

    config = load(find_file(None, home.default_home())).config
    logs.configure(
        config.log_level, role="command-line", version=__version__, instance=f"cli-{os.getpid()}"
    )
    async with connected(home.redis_url(), 2.0) as redis:
        await functions.load(redis)
        found = all_jobs(redis, config, home.default_home() / "reports")
        return await work(redis, {job.name: job for job in found})


async def _list() -> list[dict[str, Any]]:
    from betatrader.jobs.schedule import next_slot
    from betatrader.store import keys

    async def work(redis: Any, found: dict[str, Any]) -> list[dict[str, Any]]:
        rows = []
        for job in found.values():
            state = await redis.hgetall(keys.job_state(job.name))
            finished = int(state.get(b"finished", b"0"))
            rows.append(
                {
                    "job": job.name,
                    "schedule": job.expression,
                    "next": next_slot(job, datetime.now(UTC)).isoformat(timespec="seconds"),
                    "last": iso(finished * 1_000_000) if finished else "never",
                    "status": state.get(b"status", b"-").decode(),
                    "purpose": job.purpose,
                }
            )
        return rows

    rows: list[dict[str, Any]] = await _with_jobs(work)
    return rows


async def _run(name: str) -> tuple[str, str]:
    from betatrader.jobs.schedule import Scheduler

    async def work(redis: Any, found: dict[str, Any]) -> tuple[str, str]:
        job = _known(name, found)
        scheduler = Scheduler(redis, [job], "command-line")
        seconds, micros = await redis.time()  # by a clock that is ahead it would bar the schedule
        slot = datetime.fromtimestamp(int(seconds) + int(micros) / 1e6, UTC)
        outcome = await scheduler.attempt(job, slot)
        return outcome.status, outcome.note

    result: tuple[str, str] = await _with_jobs(work)
    return result


async def _history(name: str) -> list[dict[str, Any]]:
    from betatrader.store import keys

    async def work(redis: Any, found: dict[str, Any]) -> list[dict[str, Any]]:
        _known(name, found)
        rows = []
        for _, fields in await redis.xrevrange(keys.job_history(name), count=50):
            entry = {key.decode(): value.decode() for key, value in fields.items()}
            for stamp in ("slot", "started", "finished"):
                entry[stamp] = iso(int(entry[stamp]) * 1_000_000)
            rows.append(entry)
        return rows

    rows: list[dict[str, Any]] = await _with_jobs(work)
    return rows


def _known(name: str, found: dict[str, Any]) -> Any:
    if name not in found:
        raise UsageError(f"no job is named {name!r}\nThere are: {', '.join(found)}.")
    return found[name]
