"""A trader's share of its account's limits: seen to fit at the start, taken when it leads.

Only the leader writes it, again and again: a release that is taken back leaves no share of a
version that never led, and a server that came back empty hears of it soon.
"""

import anyio
from redis.exceptions import NoPermissionError

from betatrader.config.shard import traded, whole
from betatrader.model.errors import RefusedError
from betatrader.roles.service import Service
from betatrader.store.connection import AWAY
from betatrader.store.shares import Share, Shares

AGAIN_S = 15.0
PAUSE_S = 0.5


class Sharing:
    """One trader among those of its account; without a place for shares it is alone."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._shares = service.shares
        shard = service.config.shard
        config = service.config
        self._mine = Share(service.database, shard.units, whole(config), traded(config))
        self._differ: list[int] = []

    async def check(self) -> None:
        """Before the lease is waited for; raises RefusedError."""
        if self._shares is None:
            return
        try:
            await self._shares.claim(self._mine, keep=False)
        except NoPermissionError as error:  # as it stands it would lead, and never trade
            raise _forbidden(error) from error
        except AWAY as error:  # asked again by whoever leads
            self._service.log.warning("redis_away", what="shares", error=str(error))

    async def claim(self) -> bool:
        """Once it leads, and before anything is sent; False where others have too much, or we are
        told to stop. Redis being away is waited out."""
        while self._shares is not None and not self._service.is_stopping():
            try:
                await self._shares.claim(self._mine, keep=True)
                await self._compare(self._shares)
            except NoPermissionError as error:
                return self._end(_forbidden(error))
            except AWAY as error:
                self._service.log.warning("redis_away", what="shares", error=str(error))
                await anyio.sleep(PAUSE_S)
            except RefusedError as error:
                return self._end(error)
            else:
                return True
        return self._shares is None

    def _end(self, error: RefusedError) -> bool:
        """It must not trade, and ends; False."""
        self._service.failure = error
        self._service.alert("critical", str(error))
        self._service.stop()
        return False

    async def keep(self) -> None:
        """While it leads; a person hears where the shares do not fit any more."""
        while self._shares is not None:
            await anyio.sleep(AGAIN_S)
            try:
                await self._shares.claim(self._mine, keep=True)
                await self._compare(self._shares)
            except NoPermissionError as error:
                self._tell(_forbidden(error))
            except AWAY as error:
                self._service.log.warning("redis_away", what="shares", error=str(error))
            except RefusedError as error:
                self._tell(error)

    def _tell(self, error: RefusedError) -> None:
        """It leads, and goes on; a person decides."""
        self._service.log.error("shares_do_not_fit", error=str(error))
        self._service.alert("critical", str(error))

    async def _compare(self, shares: Shares) -> None:
        """A person hears of traders that share other limits; told once, since limits change in one
        trader after the other."""
        differ = await shares.of_other_limits(self._mine)
        if differ and differ != self._differ:
            named = ", ".join(str(one) for one in differ)
            text = (
                f"traders of account {shares.name} share different limits: those of database "
                f"{named} are not those of {self._mine.database}; "
                "give all the same [risk] and [live]"
            )
            self._service.log.error("shares_of_other_limits", databases=named)
            self._service.alert("error", text)
        self._differ = differ


def _forbidden(error: NoPermissionError) -> RefusedError:
    """The server is there and answers: waiting mends nothing."""
    return RefusedError(
        f"Redis does not let this trader's user take its share of the limits: {error}\n"
        "Its users are those of an older version, or REDIS_URL is another role's: deploy the redis "
        "app with this version's image first."
    )
