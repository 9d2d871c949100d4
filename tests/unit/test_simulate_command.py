"""What `simulate --bugs` is asked for beside it: taken, or refused, and never left out unsaid."""

from typing import Any

import pytest
from commands import Ask

from betatrader.cli import simulate


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For how many seeds bugs were planted."""
    asked: list[int] = []

    def noted(most_seeds: int, **_: Any) -> None:
        asked.append(most_seeds)

    monkeypatch.setattr(simulate, "_plant", noted)
    return asked


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--seed", "5"], "--seed"),
        (["--seed", "0"], "--seed"),
        (["--hours", "1"], "--hours"),
        (["--venue", "binance"], "--venue"),
        (["--venue", "sim", "--seed", "5"], "--seed, --venue"),
    ],
)
def test_bugs_are_not_planted_where_something_else_was_asked_for(
    ask: Ask, planted: list[int], words: list[str], named: str
) -> None:
    refused = ask("simulate", "--bugs", *words)
    assert (refused.status, refused.out, planted) == (2, "", [])
    said = refused.err.splitlines()
    assert (said[0], len(said)) == (f"--bugs does not go with {named}", 2)


def test_bugs_are_planted_for_as_many_seeds_as_are_asked_for(ask: Ask, planted: list[int]) -> None:
    assert ask("simulate", "--bugs").status == 0
    assert ask("simulate", "--bugs", "--seeds", "7", "--json").status == 0
    assert planted == [simulate.BUG_SEEDS, 7]
