"""What must be true after each step of a run, and at its end: by the venue's word, not by ours."""

from collections import deque
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from betatrader.engine.leaving import epoch_of
from betatrader.model.command import Approved
from betatrader.model.ids import ClientOrderId, venue_of
from betatrader.model.order import Side
from betatrader.ops import clock
from betatrader.sim import invariants
from betatrader.sim.ledger import Accepted, Entry, Refused

if TYPE_CHECKING:
    from betatrader.chaos.site import Site
    from betatrader.chaos.world import World


LOSSES = 2
"""How far beyond its limit a loss may be as a buy leaves: fills are under way, prices move."""

MEET_S = 0.1
"""An order and the report of a fill may meet on their way."""


APART_S, APART_AT_STEPS_S = 1.0, 7.0
"""How far the books' time may be ahead of a trader's clock; the second where traders' clocks are
set, by up to 3 s each. A venue's clock, which may be further off, never sets it."""


class Judge:
    """Gathers what is wrong; the first line names the seed's failure."""

    def __init__(self, world: "World") -> None:
        self.wrong: list[str] = []
        self.broken: list[str] = []
        """Of these what is no invariant: a process that fell over."""
        self.counts: dict[str, int] = {}
        """Faults by kind."""
        self.orders = 0
        self.instructions = 0
        """Of the operator, as often as the plan has them."""
        self.halts = 0
        """How often the trader was seen to have stopped by itself, or by the operator."""
        self._trading: set[str] = set()
        """The venues that took an order after the last fault."""
        self._world = world
        self._accepted: set[str] = set()
        self._refused: set[str] = set()
        self._highest_epoch = 0
        self._leaders = 0
        """How often one began to lead."""
        self._faults_ended = False
        self._held_back = ""
        self._equity = 0
        self._losses: deque[tuple[float, int]] = deque()
        """By when, as far as a buy that arrives now may have left before."""
        set_ = any(fault.kind == "clock" for fault in world.plan.faults)
        self._apart_s = APART_AT_STEPS_S if set_ else APART_S
        self._answered: dict[int, set[str]] = {}
        """The venues that have told a process our account, by its role's identity: no role is
        cleaned up in a run."""
        self._digest = blake2b(digest_size=8)
        for site in world.sites:
            site.exchange.keep = partial(self.booked, site)

    @property
    def trades_again(self) -> bool:
        """Whether it trades at each venue since faults have ended."""
        return len(self._trading) == len(self._world.sites)

    def say(self, text: str) -> None:
        """Something is wrong."""
        if len(self.wrong) < 20:
            self.wrong.append(f"{self._world.loop.time():.3f} s: {text}")

    def booked(self, site: "Site", owner: str, entry: Entry) -> None:
        """A venue writes to its ledger."""
        if owner != site.venue.owner:
            return
        self._digest.update(repr(entry).encode())
        name = _asked(entry)
        if isinstance(entry, Refused) and "duplicate" in entry.reason:
            self.say(f"order {entry.order} was sent twice")
        if self._world.plan.guarded:
            self._lost_before()
        if not isinstance(entry, Accepted):
            return
        self.orders += 1
        if self._faults_ended:
            self._trading.add(site.account)
        if name in self._accepted:
            self.say(f"order {name} was taken twice")
        if name in self._refused:
            self.say(f"order {name} was taken, and counts as refused")
        self._accepted.add(name)
        limits = self._world.config.risk.limits()
        ledger = site.ledger
        if ledger.largest_total > limits.total_notional * 11 // 10:
            self.say(f"{ledger.largest_total} at stake, and the limit is {limits.total_notional}")
        if self._world.plan.guarded and entry.terms.side is Side.BUY:
            lost = self._lost_before()
            if lost > LOSSES * limits.daily_loss:
                self.say(f"bought, with {lost} lost, and the limit is {limits.daily_loss}")

    def _lost_before(self) -> int:
        """What was lost when a buy that arrives now may have left: a fill's report may have met it
        on its way."""
        self._equity = self._equity or self._worth()
        now_s = self._world.loop.time()
        self._losses.append((now_s, self._equity - self._worth()))
        while len(self._losses) > 1 and self._losses[1][0] < now_s - MEET_S:
            self._losses.popleft()
        return min(lost for _, lost in self._losses)

    def digest(self) -> str:
        """Of all that the venue wrote into its ledger, in its order."""
        return self._digest.hexdigest()

    def refused(self, order: str) -> None:
        """Our books say that the venue refused an order: it must not have taken it."""
        role = self._world.running_role()
        names = (order,) if role is None else self._names(order, role)
        self._refused.update(names)
        if self._accepted.intersection(names):
            self.say(f"order {order} counts as refused, and the venue had taken it")

    def adopted(self, order: str) -> None:
        """Our books had lost an order: only a machine that lost its power may do that. What a
        former leader makes of the next one's orders leads to nothing."""
        plan, role = self._world.plan, self._world.running_role()
        if role is None or not role.leadership.leads():
            return
        if plan.local and self._leaders > 1:  # it had not reached Redis
            return
        if plan.pair or "power_cut" not in self.counts:
            self.say(f"order {order} was in no journal")

    def filled_unknown(self, order: str) -> None:
        """A fill of an order that our books do not know: they had lost it too, unless a later
        leader has made it. Who was overtaken hears of that one's fills, and its books end there."""
        role = self._world.running_role()
        if role is None or epoch_of(ClientOrderId(order)) <= role.trader.engine.state.epoch:
            self.adopted(order)

    def answered(self, name: str) -> None:
        """A process has heard from a venue what our account is there."""
        role = self._world.running_role()
        if role is not None:
            self._answered.setdefault(id(role), set()).add(name)

    def _asked_by(self, role: Any, command: Approved) -> bool:
        name = venue_of(command.terms.instrument)
        return name in self._answered.get(id(role), ())

    def hold(self, reason: str) -> None:
        """From here on no buy may leave."""
        if not self._held_back:
            self._held_back = reason
            self.halts += 1

    def let_go(self) -> None:
        """A resume is sent."""
        self._held_back = ""

    def resumed(self) -> None:
        """It is obeyed: losses count from here."""
        self._equity = self._worth()
        self._losses.clear()

    def _worth(self) -> int:
        """What all accounts are worth by the venues' own books, at the bids."""
        return sum(site.worth() for site in self._world.sites)

    def leads(self, epoch: int) -> None:
        """A trader begins to lead."""
        self._leaders += 1
        self._begins(epoch)

    def _begins(self, epoch: int) -> None:
        self._highest_epoch = max(self._highest_epoch, epoch)

    def sent(self, epoch: int, command: Approved) -> None:
        """A trader lets an order leave: nobody with a later epoch may have done so before, and
        none that buys while new risk is held back."""
        role = self._world.running_role()
        if role is not None and not self._asked_by(role, command):
            self.say(f"{command.order} left before the venue was asked for our account")
        if role is not None and (ahead_s := self._ahead_s(role)) > self._apart_s:
            self.say(f"{command.order} left by books that are {ahead_s:.1f} s ahead of our clock")
        if self._held_back and command.terms.side is Side.BUY:
            self.say(f"{command.order} buys, and {self._held_back}")
        if epoch < self._highest_epoch:
            self.say(f"epoch {epoch} sent {command.order} after {self._highest_epoch} had begun")
        self._begins(epoch)

    @staticmethod
    def _ahead_s(role: Any) -> float:
        """How far the books of the process whose code runs now are ahead of its clock."""
        return float((role.trader.engine.state.now_ns - clock.now_ns()) / 1e9)

    def faults_end(self) -> None:
        """From here on the trader is to trade again."""
        self._faults_ended = True

    def liveness_ends(self) -> None:
        """By now it should have."""
        if not self.trades_again:
            self.say("no order for long after the last fault")

    def differences(self, role: Any) -> list[str]:
        """The invariants that are false between the leader's books and the venue's."""
        if role is None:
            return ["nobody leads"]
        sites, engine = self._world.sites, role.trader.engine
        state, limits = engine.state, engine.limits
        same_ids = self._world.plan.venue == "sim"
        books = {
            site.account: (site.venue.ours(site.ledger, site.desk(role)), self._resting(site, role))
            for site in sites
        }
        if len(sites) > 1:
            verdicts = invariants.check_accounts(state, limits, books, same_ids=same_ids)
        else:
            [(ledger, resting)] = books.values()
            verdicts = invariants.check(state, limits, ledger, resting=resting, same_ids=same_ids)
        return [name for name, holds in verdicts.items() if not holds]

    def _names(self, order: str, role: Any) -> tuple[str, ...]:
        """The exchanges' names of an order of ours, at whichever of them it may be."""
        return tuple(
            name
            for site in self._world.sites
            for name in site.venue.names_of(order, site.desk(role))
        )

    def _resting(self, site: "Site", role: Any) -> set[str]:
        """The orders in an exchange's book, under our names as far as we know them."""
        venue, desk = site.venue, site.desk(role)
        open_ = role.trader.engine.state.orders.open
        ours = {name: order for order in open_ for name in venue.names_of(order, desk)}
        resting = site.exchange.resting(venue.owner)
        return {ours.get(name, name.partition("#")[0]) for name in resting}

    def quiet(self, role: Any) -> None:
        """Nothing is under way any more: the books must agree."""
        for name in self.differences(role):
            self.say(f"at the end: {name}")

    def after_all(self, unhandled: list[dict[str, Any]]) -> None:
        """Errors that nobody took."""
        for context in unhandled[:3]:
            error = context.get("exception")
            self._fell(f"unhandled: {context.get('message')} {error!r}")
        for trader in self._world.traders:
            for ending in trader.endings:
                if not any(known in ending for known in EXPECTED):
                    self._fell(f"{trader.name} ended: {ending}")

    def _fell(self, text: str) -> None:
        self.broken.append(text)
        self.say(text)


def _asked(entry: Entry) -> str:
    """The client's own id of an order: a venue that lets an id be used again tells by a number."""
    return str(getattr(entry, "order", "")).partition("#")[0]


EXPECTED = (
    "RefusedError",
    "UnreachableError",
    "JournalBrokenError",
    "HomeBrokenError",
    "ProcessKilled",
)
"""How a trader may end by itself."""
