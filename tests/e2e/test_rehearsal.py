"""Blue/green rehearsed: versions of the code on one Redis and one venue, real processes all.

`scripts/rehearsing` plays the scenarios and counts, from the venue's ledger and every journal.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SCRIPTS = PROJECT / "scripts/rehearsing"
PLAYED = {
    "sim": [
        "upgrade",
        "broken upgrade: crashes",
        "broken upgrade: never ready",
        "rollback",
        "upgrade to schema 2, not confirmed",
        "downgrade before schema 2 is confirmed",
        "blue killed in the handover",
        "schema 2 confirmed, downgrade refused",
        "upgrade within schema 2",
        "one release back after the step",
        "Redis gone in the handover",
    ],
    "binance": [
        "upgrade to schema 2, not confirmed",
        "downgrade before schema 2 is confirmed",
        "blue killed in the handover",
    ],
}
CLEAN = {
    "sim": {
        "upgrade",
        "rollback",
        "upgrade to schema 2, not confirmed",
        "downgrade before schema 2 is confirmed",
        "upgrade within schema 2",
        "one release back after the step",
    },
    "binance": {"upgrade to schema 2, not confirmed", "downgrade before schema 2 is confirmed"},
}
"""Where blue ends by itself, so that it is counted for how long nobody may order."""

EACH = [(venue, name) for venue, names in PLAYED.items() for name in names]


def rehearse(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS), *arguments],
        capture_output=True,
        text=True,
        timeout=170,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
        cwd=folder,
        check=False,
    )


@cache
def rehearsed(venue: str) -> tuple[dict[str, Any], str]:
    """One run a venue: what it printed, and its picture."""
    with tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as name:
        picture = Path(name) / "timeline.html"
        done = rehearse("--venue", venue, "--json", "--picture", str(picture), folder=Path(name))
        assert done.stdout, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout)
        gaps = {
            one["name"]: one["gap_ms"] for one in found["scenarios"] if one["gap_ms"] is not None
        }
        print(f"{venue}: {found['books']['seconds']} s; ms in which nobody might order: {gaps}")
        assert done.returncode == (0 if found["sound"] else 1)
        return found, picture.read_text()


@pytest.mark.parametrize(("venue", "name"), EACH)
def test_t31_no_order_is_lost_or_doubled(venue: str, name: str) -> None:
    found, _ = rehearsed(venue)
    one = next(one for one in found["scenarios"] if one["name"] == name)
    assert one["orders"] >= 3, one
    assert (one["lost"], one["doubled"], one["unexplained"]) == (0, 0, 0), one


@pytest.mark.parametrize("venue", PLAYED)
def test_a_clean_handover_leaves_at_most_250_ms_without_a_trader(venue: str) -> None:
    """The issue's own bound, on the median: one handover may meet a busy machine. Each of them is
    within half of the lease: it was handed over, not waited for."""
    found, _ = rehearsed(venue)
    gaps = {one["name"]: one["gap_ms"] for one in found["scenarios"] if one["gap_ms"] is not None}
    assert set(gaps) == CLEAN[venue]
    assert median(gaps.values()) <= 250, gaps
    assert max(gaps.values()) <= 1000, gaps
    assert found["sound"], found


@pytest.mark.parametrize("venue", PLAYED)
def test_blue_was_killed_before_it_had_drained(venue: str) -> None:
    found, _ = rehearsed(venue)
    told = {one["name"]: one["note"] for one in found["scenarios"]}
    assert " was killed as it drained, " in told["blue killed in the handover"]


@pytest.mark.parametrize("venue", PLAYED)
def test_the_last_trader_has_the_venues_own_books(venue: str) -> None:
    found, picture = rehearsed(venue)
    books = found["books"]
    assert books["unequal"] == []
    assert books["fills"] == books["fills_booked"] > 0
    assert books["resting"] == books["refused"] == 0
    assert [one["name"] for one in found["scenarios"]] == PLAYED[venue]
    assert picture.count("<svg") == len(PLAYED[venue])
    assert picture.count("<circle") > len(PLAYED[venue])
    assert "SIGKILL" in picture


def test_a_mistake_in_the_command_is_told_before_anything_starts(tmp_path: Path) -> None:
    done = rehearse("--picture", "nowhere/at.html", folder=tmp_path)
    assert done.returncode == 2
    assert "--picture nowhere/at.html: there is no such folder" in done.stderr
    done = rehearse("--keep", str(tmp_path), folder=tmp_path)
    assert done.returncode == 2
    assert "name a new folder" in done.stderr


@pytest.fixture
def counting() -> Any:
    """The counting alone."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        import counting
    finally:
        sys.path.pop(0)
    return counting


def counted(counting: Any, taken: list[str], *told: tuple[str, str, str]) -> Any:
    """What is counted where the venue took these orders, and the journals tell this."""
    scenario = counting.Scenario("one", lambda _: "", clean=False)
    window = counting.Window(scenario, "", 0, 100, 0)
    records = [counting.Record(kind, 1, text, trader) for kind, text, trader in told]

    class Stage:
        moments: list[Any] = []

    (found,) = counting.judge(Stage(), [window], records, taken)
    return found.lost, found.doubled, found.unexplained


def test_the_counting_sees_what_is_lost_doubled_and_unexplained(counting: Any) -> None:
    known = ("approved", "a", "blue"), ("accepted", "a", "blue")
    assert counted(counting, ["a"], *known) == (0, 0, 0)
    assert counted(counting, ["a", "b"], *known) == (1, 0, 0), "no journal knows it"
    assert counted(counting, [], *known) == (1, 0, 0), "the venue does not know it"
    assert counted(counting, ["a"], *known, ("approved", "a", "green")) == (0, 1, 0)
    assert counted(counting, ["a", "a"], *known) == (0, 1, 0)
    assert counted(counting, ["a"], *known, ("unexplained", "balance", "green")) == (0, 0, 1)


@pytest.mark.parametrize(
    ("gaps", "well"),
    [
        ([], True),
        ([20.0, 250.0, 900.0], True),
        ([20.0, 251.0, 900.0], False),
        ([251.0], False),
        ([20.0, 30.0, 1001.0], False),
    ],
)
def test_a_run_is_not_sound_where_handovers_took_too_long(
    counting: Any, gaps: list[float], well: bool
) -> None:
    books = counting.Books(3, 1, 1, 0, 0, 1.0, [])
    outcomes = [counting.Outcome("one", "", 3, 0, 0, 0, gap, None, [], []) for gap in (None, *gaps)]
    assert counting.sound(books, outcomes) is well


@pytest.mark.parametrize("statuses", [[-9], [0, 0, -9], [0, 0, 0, 0]])
def test_a_blue_that_drained_before_the_kill_is_no_kill(
    counting: Any, statuses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenarios = sys.modules[counting.Scenario.__module__]
    struck: list[str] = []

    class Trader(NamedTuple):
        name: str

        def ended(self) -> int:
            return statuses[int(self.name)]

    class Stage:
        leader = Trader("0")

        def strike(self, trader: Trader, number: signal.Signals) -> None:
            struck.append(f"{trader.name} {number.name}")

    def green(stage: Any, _version: str) -> Trader:
        return Trader(str(int(stage.leader.name) + 1))

    monkeypatch.setattr(scenarios, "_green", green)
    monkeypatch.setattr(scenarios, "_takes_over", lambda stage, one: setattr(stage, "leader", one))
    play = scenarios.killed("next")
    if statuses[-1] == 0:
        with pytest.raises(scenarios.BrokenRehearsal, match="drained before the kill, 4 times"):
            play(Stage())
    else:
        last = len(statuses) - 1
        assert play(Stage()) == f"{last} was killed as it drained, {last + 1} took over"
    assert struck == [f"{n} {s}" for n in range(len(statuses)) for s in ("SIGTERM", "SIGKILL")]
