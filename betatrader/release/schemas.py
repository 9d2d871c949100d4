"""Which schema stands in Redis, who reads it, and raising it: the last step of a release."""

from collections.abc import Sequence

import msgspec

from betatrader.model.errors import RefusedError
from betatrader.release.apps import ORDER, image
from betatrader.release.record import Record
from betatrader.store import bus, keys
from betatrader.store.connection import Client

UNKNOWN = (0, 0)


async def reads(redis: Client) -> tuple[int, int]:
    """The oldest and newest schema that the trader which runs now says that it reads."""
    oldest, _, newest = (await _said(redis, "trading")).partition(" ")
    return int(oldest), int(newest or oldest)


async def raise_schema(redis: Client) -> None:
    """Every role of the new version stands, so that the newest schema that all read is written."""
    newest = [int((await _said(redis, role)).partition(" ")[2] or 1) for role in ORDER]
    before = int(await redis.get(keys.RELEASE_SCHEMA) or 1)
    await redis.set(keys.RELEASE_SCHEMA, max(before, min(newest)))


async def stored(redis: Client) -> int:
    """The newest schema that was written, or may be by now."""
    raised = int(await redis.get(keys.RELEASE_SCHEMA) or 1)
    found: list[int] = []
    for stream in (keys.JOURNAL, keys.LIVE_JOURNAL):
        last = await redis.xrevrange(stream, count=1)
        found += [msgspec.msgpack.decode(fields[bus.FIELD])[0] for _, fields in last]
    return max([raised, *found])


def check_readable(
    wanted: str, schema: int, of_files: tuple[int, int], records: Sequence[Record]
) -> None:
    """Raises RefusedError where the image `wanted` cannot read the schema that is stored, and names
    those that can. What it said itself when it ran counts before what its code says."""
    tag = image(wanted).tag
    kept = [r.reads for r in records if r.image == wanted and r.result == "done"]
    found = kept[-1] if kept and kept[-1] != UNKNOWN else of_files
    if found == UNKNOWN:
        raise RefusedError(
            f"nobody knows which schemas {tag} reads, and schema {schema} is stored\n"
            "Run this in a checkout that has the tag, or name it with --project."
        )
    if found[0] <= schema <= found[1]:
        return
    able = [r.image for r in reversed(records) if r.result == "done"]
    able = [one for one in dict.fromkeys(able) if _last(records, one)[0] <= schema]
    able = [image(one).tag for one in able if schema <= _last(records, one)[1]]
    raise RefusedError(
        f"{tag} reads schemas {found[0]} to {found[1]}, and schema {schema} is stored\n"
        + (
            f"Versions on record that read it: {', '.join(able)}."
            if able
            else "No version on record reads it: the way on is a release of one that does."
        )
    )


def _last(records: Sequence[Record], wanted: str) -> tuple[int, int]:
    return [r.reads for r in records if r.image == wanted and r.result == "done"][-1]


async def _said(redis: Client, role: str) -> str:
    said = await redis.hget(keys.beat(role), "reads")
    return said.decode() if said else "1 1"
