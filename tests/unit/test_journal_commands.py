"""The commands that read a journal: what they refuse, and what they say of damage."""

import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest
from commands import Ask
from scenes import quote

from betatrader.model.errors import RefusedError
from betatrader.model.limits import Limits
from betatrader.ops.files import lock
from betatrader.roles import keeping
from betatrader.roles.leading import _lock_home
from betatrader.store.journal import CLOSED, Journal, Setup, pack
from betatrader.store.journal_reader import Reader

SETUP = Setup(limits=msgspec.Raw(msgspec.msgpack.encode(Limits())), strategies=())


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only run of this user's home: 20 records in one file."""
    monkeypatch.setenv("BETATRADER_HOME", str(tmp_path))
    folder = tmp_path / "journal" / "00000000001"
    log = Journal(folder, "00000000001", "0", SETUP)
    for n in range(20):
        log.append(quote("1", "2", float(n)))
    log.close()
    return folder


@pytest.fixture
def torn(run_folder: Path) -> Path:
    """The run's file, as a kill within its last record leaves it."""
    (run_folder / CLOSED).unlink()
    path = run_folder / "000001.btj"
    os.truncate(path, path.stat().st_size - 3)
    return path


def test_a_journal_is_not_cut_while_a_trader_works_in_its_home(ask: Ask, torn: Path) -> None:
    home, before = torn.parents[2], torn.read_bytes()
    with lock(home / keeping.TRADING_LOCK):
        for words in ([], [str(torn.parent)], [str(torn)]):
            refused = ask("journal", "verify", "--repair", *words)
            assert (refused.status, torn.read_bytes()) == (6, before)
            assert f"a trader works in {home} (pid {os.getpid()})" in refused.err
        assert ask("journal", "verify").status == 0
    assert ask("journal", "verify", "--repair").status == 0
    assert torn.stat().st_size < len(before)
    assert sum(1 for _ in Reader(torn)) == 19


def test_no_trader_begins_while_a_journal_is_cut(torn: Path) -> None:
    home = torn.parents[2]
    _lock_home(home).close()
    with keeping.without_trader(torn), pytest.raises(RefusedError, match="another trader"):
        _lock_home(home)
    _lock_home(home).close()


def test_a_copy_outside_of_the_home_is_repaired_beside_a_trader(
    ask: Ask, torn: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("copy") / "00000000001"
    shutil.copytree(torn.parent, copy)
    with lock(torn.parents[2] / keeping.TRADING_LOCK):
        repaired = ask("journal", "verify", "--repair", "--json", str(copy))
    assert (repaired.status, json.loads(repaired.out)["torn_bytes"]) == (0, 0)


@pytest.mark.parametrize("command", [["journal", "verify"], ["journal", "show"], ["replay"]])
@pytest.mark.parametrize("harm", ["cut", "altered"])
def test_a_damaged_packed_file_is_told_in_two_lines(
    ask: Ask, run_folder: Path, command: list[str], harm: str
) -> None:
    packed = pack(run_folder / "000001.btj")
    data = packed.read_bytes()
    packed.write_bytes(data[:-9] if harm == "cut" else data[:40] + b"\xff" * 20 + data[60:])
    refused = ask(*command)
    assert (refused.status, len(refused.err.splitlines())) == (2, 2)
    assert f"{packed}: the packed file is damaged" in refused.err
    assert "a crash, and no damage" not in refused.out


@pytest.mark.parametrize(
    "words",
    [
        ["journal", "show", "--limit", "-5"],
        ["journal", "show", "--limit", "99999999999999999999"],
        ["journal", "show", "--from", "0"],
        ["simulate", "--hours", "nan"],
        ["simulate", "--hours", "inf"],
        ["simulate", "--hours", "-inf"],
    ],
)
def test_a_number_that_makes_no_sense_is_refused(
    ask: Ask, run_folder: Path, words: list[str]
) -> None:
    refused = ask(*words)
    assert (refused.status, len(refused.err.splitlines())) == (2, 2)
    assert f"'{words[-2]}'" in refused.err
    assert refused.out == ""


def test_show_prints_what_is_there_where_more_is_asked_for(ask: Ask, run_folder: Path) -> None:
    shown = ask("journal", "show", "--from", "18", "--limit", "1000000000", "--json")
    assert [json.loads(line)["sequence"] for line in shown.out.splitlines()] == [18, 19, 20]


def test_verify_says_whether_the_run_was_closed(ask: Ask, run_folder: Path) -> None:
    assert "closed: it ends where the run ended" in ask("journal", "verify").out
    assert json.loads(ask("journal", "verify", "--json").out)["closed"]
    (run_folder / CLOSED).unlink()
    open_ = ask("journal", "verify")
    assert (open_.status, "not closed cleanly" in open_.out) == (0, True)


def test_a_closed_run_with_its_end_cut_off_is_damage(ask: Ask, torn: Path) -> None:
    (torn.parent / CLOSED).write_text('{"run":"00000000001","file":1,"sequence":20,"chain":""}')
    for words in (["verify"], ["verify", "--repair"]):
        refused = ask("journal", *words)
        assert (refused.status, len(refused.err.splitlines())) == (2, 2)
        assert "was closed after record 20 in file 1" in refused.err
    (torn.parent / CLOSED).write_text("{")
    assert ask("journal", "verify").status == 2


def test_a_torn_tail_is_told_beside_what_is_shown(ask: Ask, torn: Path) -> None:
    told = "the last write was cut off"
    for words in (["journal", "show"], ["journal", "show", "--json"], ["replay"]):
        said = ask(*words)
        assert said.status == 0
        assert len(said.err.splitlines()) == 1, words
        assert told in said.err
        assert told not in said.out
    told_in_json = ask("replay", "--json")
    assert (json.loads(told_in_json.out)["torn_bytes"] > 0, told_in_json.err) == (True, "")


def test_a_whole_tail_needs_no_word(ask: Ask, run_folder: Path) -> None:
    assert ask("journal", "show").err == ask("replay").err == ""
