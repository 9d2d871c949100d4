"""The server-side functions (functions.lua), put in place by every role at its start.

Versions of the code run side by side: blue and green, and the traders of several setups on one
server. So the names of the library and of its functions end in a mark of its text, each version
calls its own, and none replaces another's. What is of no version any more stays: 31 kB each.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any, NamedTuple

from redis.exceptions import NoPermissionError, OutOfMemoryError, ResponseError

from betatrader.store import keys
from betatrader.store.connection import Client

PLACEHOLDER = "VERSION"
"""What stands in functions.lua for the mark."""


def _marked(text: str) -> tuple[str, str]:
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    return mark, text.replace(PLACEHOLDER, mark)


MARK, _TEXT = _marked(files("betatrader.store").joinpath("functions.lua").read_text())


def named(name: str) -> str:
    """A function as this version has it on a server."""
    return f"{name}_{MARK}"


async def load(redis: Client, text: str = "") -> None:
    """Put this version's functions in place, or those of another one's functions.lua. Who may not
    (`acl.py`) uses what the trader or a release has put; so does who starts at a full server."""
    with suppress(OutOfMemoryError):
        await _put(redis, _marked(text)[1] if text else _TEXT)


async def _put(redis: Client, text: str) -> None:
    try:
        await redis.function_load(text, False)
    except NoPermissionError:
        return
    except ResponseError as error:
        if "already exists" not in str(error):
            raise


async def trim(redis: Client, stream: str, oldest_ms: int, groups: list[str]) -> int:
    """Remove entries older than `oldest_ms` (UTC) that every group has read and acknowledged.

    Nothing is removed where one of `groups` does not exist yet. Returns how many were removed.
    """
    return int(await _called(redis, "bt_trim", 1, stream, f"{oldest_ms}-0", *groups))


class Claim(NamedTuple):
    """The answer to a claim: `run` > 0 where the claimant is to run the slot now."""

    verdict: str
    run: int


async def lease_acquire(
    redis: Client, holder: str, ttl_ms: int, known: int
) -> tuple[str, int, int]:
    """ "taken" or "held"; the epoch; and for how many ms it holds."""
    found = await _called(
        redis, "bt_lease_acquire", 2, keys.LEASE, keys.LEASE_EPOCH, holder, ttl_ms, known
    )
    return found[0].decode(), int(found[1]), int(found[2])


async def lease_renew(redis: Client, holder: str, epoch: int, ttl_ms: int) -> int:
    """1 done, 0 somebody else's, -1 over."""
    return int(await _called(redis, "bt_lease_renew", 1, keys.LEASE, holder, epoch, ttl_ms))


async def lease_release(redis: Client, holder: str, epoch: int) -> None:
    """Give it back."""
    await _called(redis, "bt_lease_release", 1, keys.LEASE, holder, epoch)


async def share(
    redis: Client, place: str, mine: tuple[int, int, str, Sequence[str]], most: int, *, keep: bool
) -> tuple[str, str]:
    """ "fits", "over" the whole with the others', or "double" and the database that trades it."""
    *numbers, whole, traded = mine
    how = "keep" if keep else "look"
    found = await _called(redis, "bt_share", 1, place, *numbers, most, how, whole, *traded)
    return found[0].decode(), found[1].decode()


class Fenced(NamedTuple):
    """A stream that only the last epoch may append to, and the key that says which that is."""

    stream: str
    fence: str


SHIPPED_JOURNAL = Fenced(keys.JOURNAL, keys.FENCE)
LIVE_JOURNAL = Fenced(keys.LIVE_JOURNAL, keys.LIVE_FENCE)
PAPER_LEDGER = Fenced(keys.PAPER_LEDGER, keys.PAPER_FENCE)


async def ship(
    redis: Client, home: Fenced, epoch: int, first: int, entries: list[bytes], *, whole: bool
) -> tuple[str, int]:
    """Append to a fenced stream: "done" and the last number there, "gap" and the same, or
    "fenced" and the epoch of who has written since."""
    asked = f"{epoch} {first} {'whole' if whole else 'records'}"
    name = "bt_ship" if entries else "bt_fence"  # a full server still lets a leader fence another
    found = await _called(redis, name, 2, home.stream, home.fence, asked, *entries)
    return ("done", found) if isinstance(found, int) else (found[0].decode(), int(found[1]))


async def _called(redis: Client, name: str, *arguments: str | int | bytes) -> Any:
    """Call a function; where the server came back empty, put ours in place first."""
    try:
        return await redis.fcall(named(name), *arguments)
    except ResponseError as error:
        if "not found" not in str(error):
            raise
        await _put(redis, _TEXT)
        return await redis.fcall(named(name), *arguments)


async def claim(redis: Client, job: str, slot_ms: int, holder: str, lease_ms: int) -> Claim:
    """Claim a slot of a job; at most three tries a slot."""
    arguments = (2, keys.job_state(job), keys.job_history(job), slot_ms, holder, lease_ms, 3)
    verdict, run = await _called(redis, "bt_claim", *arguments)
    return Claim(verdict.decode(), int(run))


async def finish(redis: Client, job: str, run: int, status: str, note: str) -> bool:
    """End a run; False where it was no longer the current one."""
    places = (keys.job_state(job), keys.job_history(job))
    return bool(await _called(redis, "bt_finish", 2, *places, run, status, note))
