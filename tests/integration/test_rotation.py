"""A venue's key is switched against the stand-in for fly: cut off, refused and unanswered.

That a key is proven at all is tested in tests/e2e/test_release.py; here is what does not count
against it, and what follows.
"""

import os
import re
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fly_world import World
from test_setup import served

from betatrader import config as configurations
from betatrader.model.errors import RefusedError
from betatrader.model.secret import Secret
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.release import rotating, standing
from betatrader.release.fly import Fly, FlyError
from betatrader.release.planning import Plan
from betatrader.release.record import Book, Record
from betatrader.release.releasing import Settings, Setup
from betatrader.store.connection import connected

FAST = ("--watch", "0.2s", "--gate-timeout", "3s")
KEY, SECRET = "BETATRADER_BINANCE__KEY", "BETATRADER_BINANCE__SECRET"
OLD = {KEY: "an-old-key-0123", SECRET: "an-old-secret-0123"}
NEW = {KEY: "a-new-key-01234", SECRET: "a-new-secret-01234"}
APP = "betatrader-trading"


@pytest.fixture
def account(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Version v1 runs with the old key."""
    with tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as run:
        folder = Path(run)
        with EmbeddedRedis(folder / "own", folder) as server:
            monkeypatch.setenv("REDIS_URL", server.url)
            made = World(folder / "world")
            monkeypatch.setenv("FLY_STAND_IN", str(made.fly))
            made.create_apps()
            made.publish("v1")
            lines = "".join(f"{name}={value}\n" for name, value in OLD.items())
            assert made.release("secrets", "set", "trading", given=lines).returncode == 0
            done = made.release("deploy", "v1", *FAST)
            assert done.returncode == 0, done.stderr
            yield made


@pytest.fixture
async def setup(account: World) -> AsyncIterator[Setup]:
    async with connected(os.environ["REDIS_URL"]) as client:
        book = Book(client, account.fly / "releases.jsonl")
        settings = Settings("betatrader", account.checkout, 0.2, 3.0, 5)
        told: list[str] = []
        yield Setup(Fly(account.program(), told.append), client, book, settings, told.append)


async def switch(setup: Setup, folder: Path) -> Record:
    given = {name: Secret(value) for name, value in NEW.items()}
    made = await rotating.plan(setup, folder, "binance", given)
    return await rotating.switch(setup, made, "binance", given)


async def cut_off(account: World, setup: Setup, folder: Path, kind: str) -> None:
    """The key's release ends in the middle of `fly secrets import`."""
    account.fail("secrets import", "trading", kind)
    async with anyio.create_task_group() as group:
        group.start_soon(switch, setup, folder)
        with anyio.fail_after(60):
            while account.state()["faults"] or not given_to(account, kind):
                await anyio.sleep(0.05)
        group.cancel_scope.cancel()


def given_to(account: World, kind: str) -> bool:
    """Whether the stand-in has come to where it hangs."""
    return kind != "hangs after" or staged(account) == NEW


def staged(account: World) -> dict[str, str]:
    kept: dict[str, Any] = account.state()["apps"][APP]["secrets"]
    return {name: kept[name]["value"] for name in NEW}


def used(account: World) -> dict[str, str]:
    """What the trader's machine has."""
    (machine,) = account.state()["apps"][APP]["machines"]
    return {name: machine["_secrets"][name] for name in NEW}


def results(account: World) -> list[str]:
    return [one["result"] for one in account.status()["releases"]]


async def test_a_key_that_never_got_to_fly_is_not_switched_to_by_going_on(
    account: World, setup: Setup, tmp_path: Path
) -> None:
    await cut_off(account, setup, tmp_path, "hangs")
    (machine,) = account.state()["apps"][APP]["machines"]
    for words in (("rollback",), ("deploy", "--resume", "--dry-run")):
        refused = account.release(*words)
        assert refused.returncode == 6, refused.stderr
        assert "never got" in refused.stderr
    assert account.status()["cut_off"]
    done = account.release("deploy", "--resume", *FAST)
    assert done.returncode == 6, done.stderr
    assert "the new key of binance never got to fly: nothing was changed" in done.stderr
    assert account.state()["apps"][APP]["machines"] == [machine], "it is not restarted"
    assert results(account) == ["failed", "done"]
    assert account.status()["under_way"] == ""


async def test_a_key_that_is_staged_is_gone_on_with_and_not_put_in_force_by_going_back(
    account: World, setup: Setup, tmp_path: Path
) -> None:
    await cut_off(account, setup, tmp_path, "hangs after")
    assert (used(account), staged(account)) == (OLD, NEW)
    refused = account.release("rollback", *FAST)
    assert refused.returncode == 6, refused.stderr
    assert f"{APP} has the new key of binance staged" in refused.stderr
    assert "--resume" in refused.stderr
    assert used(account) == OLD
    done = account.release("deploy", "--resume", *FAST)
    assert done.returncode == 0, done.stderr
    assert used(account) == NEW
    assert results(account) == ["done", "done"]


async def test_a_key_that_fly_took_though_it_failed_is_switched_to(
    account: World, setup: Setup, tmp_path: Path
) -> None:
    account.fail("secrets import", "trading", "unanswered")
    assert (await switch(setup, tmp_path)).result == "done"
    assert used(account) == NEW


@pytest.mark.parametrize(
    ("listing", "told"),
    [
        ("", "The release ends: nothing was changed."),
        ("api", f"nobody knows whether {APP} has it by now: `fly secrets list -a {APP}` says so"),
    ],
)
async def test_a_key_that_fly_did_not_take_ends_the_release_with_what_is_known(
    account: World, setup: Setup, tmp_path: Path, listing: str, told: str
) -> None:
    account.fail("secrets import", "trading", "refused")
    given = {name: Secret(value) for name, value in NEW.items()}
    made = await rotating.plan(setup, tmp_path, "binance", given)
    for kind in [""] + 3 * [listing]:  # what stands there is read before, and asked for three times
        account.fail("secrets list", "trading", kind)
    with pytest.raises(ExceptionGroup) as error:
        await rotating.switch(setup, made, "binance", given)
    assert error.group_contains(FlyError, match=re.escape(told))
    assert (used(account), staged(account)) == (OLD, OLD)
    account.change(faults=[])
    assert results(account) == ["failed", "done"]
    assert account.status()["under_way"] == ""


async def found(folder: Path, venue: str, act: str, *, order: bool = False) -> dict[str, str]:
    """The verdicts on a good key after something was done to the venue; raises RefusedError."""
    told: list[str] = []
    setup = Setup(None, None, None, None, told.append)  # type: ignore[arg-type]
    with served(venue, folder) as (shown, more):
        place = shown["clob" if venue == "polymarket" else "rest"]
        asked = urllib.request.Request(f"{place}/-/act?{act}", method="POST")
        urllib.request.urlopen(asked).close()
        config = configurations.loads("", "the new key", more).config
        await rotating.prove(setup, config, venue, order=order)
    words = [line.replace(":", "").split() for line in told]
    return {step: verdict for _, _, step, verdict, *_ in words}


async def test_a_country_that_is_not_served_does_not_keep_a_stolen_key_in_use(
    own_home: Path,
) -> None:
    verdicts = await found(own_home.parent, "polymarket", "do=region&served=false")
    assert (verdicts["connection"], verdicts["region"]) == ("ok", "warn")


async def test_an_account_without_cash_does_not_keep_a_stolen_key_in_use(own_home: Path) -> None:
    poor = "do=deposit&amount=-99.5"
    verdicts = await found(own_home.parent, "binance", poor)
    assert (verdicts["connection"], verdicts["balance"]) == ("ok", "warn")
    with pytest.raises(RefusedError, match="order: none could be placed"):
        await found(own_home.parent, "binance", poor, order=True)


async def test_a_release_that_another_one_has_overtaken_changes_nothing(
    account: World, setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were planned while v1 ran: the second would put v1 back, or go back to it."""
    account.publish("v2")
    account.publish("v3")
    given = {name: Secret(value) for name, value in NEW.items()}
    rotation = await rotating.plan(setup, tmp_path, "binance", given)
    deploy, _ = await standing.planned(setup, "deploy", "v3", tmp_path)
    assert account.release("deploy", "v2", *FAST).returncode == 0

    async def planned_before(*_: object) -> Plan:
        return deploy

    monkeypatch.setattr(standing, "_plan", planned_before)
    for late in (
        rotating.switch(setup, rotation, "binance", given),
        standing.carry_out(setup, "deploy", "v3", tmp_path),
    ):
        with pytest.raises(RefusedError, match="the apps have moved since"):
            await late
    assert set(map(tuple, account.runs().values())) == {("v2",)}
    assert (used(account), staged(account)) == (OLD, OLD)
    assert results(account) == ["done", "done"]
    assert account.status()["under_way"] == ""
