"""Sentences for events that change the books, or stop them, and ask for no decision."""

from betatrader.model.account import CashFlow, PositionTransfer
from betatrader.model.command import Alert, Booked, Change
from betatrader.model.instruction import Fenced
from betatrader.model.money import show

Told = CashFlow | PositionTransfer | Fenced


def told(event: Told) -> list[Change]:
    """What the Step says of it."""
    if isinstance(event, CashFlow):
        return [Booked("cash_flow", event.venue, show(event.amount))]
    if isinstance(event, Fenced):
        return [Alert("critical", f"no order leaves: {event.reason}")]
    return [
        Booked("transfer", event.instrument, show(event.quantity)),
        Alert("error", f"{event.instrument}: {event.reason}"),
    ]
