"""Recognisable keys are planted, the program runs and fails with them, and all that it wrote is
searched for them."""

import asyncio
import base64
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from running import Up, family, redis_server_of, run, until, up
from test_refusals import act
from test_setup import served

from betatrader.model.secret import Secret
from betatrader.ops import door
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.store.connection import connected
from betatrader.venues.binance.serve.running import KEY, SECRET
from betatrader.venues.polymarket.serve.authentication import Keys
from betatrader.venues.polymarket.sign import Signer

HMAC = SECRET
"""The simulated Binance knows this one; that makes it no less a secret."""

WRONG_HMAC = "plantedHmacSecretOfBinance0000000000000000000000000000000000000000"
PRIVATE = "5eed" * 16
API_SECRET = base64.urlsafe_b64encode(b"planted api secret of polymarket").decode()
PASSPHRASE = "planted-passphrase-of-polymarket"
WEBHOOK = "planted-token-of-a-webhook"
RELAYER = "planted-key-of-the-relayer-000000"
PASSWORD = "planted-password-of-redis"
CONTROL = "planted-token-for-control-0123456789"
PEM = (
    Ed25519PrivateKey.from_private_bytes(b"planted ed25519 key of binance!!")
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
DERIVED = Keys().create(Signer(Secret(f"0x{PRIVATE}"), 137, 0).address, 0)
"""What the venue makes for the account while it runs: nobody gives it to the program."""

PLANTED = {
    "Binance API key": KEY,
    "HMAC secret": HMAC,
    "wrong HMAC secret": WRONG_HMAC,
    "Ed25519 key": PEM.splitlines()[1],
    "private key": PRIVATE,
    "API secret": API_SECRET,
    "passphrase": PASSPHRASE,
    "derived API secret": DERIVED.secret,
    "derived passphrase": DERIVED.passphrase,
    "relayer key": RELAYER,
    "webhook": WEBHOOK,
    "Redis password": PASSWORD,
    "control token": CONTROL,
}
GIVEN = {
    "BETATRADER_ALERTS__WEBHOOK": f"http://127.0.0.1:9/{WEBHOOK}",
    "BETATRADER_ALERTS__LEVEL": "info",
    door.VARIABLE: CONTROL,
}


def forms(secret: str) -> list[bytes]:
    """A secret as it may stand in something written: plain, encoded, or as bytes."""
    raw = secret.encode()
    found = {raw, base64.b64encode(raw).rstrip(b"=")[:-1], raw.hex().encode()}
    if set(secret) <= set("0123456789abcdef"):
        number = int(secret, 16)
        found |= {bytes.fromhex(secret), str(number).encode()}
    return sorted(found)


def leaks(where: str, written: bytes) -> list[str]:
    return [
        f"{name} in {where}"
        for name, secret in PLANTED.items()
        if any(form in written for form in forms(secret))
    ]


def on_disk(folder: Path) -> list[str]:
    """Files as they are, and unpacked where they are packed."""
    from betatrader.store.journal_reader import Reader

    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != door.TOKEN:
            found += leaks(str(path), path.read_bytes())
    for journal in sorted(folder.glob("home*/journal/*")):
        for entry in Reader(journal):
            found += leaks(str(journal), repr(entry.record).encode())
    return found


async def in_redis(url: str) -> list[str]:
    """Every key, whatever it holds."""
    found = []
    async with connected(url) as redis:
        for key in await redis.keys("*"):
            kind = (await redis.type(key)).decode()
            if kind == "stream":
                held: object = await redis.xrange(key)
            elif kind == "hash":
                held = await redis.hgetall(key)
            elif kind == "string":
                held = await redis.get(key)
            else:
                held = await redis.dump(key)
            found += leaks(key.decode(), repr(held).encode() + key)
    return found


def of_processes(pids: list[int]) -> list[str]:
    """Arguments are open to every user of the machine."""
    return [
        leak
        for pid in pids
        for leak in leaks(f"arguments of {pid}", Path(f"/proc/{pid}/cmdline").read_bytes())
    ]


def of_ports(ports: dict[str, int]) -> list[str]:
    found = []
    for role, port in ports.items():
        for path in ("/metrics", "/readyz", "/healthz", "/control"):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                    text = answer.read()
            except urllib.error.HTTPError as error:
                text = error.read()
            found += leaks(f"{role}{path}", text)
    return found


def of_commands(**more: str) -> list[str]:
    commands = (
        ["config", "show"],
        ["config", "show", "--json"],
        ["config", "check"],
        ["doctor", "--json"],
        ["status", "--json"],
        ["events", "--json"],
        ["orders", "--json"],
        ["halt", "--direct", "--reason", "test"],
    )
    found = []
    for command in commands:
        done = run(*command, **more)
        assert "Traceback" not in done.stderr
        found += leaks(" ".join(command), (done.stdout + done.stderr).encode())
    return found


def of_environments(pids: dict[str, int]) -> dict[str, list[str]]:
    """Which of the planted secrets each process holds in its environment."""
    held = {who: Path(f"/proc/{pid}/environ").read_bytes() for who, pid in pids.items()}
    return {who: [leak.partition(" in ")[0] for leak in leaks(who, it)] for who, it in held.items()}


@pytest.fixture
def redis(own_home: Path) -> Iterator[str]:
    """A server that wants a password."""
    with EmbeddedRedis(own_home.parent / "own", own_home.parent) as server:
        asyncio.run(_protect(server.url))
        yield server.url.replace("unix://", f"unix://:{PASSWORD}@")


async def _protect(url: str) -> None:
    async with connected(url) as redis:
        await redis.config_set("requirepass", PASSWORD)


def test_the_search_finds_what_it_is_to_find(tmp_path: Path) -> None:
    written = f"{WEBHOOK} {base64.b64encode(PASSWORD.encode()).decode()} {int(PRIVATE, 16)}"
    (tmp_path / "x").write_text(written)
    found = [leak.partition(" in ")[0] for leak in on_disk(tmp_path)]
    assert found == ["private key", "webhook", "Redis password"]


KEYS = {
    "binance": {"SECRET": HMAC},
    "polymarket": {
        "PRIVATE_KEY": f"0x{PRIVATE}",
        "SIGNATURE_TYPE": "2",
        "FUNDER": f"0x{'5a' * 20}",
        "RELAYER_KEY": RELAYER,
    },
}
WRONG = {
    "binance": [{"SECRET": WRONG_HMAC}, {"SECRET": PEM}, {"SECRET": f"{WRONG_HMAC}\n\x00"}],
    "polymarket": [
        {"API_KEY": "x", "API_SECRET": API_SECRET, "API_PASSPHRASE": PASSPHRASE},
        {"PRIVATE_KEY": f"0x{PRIVATE}00"},
        {"API_KEY": "x", "API_SECRET": f"{API_SECRET}!", "API_PASSPHRASE": PASSPHRASE},
    ],
}


@pytest.mark.parametrize("venue", ["binance", "polymarket"])
def test_no_secret_is_written_anywhere(own_home: Path, redis: str, venue: str) -> None:
    folder, found = own_home.parent, []
    with served(venue, folder) as (told, settings):
        more = {**settings, **GIVEN, "REDIS_URL": redis}
        more |= {f"BETATRADER_{venue.upper()}__{name}": key for name, key in KEYS[venue].items()}
        with up("up", "--strategy", "market_maker", **more) as running:
            runtime = running.runtime()
            until(lambda: json.loads(run("orders", "--json", **more).stdout or "[]"), 20)
            pids = [running.process.pid, *family(running.process.pid)]
            found += of_processes(pids) + of_ports(runtime.ports) + of_commands(**more)
            found += on_disk(folder)
            assert {"runtime.json", "summary.json"} < {path.name for path in folder.rglob("*")}
            act(told, "show", page="challenge", count="5")
            act(told, "cut")
            act(told, "key", may="nothing")
            until(lambda: "is away" in run("events", **more).stdout, 30)
            journals = set((own_home / "journal").iterdir())
            os.kill(runtime.roles["trading"], signal.SIGSEGV)  # a crash, and a start after it
            until(lambda: set((own_home / "journal").iterdir()) - journals, 30)
            _, _, errors = running.end()
        found += leaks("logs", errors.encode())
        for wrong in WRONG[venue]:
            table = f"BETATRADER_{venue.upper()}__"
            wrongly = {**more, **{f"{table}{name}": key for name, key in wrong.items()}}
            wrongly = {name: text.replace("\x00", "") for name, text in wrongly.items()}
            for command in (["setup", venue, "--yes"], ["up", "--for", "1s"]):
                done = run(*command, **wrongly)
                assert done.returncode != 0
                assert "Traceback" not in done.stderr
                found += leaks(" ".join(command), (done.stdout + done.stderr).encode())
    found += on_disk(folder) + asyncio.run(in_redis(redis))
    assert found == []


def test_each_process_holds_the_secrets_of_its_role_alone(own_home: Path) -> None:
    more = {
        **GIVEN,
        "BETATRADER_BINANCE__KEY": KEY,
        "BETATRADER_BINANCE__SECRET": HMAC,
        "BETATRADER_POLYMARKET__RELAYER_KEY": RELAYER,
        "BETATRADER_POLYMARKET__SIGNATURE_TYPE": "2",
        "BETATRADER_POLYMARKET__FUNDER": f"0x{'5a' * 20}",
        "BETATRADER_REDIS_PASSWORD_INTEL": PASSWORD,
    }
    with up("up", "--venue", "polymarket-sim", **more) as running:
        roles = running.runtime().roles
        venue, redis = _child(running, "venue\0serve"), redis_server_of(running)
        pids = {**roles, "venue": venue, "redis": redis}
        made = [
            who
            for who, pid in pids.items()
            if b"BETATRADER_POLYMARKET__PRIVATE_KEY=" in Path(f"/proc/{pid}/environ").read_bytes()
        ]
        held = of_environments(pids)
        status, _, errors = running.end()
    assert status == 0, errors
    assert held == {
        "trading": ["Binance API key", "HMAC secret", "relayer key", "webhook", "control token"],
        "intel": ["webhook"],
        "jobs": ["webhook"],
        "venue": [],
        "redis": [],
    }
    assert made == ["trading"]  # the account that the run made for itself at the simulated venue


def _child(running: Up, words: str) -> int:
    for pid in family(running.process.pid):
        if words in Path(f"/proc/{pid}/cmdline").read_text():
            return pid
    raise AssertionError(f"no process {words!r}")
