"""Tells when nobody leads any more: a trader that is dead cannot say so itself."""

import time
from collections.abc import Callable

import anyio

from betatrader.store import keys
from betatrader.store.connection import AWAY, Client

LOOK_S = 1.0
PATIENCE_S = 15.0
"""For how long nobody may lead: a restart, or a release, takes less."""


class LeaderWatch:
    """Looks at the lease; alerts once where it stays over, and once when somebody has it again."""

    def __init__(
        self,
        redis: Client,
        alert: Callable[[str, str], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._alert = alert
        self._now_s = now_s
        self._led_s: float | None = None
        """When somebody was last seen to lead, or a lease was first seen to be over; None: nobody
        has led yet, as far as the server knows."""
        self._told = False

    async def run(self) -> None:
        """Look until cancelled; while Redis is away nothing is known, and nothing told."""
        while True:
            try:
                await self.look()
            except AWAY:  # the role's own heartbeat tells of that
                self._led_s = self._now_s() if self._led_s is not None else None
            await anyio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look once. Raises what the client raises."""
        lease = await self._redis.hgetall(keys.LEASE)
        seconds, micros = await self._redis.time()
        epoch = lease.get(b"epoch", b"?").decode()
        if int(lease.get(b"until", b"0")) > seconds * 1000 + micros // 1000:
            if self._told:
                self._alert("error", f"a trader leads again, in epoch {epoch}")
            self._led_s, self._told = self._now_s(), False
        elif self._led_s is None:
            if lease:  # somebody led before we looked: a fresh install has no lease at all
                self._led_s = self._now_s()
        elif not self._told:
            over_s = self._now_s() - self._led_s
            if over_s >= PATIENCE_S:
                self._told = True
                self._alert("critical", f"nobody leads, for {over_s:.0f} s and more")
