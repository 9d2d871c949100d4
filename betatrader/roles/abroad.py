"""Where one may trade: the venue is asked at the start, hourly, and before and while we lead.

Blocked at one means no new orders at any, an alert, and closing only where the venue allows it. An
account waits at the start for its venue's first answer; where that stays away, only what reduces
may leave until it comes. A later one that stays away changes nothing: it is asked for again.
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

FIRST_AGAIN_S = 2.0
"""The same where it never has."""

HOLD_S = 15.0
"""How long an account waits for the first answer of a venue that is reached otherwise."""


class Abroad:
    """Asks for as long as the process runs; what it heard last counts."""

    def __init__(self, desks: Sequence[Desk], alert: Callable[[str, str], None]) -> None:
        self.blocked = ""
        """Why no new order may leave from here; "" where one may, as far as is known."""
        self.asked = anyio.Event()
        """Set once the venue has been asked, and has answered or had its time."""
        self._desks = desks
        self._heard: dict[int, Egress] = {}
        self._known = [anyio.Event() for _ in desks]
        self._unanswered: dict[int, str] = {}
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
                self._known[number].set()
                self._unanswered.pop(number, None)
            answered = answered and found is not None
        self._judge()
        if len(self._heard) < len(self._desks):
            return FIRST_AGAIN_S
        return EVERY_S if answered else AGAIN_S

    async def known(self, desk: Desk) -> None:
        """Return once this desk's venue has said whether it serves us, or had its time: then we
        count as blocked until it does."""
        number = self._desks.index(desk)
        if number in self._unanswered:
            return
        with anyio.move_on_after(HOLD_S):
            await self._known[number].wait()
        if not self._known[number].is_set():
            told = f"{desk.venue.name} does not say whether it serves this address"
            self._unanswered[number] = told
            self._judge()

    def _judge(self) -> None:
        blocked = [heard.told for heard in self._heard.values() if heard.blocked]
        told = next(iter([*blocked, *self._unanswered.values()]), "")
        if told and not self.blocked:
            self._alert("critical", f"{told}: no new orders from here")
        if bool(told) != bool(self.blocked):
            self._log.warning("egress", blocked=bool(told), told=told)
        self.blocked = told

    async def hold_back(
        self, state: Callable[[], TradingState], take: Callable[[Event], None]
    ) -> None:
        """While we lead: only what reduces a position, for as long as we are blocked. What a person
        resumes meanwhile is held back again; that we are served again is for a person to use."""
        while True:
            self.hold_now(state(), take)
            await anyio.sleep(1.0)

    def hold_now(self, state: TradingState, take: Callable[[Event], None]) -> None:
        """The same once."""
        if self.blocked and state is TradingState.ACTIVE:
            take(Reduce(clock.now_ns(), "egress", "betatrader", self.blocked))
