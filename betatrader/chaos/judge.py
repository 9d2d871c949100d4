"""What must be true after each step of a run, and at its end: by the venue's word, not by ours."""

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from betatrader.model.command import Approved
from betatrader.sim import invariants
from betatrader.sim.ledger import Accepted, Entry, Refused

if TYPE_CHECKING:
    from betatrader.chaos.world import World


class Judge:
    """Gathers what is wrong; the first line names the seed's failure."""

    def __init__(self, world: "World") -> None:
        self.wrong: list[str] = []
        self.counts: dict[str, int] = {}
        """Faults by kind."""
        self.orders = 0
        self.trades_again = False
        self._world = world
        self._accepted: set[str] = set()
        self._refused: set[str] = set()
        self._highest_epoch = 0
        self._faults_ended = False
        self._digest = blake2b(digest_size=8)
        world.exchange.keep = self.booked

    def say(self, text: str) -> None:
        """Something is wrong."""
        if len(self.wrong) < 20:
            self.wrong.append(f"{self._world.loop.time():.3f} s: {text}")

    def booked(self, owner: str, entry: Entry) -> None:
        """The venue writes to its ledger."""
        venue = self._world.venue
        if owner != venue.owner:
            return
        self._digest.update(repr(entry).encode())
        name = _asked(entry)
        if isinstance(entry, Refused) and "duplicate" in entry.reason:
            self.say(f"order {entry.order} was sent twice")
        if not isinstance(entry, Accepted):
            return
        self.orders += 1
        self.trades_again = self.trades_again or self._faults_ended
        if name in self._accepted:
            self.say(f"order {name} was taken twice")
        if name in self._refused:
            self.say(f"order {name} was taken, and counts as refused")
        self._accepted.add(name)
        limits = self._world.config.risk.limits()
        ledger = self._world.exchange.ledgers[owner]
        if ledger.largest_total > limits.total_notional * 21 // 20:
            self.say(f"{ledger.largest_total} at stake, and the limit is {limits.total_notional}")

    def digest(self) -> str:
        """Of all that the venue wrote into its ledger, in its order."""
        return self._digest.hexdigest()

    def refused(self, order: str) -> None:
        """Our books say that the venue refused an order: it must not have taken it."""
        role = self._world.running_role()
        names = self._world.venue.names_of(order, role.desk) if role is not None else (order,)
        self._refused.update(names)
        if self._accepted.intersection(names):
            self.say(f"order {order} counts as refused, and the venue had taken it")

    def adopted(self, order: str) -> None:
        """Our books had lost an order: only a machine that lost its power may do that. What a
        former leader makes of the next one's orders leads to nothing."""
        plan, role = self._world.plan, self._world.running_role()
        if role is None or not role.leadership.leads():
            return
        if plan.pair or "power_cut" not in self.counts:
            self.say(f"order {order} was in no journal")

    def begins(self, epoch: int) -> None:
        """A trader begins to lead."""
        self._highest_epoch = max(self._highest_epoch, epoch)

    def sent(self, epoch: int, command: Approved) -> None:
        """A trader lets an order leave: nobody with a later epoch may have done so before."""
        if epoch < self._highest_epoch:
            self.say(f"epoch {epoch} sent {command.order} after {self._highest_epoch} had begun")
        self.begins(epoch)

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
        world = self._world
        engine = role.trader.engine
        ledger = world.venue.ours(world.exchange.ledgers[world.venue.owner], role.desk)
        verdicts = invariants.check(
            engine.state,
            engine.limits,
            ledger,
            resting=self._resting(role),
            same_ids=world.plan.venue == "sim",
        )
        return [name for name, holds in verdicts.items() if not holds]

    def _resting(self, role: Any) -> set[str]:
        """The orders in the exchange's book, under our names as far as we know them."""
        venue = self._world.venue
        open_ = role.trader.engine.state.orders.open
        ours = {name: order for order in open_ for name in venue.names_of(order, role.desk)}
        resting = self._world.exchange.resting(venue.owner)
        return {ours.get(name, name.partition("#")[0]) for name in resting}

    def quiet(self, role: Any) -> None:
        """Nothing is under way any more: the books must agree."""
        for name in self.differences(role):
            self.say(f"at the end: {name}")

    def after_all(self, unhandled: list[dict[str, Any]]) -> None:
        """Errors that nobody took."""
        for context in unhandled[:3]:
            error = context.get("exception")
            self.say(f"unhandled: {context.get('message')} {error!r}")
        for trader in self._world.traders:
            for ending in trader.endings:
                if not any(known in ending for known in EXPECTED):
                    self.say(f"{trader.name} ended: {ending}")


def _asked(entry: Entry) -> str:
    """The client's own id of an order: a venue that lets an id be used again tells by a number."""
    return str(getattr(entry, "order", "")).partition("#")[0]


EXPECTED = ("RefusedError", "UnreachableError", "JournalBrokenError", "ProcessKilled")
"""How a trader may end by itself."""
