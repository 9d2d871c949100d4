"""Leadership: waits for the lease, keeps it, fences the trader where it cannot.

`strict` lets no order leave once the lease may have ended. `solo`, for one machine, trades on
through an outage of Redis: there the lock on the home is what keeps a second trader away. `strict`
with a journal that is not shipped has no fence at Redis: a new leader waits for one ttl.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO

import anyio

from betatrader.model.errors import BetatraderError, RefusedError
from betatrader.ops import clock, metrics
from betatrader.ops.files import Taken, lock
from betatrader.roles.keeping import TRADING_LOCK
from betatrader.roles.service import Service
from betatrader.store.connection import AWAY
from betatrader.store.lease import RENEWALS, HomeBrokenError, Lease, holder_name

POLL_S = 0.25
STANDBY_S = 0.05


class Leadership:
    """One trading process's claim to be the only writer."""

    def __init__(self, service: Service) -> None:
        settings = service.config.lease
        self.solo = settings.mode == "solo"
        self.on_fenced: Callable[[str], None] = lambda _reason: None
        self.on_regained: Callable[[], None] = lambda: None
        self._fenced = False
        self._service = service
        self._home_lock = _lock_home(service.home)
        self.lease = Lease(
            service.redis,
            holder_name(service.home, solo=self.solo),
            float(settings.ttl_seconds),
            service.home / "lease-epoch",
            clock.boot_s,
        )
        self.lease.unfenced = not self.solo and service.config.journal.durability == "local"

    def leads(self) -> bool:
        """Whether this process is the one that acts on the account now."""
        return self.solo or self.lease.may_order()

    def may_order(self) -> bool:
        """Whether a new order may leave this process now: not while it stops."""
        return self.leads() and not self._service.is_stopping()

    def is_well(self) -> bool:
        """Whether this process leads, goes on to, and has Redis."""
        return self.may_order() and not self._service.outage.told

    def may_cancel(self) -> bool:
        """Whether a cancel may leave of the trader's own accord."""
        return self.solo or self.lease.may_cancel()

    async def win(self, follow: Callable[[], Awaitable[None]]) -> bool:
        """Wait, ready and following, until the lease is ours; False where we are told to stop.

        Raises HomeBrokenError where this home cannot keep the epoch: another standby must lead."""
        service = self._service
        waiting = checked = False
        while not service.is_stopping():
            try:
                if not checked:
                    await self.lease.check_clocks(clock.now_ns() / 1e9)
                    checked = True
                unsettled_s = 0.0 if self.solo else await self.lease.unsettled_s()
                if unsettled_s > 0:
                    service.log.info("redis_just_started", wait_s=unsettled_s)
                    await anyio.sleep(min(1.0, unsettled_s))
                    continue
                held = await self.lease.acquire()
            except (*AWAY, TimeoutError) as error:
                service.log.warning("redis_away", what="lease", error=str(error))
                await anyio.sleep(POLL_S)
                continue
            if held is None and not await self._waited_out():
                continue
            if held is None:
                metrics.LEADER.set(1)
                service.log.info("leading", epoch=self.lease.epoch, solo=self.solo)
                return True
            if not waiting:
                waiting = True
                service.ready()
                service.log.info("standby", leader_epoch=held.epoch, left_s=held.left_s)
            await follow()
            await anyio.sleep(min(STANDBY_S, max(0.01, held.left_s)))
        return False

    async def _waited_out(self) -> bool:
        """The lease is ours: keep it until orders may leave under it; False where it was lost
        meanwhile, or we are told to stop, and gave it back."""
        lease, service = self.lease, self._service
        if lease.orders_in_s() > 0:
            service.ready()
            service.log.info("waiting_for_the_former", wait_s=lease.orders_in_s())
        while (left_s := lease.orders_in_s()) > 0:
            with anyio.move_on_after(min(left_s, lease.ttl_s / RENEWALS)):
                await service.stopping.wait()
            if service.is_stopping():
                await self.leave()
                return False
            try:
                if await lease.renew() != "held":
                    return False
            except (*AWAY, TimeoutError) as error:
                service.log.warning("lease_not_renewed", error=str(error))
                if not lease.may_cancel():
                    return False
        return True

    async def keep(self) -> None:
        """Renew until cancelled. Where somebody else has it the process ends, and starts anew as a
        standby; where it ran out and nobody has it, it is taken again, under a new epoch."""
        pause_s = self.lease.ttl_s / RENEWALS
        while True:
            await anyio.sleep(pause_s)
            try:
                answer = await self._renew()
            except (*AWAY, TimeoutError) as error:
                metrics.REDIS_ERRORS.labels("lease").inc()
                self._service.log.warning("lease_not_renewed", error=str(error))
                self._fence_if_over(f"the lease could not be renewed ({error or 'no answer'})")
                pause_s = POLL_S
                continue
            except HomeBrokenError as error:
                self._end(error)
                return
            pause_s = self.lease.ttl_s / RENEWALS
            if answer == "taken":
                self.lose()
                return
            if answer == "unsettled":
                continue
            if answer == "again" or self._fenced:
                self._fenced = False
                metrics.LEADER.set(1)
                self.on_regained()

    async def _renew(self) -> str:
        """ "held", "taken" by somebody else, ours "again", or "unsettled": to be asked again."""
        answer = await self.lease.renew()
        if answer == "held" and self._fenced and self.lease.orders_in_s() > 0:
            return "unsettled"
        if answer != "over":
            return answer
        self._fence_if_over("the lease ran out")
        if self._fenced and await self.lease.unsettled_s() > 0:
            return "unsettled"
        if await self.lease.acquire() is not None:
            return "taken"
        self._service.log.warning("lease_taken_again", epoch=self.lease.epoch)
        if self.lease.orders_in_s() > 0:
            self._fence_if_over("the lease ran out")
            return "unsettled"
        return "again"

    def overtaken(self, epoch: int) -> bool:
        """A venue shows an order of a later epoch than ours: where the lease is strict another one
        leads, though by our clock it is ours yet (the server's was set). The next token of this
        home is larger, whoever made that order."""
        if self.solo:  # the lock on the home says otherwise
            return False
        if self.leads():
            self.lease.yield_to(epoch)
            self.lose()
        return True

    def lose(self) -> None:
        """Another one leads: this process ends, and waits for its turn when it is started again."""
        self._service.log.error("lease_lost")
        self._end(
            RefusedError(
                "another trader holds the lease\n"
                "This one has stopped; started again, it waits for its turn."
            )
        )

    def _end(self, failure: BetatraderError) -> None:
        metrics.LEADER.set(0)
        self._service.failure = failure
        self._service.alert("critical", str(failure))
        self._service.stop()

    def _fence_if_over(self, reason: str) -> None:
        if not self._fenced and not self.leads():
            self._fenced = True
            metrics.LEADER.set(0)
            self.on_fenced(reason)

    async def leave(self) -> None:
        """Nothing of ours is under way: let the next one begin at once."""
        metrics.LEADER.set(0)
        try:
            await self.lease.release()
        except AWAY as error:
            self._service.log.warning("lease_not_released", error=str(error))


def _lock_home(home: Path) -> IO[str]:
    """Hold the home's trading lock until this process ends; raises RefusedError where another
    has it, and HomeBrokenError where the disk refuses."""
    path = home / TRADING_LOCK
    try:
        return lock(path)
    except OSError as error:
        raise HomeBrokenError.of(path, error) from error
    except Taken as taken:
        raise RefusedError(
            f"another trader works in {home} (pid {taken.pid})\n"
            "Stop it, or give this one a home of its own with BETATRADER_HOME."
        ) from None
