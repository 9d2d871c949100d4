"""The person at a guarded world: halts, reduces, cancels, flattens and resumes, through Redis."""

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from betatrader.chaos import bus
from betatrader.model.instruction import (
    CancelAll,
    Flatten,
    Halt,
    Instruction,
    Reduce,
    Resume,
)
from betatrader.roles.trading import SUMMARY_S
from betatrader.store import keys, records
from betatrader.store.bus import publish, seal
from betatrader.store.connection import AWAY

if TYPE_CHECKING:
    from betatrader.chaos.plan import Fault
    from betatrader.chaos.world import World

LOOK_S = 0.25
PATIENCE_S = 2.0
"""How long an acknowledgement is waited for before the same is ordered anew."""

SEEN_S = 1.0
"""How long the trader must have said that it does not trade, before it is resumed."""

KINDS: dict[str, type[Instruction]] = {
    "halt": Halt,
    "reduce": Reduce,
    "flatten": Flatten,
    "cancel_all": CancelAll,
}


class Operator:
    """Orders what the plan says, again until it is acknowledged, and resumes what has stopped.

    From an acknowledgement, or from when the trader itself says that it has stopped, until a resume
    is sent, the judge lets no buy leave.
    """

    def __init__(self, world: "World") -> None:
        self._world = world
        self._redis = bus.SimulatedRedis(world.redis)
        self._wish = ""
        self._until = 0.0
        self._told = False
        self._loose = False
        """A resume is under way: when it will be obeyed is not known."""
        self._numbers = count(1)

    def order(self, fault: "Fault", until: float) -> None:
        """Wish this until then."""
        self._wish, self._until, self._told = fault.kind, until, False

    async def run(self) -> None:
        """Until cancelled; Redis going away is waited out."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except AWAY:
                continue

    async def _look(self) -> None:
        if self._wish and self._world.loop.time() < self._until:
            if not self._told:
                self._told = await self._tell(KINDS[self._wish])
                if self._told and self._wish != "cancel_all":
                    self._world.judge.hold(f"{self._wish} was acknowledged")
            return
        if not await self._stopped():
            return
        if not self._loose:
            self._world.judge.hold("the trader said that it had stopped")
        await asyncio.sleep(SEEN_S)
        self._world.judge.let_go()
        self._loose = True
        await self._tell(Resume)

    async def _stopped(self) -> bool:
        """By two looks, between which the leader has written its state anew."""
        for pause_s in (SUMMARY_S + LOOK_S, 0.0):
            if await self._redis.hget(keys.KEPT, "state") in (None, b"ACTIVE"):
                return False
            await asyncio.sleep(pause_s)
        return True

    async def _tell(self, kind: type[Instruction]) -> bool:
        """Whether the trader acknowledges it in time."""
        world, redis = self._world, self._redis
        run = await redis.get(keys.RUN)
        if run is None:
            return False
        name = f"order-{next(self._numbers)}"
        last = await redis.xrevrange(keys.audit(run.decode()), count=1)
        after = last[0][0] if last else b"0"
        order = kind(world.now_ns(), name, "operator", "planned")
        await publish(redis, keys.instructions(run.decode()), seal(order, name))
        deadline = world.loop.time() + PATIENCE_S
        while world.loop.time() < deadline:
            async for entry, data in records.pages(redis, run.decode(), after):
                after = entry
                if name.encode() in data and records.acknowledges(records.unseal(data)[1], name):
                    self._loose = False
                    return True
            await asyncio.sleep(LOOK_S)
        return False
