"""A message there and back between two processes, through our bus and through bare redis-py.

Both do the same: XADD, XREADGROUP and XACK each way, 200 bytes a message, on one private server.
The pairs are interleaved, since the machine's speed drifts; the median of nine ratios counts.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import anyio
import msgspec

from betatrader.bench.result import Result, quantile
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.store.bus import FIELD, Consumer, publish, seal
from betatrader.store.connection import Client, client

ROUNDS = 400
WARM_UP = 50
PAIRS = 9
DEADLINE_S = 60.0
GOAL = 1.3
PAYLOAD = b"x" * 180
GROUP = "g"

_decode = msgspec.msgpack.Decoder(bytes).decode


def run(progress: Callable[[str], None]) -> list[Result]:
    """`bus_round_trip_ratio`: ours over bare redis-py, p50 of each run."""
    progress(f"bus: {PAIRS} pairs of {ROUNDS} messages there and back")
    with tempfile.TemporaryDirectory(prefix="bt-bench-") as name:
        folder = Path(name)
        with EmbeddedRedis(folder / "data", folder) as server:
            ours: list[float] = []
            bare: list[float] = []
            for number in range(PAIRS):
                turns = [("ours", ours), ("bare", bare)]
                for kind, spans in turns if number % 2 else reversed(turns):
                    spans.append(_round_trip(server.url, kind, f"{kind}{number}"))
    ratios = [one / other for one, other in zip(ours, bare, strict=True)]
    value = median(ratios)
    return [
        Result(
            name="bus_round_trip_ratio",
            value=value,
            unit="ratio",
            baseline=1.0,
            ratio=value,
            goal=GOAL,
            met=value <= GOAL,
            note=f"ours {median(ours) / 1000:.0f} us, bare {median(bare) / 1000:.0f} us, p50",
        )
    ]


def _round_trip(url: str, kind: str, stream: str) -> float:
    """The median span of one message there and back, in ns."""
    context = multiprocessing.get_context("spawn")
    echo = context.Process(target=_echo, args=(url, kind, stream), daemon=True)
    echo.start()
    try:
        return anyio.run(_ask, url, kind, stream, backend_options={"use_uvloop": True})
    finally:
        echo.join(10)
        echo.kill()


def _echo(url: str, kind: str, stream: str) -> None:
    anyio.run(_answer, url, kind, stream, backend_options={"use_uvloop": True})


class _Ours:
    """One end of the way there and back, over our bus."""

    def __init__(self, redis: Client, blocking: Client, read: str, write: str) -> None:
        self._redis = redis
        self._write = write
        self._consumer = Consumer(redis, blocking, read, GROUP, name="a", decode=_decode)
        self._sent = 0

    async def join(self) -> None:
        await self._consumer.join()

    async def send(self) -> None:
        self._sent += 1
        await publish(self._redis, self._write, seal(PAYLOAD, str(self._sent)))

    async def receive(self) -> None:
        messages = await self._consumer.read()
        while not messages:
            messages = await self._consumer.read()
        await self._consumer.acknowledge(*(message.entry for message in messages))


class _Bare:
    """The same in bare redis-py."""

    def __init__(self, redis: Client, blocking: Client, read: str, write: str) -> None:
        self._redis, self._blocking, self._read, self._write = redis, blocking, read, write

    async def join(self) -> None:
        await self._redis.xgroup_create(self._read, GROUP, id="0", mkstream=True)

    async def send(self) -> None:
        await self._redis.xadd(self._write, {FIELD: PAYLOAD})

    async def receive(self) -> None:
        answer = None
        while not answer:
            answer = await self._blocking.xreadgroup(
                GROUP, "a", {self._read: ">"}, count=64, block=2000
            )
        entries = answer[self._read.encode()]
        await self._redis.xack(self._read, GROUP, *(entry for entry, _ in entries))


async def _ask(url: str, kind: str, stream: str) -> float:
    redis, blocking = client(url), client(url, blocking=True)
    try:
        end = (_Ours if kind == "ours" else _Bare)(
            redis, blocking, f"{stream}:back", f"{stream}:there"
        )
        await end.join()
        await _until_joined(redis, f"{stream}:there")
        spans = []
        with anyio.fail_after(DEADLINE_S):
            for _ in range(ROUNDS):
                began = time.perf_counter_ns()
                await end.send()
                await end.receive()
                spans.append(time.perf_counter_ns() - began)
        return quantile(sorted(spans[WARM_UP:]), 0.5)
    finally:
        await redis.aclose()
        await blocking.aclose()


async def _until_joined(redis: Client, stream: str) -> None:
    with anyio.fail_after(15):
        while not await redis.exists(stream):  # noqa: ASYNC110  it is another process that makes it
            await anyio.sleep(0.01)


async def _answer(url: str, kind: str, stream: str) -> None:
    redis, blocking = client(url), client(url, blocking=True)
    try:
        end = (_Ours if kind == "ours" else _Bare)(
            redis, blocking, f"{stream}:there", f"{stream}:back"
        )
        await end.join()
        with anyio.fail_after(DEADLINE_S):
            for _ in range(ROUNDS):
                await end.receive()
                await end.send()
    finally:
        await redis.aclose()
        await blocking.aclose()
