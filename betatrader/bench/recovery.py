"""How long a trader takes to be back where its journal ends.

A market maker plays a million recorded events at the simulated venue, as the trading role plays
them: each file of the journal opens with a snapshot. Then it is recovered in three ways:

- from the first file, through every record and past all snapshots: what a million events cost;
- from the last file, as a start does it (`roles.recovering`): its snapshot, then what follows;
- from the longest file there is, in place of the last: the worst that a start can meet.

The first two must end in the state of the engine that wrote, byte for byte.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec

from betatrader.bench.result import Result, at_most
from betatrader.bench.tape import DEPOSIT, RICH, SETUP, listings, opened, repeated
from betatrader.engine.engine import Engine
from betatrader.model.event import MarketInput
from betatrader.roles.recovering import recover
from betatrader.sim.exchange import SimulatedExchange
from betatrader.store import journal
from betatrader.store.journal import Journal
from betatrader.store.journal_reader import Reader
from betatrader.strategies.market_maker import MarketMaker
from betatrader.venues.gateway import Gateway
from betatrader.venues.paper import PaperVenue

EVENTS = 1_000_000
ROUNDS = 3
GOAL_S = 5.0
LATENCY_NS = 1_000_000
RUN = f"{1:0{journal.RUN_DIGITS}x}"
MAKER = msgspec.structs.replace(SETUP, strategies=(("market_maker", {}),))


def run(recorded: list[MarketInput], progress: Callable[[str], None]) -> list[Result]:
    """Seconds of wall clock, the median of three, and the rate of the longest way."""
    with tempfile.TemporaryDirectory(prefix="bt-bench-") as name:
        root, worst = Path(name) / "journal", Path(name) / "worst"
        progress(f"recovery: a journal of {EVENTS:,} events")
        written = _write(root / RUN, recorded)
        files = journal.files(root / RUN)
        (worst / RUN).mkdir(parents=True)
        shutil.copy(max(files, key=lambda path: path.stat().st_size), worst / RUN)
        bytes_written = sum(path.stat().st_size for path in files)
        journal.pack_closed(root, RUN, len(files))
        progress(f"recovery: {ROUNDS} times each from the last, the longest and the first file")
        last, tail, found = _timed(lambda engine: _recover(root, engine))
        _agree(written, found, "the last file")
        longest, whole, _ = _timed(lambda engine: _recover(worst, engine))
        full, records, found = _timed(lambda engine: _follow(root / RUN, engine))
        _agree(written, found, "all files")
    return [
        at_most(
            "recovery_1m_events_s",
            full,
            "s",
            GOAL_S,
            f"no snapshot used: {records:,} records of {len(files)} files, "
            f"{bytes_written / 2**20:.0f} MiB, all but the last compressed",
        ),
        Result(
            name="recovery_full_replay_events_per_s",
            value=written.state.event_sequence / full,
            unit="1/s",
        ),
        at_most(
            "recovery_last_file_s",
            last,
            "s",
            GOAL_S,
            f"as a start does it: a snapshot, then {tail:,} records",
        ),
        at_most(
            "recovery_longest_file_s",
            longest,
            "s",
            GOAL_S,
            f"the worst start: a snapshot, then a file about to rotate, {whole:,} records",
        ),
    ]


def _maker() -> Engine:
    return Engine(RICH, [MarketMaker()])


def _write(folder: Path, recorded: list[MarketInput]) -> Engine:
    """Play, as `roles.desks.PaperDesk.feed` does; returns the engine at the end."""
    engine = _maker()
    kept = Journal(folder, RUN, "0", MAKER)
    exchange = SimulatedExchange(LATENCY_NS)
    venue = PaperVenue(exchange, lambda report: trader.take(report))
    trader = opened(engine, recorded, Gateway(venue), kept)
    exchange.deposit(DEPOSIT)
    for listed in listings(recorded):
        venue.market(listed)
    for event in islice(repeated(recorded), EVENTS):
        if exchange.next_due_ns <= event.time_ns:
            venue.advance(event.time_ns)
        trader.take(event)
        venue.market(event)
    kept.close()
    return engine


def _recover(root: Path, engine: Engine) -> int:
    found = recover(root, engine, MAKER.strategies)
    assert found is not None
    return found.records


def _follow(folder: Path, engine: Engine) -> int:
    records = 0
    for entry in Reader(folder):
        engine.follow(entry.record)
        records += 1
    return records


def _timed(work: Callable[[Engine], int]) -> tuple[float, int, Engine]:
    """The median time of several rounds, each with an engine of its own."""
    spans = []
    for _ in range(ROUNDS):
        engine = _maker()
        began = time.perf_counter()
        records = work(engine)
        spans.append(time.perf_counter() - began)
    return sorted(spans)[ROUNDS // 2], records, engine


def _agree(written: Engine, found: Engine, source: str) -> None:
    if written.snapshot() != found.snapshot():
        raise AssertionError(f"the engine recovered from {source} is not the one that wrote it")
