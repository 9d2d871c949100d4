"""Compares our books with the venue's: at the start before any order, and now and then after it."""

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import msgspec
import structlog

from betatrader.engine.booking import APART
from betatrader.engine.state import State
from betatrader.model.account import (
    CashFlow,
    Fill,
    PairsMerged,
    PositionTransfer,
    Reconciled,
    VenueAccount,
)
from betatrader.model.event import Event
from betatrader.model.ids import InstrumentId
from betatrader.model.instruction import Halt
from betatrader.model.market import Resolution
from betatrader.model.money import show
from betatrader.model.order import LEAVING, Order
from betatrader.ops import clock, metrics
from betatrader.venues.ages import Ages
from betatrader.venues.reconcile import (
    IN_FLIGHT,
    later_epoch,
    missing_fills,
    open_at,
    order_reports,
    resolutions,
    set_aside,
    unexplained,
    unspoken,
)
from betatrader.venues.venue import Venue

ANSWER_S = 5.0
"""How long a venue may take to state our account."""

LOOKS = 3
"""How often balances that differ otherwise at each look are looked at again before a start."""

PAUSE_S = 0.2
DOUBT_S = 0.5
"""How soon the venue is asked for an order that stays without an answer."""

LONGEST_S, GROWS = 1.0, 1.25
"""An order may stay in doubt for long, and each look counts against the venue's rate limits: it is
asked for less often from look to look, down to this."""

SHOWN = 3
"""Differences that an alert names."""

UNANSWERED = (*IN_FLIGHT, *LEAVING)


class Reconciler:
    """Repairs what differs by events through the trader, and lists them.

    `unexplained` says what a balance that no order explains leads to: "adopt" books it, "halt"
    books it and halts, "ignore" keeps it out of the books. `may` says whether this process is the
    one that may write.
    """

    def __init__(
        self,
        venue: Venue,
        state: Callable[[], State],
        take: Callable[[Event], None],
        unexplained: str = "adopt",
        may: Callable[[], bool] = lambda: True,
    ) -> None:
        self._venue = venue
        self._state = state
        self._take = take
        self._unexplained = unexplained
        self.unexplained_seen = 0
        """Balances of this run that no order of ours explains."""
        self._may = may
        self.on_difference: Callable[[str], None] = lambda _text: None
        """Told in one sentence what was repaired."""
        self.overtaken: Callable[[int], bool] = lambda _epoch: False
        """Asked where the venue shows an order of a later epoch than ours: whether another leads.
        Then nothing is repaired: what differs is that one's doing."""
        self.permitted: Callable[[], Awaitable[None]] | None = None
        """Waits until it is known whether the venue serves us: no order is to pass before."""
        self._made: tuple[int, int] | None = None
        self._unspoken: set[InstrumentId] = set()
        self._foreign: set[str] = set()
        self._by_hand: set[str] = set()
        self._ages = Ages()
        self._wake = anyio.Event()
        self._log = structlog.get_logger()

    def look_now(self, made: tuple[int, int] | None = None) -> None:
        """Let `keep` look at once: something happened that may have left a difference.

        `made` is given where others may have traded meanwhile, as for `at_start`.
        """
        self._made = made or self._made
        self._wake.set()

    async def at_start(
        self, made: tuple[int, int], settle: Callable[[], Awaitable[None]]
    ) -> tuple[str, ...]:
        """Until our books agree: fills, then orders, then (after `settle`) balances.

        `made` is the epoch and counter up to which our journal knows every order. Tries for ever
        where the venue does not answer, since no order may leave before; and where this process
        may not write (any more), since what differs then is another leader's doing.
        """
        self._made = made
        if self.permitted is not None:
            await self.permitted()
        repaired = await self._agree_on_orders()
        await settle()
        while found := await self._balances():
            repaired += self._repair(found)
        name = self._venue.name
        self._take(Reconciled(clock.now_ns(), name, tuple(repaired), found is None))
        self._made = None
        self._log.info("reconciled", venue=name, repaired=repaired)
        return tuple(repaired)

    async def _agree_on_orders(self) -> list[str]:
        repaired: list[str] = []
        pause_s = PAUSE_S
        while True:
            found = self._orders(await self._answer())
            if found:  # fills come alone: what became of orders is in the next answer
                repaired += self._repair(found)
                continue
            if not self._in_flight():
                return repaired
            await anyio.sleep(pause_s)
            pause_s = min(GROWS * pause_s, LONGEST_S)

    async def _balances(self) -> list[Event] | None:
        """What differs in two answers that are so far apart that nothing was under way in both,
        or lagged in both; a contract's end needs no second word. What differs otherwise each time
        is looked at again, a few times: then it is None, and left to `keep`; and so where trades
        are not settled."""
        account = await self._answer()
        found = self._of_balances(account)
        for _ in range(LOOKS):
            if not found or isinstance(found[0], Resolution):
                break
            await anyio.sleep(self._apart_s)
            account = await self._answer()
            late = self._orders(account)
            if late:
                return late
            told = [describe(event) for event in found]
            found = self._of_balances(account)
            if same := [event for event in found if describe(event) in told]:
                return same
        else:
            if found:
                self._log.warning("balances_keep_moving", venue=self._venue.name)
                return None
        return None if account.moving and not found else found

    async def keep(self, every_s: float) -> None:
        """While running: look now and then, and at once where an order stays without an answer.

        What the venue says of orders and fills counts at its first word. A balance does not, since
        reports are under way and balances lag: it is believed where two looks, far enough apart,
        differ in the same way. Where the books come before the next order, they are compared as at
        the start.
        """
        told: list[str] = []
        since = looked = anyio.current_time()
        pause_s = DOUBT_S
        while True:
            with anyio.move_on_after(DOUBT_S):
                await self._wake.wait()
            woken, now = self._wake.is_set(), anyio.current_time()
            if woken:
                self._wake = anyio.Event()
            self._age_orders()
            state = self._state()
            if not self._may():  # another may lead: what differs is that one's doing
                continue
            if self._account_name() in state.uncompared:
                if self._account_name() not in state.away:
                    made = self._made or (state.epoch, state.order_counter)
                    await self.at_start(made, anyio.lowlevel.checkpoint)
                    told = []  # what was seen before is no first look of what is seen after
                continue
            stuck = self._stuck()
            if not woken and now - looked < (min(pause_s, every_s) if stuck else every_s):
                continue
            pause_s = min(GROWS * pause_s, LONGEST_S) if stuck else DOUBT_S
            looked = now
            account = await self._account()
            if (
                account is None
                or not self._may()
                or self._repair(self._orders(account))
                or self._in_flight()
            ):
                continue
            found = self._of_balances(account)
            differs = [describe(event) for event in found]
            if differs != told:
                told, since = differs, now
            elif found and now - since >= self._apart_s:
                self._repair(found)
                told = []
            elif not found and not account.moving:
                self._agree()

    @property
    def _apart_s(self) -> float:
        """How far apart two looks at the balances lie: where a venue's lists show an order later
        than its balances do, it says for how long those lag. No order is in doubt by then."""
        lag_ns: int = getattr(self._venue, "balances_lag_ns", self._venue.under_way_ns)
        return lag_ns / 1e9

    def _agree(self) -> None:
        """Say that the books are equal, where there were fills since that was said last."""
        state = self._state()
        _, fills = state.agreed.get(self._account_name(), (0, -1))
        if fills != state.orders.fills:
            self._take(Reconciled(clock.now_ns(), self._venue.name))

    def _account_name(self) -> str:
        return self._state().account(self._venue.name)

    def _open(self) -> list[Order]:
        return open_at(self._state(), self._venue.name)

    def _in_flight(self) -> bool:
        return any(order.state in IN_FLIGHT for order in self._open())

    def _stuck(self) -> bool:
        """Whether an order has been without an answer for a while."""
        late_ns = clock.now_ns() - int(DOUBT_S * 1e9)
        return any(
            order.state in UNANSWERED and order.updated_ns < late_ns for order in self._open()
        )

    async def _answer(self) -> VenueAccount:
        while True:
            account = await self._account()
            if account is not None and self._may():
                return account
            await anyio.sleep(PAUSE_S)

    async def _account(self) -> VenueAccount | None:
        try:
            with anyio.fail_after(ANSWER_S):
                account = await self._venue.account(tuple(order.id for order in self._open()))
        except (TimeoutError, OSError) as error:
            self._log.warning("venue_away", venue=self._venue.name, error=str(error))
            return None
        later = later_epoch(account, self._state().epoch, clock.now_ns())
        return None if later and self.overtaken(later) else account

    def _orders(self, account: VenueAccount) -> list[Event]:
        """Fills that we miss; and only where there are none, what became of orders."""
        state = self._state()
        made = self._made or (state.epoch, state.order_counter)
        fills: list[Event] = list(missing_fills(state, account, made))
        if fills:
            return fills
        venue = self._venue
        self._age_orders()
        now, under_way_ns, age = clock.now_ns(), venue.under_way_ns, self._ages.age
        reports = order_reports(state, account, venue.name, now, under_way_ns, age=age)
        return list(reports)  # type: ignore[arg-type]

    def _age_orders(self) -> None:
        self._ages.look(self._open(), clock.now_ns(), int(clock.boot_s() * 1e9))

    def _of_balances(self, account: VenueAccount) -> list[Event]:
        """Contracts that have ended; and only where there are none, what nothing explains."""
        self._tell_unspoken(account)
        self._tell_foreign(account)
        self._tell_by_hand(account)
        ended: list[Event] = list(resolutions(self._state(), account, clock.now_ns()))
        return ended or list(unexplained(self._state(), account, self._venue.name, clock.now_ns()))

    def _tell_unspoken(self, account: VenueAccount) -> None:
        """Tell once of what is held and traded no more: it stays in the books as it was."""
        for name in unspoken(self._state(), account, self._venue.name):
            if name not in self._unspoken:
                self._unspoken.add(name)
                text = f"{name} is held, and configured no more: it is left as it was"
                self._log.warning("held_and_not_configured", instrument=name)
                self.on_difference(text)

    def _tell_foreign(self, account: VenueAccount) -> None:
        """Tell once of an order that is none of ours; it halts where unexplained balances do."""
        new = [text for text in account.foreign if text not in self._foreign]
        self._foreign = set(account.foreign)
        for text in new:
            text = f"an order that is not ours rests at {self._venue.name}: {text}"
            self._log.warning("foreign_order", order=text)
            self.on_difference(text)
            if self._unexplained == "halt":
                self._take(Halt(clock.now_ns(), "reconciliation", "betatrader", text))

    def _tell_by_hand(self, account: VenueAccount) -> None:
        """Tell once of what waits there for a person."""
        new = [text for text in account.by_hand if text not in self._by_hand]
        self._by_hand = set(account.by_hand)
        for text in new:
            self._log.warning("by_hand", venue=self._venue.name, what=text)
            self.on_difference(f"{self._venue.name}: {text}")

    def _left_aside(self, event: Event) -> list[Event]:
        """What an event of a balance becomes where what is not ours stays with its owner."""
        if self._unexplained != "ignore" or not isinstance(event, CashFlow | PositionTransfer):
            return [event]
        return list(set_aside(self._state(), event, self._venue.name))

    def _repair(self, events: list[Event]) -> list[str]:
        first = self._account_name() not in self._state().portfolio.accounts
        opening = [_opening(event) for event in events if first and isinstance(event, CashFlow)]
        others = [event for event in events if not (first and isinstance(event, CashFlow))]
        events = opening + [one for event in others for one in self._left_aside(event)]
        for event in events:
            metrics.RECONCILED.labels(type(event).__name__).inc()
            self._log.warning("reconciling", difference=describe(event))
            self._take(event)
        opened = [e for e in events if first and isinstance(e, CashFlow)]
        strange = [
            e
            for e in events
            if isinstance(e, CashFlow | PositionTransfer) and e not in opened and not e.aside
        ]
        self.unexplained_seen += len(strange)
        if strange and self._unexplained == "halt":
            text = f"unexplained at {self._venue.name}: {describe(strange[0])}"
            self._take(Halt(clock.now_ns(), "reconciliation", "betatrader", text))
        told = [describe(event) for event in events]
        differ = [
            text
            for text, event in zip(told, events, strict=True)
            if not isinstance(event, Resolution) and event not in opened
        ]
        if differ:
            more = len(differ) - SHOWN
            shown = "; ".join(differ[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
            self.on_difference(f"our books differed from {self._venue.name}'s: {shown}")
        return told


def _opening(event: CashFlow) -> Event:
    """The first cash of an account whose venue did not answer as the run began, or that a home has
    got since."""
    return msgspec.structs.replace(event, reason="opening balance")


def describe(event: Event) -> str:
    """A difference as one sentence, without its time."""
    kind = str(type(event).__struct_config__.tag)
    match event:
        case Fill():
            return (
                f"{kind} {event.order} {event.side} {show(event.quantity)} at {show(event.price)}"
            )
        case CashFlow():
            return f"{kind} {show(event.amount)}{APART if event.aside else ''}"
        case PairsMerged():
            return f"{kind} {show(event.quantity)} {event.instrument}"
        case PositionTransfer():
            apart = APART if event.aside else ""
            return f"{kind} {show(event.quantity)} {event.instrument}{apart}"
        case _:
            return f"{kind} {getattr(event, 'order', '')} {getattr(event, 'reason', '')}".rstrip()
