"""The lease that makes one trader the only writer, with a fencing token (epoch) that only grows.

The holder trusts its own clock alone: orders may leave until `margin` before the end that it
counted from before it asked, cancels until that end. The server's clock decides who may take it.
Where no resource checks the token (`unfenced`: a journal on this disk alone), the server's word is
not enough: its clock may step, or a replica take over that has not seen the last holder. There who
takes the lease lets one more ttl of its own clock pass before an order leaves.

The token is also written to a file before the first act under it, so that a Redis that came back
older, or empty, never gives a smaller one.
"""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import anyio

from betatrader.model.errors import BetatraderError, RefusedError
from betatrader.ops.files import replace_whole
from betatrader.store import functions
from betatrader.store.connection import AWAY, Client

MARGIN = 0.3
"""Of the ttl: no new order in the last part (renewal's time-out, clock rates, longest send)."""

RENEWALS = 4
"""Tries within a ttl."""

ANSWER_S = 1.0
CLOCKS_APART_S = 5.0


class HomeBrokenError(BetatraderError):
    """The home cannot be written (a full or read-only disk): this process must not lead."""

    @classmethod
    def of(cls, path: Path, error: OSError) -> "HomeBrokenError":
        """What the disk said of a file that leading needs."""
        return cls(
            f"{path} cannot be written: {error.strerror or error}\n"
            "Free or mend the disk, then start again; this trader leads nobody until then."
        )


class Held(NamedTuple):
    """Somebody else holds the lease, for so long at most."""

    epoch: int
    left_s: float


class Lease:
    """One process's claim. `clock` counts seconds and never goes back."""

    def __init__(
        self, redis: Client, holder: str, ttl_s: float, kept: Path, clock: Callable[[], float]
    ) -> None:
        self.epoch = 0
        self.ttl_s = ttl_s
        self.holder = holder
        self._redis = redis
        self._kept = kept
        self._clock = clock
        self._end = 0.0
        self._orders_from = 0.0
        self.unfenced = False
        """Whether nothing but time keeps an earlier holder from sending."""
        self._server: object = None
        self._other_since: float | None = None

    def may_order(self) -> bool:
        """Whether an order may leave now."""
        return self.orders_in_s() <= 0 and self._clock() < self._end - MARGIN * self.ttl_s

    def orders_in_s(self) -> float:
        """For how long no order may leave yet: whoever held it before may still send. Only what
        `renew` keeps going is worth waiting for."""
        return max(0.0, self._orders_from - self._clock())

    def may_cancel(self) -> bool:
        """Whether a cancel may leave now."""
        return self._clock() < self._end

    async def acquire(self) -> Held | None:
        """Take it: None where it is ours, with a new `epoch`. Raises what the client raises, and
        HomeBrokenError where the epoch cannot be kept: the lease is given back then."""
        began = self._clock()
        known = max(self.epoch, self._known())
        with anyio.fail_after(ANSWER_S):
            verdict, epoch, left = await functions.lease_acquire(
                self._redis, self.holder, self.ttl_ms, known
            )
        if verdict != "taken":
            return Held(epoch, left / 1000)
        try:
            self._keep(epoch)
        except OSError as error:  # never to be taken for a Redis that is away
            with suppress(*AWAY, TimeoutError):
                await self._give_back(epoch)
            raise HomeBrokenError.of(self._kept, error) from error
        self.epoch = epoch
        self._end = began + self.ttl_s
        if self.unfenced:
            self._orders_from = self._clock() + self.ttl_s
        return None

    def yield_to(self, epoch: int) -> None:
        """Somebody acts under this later epoch: ours is over, and this home is given a larger one
        from here on."""
        self._end = 0.0
        if epoch > self._known():
            with suppress(OSError):  # a disk that refuses ends the next start
                self._keep(epoch)

    async def renew(self) -> str:
        """ "held", "over" (nobody has it) or "taken" (by somebody else)."""
        began = self._clock()
        with anyio.fail_after(ANSWER_S):
            answer = await functions.lease_renew(self._redis, self.holder, self.epoch, self.ttl_ms)
        if answer == 1:
            self._end = began + self.ttl_s
            return "held"
        return "over" if answer == -1 else "taken"

    async def release(self) -> None:
        """Give it back: nothing of ours is under way any more."""
        await self._give_back(self.epoch)

    async def _give_back(self, epoch: int) -> None:
        self._end = 0.0
        with anyio.move_on_after(ANSWER_S):
            await functions.lease_release(self._redis, self.holder, epoch)

    async def check_clocks(self, now_s: float) -> None:
        """Raises RefusedError where the server's clock and ours are too far apart to trust."""
        seconds, micros = await self._redis.time()
        apart = abs(seconds + micros / 1e6 - now_s)
        if apart > CLOCKS_APART_S:
            raise RefusedError(
                f"the clocks of this machine and of Redis are {apart:.0f} s apart\n"
                "Set both by NTP: a lease cannot be trusted across them."
            )

    async def unsettled_s(self) -> float:
        """For how long nobody should act on a lease: a server that came back, or another one in its
        place (a promoted replica was up for long), may have lost one that was granted, and that
        was good for one ttl at most."""
        found = await self._redis.info("server")
        if self._server not in (None, found["run_id"]):
            self._other_since = self._clock()
        self._server = found["run_id"]
        left_s = self.ttl_s - float(found["uptime_in_seconds"])
        if self._other_since is not None:
            left_s = max(left_s, self._other_since + self.ttl_s - self._clock())
        return max(0.0, left_s)

    @property
    def ttl_ms(self) -> int:
        """The time for which it is asked."""
        return int(self.ttl_s * 1000)

    def _known(self) -> int:
        try:
            return int(self._kept.read_text())
        except (OSError, ValueError):
            return 0

    def _keep(self, epoch: int) -> None:
        replace_whole(self._kept, f"{epoch}\n".encode(), sync=True)


def holder_name(home: Path, *, solo: bool) -> str:
    """Who asks. A solo trader is its home, which one process alone can hold: it takes its own lease
    back at once. Else each start is somebody new, who waits for the former to end."""
    machine = os.environ.get("FLY_MACHINE_ID") or os.uname().nodename
    return f"{machine} {home}" if solo else f"{machine} {os.getpid()} {secrets.token_hex(4)}"
