"""The whole trader under seeded faults. A failing seed is printed, shrunk, and runs the same again.

`BETATRADER_SEEDS` sets how many (40 here, 500 in CI).
"""

import multiprocessing
import os

import pytest

from betatrader.chaos import simulate
from betatrader.chaos.bugs import BUGS
from betatrader.chaos.plan import make

SEEDS = int(os.environ.get("BETATRADER_SEEDS", "500" if os.environ.get("CI") else "40"))
QUICKLY_CAUGHT = ("not-journaled", "not-shipped", "same-epoch", "takeover-skips", "missed-fills")
"""Planted bugs that few seeds suffice for; `betatrader simulate --bugs` plants them all."""

KNOWN = (
    (3075, "a leader that wakes after its lease has ended repairs nothing"),
    (573, "nor does it as it drains"),
    (162, "a journal file whose head was torn by a power cut does not stop the start"),
    (20, "a start that Redis leaves halfway goes on"),
)
"""Seeds that failed once, and what they found."""


def told(outcomes: list[simulate.Outcome]) -> str:
    return "\n".join(
        f"betatrader simulate --seed {o.seed} --seeds 1\n  {o.planned}\n  {o.wrong[:3]}"
        for o in outcomes
    )


def test_no_seed_breaks_an_invariant() -> None:
    report = simulate.run(range(SEEDS), lambda _done, _all: None)
    print(report)
    assert not report.failing, told(report.failing)
    assert report.fewest_orders >= 50
    assert sum(report.faults.values()) >= 5 * SEEDS


@pytest.mark.parametrize(("seed", "found"), KNOWN)
def test_what_was_found_once_stays_mended(seed: int, found: str) -> None:
    assert simulate.once(make(seed)).wrong == [], found


def test_a_seed_is_the_same_in_every_process_and_after_any_other() -> None:
    alone = [simulate.once(make(seed)) for seed in (7, 8)]
    assert _in_one(range(5, 9))[2:] == alone


def _in_one(seeds: range) -> list[simulate.Outcome]:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(simulate._batch, ((seeds, ""),))


@pytest.mark.parametrize("bug", QUICKLY_CAUGHT)
def test_the_judge_sees_a_planted_bug(bug: str) -> None:
    assert simulate.caught(bug, 30) is not None, BUGS[bug].tells


def test_a_failing_seed_is_shrunk_to_what_makes_it_fail() -> None:
    outcome = simulate.caught("not-shipped", 30)
    assert outcome is not None
    smaller = simulate.shrunk(outcome, "not-shipped")
    assert smaller.wrong
    assert 0 < len(smaller.planned) < len(make(outcome.seed).faults)
    for at in range(len(smaller.planned)):
        fewer = (*smaller.planned[:at], *smaller.planned[at + 1 :])
        again = simulate.once(make(outcome.seed)._replace(faults=fewer), "not-shipped")
        assert not again.wrong, "every fault that was kept is needed"


def test_plans_differ_by_seed_and_hold_enough_faults() -> None:
    plans = [make(seed) for seed in range(200)]
    assert len({plan.faults for plan in plans}) == 200
    assert all(len(plan.faults) >= 5 for plan in plans)
    kinds = {fault.kind for plan in plans for fault in plan.faults}
    assert {"kill", "wipe", "power_cut", "pause", "redis_older", "lost", "lagging"} <= kinds
