"""Which share of an account's limits each of its traders has: kept where all of them see it.

A trader is a database of the server; database 0 keeps the shares of all. A share stays while its
trader is away, since what it holds stays too, until a person gives it back.
"""

from typing import NamedTuple

from betatrader.model.errors import RefusedError
from betatrader.model.money import SCALE, show
from betatrader.store import functions, keys
from betatrader.store.connection import Client


class Share(NamedTuple):
    """What one trader has: a share in units of 10^-8, and what it trades."""

    database: int
    units: int
    whole: str
    """The limits of which this is a share."""
    traded: tuple[str, ...]


class Shares:
    """The shares of one account's limits; `redis` is a client of database 0."""

    def __init__(self, redis: Client, key: str) -> None:
        self._redis = redis
        self._key = key
        self.name = key.removeprefix(keys.SHARES)

    async def claim(self, mine: Share, *, keep: bool) -> None:
        """Take a share in place of the one before; without `keep` only see whether it fits. Raises
        RefusedError where all have more than the whole, or two trade one instrument."""
        answer, detail = await functions.share(self._redis, self._key, mine, SCALE, keep=keep)
        if answer == "over":
            others = ", ".join(
                f"database {one.database} has {show(one.units)}"
                for one in await self.all()
                if one.database != mine.database
            )
            raise RefusedError(
                f"the limits of account {self.name} do not suffice: {others}; database "
                f"{mine.database} asks for {show(mine.units)}\n"
                "Lower [shard] share, or name another account there; `betatrader limits shares "
                "--give-back N` frees that of a trader that is gone."
            )
        if answer == "double":
            raise RefusedError(
                f"database {detail} of account {self.name} trades some of this already: "
                f"{', '.join(mine.traded)}\n"
                "Give each instrument to one trader; `betatrader limits shares` lists them."
            )

    async def all(self) -> list[Share]:
        """Everybody's, by database."""
        found: dict[bytes, bytes] = await self._redis.hgetall(self._key)
        shares = []
        for database, text in found.items():
            units, whole, *traded = text.decode().split(" ")
            shares.append(Share(int(database), int(units), whole, tuple(traded)))
        return sorted(shares)

    async def of_other_limits(self, mine: Share) -> list[int]:
        """The databases that share other limits than ours: shares of the two do not add up."""
        return [one.database for one in await self.all() if one.whole != mine.whole]

    async def give_back(self, database: int) -> bool:
        """Free a share; False where there was none."""
        return bool(await self._redis.hdel(self._key, str(database)))
