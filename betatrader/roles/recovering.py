"""Brings the engine back to where the last run's journal ends: its last snapshot, then its tail."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from betatrader.engine.engine import Engine
from betatrader.engine.state import State
from betatrader.model.errors import UsageError
from betatrader.store import journal
from betatrader.store.journal_reader import Entry, Reader, TornHeadError
from betatrader.store.shipping import Described


class Recovered(NamedTuple):
    """What was read: the run, its records after the snapshot, and bytes of a torn tail."""

    run: str
    records: int
    torn: int
    left_out: int = 0
    """Records that the engine could not take."""


def recover(root: Path, engine: Engine, described: Described) -> Recovered | None:
    """Recover from the newest journal below `root`; None where there is none.

    `described` are the strategies as configured now: one keeps its memory where it is the same
    as then, and starts anew where it is not. Raises UsageError where the journal is damaged.
    """
    for folder in sorted(filter(journal.is_run, root.glob("*/")), reverse=True):
        for path in reversed(_files(folder)):
            try:
                reader = Reader(path, last=True)
            except TornHeadError:
                if path.name.endswith(journal.PACKED):
                    raise
                continue  # all stopped as this file was opened: the one before it holds all
            head = reader.head
            if head.snapshot:
                restore(engine, head.snapshot, head.setup.strategies, described)
            records = left_out = 0
            for entry in reader:
                records += 1
                try:
                    engine.follow(entry.record)
                except Exception as error:
                    left_out += 1
                    _tell(entry, error)
            return Recovered(reader.head.run, records, reader.torn, left_out)
    return None


def _tell(entry: Entry, error: Exception) -> None:
    """A record that the engine cannot take is left out. An event is journaled before it is taken:
    where one ended the process, no start would ever come past it. The venue's word mends what it
    was about."""
    structlog.get_logger().error(
        "record_left_out",
        record=entry.sequence,
        kind=type(entry.record).__name__,
        error=f"{type(error).__name__}: {error}",
        exc_info=error,
    )


def _files(folder: Path) -> list[Path]:
    try:
        return journal.files(folder)
    except UsageError:
        return []


def restore(engine: Engine, snapshot: bytes, then: Described, now: Described) -> None:
    """Take back a snapshot; a strategy keeps its memory where it is configured as it was."""
    state, memories = msgspec.msgpack.decode(snapshot, type=tuple[State, list[bytes]])
    known = list(zip(then, memories, strict=True))
    kept = [
        next((memory for old, memory in known if old == new), strategy.snapshot())
        for new, strategy in zip(now, engine.strategies, strict=True)
    ]
    engine.restore(msgspec.msgpack.encode((state, kept)))
