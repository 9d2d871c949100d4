"""Compares our books with the venue's: at the start before any order, and now and then after it."""

from collections.abc import Awaitable, Callable

import anyio
import structlog

from betatrader.engine.state import State
from betatrader.model.account import (
    AccountEvent,
    CashFlow,
    Fill,
    PositionTransfer,
    Reconciled,
    VenueAccount,
)
from betatrader.model.event import Event
from betatrader.model.instruction import Halt
from betatrader.model.money import show
from betatrader.ops import clock, metrics
from betatrader.venues.reconcile import IN_FLIGHT, missing_fills, order_reports, unexplained
from betatrader.venues.venue import Venue

ANSWER_S = 5.0
"""How long a venue may take to state our account."""

PAUSE_S = 0.2


class Reconciler:
    """Repairs what differs by events through the trader, and lists them.

    `unexplained` says what a balance that no order explains leads to: "adopt" books it, "halt"
    books it and halts.
    """

    def __init__(
        self,
        venue: Venue,
        state: Callable[[], State],
        take: Callable[[Event], None],
        unexplained: str = "adopt",
    ) -> None:
        self._venue = venue
        self._state = state
        self._take = take
        self._unexplained = unexplained
        self._made: tuple[int, int] | None = None
        self._log = structlog.get_logger()

    async def at_start(
        self, made: tuple[int, int], settle: Callable[[], Awaitable[None]]
    ) -> tuple[str, ...]:
        """Until our books agree: fills, then orders, then (after `settle`) balances.

        `made` is the epoch and counter up to which our journal knows every order. Tries for ever
        where the venue does not answer, since no order may leave before.
        """
        self._made = made
        repaired: list[str] = []
        while True:
            repaired += self._repair(self._orders(await self._answer()))
            if not any(o.state in IN_FLIGHT for o in self._state().orders.open.values()):
                break
            await anyio.sleep(PAUSE_S)
        await settle()
        repaired += self._repair(self._balances(await self._answer()))
        name = self._venue.name
        self._take(Reconciled(clock.now_ns(), name, tuple(repaired)))
        self._made = None
        self._log.info("reconciled", venue=name, repaired=repaired)
        return tuple(repaired)

    async def keep(self, every_s: float) -> None:
        """While running: what differs in two looks running is repaired.

        One look proves nothing: reports are under way, and a balance may lag behind its fills.
        """
        before: list[str] = []
        while True:
            await anyio.sleep(every_s)
            account = await self._account()
            if account is None:
                continue
            found = self._orders(account) or self._balances(account)
            told = [describe(event) for event in found]
            if told and told == before:
                self._repair(found)
                told = []
            before = told

    async def _answer(self) -> VenueAccount:
        while True:
            account = await self._account()
            if account is not None:
                return account
            await anyio.sleep(PAUSE_S)

    async def _account(self) -> VenueAccount | None:
        try:
            with anyio.fail_after(ANSWER_S):
                return await self._venue.account()
        except (TimeoutError, OSError) as error:
            self._log.warning("venue_away", venue=self._venue.name, error=str(error))
            return None

    def _orders(self, account: VenueAccount) -> list[AccountEvent]:
        """Fills that we miss; and only where there are none, what became of orders."""
        state = self._state()
        made = self._made or (state.epoch, state.order_counter)
        fills: list[AccountEvent] = list(missing_fills(state, account, made))
        if fills:
            return fills
        reports = order_reports(state, account, clock.now_ns(), self._venue.under_way_ns)
        return list(reports)  # type: ignore[arg-type]

    def _balances(self, account: VenueAccount) -> list[AccountEvent]:
        return list(unexplained(self._state(), account, self._venue.name, clock.now_ns()))

    def _repair(self, events: list[AccountEvent]) -> list[str]:
        for event in events:
            metrics.RECONCILED.labels(type(event).__name__).inc()
            self._log.warning("reconciling", difference=describe(event))
            self._take(event)
        strange = [e for e in events if isinstance(e, CashFlow | PositionTransfer)]
        if strange and self._unexplained == "halt":
            text = f"unexplained at {self._venue.name}: {describe(strange[0])}"
            self._take(Halt(clock.now_ns(), "reconciliation", "betatrader", text))
        return [describe(event) for event in events]


def describe(event: AccountEvent) -> str:
    """A difference as one sentence, without its time."""
    kind = str(type(event).__struct_config__.tag)
    match event:
        case Fill():
            return (
                f"{kind} {event.order} {event.side} {show(event.quantity)} at {show(event.price)}"
            )
        case CashFlow():
            return f"{kind} {show(event.amount)}"
        case PositionTransfer():
            return f"{kind} {show(event.quantity)} {event.instrument}"
        case _:
            return f"{kind} {getattr(event, 'order', '')} {getattr(event, 'reason', '')}".rstrip()
