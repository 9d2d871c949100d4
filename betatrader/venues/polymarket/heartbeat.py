"""The venue's dead-man switch: kept from falling while we live, and told to risk.

After the first heartbeat the venue cancels all that rests of our API key where none comes for so
long (`heartbeat_deadline_seconds`).
A standby does not beat, and neither does a leader whose lease is over: the beats would keep orders
alive that nobody looks after any more.
"""

from collections.abc import Callable

import anyio
import structlog

from betatrader.config.venues import Polymarket
from betatrader.model.account import Protection
from betatrader.model.event import Event
from betatrader.ops import clock
from betatrader.venues.polymarket.forms import VENUE
from betatrader.venues.polymarket.rest import RefusalError, Rest

AGAIN_S = 1.0


class Heartbeat:
    """Beats for one API key. `answered` hears the outcome of each: empty where the venue has
    answered at all, else why not."""

    def __init__(
        self,
        settings: Polymarket,
        rest: Rest,
        take: Callable[[Event], None],
        answered: Callable[[str], None],
    ) -> None:
        self._every_s = float(settings.heartbeat_seconds)
        self._holds_ns = int(settings.heartbeat_deadline_seconds * 10**9)
        self.armed_until_ns = 0
        self.leads = False
        """Whether this process has begun to lead."""
        self.may: Callable[[], bool] = lambda: True
        """Whether it still does: its lease may be over without its knowing who leads now."""
        self._rest = rest
        self._take = take
        self._answered = answered
        self._id = ""
        self._told_off = False
        self._log = structlog.get_logger()

    @property
    def beats(self) -> bool:
        """Whether this process is the one whose orders rest there."""
        return self.leads and self.may()

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            done = await (self.beat() if self.beats else self._look())
            await anyio.sleep(self._every_s if done and self.beats else AGAIN_S)

    async def _look(self) -> bool:
        """Whether the venue answers at all; nothing is armed."""
        try:
            await self._rest.measure_clock()
        except (OSError, TimeoutError) as error:
            self._answered(str(error) or "no answer")
            return False
        self._answered("")
        return True

    async def beat(self) -> bool:
        """One heartbeat, twice where the venue has another id than we; whether it is armed."""
        for _ in range(2):
            if not self.beats:
                return False
            sent_ns = clock.now_ns()
            try:
                self._id = await self._rest.heartbeat(self._id)
            except RefusalError as error:
                self._answered("")
                known = error.fault.heartbeat_id or ""
                again, self._id = bool(known and known != self._id), known
                if again:
                    continue
                self._failed(str(error))
                return False
            except (OSError, TimeoutError) as error:
                self._answered(str(error) or "no answer")
                self._failed(str(error) or "no answer")
                return False
            self._answered("")
            self._told_off = False
            self.armed_until_ns = sent_ns + self._holds_ns
            self._take(Protection(clock.now_ns(), VENUE, self.armed_until_ns))
            return True
        self._failed("the venue keeps another heartbeat's id")
        return False

    def _failed(self, reason: str) -> None:
        self._log.warning("no_heartbeat", venue=VENUE, reason=reason)
        now_ns = clock.now_ns()
        if not self._told_off and now_ns >= self.armed_until_ns:
            self._told_off = True
            self._take(Protection(now_ns, VENUE, 0, reason))
