"""Where one may trade: the venue is asked at the start, hourly, and before and while we lead.

Blocked means no new orders at that venue, an alert, and closing only where the venue allows it;
the other accounts trade on. An account waits at the start for its venue's first answer; where that
stays away, only what reduces may leave for it until it comes. A later one that stays away changes
nothing: it is asked for again. Where a venue sees this machine at another address or in another
country than before, a person is told, whether it is served there or not.
"""

from collections.abc import Callable, Sequence

import anyio
import msgspec
import structlog

from betatrader.engine.state import State
from betatrader.model.account import VenueAccess
from betatrader.model.event import Event
from betatrader.ops import clock, metrics
from betatrader.roles.desks import Desk
from betatrader.venues.egress import Egress

EVERY_S = 3600.0
AGAIN_S = 30.0
"""How soon it is asked again where it has not answered."""

FIRST_AGAIN_S = 2.0
"""The same where it never has."""

HOLD_AGAIN_S = 1.0
"""How soon what was heard counts while we lead."""

HOLD_S = 15.0
"""How long an account waits for the first answer of a venue that is reached otherwise."""


ADDRESSES_KEPT = 100


class Seen(msgspec.Struct):
    """Where a venue has seen this machine: all addresses, and the last one with its place."""

    addresses: set[str]
    address: str
    place: str


class Abroad:
    """Asks for as long as the process runs; what it heard last counts."""

    def __init__(self, desks: Sequence[Desk], alert: Callable[[str, str], None]) -> None:
        self.barred: dict[str, str] = {}
        """Why no new order may leave for a venue, by its name; for others one may, as far as is
        known."""
        self.asked = anyio.Event()
        """Set once the venue has been asked, and has answered or had its time."""
        self._desks = desks
        self._heard: dict[str, Egress] = {}
        self._seen: dict[str, Seen] = {}
        self._known = {desk.venue.name: anyio.Event() for desk in desks}
        self._unanswered: dict[str, str] = {}
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
        for desk in self._desks:
            found, name = await desk.egress(), desk.venue.name
            if found is not None:
                self._heard[name] = found
                self._look_where(name, found)
                self._known[name].set()
                self._unanswered.pop(name, None)
            answered = answered and found is not None
        self._judge()
        if len(self._heard) < len(self._desks):
            return FIRST_AGAIN_S
        return EVERY_S if answered else AGAIN_S

    def _look_where(self, name: str, found: Egress) -> None:
        """Tell of another country, and of an address that is new: one that leaves by several in
        turn is told of each once."""
        if not (found.address or found.place):
            return
        seen = self._seen.setdefault(name, Seen({found.address}, found.address, found.place))
        if found.place != seen.place or found.address not in seen.addresses:
            was = f"{seen.address} {seen.place}".strip()
            self._alert("error", f"{found.told}, which was {was} before")
            self._log.error("egress_moved", venue=name, told=found.told, before=was)
        if len(seen.addresses) >= ADDRESSES_KEPT:
            seen.addresses.clear()
        seen.addresses.add(found.address)
        seen.address, seen.place = found.address, found.place

    async def known(self, desk: Desk) -> None:
        """Return once this desk's venue has said whether it serves us, or had its time: then it
        counts as blocked until it does."""
        name = desk.venue.name
        if name in self._unanswered:
            return
        with anyio.move_on_after(HOLD_S):
            await self._known[name].wait()
        if not self._known[name].is_set():
            self._unanswered[name] = f"{name} does not say whether it serves this address"
            self._judge()

    def _judge(self) -> None:
        for name in self._known:
            heard = self._heard.get(name)
            told = heard.told if heard is not None and heard.blocked else ""
            self._bar(name, told or self._unanswered.get(name, ""))

    def _bar(self, name: str, told: str) -> None:
        metrics.BARRED.labels(name).set(bool(told))
        before = self.barred.pop(name, "")
        if told:
            self.barred[name] = told
        if told == before:
            return
        if told:
            self._alert("critical", f"{told}: no new orders at {name} from here")
        else:
            self._alert("info", f"{name} serves this address: new orders may leave for it again")
        self._log.warning("egress", venue=name, blocked=bool(told), told=told or before)

    async def hold_back(self, state: State, take: Callable[[Event], None]) -> None:
        """While we lead: only what reduces a position, at each venue for as long as it is
        blocked."""
        while True:
            self.hold_now(state, take)
            await anyio.sleep(HOLD_AGAIN_S)

    def hold_now(self, state: State, take: Callable[[Event], None]) -> None:
        """The same once."""
        for name in self._known:
            told = self.barred.get(name, "")
            if state.barred.get(state.account(name), "") != told:
                take(VenueAccess(clock.now_ns(), name, not told, told))
