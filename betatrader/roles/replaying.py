"""Builds the engine that wrote a journal, and replays the journal through it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from betatrader.engine.engine import Engine
from betatrader.model.command import Step
from betatrader.model.event import Event
from betatrader.model.limits import Limits
from betatrader.roles import strategies
from betatrader.sim.replay import Replayed, replay
from betatrader.store.journal import Head
from betatrader.store.journal_reader import Reader


def engine_of(head: Head) -> Engine:
    """The engine as it stood before the head's first record; raises UsageError where a strategy
    of then cannot be loaded now."""
    setup = head.setup
    limits = msgspec.msgpack.decode(setup.limits, type=Limits)
    loaded = [strategies.load(name, dict(parameters)) for name, parameters in setup.strategies]
    engine = Engine(limits, loaded)
    if head.snapshot:
        engine.restore(head.snapshot)
    return engine


def replay_journal(
    path: Path, progress: Callable[[int], None] = lambda _: None
) -> tuple[Reader, Replayed]:
    """Replay a whole journal, as far back as its files reach."""
    reader = Reader(path)
    pairs = _pairs(reader)
    return reader, replay(engine_of(reader.head), pairs, progress, lambda: reader.schema)


def _pairs(reader: Reader) -> Iterator[tuple[int, Event | Step]]:
    for entry in reader:
        yield entry.sequence, entry.record
