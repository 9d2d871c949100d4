"""The journal: what is written comes back, a torn tail is cut, and nothing else passes unseen."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import frame_ends
from scenes import Scene, coin, quote, terms

from betatrader.engine.engine import Engine
from betatrader.engine.strategy import Place
from betatrader.model.command import Booked, Step
from betatrader.model.errors import UsageError
from betatrader.model.instruction import Started, TradingState
from betatrader.model.limits import Limits
from betatrader.model.market import InstrumentListed
from betatrader.model.order import Side
from betatrader.ops import mapped_file
from betatrader.roles.replaying import engine_of, replay_journal
from betatrader.roles.trader import Trader
from betatrader.sim.replay import replay
from betatrader.store import journal, journal_reader
from betatrader.store.journal import Journal, JournalBrokenError, Setup
from betatrader.store.journal_reader import Reader, repair
from betatrader.venues.paper_ledger import LedgerFile

RUNS = tuple(f"{n:011x}" for n in (1, 2, 3))

SETUP = Setup(
    limits=msgspec.Raw(msgspec.msgpack.encode(Limits())), strategies=(("market_maker", {}),)
)


def opened(folder: Path) -> Journal:
    return Journal(folder, "r1", "0", SETUP)


def records(count: int) -> list:
    return [
        quote("1", "2", float(n)) if n % 3 else Step(n, n, n, (Booked("k", "s", "t"),))
        for n in range(1, count + 1)
    ]


def written(folder: Path, count: int = 20) -> Path:
    log = opened(folder)
    for record in records(count):
        log.append(record)
    log.close()
    (folder / journal.CLOSED).unlink()  # a run that was killed: one that was closed is never torn
    return folder / "000001.btj"


def read(path: Path) -> list:
    return [entry.record for entry in Reader(path)]


def test_what_is_written_comes_back_in_order_with_its_numbers(tmp_path: Path) -> None:
    written(tmp_path)
    reader = Reader(tmp_path)
    found = list(reader)
    assert [entry.record for entry in found] == records(20)
    assert [entry.sequence for entry in found] == list(range(1, 21))
    assert (reader.head.run, reader.torn) == ("r1", 0)


def test_files_continue_each_other_packed_or_not(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for number, record in enumerate(records(30)):
        if number in (10, 20):
            log.rotate(f"state {number}".encode())
        log.append(record)
    assert log.sync()
    assert not log.sync()
    plain = (tmp_path / "000001.btj").read_bytes()
    journal.pack(tmp_path / "000001.btj")
    (tmp_path / "000001.btj").write_bytes(plain)  # as a kill right before its end leaves it
    assert len(journal.files(tmp_path)) == 3
    (tmp_path / "000001.btj").unlink()
    log.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "000001.btj.zst",
        "000002.btj",
        "000003.btj",
        "closed.json",
    ]
    assert read(tmp_path) == records(30)
    assert Reader(tmp_path / "000003.btj").head.snapshot == b"state 20"
    assert read(tmp_path / "000003.btj") == records(30)[20:]
    (tmp_path / "000002.btj").unlink()
    with pytest.raises(UsageError, match="does not continue"):
        read(tmp_path)


@given(st.integers(0, 10_000))
def test_a_tail_torn_anywhere_is_cut_off_and_reported(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    path = written(folder)
    whole = path.read_bytes()
    ends = frame_ends(whole)
    cut = ends[0] + cut % (len(whole) - ends[0] + 1)
    path.write_bytes(whole[:cut])
    kept = sum(end <= cut for end in ends) - 1
    reader = Reader(folder)
    assert [entry.record for entry in reader] == records(20)[:kept]
    tail = whole[max(end for end in ends if end <= cut) : cut]
    assert reader.torn == len(tail.rstrip(b"\0"))
    assert repair(folder) == reader.torn
    assert (repair(folder), len(read(folder))) == (0, kept)


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_where_a_read_ends_within_a_frame_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    whole = Reader(tmp_path)
    expected = list(whole), whole.torn
    monkeypatch.setattr(journal_reader, "BLOCK", block)
    reader = Reader(tmp_path)
    assert (list(reader), reader.torn) == expected
    assert reader.torn
    assert len(expected[0]) == 19


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_before_the_last_record_is_damage(
    tmp_path_factory: pytest.TempPathFactory, at: int, by: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    path = written(folder)
    data = bytearray(path.read_bytes())
    at %= frame_ends(bytes(data))[-3]
    data[at] ^= by
    path.write_bytes(bytes(data))
    try:
        found = len(read(folder))
    except UsageError:
        return
    assert found < 18, "a changed length may look like a torn tail, and never like all"


def test_a_record_taken_out_or_put_elsewhere_shows(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = path.read_bytes()
    ends = frame_ends(data)
    without = data[: ends[4]] + data[ends[5] :]
    swapped = data[: ends[4]] + data[ends[5] : ends[6]] + data[ends[4] : ends[5]] + data[ends[6] :]
    for altered in (without, swapped):
        path.write_bytes(altered)
        with pytest.raises(UsageError, match="record 5 does not follow"):
            read(tmp_path)


def test_a_forged_record_with_a_right_crc_shows(tmp_path: Path) -> None:
    import zlib

    path = written(tmp_path)
    data = path.read_bytes()
    ends = frame_ends(data)
    start, end = ends[4], ends[5]
    payload = bytearray(data[start + journal.FRAME : end])
    payload[-1] ^= 1
    rest = data[start + 8 : start + journal.FRAME] + bytes(payload)
    forged = data[start : start + 4] + zlib.crc32(rest).to_bytes(4) + rest
    path.write_bytes(data[:start] + forged + data[end:])
    with pytest.raises(UsageError, match="record 5"):
        read(tmp_path)


def test_other_files_and_newer_schemas_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no journal in"):
        Reader(tmp_path)
    (tmp_path / "000001.btj").write_bytes(b"something else")
    with pytest.raises(UsageError, match="no journal of ours"):
        Reader(tmp_path)
    (tmp_path / "000001.btj").write_bytes(journal.MAGIC)
    with pytest.raises(UsageError, match="has no head"):
        Reader(tmp_path)


def test_a_disk_that_cannot_be_written_is_told_at_once() -> None:
    with pytest.raises(JournalBrokenError, match="cannot be written"):
        opened(Path("/proc/no-journal-here"))


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow past what it is."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_breaks_the_journal_and_what_was_written_still_reads(tmp_path: Path) -> None:
    log = opened(tmp_path)
    record = records(1)[0]
    with full_disk(), pytest.raises(JournalBrokenError, match="File too large"):  # noqa: PT012
        while log._file.size <= mapped_file.WINDOW:
            log.append(record)
    written = log.sequence - 1
    reader = Reader(tmp_path)
    assert (sum(1 for _ in reader), reader.torn) == (written, 0)


def test_a_failing_sync_breaks_the_journal(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(records(1)[0])
    os.dup2(os.pipe()[0], log._file._file)
    with pytest.raises(JournalBrokenError, match="cannot be written"):
        log.sync()


def test_the_names_of_its_files_survive_the_machine_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is synced is lost with its folder's entry: both are, at the next sync."""
    synced: list[Path] = []
    monkeypatch.setattr(journal, "sync_folder", synced.append)
    log = Journal(tmp_path / "run", "r", "0", SETUP)
    assert synced == [], "off the hot path"
    log.sync()
    assert set(synced) == {tmp_path, tmp_path / "run"}
    log.sync()
    log.rotate(b"")
    log.sync()
    assert synced[2:] == [tmp_path / "run"]
    log.close()
    journal.pack(tmp_path / "run" / "000001.btj")
    assert synced[3:] == [tmp_path / "run"]


def test_what_comes_after_the_end_is_refused_as_by_a_broken_disk(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.close()
    with pytest.raises(JournalBrokenError):
        log.append(records(1)[0])


def test_a_file_that_was_not_closed_ends_in_zeros_and_repair_cuts_them(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for record in records(20):
        log.append(record)
    path = tmp_path / "000001.btj"
    assert path.stat().st_size == mapped_file.WINDOW
    reader = Reader(tmp_path)
    assert (len(list(reader)), reader.torn, reader.end) == (20, 0, log._file.size)
    assert repair(tmp_path) == 0
    assert path.stat().st_size == log._file.size
    assert len(read(tmp_path)) == 20


def test_a_journal_longer_than_a_window_reads_as_one(tmp_path: Path) -> None:
    log = opened(tmp_path)
    large = Step(1, 1, 1, (Booked("k", "s", "t" * (mapped_file.WINDOW + 1)),))
    many = [*records(3), large, *records(9000), large]
    for record in many:
        log.append(record)
    assert read(tmp_path) == many
    log.close()
    assert read(tmp_path) == many


def test_a_system_without_linuxs_own_calls_keeps_the_same_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As macOS: room is taken by zeros, and synced the longer way."""
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.delattr(os, "fdatasync")
    log = opened(tmp_path)
    large = Step(1, 1, 1, (Booked("k", "s", "t" * (mapped_file.WINDOW + 1)),))
    many = [*records(3), large, *records(3)]
    for record in many:
        log.append(record)
    assert (tmp_path / "000001.btj").stat().st_size > log._file.size, "there is room for more"
    assert read(tmp_path) == many
    log.close()
    assert read(tmp_path) == many
    ledger = LedgerFile(tmp_path / "ledger.btl")
    ledger.close()


@given(st.integers(0, 2**20), st.sets(st.integers(0, 20), min_size=1))
def test_pages_that_a_power_cut_lost_are_a_torn_tail_wherever_they_lie(
    tmp_path_factory: pytest.TempPathFactory, synced: int, lost: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    path = written(folder, 500)
    data = bytearray(path.read_bytes() + bytes(10_000))
    ends = frame_ends(bytes(data).rstrip(b"\0"))
    synced = ends[synced % len(ends)]
    whole = bytes(data)
    for page in lost:
        begins = max(page * 4096, synced)
        length = max(0, page * 4096 + 4096 - begins)
        data[begins : begins + length] = bytes(len(data[begins : begins + length]))
    path.write_bytes(data)
    first = next((at for at, byte in enumerate(whole) if byte != data[at]), len(whole))
    reader = Reader(folder)
    assert len(list(reader)) == sum(end <= first for end in ends) - 1
    repair(folder)
    assert len(read(folder)) == sum(end <= first for end in ends) - 1


def test_the_oldest_closed_files_go_first(tmp_path: Path) -> None:
    mine = f"{RUNS[0]}.copy"
    for run in (*RUNS[:2], mine):
        for number in (1, 2):
            path = tmp_path / run / f"{number:06d}.btj.zst"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes(100))
    assert journal.retain(tmp_path, 250) == 2
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.glob("*/*"))] == [
        f"{mine}/000001.btj.zst",
        f"{mine}/000002.btj.zst",
        f"{RUNS[1]}/000001.btj.zst",
        f"{RUNS[1]}/000002.btj.zst",
    ]


def test_what_older_runs_left_open_is_packed_and_still_reads(tmp_path: Path) -> None:
    for run in (*RUNS, f"{RUNS[0]}.copy"):
        written(tmp_path / run)
    torn = tmp_path / RUNS[0] / "000001.btj"
    torn.write_bytes(torn.read_bytes()[:-3])
    assert journal.pack_closed(tmp_path, RUNS[2], 1) == 2
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.glob("*/*"))] == [
        f"{RUNS[0]}/000001.btj.zst",
        f"{RUNS[0]}.copy/000001.btj",
        f"{RUNS[1]}/000001.btj.zst",
        f"{RUNS[2]}/000001.btj",
    ]
    assert read(tmp_path / RUNS[1]) == records(20)
    reader = Reader(tmp_path / RUNS[0])
    assert (len(list(reader)), reader.torn > 0) == (19, True)


@given(st.integers(0, 10_000))
def test_a_packed_file_that_is_cut_is_damage_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, at: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    packed = journal.pack(written(folder))
    whole = packed.read_bytes()
    packed.write_bytes(whole[: at % len(whole)])
    with pytest.raises(UsageError, match="the packed file is damaged before byte"):
        read(folder)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_packed_file_that_is_altered_is_damage_or_reads_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, at: int, by: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    packed = journal.pack(written(folder))
    data = bytearray(packed.read_bytes())
    data[at % len(data)] ^= by
    packed.write_bytes(data)
    try:
        found = read(folder)
    except UsageError as error:
        assert "the packed file is damaged before byte" in str(error)  # noqa: PT017
        return
    assert found == records(20), "bits of the header that say nothing of the content"


def closed(folder: Path) -> Path:
    """A run of three files with ten records each, closed at its end."""
    log = opened(folder)
    for number, record in enumerate(records(30)):
        if number in (10, 20):
            log.rotate(b"state")
        log.append(record)
    log.close()
    return folder


def without_last(path: Path, count: int) -> None:
    """Cut a file exactly where its last `count` records begin."""
    os.truncate(path, frame_ends(path.read_bytes())[-1 - count])


def test_a_run_says_where_it_was_closed(tmp_path: Path) -> None:
    reader = Reader(closed(tmp_path))
    assert not reader.closed
    assert (len(list(reader)), reader.closed) == (30, True)
    for number, is_end in ((1, False), (2, False), (3, True)):
        one = Reader(tmp_path / f"{number:06d}.btj")
        assert (len(list(one)), one.closed) == (10, is_end)
    for path in tmp_path.glob("*.btj"):
        journal.pack(path)
    assert read(tmp_path) == records(30)


@pytest.mark.parametrize("count", range(1, 11))
def test_records_cut_off_the_end_of_a_closed_run_show(tmp_path: Path, count: int) -> None:
    last = closed(tmp_path) / "000003.btj"
    without_last(last, count)
    for path in (tmp_path, last):
        with pytest.raises(UsageError, match=f"ends after record {30 - count} in file 3"):
            read(path)
    (tmp_path / journal.CLOSED).unlink()
    reader = Reader(tmp_path)
    assert (len(list(reader)), reader.closed) == (30 - count, False)


def test_a_file_missing_or_cut_anywhere_in_a_closed_run_shows(tmp_path: Path) -> None:
    last, middle = closed(tmp_path) / "000003.btj", tmp_path / "000002.btj"
    whole = last.read_bytes()
    last.unlink()
    with pytest.raises(UsageError, match="ends after record 20 in file 2"):
        read(tmp_path)
    with pytest.raises(UsageError, match="ends after record 20 in file 2"):
        list(Reader(middle, last=True))
    last.write_bytes(whole)
    without_last(middle, 1)
    with pytest.raises(UsageError, match="does not continue the file before it"):
        read(tmp_path)
    middle.unlink()
    with pytest.raises(UsageError, match="does not continue the file before it"):
        read(tmp_path)


def test_a_run_that_is_closed_while_it_is_read_is_no_damage(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(records(1)[0])
    reading = Reader(tmp_path)
    entries = iter(reading)
    next(entries)
    for record in records(5):
        log.append(record)
    log.close()
    list(entries)
    assert not reading.closed


def test_a_journal_that_broke_is_not_closed(tmp_path: Path) -> None:
    log = opened(tmp_path)
    large = Step(1, 1, 1, (Booked("k", "s", "t" * mapped_file.WINDOW),))
    log.append(records(1)[0])
    with full_disk(), pytest.raises(JournalBrokenError):
        log.append(large)
    log.close()
    reader = Reader(tmp_path)
    assert (len(list(reader)), reader.closed) == (1, False)


def test_the_end_of_a_run_goes_with_its_last_file(tmp_path: Path) -> None:
    for path in closed(tmp_path / RUNS[0]).glob("*.btj"):
        journal.pack(path)
    assert journal.retain(tmp_path, 0) == 3
    assert list(tmp_path.glob("*/*")) == []


def test_a_packed_file_that_something_follows_is_damage(tmp_path: Path) -> None:
    packed = journal.pack(written(tmp_path))
    packed.write_bytes(packed.read_bytes() * 2)
    with pytest.raises(UsageError, match="something follows its end"):
        read(tmp_path)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_a_packed_file_reads_the_same_in_any_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    journal.pack(written(tmp_path))
    monkeypatch.setattr(journal_reader, "BLOCK", block)
    assert read(tmp_path) == records(20)


class Nowhere:
    """A venue and an audit log that remember orders, and answer nothing."""

    def __init__(self) -> None:
        self.sent: list = []

    def submit(self, command: object, now_ns: int) -> None:
        self.sent.append(command)

    cancel = submit

    def offer(self, record: object) -> None:
        return None

    ask = offer


def trader(folder: Path, scene: Scene) -> tuple[Trader, Nowhere, Journal]:
    from betatrader.venues.gateway import Gateway

    log, nowhere = opened(folder), Nowhere()
    made = Trader(scene.engine, "r1", nowhere, log)  # type: ignore[arg-type]
    made.connect(Gateway(nowhere))
    return made, nowhere, log


def test_the_event_and_the_answer_are_on_disk_before_the_order_leaves(tmp_path: Path) -> None:
    scene = Scene()
    made, nowhere, _ = trader(tmp_path, scene)
    seen: list[list[str]] = []
    nowhere.submit = lambda c, n: seen.append(  # type: ignore[method-assign]
        [type(record).__name__ for record in read(tmp_path)]
    )
    scene.puppet.intents = [Place(terms(Side.BUY, "10.00", "0.5"))]
    made.take(quote("9.99", "10.01"))
    assert seen == [["Quote", "Step"]]


def test_with_a_broken_journal_nothing_new_leaves_and_what_rests_is_cancelled(
    tmp_path: Path,
) -> None:
    scene = Scene()
    made, nowhere, log = trader(tmp_path, scene)
    scene.puppet.intents = [Place(terms(Side.BUY, "9.90", "0.5"))]
    made.take(quote("9.99", "10.01"))
    log._file.append(bytes(mapped_file.WINDOW - log._file.size))
    scene.puppet.intents = [Place(terms(Side.BUY, "9.80", "0.5"))]
    with full_disk():
        made.take(quote("9.99", "10.01"))
    made.take(quote("9.99", "10.01"))
    assert [type(command).__name__ for command in nowhere.sent] == ["Approved", "CancelOrder"]
    assert made.broken is not None


def session(folder: Path, quotes: int) -> None:
    """A market maker's journal, rotated once in the middle."""
    engine = Engine(Limits(), [_maker()])
    nowhere, log = Nowhere(), opened(folder)
    made = Trader(engine, "r1", nowhere, log)  # type: ignore[arg-type]
    made.take(Started(0, 1, TradingState.ACTIVE))
    made.take(InstrumentListed(0, coin()))
    for number in range(quotes):
        if number == quotes // 2:
            log.rotate(engine.snapshot())
        price = 10.0 + (number % 7) / 100
        made.take(quote(f"{price:.2f}", f"{price + 0.02:.2f}", float(number)))
    log.close()


def _maker():  # type: ignore[no-untyped-def]
    from betatrader.strategies.market_maker import MarketMaker

    return MarketMaker()


def test_a_journal_replays_from_its_start_and_from_any_file_of_it(tmp_path: Path) -> None:
    session(tmp_path, 60)
    reader, result = replay_journal(tmp_path)
    assert result.difference is None
    assert result.steps > 5
    assert (reader.head.run, result.events) == ("r1", 62)
    _, tail = replay_journal(tmp_path / "000002.btj")
    assert tail.difference is None
    assert tail.events == 30


def test_another_engine_differs_and_the_first_difference_is_shown(tmp_path: Path) -> None:
    session(tmp_path, 40)
    reader = Reader(tmp_path)
    engine = engine_of(reader.head)
    engine.strategies.clear()
    engine._connect()
    result = replay(engine, ((e.sequence, e.record) for e in reader))
    assert result.difference is not None
    assert result.difference.engine is None
    assert result.difference.journal is not None
    quiet = [(e.sequence, e.record) for e in Reader(tmp_path) if not isinstance(e.record, Step)]
    silent = replay(engine_of(Reader(tmp_path).head), quiet)
    assert silent.difference is not None
    assert silent.difference.journal is None
