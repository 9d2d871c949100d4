"""The trading role under the CPU quota of a small shared machine: 5 ms in every 80.

A real trader with a strict lease trades at the reference venue; Redis and the venue run outside the
quota. The quota is a cgroup where one can be made (as root, cgroup v1), else the process is stopped
and continued at that duty, which is harsher: what it does not use of its turn is lost to it.

Times: from a market event's own time until the venue took the order that answers it, with the
venue's simulated latency taken off. The lease is looked at from outside, as the server keeps it.
"""

import asyncio
import os
import signal
import tempfile
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from betatrader.bench.failover import LEASE_S, Trader, Venue, until
from betatrader.bench.result import Result, at_least, at_most, quantile
from betatrader.config import Config
from betatrader.model.account import OrderAccepted, OrderRejected
from betatrader.model.command import Approved, Step
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.store import keys
from betatrader.store.connection import client
from betatrader.store.lease import MARGIN
from betatrader.venues.gateway import NOT_SENT

PERIOD_MS = 80
SHARES_MS = {"none": 0, "shared_1x": 5, "shared_4x": 20}
SECONDS = 30.0
GOAL_P99_MS = 250.0
SAMPLE_S = 0.01
CGROUP = Path("/sys/fs/cgroup/cpu")


class Measured(NamedTuple):
    """What one trader did in a while."""

    latencies_ms: list[float]
    left_s: float
    """The least that was left of its lease."""

    epochs: int
    late: int
    """Orders that were made when the lease was over, as the server keeps it, and that the venue
    took. When their answers were read is another matter: a process that is held reads late."""

    kept_back: int
    cpu: float
    """Of one core."""

    events_s: float


class Lease(NamedTuple):
    """What the server says: at a moment, until when, whose. Times in ms."""

    at_ms: float
    until_ms: float
    epoch: bytes


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
            began_ns, cpu_s = time.time_ns(), _cpu_s(pid)
            leases = asyncio.run(_watch(server.url, seconds))
            ended_ns, used_s = time.time_ns(), _cpu_s(pid) - cpu_s
        return _judge(trader, leases, (began_ns, ended_ns), used_s / seconds)


def _judge(trader: Trader, leases: list[Lease], span_ns: tuple[int, int], cpu: float) -> Measured:
    records = [r for r in trader.records() if span_ns[0] <= r.time_ns <= span_ns[1]]
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
        sum(not _covered(asked[r.order] / 1e6, leases) for r in taken),
        sum(isinstance(r, OrderRejected) and r.reason == NOT_SENT for r in records),
        cpu,
        sum(not isinstance(r, Step) for r in records) / (span_ns[1] - span_ns[0]) * 1e9,
    )


def _covered(at_ms: float, leases: list[Lease]) -> bool:
    """Whether a lease held at a moment; what was before the first look is not judged."""
    place = bisect_right(leases, at_ms, key=lambda lease: lease.at_ms)
    return place == 0 or at_ms < leases[place - 1].until_ms


async def _watch(url: str, seconds: float) -> list[Lease]:
    redis, found, end = client(url), [], time.monotonic() + seconds
    while time.monotonic() < end:
        lease = await redis.hgetall(keys.LEASE)
        found.append(Lease(time.time() * 1000, int(lease[b"until"]), lease[b"epoch"]))
        await asyncio.sleep(SAMPLE_S)
    await redis.aclose()
    return found


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
    yield at_most(f"quota_{name}_late_orders", found.late, "", 0, "made after the lease's end")
    yield Result(name=f"quota_{name}_kept_back", value=found.kept_back, unit="orders")
    yield Result(name=f"quota_{name}_cpu_percent", value=found.cpu * 100, unit="%")
    yield Result(name=f"quota_{name}_events", value=found.events_s, unit="1/s")
