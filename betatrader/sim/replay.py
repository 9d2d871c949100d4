"""Feeds a journal's events through an engine, and compares every Step with the journal's own."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from betatrader.engine.engine import Engine
from betatrader.model.command import Step
from betatrader.model.event import Event, encode


class Difference(NamedTuple):
    """The first place where engine and journal part: the event, and what each answered to it."""

    sequence: int
    event: Event
    journal: Step | None
    engine: Step | None


class Replayed(NamedTuple):
    """How much was compared, and the first difference, None where there is none."""

    events: int
    steps: int
    difference: Difference | None


def replay(
    engine: Engine,
    records: Iterable[tuple[int, Event | Step]],
    progress: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Compare byte for byte; a journal that ends between an event and its Step ends there."""
    events = steps = 0
    sequence, event, answer = 0, None, None
    for number, record in records:
        if isinstance(record, Step):
            steps += 1
            if event is None or answer is None or encode(answer) != encode(record):
                return Replayed(events, steps, Difference(sequence, event, record, answer))  # type: ignore[arg-type]
            answer = None
            continue
        if answer is not None:
            return Replayed(events, steps, Difference(sequence, event, None, answer))  # type: ignore[arg-type]
        sequence, event = number, record
        answer = engine.process(record)
        events += 1
        if not events % 10_000:
            progress(events)
    return Replayed(events, steps, None)
