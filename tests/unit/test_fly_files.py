"""The deployment's files have the shape that the roles need."""

import tomllib
from pathlib import Path

import pytest

from betatrader.roles import ROLES
from betatrader.roles.service import DRAIN_S, PORTS

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_its_own_app_checked_on_its_real_endpoint(role: str) -> None:
    found = tomllib.loads((PROJECT / f"fly/{role}.toml").read_text())
    assert found["app"] == f"betatrader-{role}"
    assert found["processes"] == {"app": f"--role {role}"}
    assert found["checks"]["ready"]["port"] == found["metrics"][0]["port"] == PORTS[role]
    assert found["checks"]["ready"]["path"] == "/readyz"
    assert found["kill_signal"] == "SIGTERM"
    assert int(found["kill_timeout"].removesuffix("s")) > DRAIN_S * 2
    assert not {"mounts", "services", "http_service", "build"} & set(found)
    assert found["restart"][0]["policy"] == "always"


def test_redis_has_the_volume_and_no_public_port() -> None:
    found = tomllib.loads((PROJECT / "fly/redis.toml").read_text())
    assert found["mounts"]["destination"] == "/data"
    assert found["deploy"]["strategy"] == "immediate"
    assert not {"services", "http_service"} & set(found)


def test_the_image_is_one_for_all_and_runs_without_root() -> None:
    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["betatrader"]' in lines
    assert "USER 10001:10001" in lines
    assert "STOPSIGNAL SIGTERM" in lines
    assert any("UV_COMPILE_BYTECODE=1" in line for line in lines)
    assert any("uv sync --locked --no-dev --no-editable" in line for line in lines)
