"""Elsewhere than on fly: compose and systemd run the same roles with the same care, and fly's files
pass the public schema besides our own check."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from betatrader.ops import door
from betatrader.release import credentials
from betatrader.release.fly_files_keys import megabytes, seconds
from betatrader.roles import ROLES
from betatrader.roles.service import DRAIN_S, LAST_ALERTS_S, PORTS

PROJECT = Path(__file__).resolve().parents[2]
SCHEMA = PROJECT / "tests/schemas/fly.schema.json"
ROLE_UNITS = [f"betatrader@{role}.service" for role in ROLES]
Installed = Callable[..., list[str]]


def told(*command: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def by_schema(*arguments: str) -> tuple[int, str]:
    return told(sys.executable, "-m", "check_jsonschema", *arguments)


def test_fly_files_pass_the_public_schema() -> None:
    files = map(str, (PROJECT / "fly").glob("*.toml"))
    assert by_schema("--schemafile", str(SCHEMA), *files)[0] == 0


def test_the_public_schema_does_refuse(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('app = "a"\n[deploy]\nstrategy = "bluegren"\n')
    status, text = by_schema("--schemafile", str(SCHEMA), str(wrong))
    assert status == 1
    assert "bluegren" in text


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(PROJECT / "compose.yaml")
    return found


def test_compose_passes_its_specification(tmp_path: Path) -> None:
    given = PROJECT / "compose.yaml"
    assert by_schema("--builtin-schema", "vendor.compose-spec", str(given)) == (
        0,
        "ok -- validation done\n",
    )
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(given.read_text().replace("mem_limit", "memory_limit", 1))
    assert by_schema("--builtin-schema", "vendor.compose-spec", str(wrong))[0] == 1


def test_compose_runs_each_role_from_one_image_without_rights(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {*services} == {*ROLES, "redis", "operator"}
    assert len({service["image"] for service in services.values()}) == 1
    for name, service in services.items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "ports" not in service, f"{name} is open to the world"
        assert service["env_file"] == [f"secrets/{name}.env"]
        assert (seconds(service["stop_grace_period"]) or 0) > DRAIN_S + LAST_ALERTS_S
        assert not [key for key in service.get("environment", {}) if "PASSWORD" in key]
    assert compose["networks"]["inside"] == {"internal": True}
    assert services["redis"]["networks"] == ["inside"]


@pytest.mark.parametrize("role", ROLES)
def test_compose_watches_each_role_as_fly_does(compose: dict[str, Any], role: str) -> None:
    service = compose["services"][role]
    machine = tomllib.loads((PROJECT / f"fly/{role}.toml").read_text())["vm"][0]
    assert service["command"] == ["--role", role]
    assert service["healthcheck"]["test"][-1] == str(PORTS[role])
    assert service["restart"] == "always"
    assert megabytes(f"{service['mem_limit']}b") == megabytes(machine["memory"])


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    """The units as systemd reads them, their programs in a folder of ours; what it says of them."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: apt-get install systemd")

    def verified(old: str = "", new: str = "") -> list[str]:
        shutil.rmtree(tmp_path / "opt", ignore_errors=True)
        for program in ("scripts/redis-server", ".venv/bin/betatrader"):
            (tmp_path / "opt" / program).parent.mkdir(parents=True)
            (tmp_path / "opt" / program).write_text("#!/bin/sh\n")
            (tmp_path / "opt" / program).chmod(0o755)
        for path in (PROJECT / "systemd").iterdir():
            text = path.read_text().replace("/opt/betatrader/", f"{tmp_path}/opt/")
            (tmp_path / path.name).write_text(text.replace(old, new) if old else text)
        units = ["betatrader-redis.service", "betatrader.target", *ROLE_UNITS]
        for unit in ROLE_UNITS:
            (tmp_path / unit).unlink(missing_ok=True)
            (tmp_path / unit).symlink_to(tmp_path / "betatrader@.service")
        status, text = told("systemd-analyze", "verify", *(str(tmp_path / unit) for unit in units))
        mine = [line for line in text.splitlines() if str(tmp_path) in line or "betatrader" in line]
        return [*mine, f"status {status}"] if status else mine

    return verified


def test_systemd_understands_the_units(installed: Installed) -> None:
    assert installed() == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Restart=always", "Restrat=always", "Unknown key"),
        ("TimeoutStopSec=30", "TimeoutStopSec=soon", "Failed to parse"),
        ("/.venv/bin/betatrader", "/.venv/bin/trader", "not executable"),
    ],
)
def test_systemd_would_say_if_it_did_not(
    installed: Installed, old: str, new: str, expected: str
) -> None:
    assert any(expected in line for line in installed(old, new))


@pytest.mark.parametrize("unit", ["betatrader-redis.service", "betatrader@.service"])
def test_each_unit_drains_comes_back_and_holds_no_rights(unit: str) -> None:
    text = (PROJECT / "systemd" / unit).read_text()
    patience = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert patience
    assert int(patience[1]) > DRAIN_S + LAST_ALERTS_S
    for line in ("Restart=always", "StartLimitIntervalSec=0", "DynamicUser=yes"):
        assert line in text.splitlines()
    assert "CapabilityBoundingSet=\n" in text
    assert "EnvironmentFile=/etc/betatrader/" in text


def test_what_is_made_for_the_trader_is_all_that_a_release_demands(tmp_path: Path) -> None:
    assert told(str(PROJECT / "scripts/secrets"), str(tmp_path / "s"))[0] == 0
    wanted = credentials.needs("trading", {})
    text = (tmp_path / "s/trading.env").read_text()
    given = credentials.read(text)
    assert given.keys() >= wanted.required
    assert credentials.refused("trading", wanted, given) == []
    token = given[door.VARIABLE].reveal()
    assert door.given_token({door.VARIABLE: token}) == given[door.VARIABLE]
    assert text.count(token) == 1
    assert token not in (tmp_path / "s/redis.env").read_text()


def test_the_guide_installs_where_debian_and_the_units_let_it() -> None:
    """Debian refuses a bare `pip install`; a Python below /root is hidden by ProtectHome."""
    guide = (PROJECT / "docs/elsewhere.md").read_text().partition("## systemd")[2]
    commands = [line.strip() for line in guide.splitlines() if line.startswith("    ")]
    pips = [line for line in commands if "pip install" in line]
    assert pips
    for line in pips:
        folder = re.search(r"python3 -m venv (/opt/\w+) && (/opt/\w+)/bin/pip install", line)
        assert folder, line
        assert folder[1] == folder[2]
    sync, again = [line for line in commands if "uv sync" in line]
    assert again == sync, "another version is installed as the first"
    python = re.search(r"--python (\S+)", sync)
    assert python, sync
    assert not python[1].startswith(("/root", "/home"))
    assert "ProtectHome=yes" in (PROJECT / "systemd/betatrader@.service").read_text()


def test_secrets_are_made_once_and_for_their_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = (str(PROJECT / "scripts/secrets"), str(folder), "127.0.0.1")
    assert told(*command)[0] == 0
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["intel.env", "jobs.env", "operator.env", "redis.env", "trading.env"]
    assert {os.stat(folder / name).st_mode & 0o777 for name in names} == {0o600}
    server = dict(line.split("=", 1) for line in (folder / "redis.env").read_text().splitlines())
    assert len(set(server.values())) == 4
    for user in (*ROLES, "operator"):
        given = (folder / f"{user}.env").read_text()
        password = server[f"BETATRADER_REDIS_PASSWORD_{user.upper()}"]
        lines = given.splitlines()
        assert lines[0] == f"REDIS_URL=redis://{user}:{password}@127.0.0.1:6379"
        assert len(lines) == (2 if user == "trading" else 1)
    status, text = told(*command)
    assert status == 1
    assert "is there already" in text
