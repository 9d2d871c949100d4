"""Each `fly` command that a page names is one that fly takes, with these flags."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fly_world import PROJECT, World, world

from betatrader.model.errors import UnreachableError
from betatrader.release.fly import Fly

PAGES = [*(PROJECT / "docs").glob("*.md"), PROJECT / "README.md", *(PROJECT / "fly").glob("*.toml")]
BLOCK = re.compile(r"^```.*?^```$", re.M | re.S)
"""Those of docs/deploy.md are followed from nothing to a rollback (tests/e2e/test_release.py)."""


def commands() -> list[str]:
    """Each once, as it stands within a sentence or in a comment."""
    found = set()
    for path in PAGES:
        text = BLOCK.sub("", path.read_text())
        found |= set(re.findall(r"`(fly [a-z][^`]*)`", text))
        found |= set(re.findall(r"^#.*: (fly [a-z].*)$", text, re.M))
    return sorted(" ".join(command.split()) for command in found)


@pytest.fixture
def account(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Four apps with a machine each, a token, and the files of their secrets."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    with world(own_home.parent / "w") as made:
        made.create_apps()
        made.publish("v1")
        for role in ("redis", "jobs", "intel", "trading"):
            app = f"betatrader-{role}"
            image = "registry.fly.io/betatrader-trading:v1"
            made.given(
                "deploy", "-c", f"{made.checkout}/fly/{role}.toml", "-a", app, "--image", image
            )
        made.given("tokens", "create", "deploy", "-a", "betatrader-intel")
        (made.checkout / "secrets").mkdir()
        (made.checkout / "secrets/jobs.env").write_text("REDIS_URL=redis://jobs:p@r\n")
        yield made


def filled(command: str, account: World) -> str:
    """With names for what a person fills in."""
    app = re.search(r"-a (betatrader-[a-z]+)", command)
    here = account.state()["apps"][app[1] if app else "betatrader-intel"]["machines"]
    machine = "tok1" if " tokens " in command else here[0]["id"]
    names = {"APP": "betatrader-intel", "NAME": "REDIS_URL", "TAG": "v1", "ID": machine}
    names |= {"IMAGE": "registry.fly.io/betatrader-trading:v1"}
    return re.sub(r"\b[A-Z]{2,}\b", lambda found: names.get(found[0], found[0]), command)


def typed(command: str, account: World) -> subprocess.CompletedProcess[str]:
    """What a person gives in the checkout's folder."""
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=account.checkout,
        env=account.environment(),
        check=False,
    )


@pytest.mark.parametrize("command", commands())
def test_every_fly_command_of_a_page_is_one_that_fly_takes(command: str, account: World) -> None:
    done = typed(filled(command, account), account)
    assert done.returncode == 0, done.stderr


def test_what_scales_unsets_and_revokes_has_done_so(account: World) -> None:
    def machines(role: str) -> int:
        return len(account.state()["apps"][f"betatrader-{role}"]["machines"])

    account.given("scale", "count", "2", "-a", "betatrader-intel", "--yes")
    account.given("scale", "count", "0", "-a", "betatrader-trading", "--yes")
    assert (machines("intel"), machines("trading")) == (2, 0)
    account.given(
        "secrets", "unset", "BETATRADER_CONTROL_TOKEN", "--stage", "-a", "betatrader-trading"
    )
    assert set(account.state()["apps"]["betatrader-trading"]["secrets"]) == {"REDIS_URL"}
    account.given("tokens", "revoke", "tok1")
    assert [one["revoked"] != "" for one in account.state()["tokens"]] == [True]


def test_nothing_is_built_of_what_is_not_committed(account: World) -> None:
    guide = (PROJECT / "docs/deploy.md").read_text()
    builds = [
        b for b in re.findall(r"^```sh\n(.*?)^```$", guide, re.M | re.S) if "--build-only" in b
    ]
    assert len(builds) == 2
    path = account.checkout / "fly/jobs.toml"
    path.write_text(path.read_text() + "# tried\n")
    before = json.dumps(account.state()["registry"])
    for block in builds:
        done = typed(block, account)
        assert (done.returncode, done.stdout) == (1, " M fly/jobs.toml\n")
    assert json.dumps(account.state()["registry"]) == before
    tags = subprocess.run(
        ["git", "-C", str(account.checkout), "tag"], capture_output=True, text=True, check=True
    )
    assert tags.stdout == "v1\n"


async def test_a_machine_that_fly_has_removed_meanwhile_is_no_failure(
    account: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blue that was still stopping as the deploy ended."""
    for name, value in account.environment().items():
        monkeypatch.setenv(name, value)
    fly = Fly(account.program(), print)
    (there,) = await fly.machines("betatrader-intel")
    await fly.remove("betatrader-intel", "918570ae1234")
    assert await fly.machines("betatrader-intel") == (there,)
    await fly.remove("betatrader-intel", there.id)
    assert await fly.machines("betatrader-intel") == ()
    with pytest.raises(UnreachableError, match="knows no app betatrader-other"):
        await fly.remove("betatrader-other", there.id)
