"""The life of one order, from the journal: what was seen, who proposed it, what came of it."""

from pathlib import Path
from typing import Any

import msgspec

from betatrader.model.account import Fill, OrderEvent, OrderSigned
from betatrader.model.command import Approved, CancelOrder, Refused, Step
from betatrader.model.errors import UsageError
from betatrader.model.market import BookDelta, BookSnapshot, Quote
from betatrader.model.money import show
from betatrader.model.order import OrderTerms
from betatrader.model.signal import Forecast
from betatrader.ops.clock import iso
from betatrader.store.journal_reader import Entry, Reader


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One moment: when, the journal's record, and a sentence."""

    time: str
    record: int
    text: str


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One order from its forecast to its end."""

    order: str
    lines: tuple[Line, ...]


def explain(path: Path, wanted: str) -> Life:
    """The life of the order whose id ends in `wanted`.

    Raises UsageError where the journal holds no such order, or several.
    """
    teller = _Teller(wanted)
    for entry in Reader(path):
        teller.take(entry)
    if len(teller.lives) != 1:
        found = f"{len(teller.lives)} orders end in" if teller.lives else "no order ends in"
        raise UsageError(
            f"{path}: {found} {wanted!r}\n"
            "Take more digits of its id, from `betatrader orders`, or name another --journal."
        )
    [(order, lines)] = teller.lives.items()
    return Life(order=order, lines=tuple(lines))


class _Teller:
    """Remembers the last forecast and event while it looks for the order."""

    def __init__(self, wanted: str) -> None:
        self.lives: dict[str, list[Line]] = {}
        self._wanted = wanted
        self._forecasts: dict[str, Entry] = {}
        self._cause: Entry | None = None

    def take(self, entry: Entry) -> None:
        record = entry.record
        if isinstance(record, Step):
            for change in record.changes:
                self._change(entry, change)
            return
        self._cause = entry
        if isinstance(record, Forecast):
            self._forecasts[record.instrument] = entry
        elif isinstance(record, OrderEvent) and record.order in self.lives:
            self._say(record.order, entry, _report(record))

    def _change(self, entry: Entry, change: Any) -> None:
        if isinstance(change, Approved | Refused) and change.order.endswith(self._wanted):
            self.lives[change.order] = []
            self._origin(change)
            self._say(change.order, entry, _decision(change))
        if isinstance(change, Approved) and change.replaces in self.lives:
            text = f"the venue was asked to take order {change.order} in its stead"
            self._say(change.replaces, entry, text)
        if isinstance(change, CancelOrder) and change.order in self.lives:
            self._say(change.order, entry, f"cancel sent to the venue: {change.reason}")

    def _origin(self, change: Approved | Refused) -> None:
        forecast = self._forecasts.get(change.terms.instrument)
        if forecast is not None:
            self._say(change.order, forecast, _forecast(forecast.record))
        if self._cause is not None:
            self._say(change.order, self._cause, f"the event: {_event(self._cause.record)}")

    def _say(self, order: str, entry: Entry, text: str) -> None:
        line = Line(time=iso(entry.record.time_ns), record=entry.sequence, text=text)
        self.lives[order].append(line)


def _terms(terms: OrderTerms) -> str:
    extra = " post-only" if terms.post_only else ""
    return (
        f"{terms.side} {show(terms.quantity)} {terms.instrument} at {show(terms.price)} "
        f"{terms.type} {terms.time_in_force}{extra}"
    )


def _decision(change: Approved | Refused) -> str:
    if isinstance(change, Refused):
        return (
            f"{change.strategy} proposed {_terms(change.terms)}; risk refused it: {change.check}, "
            f"limit {change.limit}, was {change.actual}"
        )
    stop = f", stop at {show(change.stop)}" if change.stop else ""
    return (
        f"{change.strategy} proposed {_terms(change.terms)} ({change.reason}){stop}; "
        "every check passed, and it was sent"
    )


def _report(record: OrderEvent) -> str:
    if isinstance(record, Fill):
        side = "maker" if record.maker else "taker"
        return (
            f"the venue: filled {show(record.quantity)} at {show(record.price)}, "
            f"fee {show(record.fee)}, {side}, trade {record.trade_id}"
        )
    reason = getattr(record, "reason", "")
    if isinstance(record, OrderSigned):
        text = record.digest or f"has no form at the venue ({reason})"
        return f"in shadow, signed and not sent: {text}"
    return f"the venue: {type(record).__name__}{f' ({reason})' if reason else ''}"


def _forecast(record: Any) -> str:
    return f"the newest forecast: {record.kind} {record.value:.4f} by {record.model}"


def _event(record: Any) -> str:
    name = f"{type(record).__name__} {getattr(record, 'instrument', '')}".strip()
    if isinstance(record, Quote):
        return f"{name}, {show(record.bid)} / {show(record.ask)}"
    if isinstance(record, BookDelta | BookSnapshot):
        return f"{name}, {len(record.bids) + len(record.asks)} levels"
    return name
