"""What all tests share."""

import os
from pathlib import Path

import pytest
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
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the user's home, runs or Redis."""
    home = tmp_path / "home"
    monkeypatch.setenv("BETATRADER_HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(_short(tmp_path)))
    for name in list(os.environ):
        if name == "REDIS_URL" or (name.startswith("BETATRADER_") and name != "BETATRADER_HOME"):
            monkeypatch.delenv(name)
    return home


def _short(tmp_path: Path) -> Path:
    """A socket's path may hold about 100 bytes, and pytest's folders are long."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="bt-test-", dir="/tmp"))
    link = tmp_path / "run"
    link.symlink_to(folder)
    return folder
