"""Records of the audit and the journal, in sentences for a person and in fields for a machine."""

from collections.abc import Iterator
from typing import Any

from betatrader.model.command import (
    Alert,
    Approved,
    Booked,
    CancelOrder,
    CheckBooks,
    Refused,
    StateChanged,
    Step,
    StrategyFailed,
    Warned,
)
from betatrader.model.market import InstrumentListed, Resolution
from betatrader.model.money import show
from betatrader.ops.clock import iso


def describe(record: Any) -> Iterator[str]:
    """A record in sentences for a person; none where it is of no interest alone."""
    if isinstance(record, Step):
        for change in record.changes:
            text = sentence(change)
            if text:
                yield f"{iso(record.time_ns)[11:-1]}  {text}"
    elif isinstance(record, Resolution):
        paid = show(record.payout)
        yield f"{iso(record.time_ns)[11:-1]}  {record.instrument} resolved, pays {paid}"
    elif isinstance(record, InstrumentListed):
        yield f"{iso(record.time_ns)[11:-1]}  {record.definition.id} listed"


def sentence(change: Any) -> str:
    """One change of a Step for a person; "" where it is of no interest alone."""
    match change:
        case Approved(terms=terms):
            return (
                f"{change.strategy}: {terms.side} {show(terms.quantity)} {terms.instrument} "
                f"at {show(terms.price)} ({change.reason}){_instead(change)}"
            )
        case CancelOrder():
            return f"cancel {change.order[-6:]} on {change.instrument} ({change.reason})"
        case Refused():
            return (
                f"denied {change.terms.side} {change.terms.instrument}: {change.check}, "
                f"limit {change.limit}, was {change.actual}"
            )
        case Warned():
            return f"WARNING {change.check} is near: 80% is {change.limit}, now {change.actual}"
        case StateChanged():
            return f"state {change.state} {change.reason}".rstrip()
        case CheckBooks(reason=reason) if reason:
            return f"{reason}: the venue is asked whether our books are right"
        case StrategyFailed():
            return f"strategy {change.strategy} failed: {change.error}"
        case Booked(kind="fill"):
            return f"filled: {change.text}"
        case Booked(kind="signed"):
            return f"shadow: {change.subject[-6:]} {change.text}"
        case Booked(kind="access"):
            return f"{change.subject}: {change.text}"
        case Booked(kind="allowed"):
            return change.text
        case Booked(kind="acknowledged"):
            return f"acknowledged: {change.text}"
        case Alert():
            return f"ALERT {change.level}: {change.text}"
    return ""


def event_fields(record: Any) -> dict[str, Any]:
    """A record as plain fields, for JSON."""
    kind = type(record).__name__
    if isinstance(record, Step):
        changes = [{"kind": type(c).__name__, **_fields(c)} for c in record.changes]
        return {
            "kind": kind,
            "sequence": record.sequence,
            "time": iso(record.time_ns),
            "changes": changes,
        }
    return {"kind": kind, "time": iso(record.time_ns), **_fields(record)}


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__ if name != "time_ns"}


def _instead(change: Approved) -> str:
    return f" in the stead of {change.replaces[-6:]}" if change.replaces else ""
