"""Where one may trade: the venue is asked at the start, hourly, and before and while we lead.

Blocked means no new orders, an alert, and closing only where the venue allows it. An answer that
stays away changes nothing: it is asked for again.
"""

from collections.abc import Callable

import anyio
import structlog

from betatrader.model.event import Event
from betatrader.model.instruction import Reduce, TradingState
from betatrader.ops import clock
from betatrader.roles.desks import Desk

EVERY_S = 3600.0
AGAIN_S = 30.0
"""How soon it is asked again where it has not answered."""


class Abroad:
    """Asks for as long as the process runs; what it heard last counts."""

    def __init__(self, desk: Desk, alert: Callable[[str, str], None]) -> None:
        self.blocked = ""
        """Why no new order may leave from here; "" where one may, as far as is known."""
        self.asked = anyio.Event()
        """Set once the venue has been asked, and has answered or had its time."""
        self._desk = desk
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
        found = await self._desk.egress()
        if found is None:
            return AGAIN_S
        if found.blocked and not self.blocked:
            self._alert("critical", f"{found.told}: no new orders from here")
        if found.blocked != bool(self.blocked):
            self._log.warning("egress", blocked=found.blocked, told=found.told)
        self.blocked = found.told if found.blocked else ""
        return EVERY_S

    async def hold_back(
        self, state: Callable[[], TradingState], take: Callable[[Event], None]
    ) -> None:
        """While we lead: only what reduces a position, for as long as we are blocked. What a person
        resumes meanwhile is held back again; that we are served again is for a person to use."""
        while True:
            if self.blocked and state() is TradingState.ACTIVE:
                take(Reduce(clock.now_ns(), "egress", "betatrader", self.blocked))
            await anyio.sleep(1.0)
