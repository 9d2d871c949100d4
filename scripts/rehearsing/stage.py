"""One Redis, one venue behind a socket, and the traders that come and go: all real processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import redis
from trees import MARK, Tree

from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.ops.process import die_with_parent
from betatrader.roles import venue_process
from betatrader.sim.ledger import Ledger
from betatrader.store import keys
from betatrader.venues.link import wire

READY_S, SOON_S, LOOK_S = 30.0, 30.0, 0.05
SETTINGS = {
    "BETATRADER_HEALTH__PORT": "0",
    "BETATRADER_LEASE__MODE": "strict",
    "BETATRADER_LEASE__TTL_SECONDS": "2",
    "BETATRADER_JOURNAL__DURABILITY": "shipped",
    "BETATRADER_PAPER__CASH_USD": "100000",
    "BETATRADER_RISK__DAILY_LOSS_USD": "90000",
    "BETATRADER_RISK__DRAWDOWN": "1",
}
TAKER = Path(__file__).with_name("taker.py")

QUICK = '{name = "market_maker", parameters = {requote_seconds = 0.1}}'
"""Its orders rest, and are never far away in time."""

T = TypeVar("T")


class BrokenRehearsal(Exception):  # noqa: N818  the name says what happened
    """What did not come about, and where to look."""


class Moment(NamedTuple):
    """Something that was done: when (UTC ns), what, and to which trader ("" for Redis)."""

    at_ns: int
    what: str
    trader: str


class Trader:
    """One colour: a trading role of one version, in a home of its own."""

    def __init__(self, number: int, tree: Tree, home: Path, folder: Path, **more: str) -> None:
        self.name = f"{number} {tree.name}"
        self.tree = tree
        self.home = home
        self.began_ns, self.ended_ns = time.time_ns(), 0
        self._log = folder / f"{number}-{tree.name.replace(' ', '-')}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "betatrader", "--role", "trading"],
                env=environment(tree, BETATRADER_HOME=str(home), **SETTINGS, **more),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=folder,
                preexec_fn=die_with_parent,
            )

    def said(self, event: str) -> dict[str, Any] | None:
        """The first line of its log about something."""
        for line in self._log.read_text(errors="replace").splitlines():
            if f'"event":"{event}"' in line:
                with suppress(ValueError):
                    found: dict[str, Any] = json.loads(line)
                    return found
        return None

    def told(self) -> list[str]:
        """What a person sees on stderr."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [line for line in lines if line and not line.startswith("{")]

    def is_ready(self) -> bool:
        """What a health check sees."""
        ready = self.said("ready")
        if ready is None:
            return False
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{ready['port']}/readyz", timeout=2
            ) as it:
                return bool(it.status == 200)
        except OSError:
            return False

    def runs(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    def ended(self, seconds: float = 20) -> int:
        """Wait for its end; returns the exit status."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise BrokenRehearsal(f"{self.name} has not ended after {seconds:.0f} s") from None
        self.ended_ns = self.ended_ns or time.time_ns()
        return status


class Stage:
    """What the traders share."""

    def __init__(self, venue: str, trees: dict[str, Tree], folder: Path, *, fresh: bool) -> None:
        self.trees = trees
        self.traders: list[Trader] = []
        self.moments: list[Moment] = []
        self.leader: Trader
        self._fresh = fresh
        self._folder = folder
        self._venue = venue
        self._stack = ExitStack()

    def __enter__(self) -> "Stage":
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self) -> None:
        folder = self._folder
        self.server = self._stack.enter_context(EmbeddedRedis(folder / "redis", folder))
        with (folder / "venue.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "betatrader", "venue", "serve", self._venue],
                env=environment(
                    self.trees["this"], BETATRADER_HOME=str(folder / "venue"), **SETTINGS
                ),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=die_with_parent,
            )
        self._stack.callback(_over, process)
        assert process.stdout is not None
        self._stack.callback(process.stdout.close)
        told = json.loads(process.stdout.readline() or "null")
        if told is None:
            raise BrokenRehearsal(f"the venue did not start: see {folder / 'venue.log'}")
        self._link, self._account = told["link"], told.get("account", "us")
        self._more = {
            "REDIS_URL": self.server.url,
            "BETATRADER_STRATEGIES": f'[{{name = "{TAKER}"}}, {QUICK}]',
            **venue_process.settings(self._venue, told),
        }

    def start(self, name: str) -> Trader:
        """A trader of a version: with the disk of a new machine, or that of the last but one."""
        number = len(self.traders) + 1
        home = self._folder / (f"home-{number}" if self._fresh else ("green", "blue")[number % 2])
        trader = Trader(number, self.trees[name], home, self._folder, **self._more)
        self._stack.callback(_over, trader.process)
        self.traders.append(trader)
        return trader

    def homes(self) -> list[Path]:
        """The homes of all traders so far."""
        return list(dict.fromkeys(trader.home for trader in self.traders))

    def strike(self, trader: Trader, number: signal.Signals) -> None:
        """Send a signal, and remember it."""
        self.moments.append(Moment(time.time_ns(), number.name, trader.name))
        trader.process.send_signal(number)

    def kill_redis(self) -> None:
        """As a machine that is gone."""
        self.moments.append(Moment(time.time_ns(), "Redis killed", ""))
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.__exit__()

    def restart_redis(self) -> None:
        """With what it had on its disk."""
        self.server.__enter__()
        self.moments.append(Moment(time.time_ns(), "Redis back", ""))

    def confirm(self, schema: int) -> None:
        """What a release does as its last step (`release.releasing`)."""
        with redis.Redis(unix_socket_path=self.server.url.removeprefix("unix://")) as client:
            client.set(keys.RELEASE_SCHEMA, schema)
        self.moments.append(Moment(time.time_ns(), f"schema {schema} confirmed", ""))

    def ledger(self) -> Ledger:
        """The venue's own books of our account."""
        host, _, port = self._link.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(wire.framed(wire.Hello(self._account)))
            connection.sendall(wire.framed(wire.AskLedger(1)))
            return next(_ledgers(connection))

    def orders(self) -> int:
        """How many orders the venue has taken."""
        return len(self.ledger().orders)

    def goes_on(self) -> None:
        """Wait until the venue takes orders again, three of them."""
        before = self.orders()
        self.until(lambda: self.orders() >= before + 3, "new orders at the venue")

    def shipped(self) -> dict[int, bool]:
        """The schemas of what stands in Redis, journal and audit; whether what schema 2 adds is in
        each."""
        found: dict[int, bool] = {}
        with redis.Redis(unix_socket_path=self.server.url.removeprefix("unix://")) as client:
            run = client.get(keys.RUN)
            for stream in (keys.JOURNAL, *([keys.audit(run.decode())] if run else [])):
                for _, fields in client.xrange(stream):
                    schema, *_, body = msgspec.msgpack.decode(fields[b"d"])
                    found[schema] = found.get(schema, False) or _has_added(body)
        return found

    def until(self, look: Callable[[], T], what: str, seconds: float = SOON_S) -> T:
        """What `look` finds, as soon as that is true; raises BrokenRehearsal."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(LOOK_S)
        last = self.traders[-1]
        raise BrokenRehearsal(
            f"{what}: nothing after {seconds:.0f} s; {last.name} says {last.told()[-3:]}, "
            f"logs are in {self._folder}"
        )


def environment(tree: Tree, **more: str) -> dict[str, str]:
    """Ours, with the code of one version, and without the configuration of whoever rehearses."""
    kept = {
        name: text
        for name, text in os.environ.items()
        if name != "REDIS_URL" and not name.startswith("BETATRADER_")
    }
    return {**kept, "PYTHONPATH": str(tree.folder), "PYTHONDONTWRITEBYTECODE": "1", **more}


def _over(process: "subprocess.Popen[Any]") -> None:
    process.kill()
    process.wait()


def _ledgers(connection: socket.socket) -> Iterator[Ledger]:
    frames = wire.Frames()
    while data := connection.recv(1 << 16):
        for payload in frames.feed(data):
            answer = wire.decode_answer(payload)
            if isinstance(answer, wire.LedgerIs):
                yield answer.ledger
    raise BrokenRehearsal("the venue hung up")


def _has_added(body: Any) -> bool:
    """A shipped record's bytes, or an audit record: a Step with a fifth part, a state with MARK."""
    if isinstance(body, bytes):
        if MARK.encode() in body:
            return True
        body = msgspec.msgpack.decode(body)
    return isinstance(body, list) and body[:1] == ["step"] and len(body) > 5
