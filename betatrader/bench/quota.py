"""The trading role under the CPU quota of a small shared machine: 5 ms in every 80.

A real trader with a strict lease trades at the reference venue; Redis and the venue run outside the
quota. The quota is a cgroup where one can be made (as root, cgroup v1), else the process is stopped
and continued at that duty, which is harsher: what it does not use of its turn is lost to it.

Times: from a market event's own time until the venue took the order that answers it, with the
venue's simulated latency taken off. The lease is looked at from outside, as the server keeps it,
and so are the orders: a second connection to the venue hears when each one reached it.
"""

import asyncio
import os
import signal
import tempfile
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from betatrader.bench.failover import LEASE_S, WITHIN_S, Trader, Venue, until
from betatrader.bench.result import Result, at_least, at_most, quantile
from betatrader.config import Config
from betatrader.model.account import OrderAccepted, OrderRejected
from betatrader.model.command import Approved, Step
from betatrader.model.errors import UnreachableError
from betatrader.model.ids import ClientOrderId
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.store import keys
from betatrader.store.connection import client
from betatrader.store.lease import MARGIN
from betatrader.venues.gateway import NOT_SENT
from betatrader.venues.link import wire

PERIOD_MS = 80
SHARES_MS = {"none": 0, "shared_1x": 5, "shared_4x": 20}
SECONDS = 30.0
GOAL_P99_MS = 250.0
SAMPLE_S = 0.01
HEARD_S = 0.2
"""What is on its way when the time is over is still heard for so long."""

READ_BYTES = 1 << 16
CGROUP = Path("/sys/fs/cgroup/cpu")


class Measured(NamedTuple):
    """What one trader did in a while."""

    latencies_ms: list[float]
    left_s: float
    """The least that was left of its lease."""

    epochs: int
    sent: int
    """Orders that reached the venue, taken or refused there."""

    late: int
    """Of them, those sent past the lease's deadline for orders: its end, as the server keeps it,
    less the margin that the fence keeps. When the event came or the answer was read is no matter.
    """

    unheard: int
    """Orders that the trader knows to be taken, and whose sending was not seen: not judged."""

    kept_back: int
    cpu: float
    """Of one core."""

    events_s: float


class Lease(NamedTuple):
    """What the server says: at a moment, until when, whose. Times in ms."""

    at_ms: float
    until_ms: float
    epoch: bytes


class Watched(NamedTuple):
    """What was seen from outside between two moments."""

    began_ns: int
    ended_ns: int
    leases: list[Lease]
    sent_ns: dict[ClientOrderId, int]
    """When each order reached the venue, by the clock of this machine, which is the venue's too."""


def run(progress: Callable[[str], None]) -> list[Result]:
    """Latency, what is left of the lease, and orders past their deadline, for each quota."""
    results: list[Result] = []
    for name, share_ms in SHARES_MS.items():
        found = measure(share_ms, SECONDS)
        progress(f"quota {name}: {len(found.latencies_ms)} orders, {found.events_s:.0f} events/s")
        results += _told(name, found)
    return results


def measure(share_ms: int, seconds: float) -> Measured:
    """One trader, held to a share of each period (0: all of it) from its first order on."""
    with tempfile.TemporaryDirectory(prefix="bt-bench-") as folder_name, ExitStack() as stack:
        folder = Path(folder_name)
        server = stack.enter_context(EmbeddedRedis(folder / "redis", folder))
        link = stack.enter_context(Venue(folder)).link
        trader = stack.enter_context(
            Trader(folder / "trader", server.url, link, durability="local")
        )
        until(lambda: trader.first_order(0), "the first order")
        pid = trader.process.pid
        with held_to(pid, share_ms):
            cpu_s = _cpu_s(pid)
            watched = asyncio.run(_watch(server.url, link, seconds))
            used_s = _cpu_s(pid) - cpu_s
        return _judge(trader, watched, used_s / seconds)


def _judge(trader: Trader, watched: Watched, cpu: float) -> Measured:
    began_ns, ended_ns, leases, sent_ns = watched
    records = [r for r in trader.records() if began_ns <= r.time_ns <= ended_ns]
    asked = {
        change.order: step.time_ns
        for step in records
        if isinstance(step, Step)
        for change in step.changes
        if isinstance(change, Approved)
    }
    taken = [r for r in records if isinstance(r, OrderAccepted) and r.order in asked]
    latency_ms = float(Config().paper.latency_ms)
    return Measured(
        sorted((r.time_ns - asked[r.order]) / 1e6 - latency_ms for r in taken),
        min(lease.until_ms - lease.at_ms for lease in leases) / 1000,
        len({lease.epoch for lease in leases}),
        len(sent_ns),
        late_orders(sent_ns.values(), leases),
        sum(r.order not in sent_ns for r in taken),
        sum(isinstance(r, OrderRejected) and r.reason == NOT_SENT for r in records),
        cpu,
        sum(not isinstance(r, Step) for r in records) / (ended_ns - began_ns) * 1e9,
    )


def late_orders(sent_ns: Iterable[int], leases: Iterable[Lease]) -> int:
    """How many of these moments no grant of the lease covered.

    A grant's end tells when it was given, one ttl before, and until when orders may leave under it.
    One that was given back covers nothing. What was sent before the first that was seen is not
    judged.
    """
    ttl_ms, margin_ms = LEASE_S * 1000, MARGIN * LEASE_S * 1000
    grants = sorted(
        {
            (one.until_ms - ttl_ms, one.until_ms - margin_ms)
            if one.until_ms > 0
            else (one.at_ms, one.at_ms)
            for one in leases
        }
    )
    late = 0
    for at_ms in (moment / 1e6 for moment in sent_ns):
        place = bisect_right(grants, at_ms, key=lambda grant: grant[0])
        late += place > 0 and at_ms >= grants[place - 1][1]
    return late


async def _watch(url: str, link: str, seconds: float) -> Watched:
    redis, leases = client(url), []
    sent_ns: dict[ClientOrderId, int] = {}
    greeted = asyncio.Event()
    listening = asyncio.create_task(_listen(link, sent_ns, greeted))
    await _first(greeted.wait(), listening)
    began_ns, end = time.time_ns(), time.monotonic() + seconds
    while time.monotonic() < end:
        lease = await redis.hgetall(keys.LEASE)
        leases.append(Lease(time.time() * 1000, int(lease[b"until"]), lease[b"epoch"]))
        await asyncio.sleep(SAMPLE_S)
    ended_ns = time.time_ns()
    await _first(asyncio.sleep(HEARD_S), listening)
    listening.cancel()
    await redis.aclose()
    return Watched(began_ns, ended_ns, leases, sent_ns)


async def _first(wanted: Coroutine[None, None, object], listening: asyncio.Task[None]) -> None:
    """Wait for something while listening; where the venue is not heard any more, says so."""
    waiting = asyncio.ensure_future(wanted)
    await asyncio.wait({waiting, listening}, timeout=WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done() or listening.done():
        waiting.cancel()
        raise UnreachableError("quota: the venue is not heard\nIs the machine busy? Try again.")


async def _listen(link: str, sent_ns: dict[ClientOrderId, int], greeted: asyncio.Event) -> None:
    """Note when each order reached the venue, as its own report says: the trader's journal has the
    moment at which it was read."""
    host, _, port = link.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(wire.framed(wire.Hello(Config().paper.account)))
    frames, under_way_ns = wire.Frames(), 2 * Config().paper.latency_ms * 1_000_000
    try:
        while data := await reader.read(READ_BYTES):
            for payload in frames.feed(data):
                match wire.decode_answer(payload):
                    case wire.Welcome():
                        greeted.set()
                    case wire.Told(OrderAccepted() | OrderRejected() as report):
                        sent_ns.setdefault(report.order, report.time_ns - under_way_ns)
    finally:
        writer.close()


@contextmanager
def held_to(pid: int, share_ms: int) -> Iterator[str]:
    """Hold a process to so much of each period; says by what: "cgroup", "signals" or ""."""
    if not share_ms:
        yield ""
        return
    group = CGROUP / f"betatrader-bench-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text(f"{PERIOD_MS * 1000}")
        (group / "cpu.cfs_quota_us").write_text(f"{share_ms * 1000}")
        (group / "cgroup.procs").write_text(f"{pid}")
    except OSError:
        with suppress(OSError):
            group.rmdir()
        with _stopped_and_continued(pid, share_ms):
            yield "signals"
        return
    try:
        yield "cgroup"
    finally:
        (CGROUP / "cgroup.procs").write_text(f"{pid}")
        group.rmdir()


@contextmanager
def _stopped_and_continued(pid: int, share_ms: int) -> Iterator[None]:
    over = threading.Event()

    def beat() -> None:
        with suppress(ProcessLookupError):  # it has ended: there is nothing to hold
            while not over.is_set():
                os.kill(pid, signal.SIGSTOP)
                time.sleep((PERIOD_MS - share_ms) / 1000)
                os.kill(pid, signal.SIGCONT)
                time.sleep(share_ms / 1000)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _cpu_s(pid: int) -> float:
    """What a process has used, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _told(name: str, found: Measured) -> Iterator[Result]:
    share_ms, spans = SHARES_MS[name], found.latencies_ms
    note = f"{share_ms} ms in every {PERIOD_MS}" if share_ms else "the whole core"
    yield Result(name=f"quota_{name}_p50_ms", value=quantile(spans, 0.5), unit="ms", note=note)
    yield at_most(f"quota_{name}_p99_ms", quantile(spans, 0.99), "ms", GOAL_P99_MS)
    yield Result(name=f"quota_{name}_p999_ms", value=quantile(spans, 0.999), unit="ms")
    least_s = MARGIN * LEASE_S
    yield at_least(f"quota_{name}_lease_left_s", found.left_s, "s", least_s, "the least seen")
    yield at_most(f"quota_{name}_epochs", found.epochs, "", 1, "the lease was never lost")
    yield Result(name=f"quota_{name}_sent", value=found.sent, unit="orders")
    yield at_most(f"quota_{name}_late_orders", found.late, "", 0, "sent past the lease's deadline")
    yield at_most(f"quota_{name}_unheard", found.unheard, "", 0, "taken, and not seen to be sent")
    yield Result(name=f"quota_{name}_kept_back", value=found.kept_back, unit="orders")
    yield Result(name=f"quota_{name}_cpu_percent", value=found.cpu * 100, unit="%")
    yield Result(name=f"quota_{name}_events", value=found.events_s, unit="1/s")
