"""Feeds a journal's events through an engine, and compares every Step with the journal's own."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from betatrader.engine.engine import Engine
from betatrader.model.command import Step
from betatrader.model.event import SCHEMA_VERSION, Event, encode_as


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
    schema: Callable[[], int] = lambda: SCHEMA_VERSION,
) -> Replayed:
    """Compare byte for byte, as in the schema of the last record that was read; a journal that ends
    between an event and its Step ends there."""
    events = steps = 0
    sequence, event, answer = 0, None, None
    for number, record in records:
        if isinstance(record, Step):
            steps += 1
            if event is None or answer is None or not _same(answer, record, schema()):
                return Replayed(events, steps, Difference(sequence, event, record, answer))  # type: ignore[arg-type]
            answer = None
            continue
        if answer is not None:
            return Replayed(events, steps, Difference(sequence, event, None, answer))  # type: ignore[arg-type]
        sequence, event = number, record
        answer = _answered(engine, record)
        events += 1
        if not events % 10_000:
            progress(events)
    return Replayed(events, steps, None)


def _answered(engine: Engine, event: Event) -> Step | None:
    """None too where the engine cannot take it: as then, when that ended its process."""
    try:
        return engine.process(event)
    except Exception:
        return None


def _same(one: Step, other: Step, schema: int) -> bool:
    return encode_as(one, schema) == encode_as(other, schema)
