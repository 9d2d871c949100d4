"""The journal of a run: begun where the last one ended, synced, packed, kept within its bytes."""

from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import structlog
from anyio import to_thread

from betatrader import __version__
from betatrader.config import JournalSection
from betatrader.engine.engine import Engine
from betatrader.model.event import encode_as
from betatrader.roles import keeping
from betatrader.roles.service import Service
from betatrader.store import journal
from betatrader.store.journal import Journal, Setup


def begin(service: Service, run: str, described: Any, engine: Engine) -> Journal:
    """Open this run's, with a snapshot of what is known; raises JournalBrokenError."""
    schema = service.schema
    limits = msgspec.Raw(encode_as(engine.limits, schema.writes))
    folder = keeping.journals(service.home, service.config.mode) / run
    snapshot = engine.snapshot(schema.writes) if engine.state.event_sequence else b""
    setup = Setup(limits=limits, strategies=described)
    return Journal(folder, run, __version__, setup, snapshot=snapshot, schema=schema)


async def tend(kept: Journal, settings: JournalSection, is_over: Callable[[], bool]) -> None:
    """Sync it off the hot path, pack what is closed, and keep all within its bytes, until it is
    over with; raises JournalBrokenError."""
    most_bytes = settings.keep_mb * 2**20
    await to_thread.run_sync(_pack, kept, most_bytes)
    while not is_over():
        await anyio.sleep(settings.sync_ms / 1000)
        await to_thread.run_sync(_sync, kept, most_bytes)


def _sync(kept: Journal, most_bytes: int) -> None:
    if kept.sync():
        _pack(kept, most_bytes)


def _pack(kept: Journal, most_bytes: int) -> None:
    """Compress what is closed; where that fails it stays as it is, and trading goes on."""
    try:
        journal.pack_closed(kept.folder.parent, kept.folder.name, kept.number)
        journal.retain(kept.folder.parent, most_bytes)
    except OSError as error:
        structlog.get_logger().warning("journal_not_packed", error=str(error))
