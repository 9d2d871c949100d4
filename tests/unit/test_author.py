"""Who acts is told where the system knows no name of that user, as in a container."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from commands import Ask

from betatrader.cli import control
from betatrader.model.instruction import Instruction
from betatrader.ops.author import user
from betatrader.release import record

UNKNOWN = 2_000_012_345


@pytest.fixture
def nameless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of a user of whom there is a number and nothing else."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: UNKNOWN)
    return tmp_path


def test_a_user_without_a_name_is_told_by_number(nameless: Path) -> None:
    assert user() == f"uid {UNKNOWN}"
    assert record.author().startswith(f"uid {UNKNOWN}@")


def test_a_name_that_is_known_is_told(nameless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    assert user() == "ann"
    assert record.author().startswith("ann@")


def test_newer_pythons_say_it_with_another_error(
    nameless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert user() == f"uid {UNKNOWN}"


def test_a_halt_leaves_under_the_number(
    nameless: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Instruction] = []

    async def noted(order: Instruction, _name: str, **_way: bool) -> dict[str, Any]:
        sent.append(order)
        return {"acknowledged_ms": 1, "way": "redis", "state": "HALTED", "canceled": 0}

    monkeypatch.setattr(control, "_order", noted)
    said = ask("halt", "--reason", "news")
    assert said.status == 0, said.err
    assert [(order.author, order.reason) for order in sent] == [(f"uid {UNKNOWN}", "news")]


def test_an_override_is_stated_by_the_number(
    nameless: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = nameless / "betatrader.toml"
    config.write_text('[binance]\nsymbols = ["BTCUSDT"]\n')
    monkeypatch.setenv("BETATRADER_HOME", str(nameless))
    words = ("live", "allow", "shadow", "--reason", "known", "--config", str(config), "--json")
    said = ask(*words)
    assert said.status == 0, said.err
    assert json.loads(said.out)["author"] == f"uid {UNKNOWN}"
