"""Which run is the last: it is told by the ids alone, whatever the clock does."""

from pathlib import Path

import pytest

from betatrader.roles import keeping

MS = 1_000_000
NOW = 1_800_000_000_000 * MS


def begin(home: Path, now_ns: int, mode: str = "paper") -> str:
    run = keeping.new_run(home, now_ns)
    (keeping.journals(home, mode) / run).mkdir(parents=True)
    return run


def test_a_run_is_named_after_its_start(tmp_path: Path) -> None:
    assert begin(tmp_path, NOW) == f"{1_800_000_000_000:x}"


@pytest.mark.parametrize("mode", ["paper", "live"])
@pytest.mark.parametrize("ahead_ms", [0, 1, 86_400_000, 7 * 10**12])
def test_a_run_after_the_clock_was_put_right_is_the_last(
    tmp_path: Path, mode: str, ahead_ms: int
) -> None:
    begun = [begin(tmp_path, NOW + ahead_ms * MS, mode), begin(tmp_path, NOW), begin(tmp_path, NOW)]
    assert [path.name for path in keeping.runs(tmp_path)] == begun


def test_a_run_after_one_of_1970_is_the_last(tmp_path: Path) -> None:
    begun = [begin(tmp_path, 5_000 * MS), begin(tmp_path, NOW)]
    assert [path.name for path in keeping.runs(tmp_path)] == begun


def test_a_folder_that_is_no_run_of_ours_counts_for_nothing(tmp_path: Path) -> None:
    assert keeping.runs(tmp_path) == []
    for name in ("my copy", "zzz", f"{1_900_000_000_000:x}.bak", "ABCDEF012345", "abc"):
        (keeping.journals(tmp_path, "paper") / name).mkdir(parents=True)
    (keeping.journals(tmp_path, "paper") / f"{1_950_000_000_000:x}").write_text("a file")
    assert begin(tmp_path, NOW) == f"{1_800_000_000_000:x}"
    assert [path.name for path in keeping.runs(tmp_path)] == [f"{1_800_000_000_000:x}"]
