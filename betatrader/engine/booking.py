"""What the engine answers where nothing is decided: sentences, and requests for forecasts."""

from betatrader.engine.proposal import CLOSING, GUARD
from betatrader.engine.state import State
from betatrader.engine.strategy import Ask
from betatrader.model.account import (
    CancelRejected,
    CashFlow,
    OrderEvent,
    OrderRejected,
    PairsMerged,
    PositionTransfer,
    Protection,
    VenueAccess,
    VenueConnection,
)
from betatrader.model.command import Alert, Booked, Change, RequestForecast
from betatrader.model.instruction import Fenced
from betatrader.model.instrument import BinaryContract
from betatrader.model.money import show
from betatrader.model.order import Order

Told = (
    CashFlow | PositionTransfer | PairsMerged | VenueConnection | VenueAccess | Protection | Fenced
)

STUBBORN, STUBBORN_AGAIN = 5, 60
"""Refused cancels of one order after which a person is told; a sweep asks once a second."""

APART = ", not ours: set aside"


def told(event: Told) -> list[Change]:
    """What the Step says of it."""
    if isinstance(event, CashFlow):
        text = f"{show(event.amount)}{APART if event.aside else ''}"
        return [Booked("cash_flow", event.venue, text)]
    if isinstance(event, PairsMerged):
        text = f"{show(event.quantity)} with as many of {event.complement}"
        return [Booked("merged", event.instrument, text)]
    if isinstance(event, VenueConnection):
        text = f"{event.venue} is reached" if event.up else f"{event.venue} is away: {event.reason}"
        return [Alert("info" if event.up else "error", text)]
    if isinstance(event, VenueAccess):
        text = "serves this address" if event.allowed else f"no new orders: {event.reason}"
        return [Booked("access", event.venue, text)]
    if isinstance(event, Protection):
        if event.armed_until_ns > event.time_ns:
            return []
        return [Alert("error", f"{event.venue}: the dead-man switch is not armed: {event.reason}")]
    if isinstance(event, Fenced):
        return [Alert("critical", f"no order leaves: {event.reason}")]
    if event.aside:
        return [Booked("transfer", event.instrument, f"{show(event.quantity)}{APART}")]
    return [
        Booked("transfer", event.instrument, show(event.quantity)),
        Alert("error", f"{event.instrument}: {event.reason}"),
    ]


def alarming(event: OrderEvent, order: Order, reason: str) -> list[Alert]:
    """What a person is told at once of a report: who relies on that order would not see it."""
    name = order.terms.instrument
    if type(event) is OrderRejected and order.strategy == GUARD:
        return [Alert("error", f"{name}: the venue holds no stop, ours watches: {reason}")]
    if type(event) is OrderRejected and order.strategy in CLOSING:
        return [Alert("error", f"{name} is not sold, and tried again: {reason}")]
    if type(event) is CancelRejected:
        count = order.refused_cancels
        if count == STUBBORN or (count and not count % STUBBORN_AGAIN):
            text = f"order {order.id} is not off the book, {count} cancels of it were refused"
            return [Alert("error", f"{name}: {text}: {reason}")]
    return []


def request(state: State, intent: Ask) -> RequestForecast:
    """What intel is asked for: a probability of a contract, a return of anything else."""
    definition = state.markets[intent.instrument].definition
    kind = "probability" if isinstance(definition, BinaryContract) else "return"
    return RequestForecast(
        intent.instrument, kind, intent.horizon_ns, intent.features, state.now_ns
    )
