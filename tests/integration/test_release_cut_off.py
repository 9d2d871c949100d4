"""Releases that are cut off, or thought to be: the lock, the way back, a rotation in its middle."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis
from fly_world import World
from running import until

from betatrader.model.errors import RefusedError
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.release import record
from betatrader.release.record import Book, Held, Record
from betatrader.store import connection, keys

FAST = ("--watch", "0.2s", "--gate-timeout", "3s")
KEY, SECRET = "BETATRADER_BINANCE__KEY", "BETATRADER_BINANCE__SECRET"
OLD = f"{KEY}=an-old-key-0123\n{SECRET}=an-old-secret-01\n"
NEW = f"{KEY}=a-new-key-4567\n{SECRET}=a-new-secret-45\n"


@pytest.fixture(scope="module")
def base() -> Iterator[tuple[Path, str]]:
    """An account whose trader has a venue's key and runs v1; v2 is published. And its Redis."""
    with tempfile.TemporaryDirectory(prefix="bt-", dir="/tmp") as run:
        folder = Path(run)
        with EmbeddedRedis(folder / "own", folder) as started:
            made = World(folder / "world")
            os.environ["REDIS_URL"] = started.url
            made.create_apps()
            made.publish("v1")
            assert made.release("secrets", "set", "trading", given=OLD).returncode == 0
            first = made.release("deploy", "v1", *FAST, BETATRADER_HOME=f"{run}/home")
            assert first.returncode == 0, first.stderr
            made.publish("v2")
            yield folder / "world", started.url


@pytest.fixture
def account(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, base: tuple[Path, str]
) -> Iterator[World]:
    """The same, its own; what Redis holds is put back after it."""
    folder, url = base
    monkeypatch.setenv("REDIS_URL", url)
    shutil.copytree(folder, own_home.parent / "world")
    with redis.Redis.from_url(url) as client:
        kept = [(key, client.dump(key)) for key in client.scan_iter()]
        yield World(own_home.parent / "world", made=True)
        client.flushall()
        for key, value in kept:
            client.restore(key, 0, value)


def at(tag: str) -> dict[str, list[str]]:
    return {role: [tag] for role in ("jobs", "intel", "trading")}


def held(url: str) -> Held | None:
    with redis.Redis.from_url(url) as client:
        data = client.get(keys.RELEASE_LOCK)
    return msgspec.json.decode(data, type=Held) if data is not None else None


# the lock


async def test_a_renewal_that_redis_did_and_did_not_answer_is_known_as_ours(
    account: World, tmp_path: Path
) -> None:
    client = connection.client(os.environ["REDIS_URL"])
    book = Book(client, tmp_path / "releases.jsonl")
    lock = await book.take(Record(id="a", kind="deploy", image="v1"))
    unanswered = msgspec.structs.replace(lock.held, seen_ns=lock.held.seen_ns + 1)
    await client.set(keys.RELEASE_LOCK, msgspec.json.encode(unanswered))
    await lock.renew("jobs: at its gate")
    assert (await book.held()) == lock.held
    await client.set(keys.RELEASE_LOCK, msgspec.json.encode(unanswered))
    await lock.release()
    assert await book.held() is None
    await client.aclose()


async def test_a_lock_that_another_has_taken_is_not_ours_and_stays(
    account: World, tmp_path: Path
) -> None:
    client = connection.client(os.environ["REDIS_URL"])
    book = Book(client, tmp_path / "releases.jsonl")
    lock = await book.take(Record(id="a", kind="deploy", image="v1"))
    theirs = msgspec.structs.replace(lock.held, pid=lock.held.pid + 1)
    await client.set(keys.RELEASE_LOCK, msgspec.json.encode(theirs))
    with pytest.raises(RefusedError, match="another release has taken"):
        await lock.renew()
    await lock.release()
    assert await book.held() == theirs
    await client.aclose()


def test_a_process_of_this_name_on_another_machine_is_not_known_to_be_dead() -> None:
    over = subprocess.Popen([sys.executable, "-c", ""])
    over.wait()
    mine = Held(id="a", by="x", host=record._machine(), pid=over.pid, kind="deploy", image="v1")
    assert mine.is_dead(1)
    named = msgspec.structs.replace(mine, host=f"{os.uname().nodename} another-start-of-it")
    assert not named.is_dead(1)


async def test_the_end_of_a_release_is_in_redis_where_this_disk_takes_nothing(
    account: World, tmp_path: Path
) -> None:
    client = connection.client(os.environ["REDIS_URL"])
    (tmp_path / "full").write_text("a file where the folder should be")
    book = Book(client, tmp_path / "full" / "releases.jsonl")
    await book.write(Record(id="b", kind="deploy", image="v1", result="done"))
    assert "b" in [record.id for record in await book.records()]
    await client.aclose()


# the way back


def test_going_back_shows_signs_of_life_and_cut_off_leads_back_alone(account: World) -> None:
    url = os.environ["REDIS_URL"]
    account.push("v2", broken="trading")
    account.fail("deploy", "trading", "")
    account.fail("deploy", "trading", "slow")
    process = account.start("deploy", "v2", *FAST)
    try:
        until(lambda: (found := held(url)) is not None and found.goes_back, 90)
        first = held(url)
        assert first is not None
        until(lambda: (found := held(url)) is not None and found.seen_ns > first.seen_ns, 30)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
    status = account.status()
    assert status["cut_off"]
    assert "going back" in status["under_way"]
    assert "resume" not in status["mend"]
    refused = account.release("deploy", "--resume", *FAST)
    assert refused.returncode == 6
    assert "it was on its way back" in refused.stderr
    assert "`betatrader release rollback`" in refused.stderr
    done = account.release("rollback", *FAST)
    assert done.returncode == 0, done.stderr
    assert account.runs() == at("v1")
    assert account.status()["under_way"] == ""


# a rotation that was cut off


def cut_off_rotation(account: World, *, staged: bool) -> None:
    """As a rotation leaves things that is killed before or after it has staged the new key."""
    found = account.state()["apps"]["betatrader-trading"]
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        entries = client.xrange(keys.RELEASES)
        last = msgspec.json.decode(entries[-1][1][b"record"], type=Record)
        cut = msgspec.structs.replace(
            last,
            id="cafe",
            kind="rotate",
            before=dict.fromkeys(("jobs", "intel", "trading"), last.image),
            began_ns=time.time_ns(),
            ended_ns=0,
            result="running",
            secrets={name: found["secrets"][name]["digest"] for name in (KEY, SECRET)},
        )
        client.xadd(keys.RELEASES, {"record": msgspec.json.encode(cut)})
        dead = Held(
            id="cafe",
            by="ann@x",
            host="x",
            pid=1,
            kind="rotate",
            image=cut.image,
            step="trading: staging the key of binance",
        )
        client.set(keys.RELEASE_LOCK, msgspec.json.encode(dead))
    if staged:
        account.given("secrets", "import", "--stage", "-a", "betatrader-trading", given=NEW)


def in_force(account: World) -> str:
    machines = account.state()["apps"]["betatrader-trading"]["machines"]
    return str(machines[0]["_secrets"][KEY])


def test_a_rotation_that_was_cut_off_before_it_staged_never_counts_as_done(
    account: World,
) -> None:
    cut_off_rotation(account, staged=False)
    refused = account.release("deploy", "--resume", *FAST)
    assert refused.returncode == 6, refused.stderr
    assert "the new key was not staged" in refused.stderr
    done = account.release("rollback", *FAST)
    assert done.returncode == 0, done.stderr
    assert in_force(account) == "an-old-key-0123"
    assert account.status()["under_way"] == ""


def test_a_rotation_that_was_cut_off_after_it_staged_goes_on_and_is_not_taken_back(
    account: World,
) -> None:
    cut_off_rotation(account, staged=True)
    refused = account.release("rollback", *FAST)
    assert refused.returncode == 6, refused.stderr
    assert "the new key is at betatrader-trading already" in refused.stderr
    assert in_force(account) == "an-old-key-0123"
    done = account.release("deploy", "--resume", *FAST)
    assert done.returncode == 0, done.stderr
    assert in_force(account) == "a-new-key-4567"
    assert account.status()["releases"][0]["result"] == "done"


def test_with_the_old_keys_lines_staged_again_it_is_taken_back(account: World) -> None:
    cut_off_rotation(account, staged=True)
    assert account.release("secrets", "set", "trading", given=OLD).returncode == 0
    done = account.release("rollback", *FAST)
    assert done.returncode == 0, done.stderr
    assert in_force(account) == "an-old-key-0123"
    assert account.status()["under_way"] == ""
