"""The image is built from the Dockerfile, keeps its promises, and every role runs from it.

Needs docker or podman, or root with buildah, runc and mmdebstrap (apt-get install buildah runc
mmdebstrap); without any of them it is skipped, saying so.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(600)
TAG = f"betatrader:test-{os.getpid()}"


def image(*arguments: str, timeout: float = 500) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROJECT / "scripts/image"), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    found = image("engine")
    if found.returncode:
        pytest.skip(found.stderr.replace("\n", " "))
    built = image("build", "--tag", TAG)
    if "Give this machine a registry" in built.stderr:
        pytest.skip(built.stderr.replace("\n", " "))
    assert built.returncode == 0, built.stderr
    yield found.stdout.strip()
    subprocess.run([found.stdout.strip(), "rmi", "-f", TAG], capture_output=True, check=False)


def test_it_is_small_and_holds_what_it_should(engine: str) -> None:
    done = image("inspect", "--tag", TAG, "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert {name: held for name, held in found["promises"].items() if held is not True} == {}
    assert found["compressed"] == sum(layer["compressed"] for layer in found["layers"])
    assert found["layers"][-1]["compressed"] < 5_000_000, "a release moves more than our own code"
    assert done.returncode == 0


def test_every_role_runs_from_it_and_is_drained(engine: str) -> None:
    """With a read-only root, without rights, within the memory of its machine on fly."""
    done = image("run", "--tag", TAG, "--json")
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert {role: facts["wrong"] for role, facts in found.items()} == {
        role: [] for role in ("trading", "intel", "jobs", "redis")
    }
    assert done.returncode == 0


def test_without_any_tool_it_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "scripts/image"), "build"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "apt-get install buildah runc mmdebstrap" in done.stderr
    assert "Traceback" not in done.stderr
