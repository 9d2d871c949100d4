"""The server-side functions (functions.lua), loaded by every role at its start."""

from importlib.resources import files
from typing import NamedTuple

from redis.exceptions import ResponseError

from betatrader.store import keys
from betatrader.store.connection import Client


async def load(redis: Client) -> None:
    """Put this version's functions in place."""
    await redis.function_load(files("betatrader.store").joinpath("functions.lua").read_text(), True)


async def trim(redis: Client, stream: str, oldest_ms: int, groups: list[str]) -> int:
    """Remove entries older than `oldest_ms` (UTC) that every group has read and acknowledged.

    Nothing is removed where one of `groups` does not exist yet. Returns how many were removed.
    """
    return int(await redis.fcall("bt_trim", 1, stream, f"{oldest_ms}-0", *groups))


class Claim(NamedTuple):
    """The answer to a claim: `run` > 0 where the claimant is to run the slot now."""

    verdict: str
    run: int


async def claim(redis: Client, job: str, slot_ms: int, holder: str, lease_ms: int) -> Claim:
    """Claim a slot of a job; at most three tries a slot."""
    arguments = (2, keys.job_state(job), keys.job_history(job), slot_ms, holder, lease_ms, 3)
    try:
        verdict, run = await redis.fcall("bt_claim", *arguments)
    except ResponseError as error:
        if "not found" not in str(error):
            raise
        await load(redis)  # the server came back empty: nothing was claimed
        verdict, run = await redis.fcall("bt_claim", *arguments)
    return Claim(verdict.decode(), int(run))


async def finish(redis: Client, job: str, run: int, status: str, note: str) -> bool:
    """End a run; False where it was no longer the current one."""
    answer = await redis.fcall(
        "bt_finish", 2, keys.job_state(job), keys.job_history(job), run, status, note
    )
    return bool(answer)
