"""Which schema this process writes, and which it reads.

A version reads its own schema and the one before. It writes the older of the two until a release
has confirmed that every role is of the new version (`bt:{release}:schema`): until then all that is
stored can be read by the version before, and a release can be taken back. `model.event` says what
the newer one added, and leaves it out.
"""

from betatrader.model.errors import RefusedError, UsageError
from betatrader.model.event import OLDEST_SCHEMA, SCHEMA_VERSION
from betatrader.store import keys
from betatrader.store.connection import Client


class Schema:
    """What is written now: all writers of a process share one of these."""

    def __init__(self, writes: int = SCHEMA_VERSION) -> None:
        self.writes = writes

    async def look(self, redis: Client) -> None:
        """Follow a release that has confirmed a newer one; a server that lost it lowers nothing."""
        self.writes = max(self.writes, min(await confirmed(redis), SCHEMA_VERSION))


async def confirmed(redis: Client) -> int:
    """What the last release has confirmed; 0 where none has."""
    return int(await redis.get(keys.RELEASE_SCHEMA) or 0)


async def begin(redis: Client, unreleased: int) -> Schema:
    """What a role is to write, `unreleased` where no release has said so; raises RefusedError where
    this version does not read what others write here."""
    said = await confirmed(redis)
    found = said or unreleased
    if not OLDEST_SCHEMA <= found <= SCHEMA_VERSION:
        where = "confirmed by a release" if said else "set in [journal] schema"
        raise RefusedError(
            f"schema {found} is {where}, and this version reads {_reads()}: it does not start\n"
            "Start a version that reads it; `betatrader release status` lists what ran."
        )
    return Schema(found)


async def written(redis: Client) -> int:
    """What a command is to write: what every role that may run now reads."""
    return max(OLDEST_SCHEMA, min(await confirmed(redis), SCHEMA_VERSION))


def check(schema: int, what: str) -> None:
    """Raises UsageError where this version does not read what was found: nothing of it is taken."""
    if not OLDEST_SCHEMA <= schema <= SCHEMA_VERSION:
        raise UsageError(
            f"{what} has schema {schema}, and this version reads {_reads()}\n"
            "Use the betatrader that wrote it."
        )


def _reads() -> str:
    return f"{OLDEST_SCHEMA} to {SCHEMA_VERSION}"
