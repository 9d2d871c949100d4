"""The life of one order, from the journals: what was seen, who proposed it, what came of it.

An order may rest over a restart, so that its life goes on in the next run's journal.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from betatrader.model.account import Fill, OrderEvent, OrderFound, OrderSigned
from betatrader.model.command import Approved, CancelOrder, Refused, Step
from betatrader.model.errors import UsageError
from betatrader.model.ids import ClientOrderId
from betatrader.model.market import BookDelta, BookSnapshot, Quote
from betatrader.model.money import show
from betatrader.model.order import OrderTerms
from betatrader.model.signal import Forecast
from betatrader.ops.clock import iso
from betatrader.store.journal_reader import Entry, Reader

NAMED = 3
"""Ids that are named where several orders end alike."""

KEPT_BACK = ("not sent", "withdrawn")
"""How a reason begins that is the trader's own: the order, or the cancel, has never left."""

NO_BEGINNING = "what was decided of it is in no journal here: it was lost, or removed since"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One moment: when, the record of which run's journal, and a sentence."""

    time: str
    run: str
    record: int
    text: str


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One order from its forecast to its end; `notes` say what may lack."""

    order: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()


def explain(
    books: Sequence[Sequence[Path]], wanted: str, progress: Callable[[int], None] = lambda _: None
) -> Life:
    """The life of the newest order whose id ends in `wanted`.

    `books` are the journals of each account, of each the last run last: the first account that
    knows the order tells of it. Raises UsageError where none does, or several orders are meant.
    """
    unread: list[str] = []
    for runs in books:
        search = _Search(wanted, progress)
        for path in reversed(runs):
            search.read(path, alone=len(runs) == len(books) == 1)
            if search.began:
                break
        if search.lives:
            return search.life()
        unread += search.unread
    raise UsageError(_unknown(books, wanted, unread))


def _unknown(books: Sequence[Sequence[Path]], wanted: str, unread: list[str]) -> str:
    places = " and ".join(dict.fromkeys(str(runs[-1].parent) for runs in books))
    known = f"no journal in {places} knows an order that ends in {wanted!r}"
    if len(books) == len(books[0]) == 1:
        known = f"{books[0][0]} knows no order that ends in {wanted!r}"
    advice = "Take its id from `betatrader orders`, or name another --journal."
    if unread:
        advice += f" {len(unread)} cannot be read: {unread[0]}"
    return f"{known}\n{advice}"


class _Search:
    """Goes back from run to run, until it is in the one where the order was decided on."""

    def __init__(self, wanted: str, progress: Callable[[int], None]) -> None:
        self.lives: dict[ClientOrderId, list[Line]] = {}
        self.began: set[ClientOrderId] = set()
        self.unread: list[str] = []
        self._wanted = wanted
        self._progress = progress
        self._read = 0
        self._torn: list[str] = []

    def read(self, path: Path, *, alone: bool) -> None:
        """What this run knows. Others may know more where it cannot be read, unless it is alone."""
        teller = _Teller(self._wanted, path.name)
        torn = 0
        try:
            reader = Reader(path)
            teller.run = reader.head.run
            for entry in reader:
                teller.take(entry)
                self._read += 1
                self._progress(self._read)
            torn = reader.torn
        except UsageError as error:
            if alone:
                raise
            self.unread.append(str(error).partition("\n")[0])
        for order, lines in teller.lives.items():
            self.lives[order] = lines + self.lives.get(order, [])
        self.began |= teller.began
        if torn and teller.lives:
            self._torn.append(
                f"the last write of run {teller.run} was cut off ({torn} bytes): a crash, "
                "and no damage"
            )

    def life(self) -> Life:
        """Raises UsageError where several orders end in what is wanted."""
        if len(self.lives) > 1:
            named = ", ".join(list(self.lives)[:NAMED])
            more = ", …" if len(self.lives) > NAMED else ""
            raise UsageError(
                f"{len(self.lives)} orders end in {self._wanted!r}: {named}{more}\n"
                "Take more digits of its id."
            )
        [(order, lines)] = self.lives.items()
        unread = [f"not read to its end: {text}" for text in self.unread]
        lost = [] if order in self.began else [NO_BEGINNING]
        return Life(order=order, lines=tuple(lines), notes=(*lost, *self._torn, *unread))


class _Teller:
    """Reads one run. It remembers the last forecast and event while it looks for the order."""

    def __init__(self, wanted: str, run: str) -> None:
        self.lives: dict[ClientOrderId, list[Line]] = {}
        self.began: set[ClientOrderId] = set()
        """Those that were decided on in this run."""
        self.run = run
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
        elif isinstance(record, OrderEvent) and record.order.endswith(self._wanted):
            self._say(record.order, entry, _report(record))

    def _change(self, entry: Entry, change: Any) -> None:
        if isinstance(change, Approved | Refused) and change.order.endswith(self._wanted):
            self.began.add(change.order)
            self._origin(change)
            self._say(change.order, entry, _decision(change))
        if isinstance(change, Approved) and change.replaces:
            self._say(change.replaces, entry, f"order {change.order} is to take its stead")
        if isinstance(change, CancelOrder):
            self._say(change.order, entry, f"to be cancelled: {change.reason}")

    def _origin(self, change: Approved | Refused) -> None:
        forecast = self._forecasts.get(change.terms.instrument)
        if forecast is not None:
            self._say(change.order, forecast, _forecast(forecast.record))
        if self._cause is not None:
            self._say(change.order, self._cause, f"the event: {_event(self._cause.record)}")

    def _say(self, order: ClientOrderId, entry: Entry, text: str) -> None:
        if order.endswith(self._wanted):
            time = iso(entry.record.time_ns)
            line = Line(time=time, run=self.run, record=entry.sequence, text=text)
            self.lives.setdefault(order, []).append(line)


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
        "every check passed: approved"
    )


def _report(record: OrderEvent) -> str:
    if isinstance(record, Fill):
        side = "maker" if record.maker else "taker"
        return (
            f"the venue: filled {show(record.quantity)} at {show(record.price)}, "
            f"fee {show(record.fee)}, {side}, trade {record.trade_id}"
        )
    if isinstance(record, OrderFound):
        return (
            f"found working at the venue: {_terms(record.terms)}, {show(record.filled)} filled; "
            "taken into the books"
        )
    reason = getattr(record, "reason", "")
    if isinstance(record, OrderSigned):
        text = record.digest or f"has no form at the venue ({reason})"
        return f"in shadow, signed and not sent: {text}"
    who = "the trader" if reason.startswith(KEPT_BACK) else "the venue"
    return f"{who}: {type(record).__name__}{f' ({reason})' if reason else ''}"


def _forecast(record: Any) -> str:
    return f"the newest forecast: {record.kind} {record.value:.4f} by {record.model}"


def _event(record: Any) -> str:
    name = f"{type(record).__name__} {getattr(record, 'instrument', '')}".strip()
    if isinstance(record, Quote):
        return f"{name}, {show(record.bid)} / {show(record.ask)}"
    if isinstance(record, BookDelta | BookSnapshot):
        return f"{name}, {len(record.bids) + len(record.asks)} levels"
    return name
