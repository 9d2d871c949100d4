"""What all tests share."""

import os
import tempfile
from pathlib import Path

import pytest
from commands import Ask, asking
from hypothesis import settings

PROJECT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("BETATRADER_SHARED", PROJECT.parent / "shared"))

settings.register_profile("default", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("default")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings; without it the test is skipped, and says why."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no recordings: {folder} is not there (BETATRADER_SHARED names their folder)")
    return folder


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch):
    """No test sees the user's home, runs or Redis; sockets live in a folder with a short path."""
    for name in list(os.environ):
        if name == "REDIS_URL" or name.startswith("BETATRADER_"):
            monkeypatch.delenv(name)
    with tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as run:
        monkeypatch.setenv("XDG_RUNTIME_DIR", run)
        home = Path(run) / "home"
        monkeypatch.setenv("BETATRADER_HOME", str(home))
        yield home


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs one command in this process."""
    return asking(monkeypatch, capsys)
