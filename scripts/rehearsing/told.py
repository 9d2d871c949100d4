"""Run with the code of the newest version: prints what the journals of some homes tell, as JSON.

A list of records for each home: kind, when (ns), and the order's id or another text.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from betatrader.model.account import CashFlow, OrderAccepted, PositionTransfer, Reconciled
from betatrader.model.command import Approved, Step
from betatrader.model.instruction import Fenced, Started
from betatrader.store.journal_reader import Reader

Told = tuple[str, int, str]


def told(home: Path) -> Iterator[Told]:
    """Every record of interest, in order; every frame and the chain are checked on the way."""
    for folder in sorted((home / "journal").glob("*")):
        reader = Reader(folder)
        for entry in reader:
            record = entry.record
            if isinstance(record, Step):
                for change in record.changes:
                    if isinstance(change, Approved):
                        yield "approved", record.time_ns, change.order
                if getattr(record, "orders_so_far", 0):
                    yield "added", record.time_ns, str(reader.schema)
            elif isinstance(record, OrderAccepted):
                yield "accepted", record.time_ns, record.order
            elif isinstance(record, Started):
                yield "started", record.time_ns, str(record.epoch)
            elif isinstance(record, Reconciled):
                yield "reconciled", record.time_ns, "; ".join(record.repaired)
            elif isinstance(record, Fenced):
                yield "fenced", record.time_ns, record.reason
            elif isinstance(record, CashFlow | PositionTransfer):
                yield "unexplained", record.time_ns, record.reason


if __name__ == "__main__":
    json.dump({home: list(told(Path(home))) for home in sys.argv[1:]}, sys.stdout)
