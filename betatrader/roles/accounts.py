"""The trader's accounts: each a desk where it trades, and a reconciler that compares the books.

One account trades on while another's venue is away: orders go where their instrument belongs, and
each account starts, is compared, and is given up on its own.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import TaskGroup

from betatrader.engine.state import State
from betatrader.model.account import VenueConnection
from betatrader.model.command import Approved, CancelOrder
from betatrader.model.errors import ConfigurationError, UnreachableError
from betatrader.model.event import Event
from betatrader.model.limits import Limits
from betatrader.ops import clock
from betatrader.roles.desks import Desk
from betatrader.roles.reconciling import Reconciler
from betatrader.venues.venue import Batching, SelfActing, Sender, Timed, Venue

Made = tuple[int, int]
"""All orders of ours up to this epoch and counter are in our journal."""


class Routing:
    """Sends each order to the venue of its instrument's account."""

    def __init__(self, venues: Sequence[Venue], state: Callable[[], State]) -> None:
        self._venues = {venue.name: venue for venue in venues}
        self._batching = {one.name: one for one in venues if isinstance(one, Batching)}
        self._state = state

    def submit(self, command: Approved, now_ns: int) -> None:
        """Send an order that risk has approved."""
        account = self._state().account_of(command.terms.instrument)
        self._venues[account].submit(command, now_ns)

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        """Ask to take an order off the book."""
        self._venues[self._state().account_of(command.instrument)].cancel(command, now_ns)

    def submit_many(self, orders: Sequence[Timed]) -> None:
        """Send several orders, those of an account together where its venue can."""
        account_of = self._state().account_of
        by_account: dict[str, list[Timed]] = {}
        for order in orders:
            by_account.setdefault(account_of(order[0].terms.instrument), []).append(order)
        for account, some in by_account.items():
            batching = self._batching.get(account)
            if batching is not None and len(some) > 1:
                batching.submit_many(some)
                continue
            for command, now_ns in some:
                self._venues[account].submit(command, now_ns)

    def cancel_many(self, commands: Sequence[CancelOrder], now_ns: int) -> None:
        """Send several cancels, those of an account together where its venue can."""
        account_of = self._state().account_of
        by_account: dict[str, list[CancelOrder]] = {}
        for command in commands:
            by_account.setdefault(account_of(command.instrument), []).append(command)
        for account, some in by_account.items():
            batching = self._batching.get(account)
            if batching is not None and len(some) > 1:
                batching.cancel_many(some, now_ns)
                continue
            for command in some:
                self._venues[account].cancel(command, now_ns)


class Account:
    """One desk with its reconciler; `started` is set once it is compared, or left for later."""

    def __init__(self, desk: Desk, reconciler: Reconciler) -> None:
        self.desk = desk
        self.reconciler = reconciler
        self.started = anyio.Event()
        self.compared = False
        desk.on_question = reconciler.look_now


class Accounts:
    """All of them. `unexplained` and `may` as for `Reconciler`."""

    def __init__(
        self,
        desks: Sequence[Desk],
        state: Callable[[], State],
        take: Callable[[Event], None],
        unexplained: str,
        may: Callable[[], bool],
    ) -> None:
        self._state = state
        self._take = take
        self._all = [
            Account(desk, Reconciler(desk.venue, state, take, unexplained, may)) for desk in desks
        ]
        for venue in (desk.venue for desk in desks):
            if isinstance(venue, SelfActing):
                venue.heed(may)
        self._failed: list[UnreachableError] = []
        self._changed = anyio.Event()
        self._log = structlog.get_logger()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the venues where we have an account."""
        return tuple(one.desk.venue.name for one in self._all)

    @property
    def sender(self) -> Sender:
        """Where orders go."""
        venues = [one.desk.venue for one in self._all]
        return venues[0] if len(venues) == 1 else Routing(venues, self._state)

    @property
    def unexplained_seen(self) -> int:
        """Balances of this run that no order of ours explains."""
        return sum(one.reconciler.unexplained_seen for one in self._all)

    def on_difference(self, told: Callable[[str], None]) -> None:
        """Have it told in one sentence what was repaired."""
        for one in self._all:
            one.reconciler.on_difference = told

    def on_overtaken(self, overtaken: Callable[[int], bool]) -> None:
        """Have this asked where a venue shows an order of a later epoch, as `Reconciler` has it."""
        for one in self._all:
            one.reconciler.overtaken = overtaken

    def before_start(self, permitted: Callable[[Desk], Awaitable[None]]) -> None:
        """Have this waited for before an account is compared."""
        for one in self._all:
            one.reconciler.permitted = partial(permitted, one.desk)

    def check(self) -> None:
        """Raises ConfigurationError where our books hold something at a venue that is configured no
        more: it would be nobody's."""
        state = self._state()
        held = {state.account_of(name) for name, _ in state.portfolio.open_positions()}
        held.update(name for name, cash in state.portfolio.accounts.items() if cash)
        lost = sorted(held - {"", *self.names})
        if lost:
            raise ConfigurationError(
                [
                    f"the books of this home hold an account at {', '.join(lost)}, and this trades "
                    f"at {', '.join(self.names)}; configure that venue again, or give this trader "
                    "a home of its own (BETATRADER_HOME)"
                ]
            )

    async def start(self, group: TaskGroup, epoch: int, made: Made, *, is_new: bool) -> None:
        """Return once an account is compared and may be traded; the others go on in `group`.

        Raises UnreachableError where none of the venues answers.
        """
        for one in self._all:
            group.start_soon(self._start_one, one, epoch, made, is_new)
        while not any(one.compared for one in self._all):
            if len(self._failed) == len(self._all):
                raise self._failed[0]
            await self._changed.wait()

    async def _start_one(self, one: Account, epoch: int, made: Made, is_new: bool) -> None:
        venue = one.desk.venue
        try:
            await one.desk.open(epoch, is_new=is_new)
        except UnreachableError as error:
            self._failed.append(error)
            self._log.warning("venue_away", venue=venue.name, error=str(error))
            if not getattr(venue, "connected", False):
                reason = "it has not answered yet"
                self._take(VenueConnection(clock.now_ns(), venue.name, False, reason))
            one.reconciler.look_now(made)
        else:
            await one.reconciler.at_start(made, one.desk.settle_lost)
            one.compared = True
        one.started.set()
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def look_now(self, made: Made | None = None) -> None:
        """Compare all of them soon, as `Reconciler.look_now`."""
        for one in self._all:
            one.reconciler.look_now(made)

    async def keep(self, every_s: float) -> None:
        """Compare them now and then, until cancelled."""

        async def one_of_them(one: Account) -> None:
            await one.started.wait()
            await one.reconciler.keep(every_s)

        async with anyio.create_task_group() as group:
            for one in self._all:
                group.start_soon(one_of_them, one)

    async def feed(self) -> None:
        """The market, until it ends; raises UsageError where it breaks."""
        if len(self._all) > 1:  # each shows its market by itself, for as long as we run
            await anyio.sleep_forever()
        await self._all[0].desk.feed()

    async def settle(self) -> None:
        """Return when nothing is under way."""
        async with anyio.create_task_group() as group:
            for one in self._all:
                group.start_soon(one.desk.settle)

    async def agree(self, made: Made) -> None:
        """Compare all whose venue is reached a last time."""
        state = self._state()
        async with anyio.create_task_group() as group:
            for one in self._all:
                if state.account(one.desk.venue.name) not in state.away:
                    group.start_soon(one.reconciler.at_start, made, anyio.lowlevel.checkpoint)

    async def verdicts(self, limits: Limits) -> dict[str, bool]:
        """Each invariant by name: true where it is true of every account."""
        found: dict[str, bool] = {}

        async def judge(one: Account) -> None:
            for name, holds in (await one.desk.verdicts(limits)).items():
                found[name] = found.get(name, True) and holds

        async with anyio.create_task_group() as group:
            for one in self._all:
                group.start_soon(judge, one)
        return found

    def close(self) -> None:
        """Let go of all desks."""
        for one in self._all:
            one.desk.close()
