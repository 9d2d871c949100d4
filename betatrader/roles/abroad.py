"""Where one may trade: the venue is asked at the start, hourly, and before and while we lead.

Blocked at one means no new orders at any, an alert, and closing only where the venue allows it. An
answer that stays away changes nothing: it is asked for again.
"""

from collections.abc import Callable, Sequence

import anyio
import structlog

from betatrader.model.event import Event
from betatrader.model.instruction import Reduce, TradingState
from betatrader.ops import clock
from betatrader.roles.desks import Desk
from betatrader.venues.egress import Egress

EVERY_S = 3600.0
AGAIN_S = 30.0
"""How soon it is asked again where it has not answered."""


class Abroad:
    """Asks for as long as the process runs; what it heard last counts."""

    def __init__(self, desks: Sequence[Desk], alert: Callable[[str, str], None]) -> None:
        self.blocked = ""
        """Why no new order may leave from here; "" where one may, as far as is known."""
        self.asked = anyio.Event()
        """Set once the venue has been asked, and has answered or had its time."""
        self._desks = desks
        self._heard: dict[int, Egress] = {}
        self._alert = alert
        self._log = structlog.get_logger()

    async def keep(self) -> None:
        """Ask now, and again and again."""
        while True:
            pause_s = await self.ask()
            self.asked.set()
            await anyio.sleep(pause_s)

    async def ask(self) -> float:
        """Ask once; returns after how many seconds to ask again."""
        answered = True
        for number, desk in enumerate(self._desks):
            found = await desk.egress()
            if found is not None:
                self._heard[number] = found
            answered = answered and found is not None
        told = next((heard.told for heard in self._heard.values() if heard.blocked), "")
        if told and not self.blocked:
            self._alert("critical", f"{told}: no new orders from here")
        if bool(told) != bool(self.blocked):
            self._log.warning("egress", blocked=bool(told), told=told)
        self.blocked = told
        return EVERY_S if answered else AGAIN_S

    async def hold_back(
        self, state: Callable[[], TradingState], take: Callable[[Event], None]
    ) -> None:
        """While we lead: only what reduces a position, for as long as we are blocked. What a person
        resumes meanwhile is held back again; that we are served again is for a person to use."""
        while True:
            if self.blocked and state() is TradingState.ACTIVE:
                take(Reduce(clock.now_ns(), "egress", "betatrader", self.blocked))
            await anyio.sleep(1.0)
