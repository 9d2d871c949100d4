"""Commands of the program, run in this process."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from betatrader.cli.main import main


class Said(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Ask = Callable[..., Said]


def asking(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """What runs one command."""

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["betatrader", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, *capsys.readouterr())

    return run
