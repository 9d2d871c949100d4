"""A user a role: each role does its real work as its own user, and is refused everything else."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.exceptions import NoPermissionError

from betatrader.model.errors import ConfigurationError
from betatrader.model.secret import Secret
from betatrader.ops.embedded_redis import binary
from betatrader.release import rights
from betatrader.store import acl, functions, keys
from betatrader.store.connection import Client, client, connected

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "betatrader"]
PASSWORDS = {name: f"{name}-password-of-a-test" for name in acl.USERS}
GIVEN = {acl.VARIABLE + name.upper(): password for name, password in PASSWORDS.items()}
ADMIN = "user admin on >admin ~* &* +@all\n"

REFUSED_TO_ALL = (
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG GET maxmemory",
    "CONFIG SET maxmemory 1",
    "KEYS *",
    "SCRIPT LOAD x",
    "EVAL x 0",
    "ACL LIST",
    "ACL SETUSER intel +@all",
    "MONITOR",
    "SHUTDOWN",
    "CLIENT LIST",
    "CLIENT KILL ID 1",
    "FUNCTION FLUSH",
    f"FUNCTION DELETE betatrader_{functions.MARK}",
    "PUBLISH c m",
    "SUBSCRIBE c",
    "SWAPDB 0 1",
    "RENAME bt:{trading}:kept other",
    "GET secret",
    "SET other 1",
    "REPLICAOF NO ONE",
    "MODULE LIST",
)
LEASE = f"FCALL {functions.named('bt_lease_acquire')} 2 {keys.LEASE} {keys.LEASE_EPOCH} me 1000 0"
SHIP = f"FCALL {functions.named('bt_ship')} 2 bt:{{trading}}:journal bt:{{trading}}:fence 1"
TRIM = f"FCALL {functions.named('bt_trim')} 1 bt:{{intel}}:requests 9-0"
TRIM_JOURNAL = f"FCALL {functions.named('bt_trim')} 1 {keys.JOURNAL} 9-0"
CLAIM = f"FCALL {functions.named('bt_claim')} 2 bt:{{job:x}}:state bt:{{job:x}}:history 1 me 1000 3"
SHARE = f"FCALL {functions.named('bt_share')} 1 bt:{{shares}}:live 0 1 100 keep x"
ORDER = "XADD bt:{trading}:r1:instructions * d x"
AUDIT = "XADD bt:{trading}:r1:audit * d x"
SIGNAL = "XADD bt:{trading}:r1:signals * d x"
TAKE = "XREADGROUP GROUP trading c STREAMS bt:{trading}:r1:instructions >"
ANSWER = "XREADGROUP GROUP intel c STREAMS bt:{intel}:requests >"
HALTED = "HSET bt:{trading}:kept state ACTIVE"
NOBODY = ("SET bt:{lease:trading}:l x", "HSET bt:{lease:trading}:x holder me")

REFUSED = {
    "trading": (ORDER, SIGNAL, ANSWER, TRIM, CLAIM, "SCAN 0", "DEL bt:{trading}:r1:audit"),
    "intel": (
        *(LEASE, SHIP, SHARE, TRIM, CLAIM, ORDER, AUDIT, TAKE, HALTED, *NOBODY),
        "GET bt:{trading}:run",
        "XRANGE bt:{trading}:journal - +",
        "XRANGE bt:{trading}:r1:signals - +",
        "HSET bt:{role:trading}:beat pid 1",
        "XGROUP DESTROY bt:{intel}:requests intel",
        "FUNCTION LOAD x",
        "SCAN 0",
        "INFO",
    ),
    "jobs": (
        *(LEASE, SHIP, SHARE, ORDER, AUDIT, SIGNAL, TAKE, ANSWER, HALTED, *NOBODY),
        "SET bt:{trading}:run x",
        "XRANGE bt:{trading}:journal - +",
        "XTRIM bt:{trading}:journal MAXLEN 0",
        "UNLINK bt:{trading}:journal",
        TRIM_JOURNAL,
        "FUNCTION LOAD x",
        "INFO",
    ),
    "operator": (
        *(LEASE, SHIP, SHARE, AUDIT, SIGNAL, TAKE, ANSWER, HALTED, *NOBODY),
        "SET bt:{trading}:run x",
        "UNLINK bt:{trading}:journal",
        "XADD bt:{trading}:journal * d x",
        "HSET bt:{role:trading}:beat pid 1",
    ),
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server that was started with the file that the module prints, and an admin of the test."""
    folder = tmp_path_factory.mktemp("acl")
    printed = subprocess.run(
        [sys.executable, "-m", "betatrader.store.acl"],
        env={**os.environ, **GIVEN},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (folder / "users.acl").write_text(printed + ADMIN)
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        free = int(link.getsockname()[1])
    server = subprocess.Popen(
        [
            *(str(binary()), "--port", str(free), "--bind", "127.0.0.1", "--save", ""),
            *("--dir", str(folder), "--aclfile", str(folder / "users.acl")),
        ],
        stdout=subprocess.DEVNULL,
    )

    async def answered() -> None:
        async with connected(f"redis://admin:admin@127.0.0.1:{free}", 10) as redis:
            await functions.load(redis)

    try:
        asyncio.run(answered())
        yield free
    finally:
        server.kill()
        server.wait()


def url(port: int, user: str) -> str:
    return f"redis://{user}:{PASSWORDS.get(user, user)}@127.0.0.1:{port}"


@pytest_asyncio.fixture
async def admin(port: int) -> AsyncIterator[Client]:
    made = client(url(port, "admin"))
    await made.flushall()
    await made.acl_log_reset()
    yield made
    await made.aclose()


@pytest.mark.parametrize("user", list(acl.USERS))
async def test_what_is_not_its_work_is_refused(port: int, admin: Client, user: str) -> None:
    await admin.xgroup_create(keys.REQUESTS, "intel", mkstream=True)
    await admin.xgroup_create(keys.instructions("r1"), "trading", mkstream=True)
    before = await state(admin)
    redis = client(url(port, user))
    for words in (*REFUSED_TO_ALL, *REFUSED[user]):
        answer = await asyncio.gather(redis.execute_command(*words.split()), return_exceptions=True)
        assert isinstance(answer[0], NoPermissionError), f"{user}: {words}"
    await redis.aclose()
    assert await state(admin) == before


async def state(admin: Client) -> list[Any]:
    found = sorted(await admin.keys("*"))
    return [(key, await admin.dump(key)) for key in found]


async def test_who_does_not_log_in_may_nothing(port: int) -> None:
    stranger = client(f"redis://127.0.0.1:{port}")
    with pytest.raises(Exception, match=r"(?i)auth"):
        await stranger.ping()
    await stranger.aclose()


def command(port: int, *words: str) -> Any:
    """A command of the operator, as JSON."""
    done = subprocess.run(
        [*PROGRAM, *words, "--json"],
        env={**os.environ, "REDIS_URL": url(port, "operator")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_each_role_does_its_work_as_its_own_user(
    port: int, admin: Client, own_home: Path
) -> None:
    settings = {
        "BETATRADER_HEALTH__PORT": "0",
        "BETATRADER_LEASE__MODE": "strict",
        "BETATRADER_LEASE__TTL_SECONDS": "2",
        "BETATRADER_JOURNAL__DURABILITY": "shipped",
    }
    roles = {
        role: subprocess.Popen(
            [*PROGRAM, "--role", role],
            env={
                **os.environ,
                **settings,
                "REDIS_URL": url(port, role),
                "BETATRADER_HOME": str(own_home / role),
            },
            stderr=subprocess.DEVNULL,
        )
        for role in ("intel", "jobs", "trading")
    }
    try:
        for _ in range(300):
            run = await admin.get(keys.RUN)
            data = await admin.get(keys.summary(run.decode())) if run else None
            seen = json.loads(data) if data else {"signals": 0, "orders": 0}
            state = await admin.hget(keys.job_state("stream_upkeep"), "status")
            if seen["signals"] and seen["orders"] and state == b"done":
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail(f"not at work after 30 s: {seen}, upkeep {state}")
        found = await asyncio.to_thread(command, port, "status")
        assert {role["health"] for role in found["roles"].values()} == {"ok"}
        assert (await asyncio.to_thread(command, port, "halt"))["way"] == "redis"
        assert (await asyncio.to_thread(command, port, "jobs", "run", "stream_upkeep"))["status"]
        assert await asyncio.to_thread(command, port, "orders")
        assert await asyncio.to_thread(command, port, "jobs", "history", "pnl_report")
        (share,) = await asyncio.to_thread(command, port, "limits", "shares")
        assert (share["account"], share["database"], share["share"]) == ("paper", 0, "1")
    finally:
        for process in roles.values():
            process.send_signal(signal.SIGTERM)
    assert {role: process.wait(20) for role, process in roles.items()} == {
        "intel": 0,
        "jobs": 0,
        "trading": 0,
    }
    await admin.hset(f"{keys.SHARES}paper", "7", "1 x")
    left = await asyncio.to_thread(command, port, "limits", "shares", "--give-back", "7")
    assert [one["database"] for one in left] == [0]
    refused = {(line["username"], line["object"]) for line in await admin.acl_log(128)}
    assert refused <= {("intel", "function|load"), ("jobs", "function|load")}


async def test_a_release_sees_which_right_the_server_does_not_give(
    port: int, admin: Client
) -> None:
    wanted = rights.needed(PROJECT, "HEAD")
    assert wanted is not None
    assert set(wanted) == set(acl.USERS)
    ours = {
        name: rights.of_rules(line.split(maxsplit=2)[2])
        for line in acl.acl_file({name: Secret(name) for name in acl.USERS}).splitlines()[1:]
        for name in [line.split()[1]]
    }
    operator = client(url(port, "operator"))
    assert await rights.lacking(operator, ours) == []
    more = {
        "jobs": ours["jobs"] | {("dbsize", ""), ("get", "R~bt:{trading}:x")},
        "somebody": rights.of_rules("+ping (+set ~bt:x)"),
    }
    assert await rights.lacking(operator, more) == [
        "jobs: dbsize",
        "jobs: get on R~bt:{trading}:x",
        "somebody: ping",
        "somebody: set on R~bt:x",
        "somebody: set on W~bt:x",
    ]
    await operator.aclose()


@pytest.mark.parametrize(
    "words",
    [("status",), ("orders",), ("limits", "show"), ("signals", "--follow"), ("jobs", "list")],
)
def test_a_command_with_a_roles_own_address_says_in_two_lines_whose_to_give(
    port: int, words: tuple[str, ...]
) -> None:
    done = subprocess.run(
        [*PROGRAM, *words],
        env={**os.environ, "REDIS_URL": url(port, "intel")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    what, remedy = done.stderr.splitlines()
    assert what.startswith("Redis does not let this user do that: ")
    assert remedy == "Set REDIS_URL to the operator's: redis://operator:PASSWORD@HOST:PORT."


def test_the_file_holds_no_password() -> None:
    text = acl.acl_file({name: Secret(password) for name, password in PASSWORDS.items()})
    assert text.startswith("user default off\n")
    assert len(text.splitlines()) == 1 + len(acl.USERS)
    assert not any(password in text for password in PASSWORDS.values())


def test_passwords_that_are_missing_short_or_shared_are_refused_in_one_line_each() -> None:
    with pytest.raises(ConfigurationError) as refused:
        acl.passwords({**GIVEN, acl.VARIABLE + "JOBS": "", acl.VARIABLE + "INTEL": "short"})
    assert [line.partition(":")[0] for line in refused.value.problems] == [
        "BETATRADER_REDIS_PASSWORD_INTEL",
        "BETATRADER_REDIS_PASSWORD_JOBS",
    ]
    with pytest.raises(ConfigurationError, match="each its own"):
        acl.passwords(dict.fromkeys(GIVEN, "the same for everybody"))
