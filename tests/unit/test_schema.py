"""The older schema is written until a release confirms the newer; the last two are read."""

from dataclasses import dataclass, is_dataclass
from dataclasses import fields as dataclass_fields
from pathlib import Path

import msgspec
import pytest
from scenes import quote
from stories import story

from betatrader.engine.engine import Engine
from betatrader.model import event
from betatrader.model.command import Step
from betatrader.model.errors import RefusedError, UsageError
from betatrader.model.event import SCHEMA_VERSION, encode, encode_as
from betatrader.model.instruction import Flatten
from betatrader.model.limits import Limits
from betatrader.sim.replay import replay
from betatrader.store import bus, keys, records, schema
from betatrader.store.journal import Journal, Setup
from betatrader.store.journal_reader import Reader
from betatrader.store.schema import Schema

OLDER = SCHEMA_VERSION - 1


class Bare(msgspec.Struct):
    """One table without a tag."""

    names: list[str]
    added: int = 0


class Grown(msgspec.Struct, array_like=True, tag="grown"):
    """A record as the newer version has it."""

    number: int
    bare: Bare
    by_name: dict[str, Bare]
    added: int = 0


class Tagged(msgspec.Struct, tag="tagged"):
    """A table with a tag."""

    number: int = 1


@dataclass(slots=True)
class Moving:
    """A table whose fields are set often."""

    number: int = 1
    added: int = 0


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> None:
    """This version has a schema of its own, which added two fields; the one before is read."""
    kinds = (Bare, Grown, Moving)
    grown = {f"{kind.__module__}.{kind.__qualname__}": ("added",) for kind in kinds}
    monkeypatch.setattr(event, "ADDED", grown)
    monkeypatch.setattr(schema, "OLDEST_SCHEMA", OLDER)


def test_what_a_schema_added_is_left_out_of_the_one_before(step: None) -> None:
    one = Grown(1, Bare(["a"], 2), {"b": Bare(["c"], 3)}, 4)
    assert msgspec.msgpack.decode(encode_as(one, OLDER)) == [
        "grown",
        1,
        {"names": ["a"]},
        {"b": {"names": ["c"]}},
    ]
    assert encode_as(one, SCHEMA_VERSION) == encode(one)
    back = msgspec.msgpack.decode(encode_as(one, OLDER), type=Grown)
    assert back == Grown(1, Bare(["a"]), {"b": Bare(["c"])})
    moving = encode_as([Moving(2, 3)], OLDER)
    assert msgspec.msgpack.decode(moving) == [{"number": 2}]
    assert msgspec.msgpack.decode(moving, type=list[Moving]) == [Moving(2)]


def test_all_else_stays_as_it_is_to_the_byte(step: None) -> None:
    engine = Engine(Limits(), [])
    for one, answer in story(7, 400):
        assert encode_as(one, OLDER) == encode(one)
        assert encode_as(answer, OLDER) == encode(answer)
        engine.follow(one)
    assert engine.snapshot(OLDER) == engine.snapshot()
    for other in (Tagged(), msgspec.Raw(encode(Tagged())), {1, 2}, b"bytes"):
        assert encode_as(other, OLDER) == encode(other)


def test_what_a_schema_added_stands_at_the_end_and_has_a_default() -> None:
    for name, fields in event.ADDED.items():
        module, _, kind = name.rpartition(".")
        found = getattr(__import__(module, fromlist=[kind]), kind)
        if is_dataclass(found):
            names = tuple(one.name for one in dataclass_fields(found))
            assert names[-len(fields) :] == fields
            continue
        assert found.__struct_fields__[-len(fields) :] == fields
        assert msgspec.NODEFAULT not in found.__struct_defaults__[-len(fields) :]


def setup() -> Setup:
    return Setup(limits=msgspec.Raw(encode(Limits())), strategies=())


def test_a_journal_goes_on_in_a_new_file_once_its_schema_is_raised(
    step: None, tmp_path: Path
) -> None:
    writes = Schema(OLDER)
    log = Journal(tmp_path, "r", "0", setup(), schema=writes)
    log.append(quote("1", "2", 1))
    assert not log.full
    writes.writes = SCHEMA_VERSION
    assert log.full
    log.rotate(b"")
    assert not log.full
    log.append(quote("1", "2", 2))
    log.close()
    reader = Reader(tmp_path)
    assert reader.head.schema == OLDER
    assert [reader.schema for _ in reader] == [OLDER, SCHEMA_VERSION]


def test_a_journal_is_replayed_in_the_schema_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an engine of the newer schema adds to its Step is no difference from an older one's."""
    monkeypatch.setattr(event, "ADDED", {"betatrader.model.command.StateChanged": ("flattening",)})
    asked = Flatten(2, "f1", "me", "why")
    answer = Engine(Limits(), []).process(asked)
    assert answer is not None
    kept = msgspec.msgpack.decode(encode_as(answer, OLDER), type=Step)
    assert kept != answer
    told = [(1, asked), (2, kept)]
    assert replay(Engine(Limits(), []), told).difference is not None
    assert replay(Engine(Limits(), []), told, schema=lambda: OLDER).difference is None


def test_what_this_version_does_not_read_is_refused_in_one_line(tmp_path: Path) -> None:
    newer = SCHEMA_VERSION + 1
    said = f"has schema {newer}, and this version reads {SCHEMA_VERSION} to {SCHEMA_VERSION}"
    Journal(tmp_path, "r", "0", setup(), schema=Schema(newer)).close()
    with pytest.raises(UsageError, match=said):
        Reader(tmp_path)
    sealed = bus.seal(quote("1", "2", 1), "7", schema=newer)
    with pytest.raises(UsageError, match=f"message 7 {said}"):
        records.Unsealer().open(sealed)
    assert records.Unsealer().open(bus.seal(quote("1", "2", 1), "7")) == quote("1", "2", 1)
    assert records.Unsealer().open(b"nonsense") is None


class Server:
    """One key."""

    def __init__(self, confirmed: int | None) -> None:
        self.confirmed = confirmed

    async def get(self, key: str) -> bytes | None:
        assert key == keys.RELEASE_SCHEMA
        return None if self.confirmed is None else str(self.confirmed).encode()


async def test_a_role_writes_what_a_release_has_confirmed_and_never_less_again(step: None) -> None:
    server = Server(None)
    found = await schema.begin(server, OLDER)  # type: ignore[arg-type]
    assert found.writes == OLDER
    for confirmed, writes in ((SCHEMA_VERSION, 1), (None, 1), (SCHEMA_VERSION + 1, 1)):
        server.confirmed = confirmed
        await found.look(server)  # type: ignore[arg-type]
        assert found.writes == SCHEMA_VERSION * writes
    assert await schema.written(Server(None)) == OLDER  # type: ignore[arg-type]


@pytest.mark.parametrize("unreadable", [SCHEMA_VERSION + 1, SCHEMA_VERSION - 2])
async def test_a_role_that_does_not_read_what_is_written_does_not_start(unreadable: int) -> None:
    with pytest.raises(RefusedError, match=r"is set in \[journal\] schema, and this version reads"):
        await schema.begin(Server(None), unreadable)  # type: ignore[arg-type]
    if unreadable > 0:
        with pytest.raises(RefusedError, match="is confirmed by a release"):
            await schema.begin(Server(unreadable), 1)  # type: ignore[arg-type]
