"""What the engine answers where nothing is decided: sentences, and requests for forecasts."""

from betatrader.engine.state import State
from betatrader.engine.strategy import Ask
from betatrader.model.account import (
    CashFlow,
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

Told = (
    CashFlow | PositionTransfer | PairsMerged | VenueConnection | VenueAccess | Protection | Fenced
)

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


def request(state: State, intent: Ask) -> RequestForecast:
    """What intel is asked for: a probability of a contract, a return of anything else."""
    definition = state.markets[intent.instrument].definition
    kind = "probability" if isinstance(definition, BinaryContract) else "return"
    return RequestForecast(
        intent.instrument, kind, intent.horizon_ns, intent.features, state.now_ns
    )
