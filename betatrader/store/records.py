"""The audit records of a run, read from Redis while it lives, and from a file after its end."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec

from betatrader.model.command import Booked, Step
from betatrader.model.event import Event, decode_audit
from betatrader.store import keys
from betatrader.store.bus import FIELD, Seen, open_envelope
from betatrader.store.connection import Client

PAGE = 1_000
FILE = "audit.records"

Record = Event | Step


def unseal(data: bytes) -> tuple[str, Record]:
    """A record and its producer's id; raises msgspec.DecodeError, or UsageError for a schema that
    this version does not read."""
    envelope = open_envelope(data)
    return envelope.id, decode_audit(envelope.body)


def acknowledges(record: Record, instruction: str) -> bool:
    """Whether a record says that the trader obeys this instruction, by its id."""
    return isinstance(record, Step) and any(
        isinstance(change, Booked)
        and change.kind == "acknowledged"
        and change.subject == instruction
        for change in record.changes
    )


async def pages(redis: Client, run: str, after: bytes = b"-") -> AsyncIterator[tuple[bytes, bytes]]:
    """Every entry of the audit stream that stands now: its id and its sealed record."""
    start = b"-" if after == b"-" else b"(" + after
    while True:
        entries = await redis.xrange(keys.audit(run), min=start, count=PAGE)
        for entry, fields in entries:
            yield entry, fields[FIELD]
        if len(entries) < PAGE:
            return
        start = b"(" + entries[-1][0]


async def save(redis: Client, run: str, folder: Path) -> int:
    """Copy a run's records into a file; returns how many."""
    count = 0
    with (folder / FILE).open("wb") as file:
        async for _, data in pages(redis, run):
            file.write(len(data).to_bytes(4) + data)
            count += 1
    return count


def read_file(path: Path) -> Iterator[bytes]:
    """The sealed records of a file; it ends quietly where the file was cut off."""
    with path.open("rb") as file:
        while len(head := file.read(4)) == 4:
            data = file.read(int.from_bytes(head))
            if len(data) < int.from_bytes(head):
                return
            yield data


class Unsealer:
    """Opens records in order, and leaves out what was written twice."""

    def __init__(self) -> None:
        self._seen = Seen()

    def open(self, data: bytes) -> Record | None:
        """The record, None where it came before or is damaged; raises UsageError."""
        try:
            name, record = unseal(data)
        except (msgspec.DecodeError, ValueError):
            return None
        return record if self._seen.first_time(name) else None
