"""What is known of a run: the live one from its Redis, an ended one from what it left on disk."""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from betatrader.model.errors import UnreachableError
from betatrader.model.summary import Summary


class Past(NamedTuple):
    """What is known of a run: its summary, all its records, and whether it still lives."""

    summary: Summary
    records: list[Any]
    live: bool


def past() -> Past:
    """The live run that a command means, else the last one of this home."""
    from betatrader.ops import home

    try:
        url = home.redis_url()
    except UnreachableError:
        return _kept(home.default_home() / "reports")
    return asyncio.run(_read_live(url))


def without_redis(run_home: Path) -> Summary | None:
    """What the live trader of a home last wrote to its disk; None where it wrote nothing."""
    from betatrader.roles import report

    return report.last_on_disk(run_home / "reports")


async def _read_live(url: str) -> Past:
    from betatrader.store import records
    from betatrader.store.connection import connected

    async with connected(url, 2.0) as redis:
        summary = await read_summary(redis)
        unsealer = records.Unsealer()
        found = []
        async for _, data in records.pages(redis, summary.run):
            record = unsealer.open(data)
            if record is not None:
                found.append(record)
        return Past(summary, found, not summary.final)


async def read_summary(redis: Any) -> Summary:
    """The summary of the run that is on this Redis; raises UnreachableError where none is."""
    from betatrader.store import keys

    run = await redis.get(keys.RUN)
    data = await redis.get(keys.summary(run.decode())) if run is not None else None
    if data is None:
        raise UnreachableError("no trader has opened an account here yet\nStart one: betatrader up")
    return msgspec.json.decode(data, type=Summary)


def _kept(reports: Path) -> Past:
    from betatrader.ops import home
    from betatrader.roles import keeping
    from betatrader.store import records

    runs = sorted(reports.glob("*/summary.json"))
    if not runs:
        raise UnreachableError(
            f"no run is live, and none is kept in {home.default_home()}\n"
            "Start one with `betatrader up` or `betatrader demo`."
        )
    summary = msgspec.json.decode(runs[-1].read_bytes(), type=Summary)
    file = runs[-1].parent / records.FILE
    if not file.exists():  # it was killed: its journal tells
        folder = keeping.journals(reports.parent, summary.mode.lower()) / summary.run
        return Past(summary, _from_journal(folder), live=False)
    unsealer = records.Unsealer()
    opened = (unsealer.open(data) for data in records.read_file(file))
    return Past(summary, [record for record in opened if record is not None], live=False)


def _from_journal(folder: Path) -> list[Any]:
    from betatrader.roles.trader import NOT_AUDITED
    from betatrader.store.journal_reader import Reader

    if not folder.exists():
        return []
    return [entry.record for entry in Reader(folder) if not isinstance(entry.record, NOT_AUDITED)]
