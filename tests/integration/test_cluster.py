"""A real cluster of three nodes: what is used together stands in one slot, so that it works."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot

from betatrader.jobs import stream_upkeep
from betatrader.jobs.schedule import Job, Scheduler
from betatrader.model.command import StateChanged, Step
from betatrader.model.instruction import TradingState
from betatrader.ops.embedded_redis import binary
from betatrader.store import functions, keys, shipping
from betatrader.store.audit import AuditLog
from betatrader.store.bus import Consumer, publish_all, seal
from betatrader.store.connection import AWAY, Client, client
from betatrader.store.lease import Lease
from betatrader.store.shipping import Shipper

SLOTS = ((0, 5460), (5461, 10922), (10923, 16383))


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        links = [held.enter_context(socket.socket()) for _ in range(count)]
        for link in links:
            link.bind(("127.0.0.1", 0))
        return [int(link.getsockname()[1]) for link in links]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """The ports of three servers that are one cluster."""
    ports, buses = free_ports(3), free_ports(3)
    servers = []
    for port, bus in zip(ports, buses, strict=True):
        folder = tmp_path_factory.mktemp(f"node-{port}")
        options = {
            "port": port,
            "bind": "127.0.0.1",
            "dir": folder,
            "save": "",
            "cluster-enabled": "yes",
            "cluster-port": bus,
            "cluster-node-timeout": 5000,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        servers.append(subprocess.Popen([str(binary()), *words], stdout=subprocess.DEVNULL))
    try:
        asyncio.run(meet(ports, buses))
        yield ports
    finally:
        for server in servers:
            server.kill()
            server.wait()


async def meet(ports: list[int], buses: list[int]) -> None:
    links = [client(f"redis://127.0.0.1:{port}") for port in ports]
    for number, (link, (first, last)) in enumerate(zip(links, SLOTS, strict=True), 1):
        await answered(link)
        await link.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        await link.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number)
    for port, bus in zip(ports[1:], buses[1:], strict=True):
        await links[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
    for link in links:
        for _ in range(300):
            if "cluster_state:ok" in str(await link.execute_command("CLUSTER", "INFO")) and (
                "cluster_known_nodes:3" in str(await link.execute_command("CLUSTER", "INFO"))
            ):
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("the nodes do not find each other")
        await link.aclose()


async def answered(link: Client) -> None:
    for _ in range(100):
        try:
            await link.ping()
        except AWAY:
            await asyncio.sleep(0.1)
        else:
            return
    pytest.fail("a node does not answer")


@pytest_asyncio.fixture
async def cluster(nodes: list[int]) -> AsyncIterator[Client]:
    made = RedisCluster(
        host="127.0.0.1",
        port=nodes[0],
        protocol=3,
        legacy_responses=False,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=5.0,
    )
    await made.flushall(target_nodes=RedisCluster.PRIMARIES)
    await functions.load(made)
    yield made
    await made.aclose()


def step(number: int) -> Step:
    return Step(number, number, number, (StateChanged(TradingState.HALTED, "why"),))


async def test_the_keys_stand_on_more_than_one_node(cluster: Client) -> None:
    names = (keys.JOURNAL, keys.REQUESTS, keys.LEASE, keys.PAPER_LEDGER, keys.beat("intel"))
    nodes = {cluster.get_node_from_key(name).name for name in names}
    assert len(nodes) > 1, "else this file would show nothing"


async def test_the_audit_and_what_outlives_the_run_are_written_in_one_transaction(
    cluster: Client,
) -> None:
    log = AuditLog(cluster, "r1")
    for number in range(1, 4):
        log.offer(step(number))
    log.summarise(b"summary", "HALTED", "why")
    await log.flush()
    assert await cluster.xlen(keys.audit("r1")) == 3
    assert await cluster.hgetall(keys.KEPT) == {b"state": b"HALTED", b"reason": b"why"}
    assert await cluster.get(keys.summary("r1")) == b"summary"


async def test_messages_reach_their_groups_and_what_is_unreadable_is_buried(
    cluster: Client,
) -> None:
    decode = msgspec.msgpack.Decoder(str).decode
    for stream, group in ((keys.REQUESTS, "intel"), (keys.signals("r1"), "trading")):
        reader = Consumer(cluster, cluster, stream, group, name="c", decode=decode)
        await reader.join()
        await publish_all(
            cluster,
            [(stream, seal("hello", "1")), (keys.instructions("r1"), b"x"), (stream, b"nonsense")],
        )
        [message] = await reader.read(block_s=0.1)
        await reader.acknowledge(message.entry)
        assert (message.body, await cluster.xlen(keys.dead(stream))) == ("hello", 1)
        assert (await cluster.xpending(stream, group))["pending"] == 0


async def test_the_lease_is_taken_kept_and_given_back(cluster: Client, tmp_path: Path) -> None:
    one, two = (Lease(cluster, name, 10.0, tmp_path / name, lambda: 0.0) for name in ("1", "2"))
    assert await one.acquire() is None
    assert await one.renew() == "held"
    assert await two.acquire() is not None
    await one.release()
    assert await two.acquire() is None
    assert two.epoch > one.epoch


async def test_the_journal_is_shipped_read_back_and_fenced(cluster: Client) -> None:
    shipper = Shipper(cluster, lambda: b"whole")
    shipper.begin(7)
    for number in range(1, 4):
        shipper.offer(step(number))
    await shipper.flush()
    shipper.offer(step(4))
    await shipper.flush()
    assert len(await shipping.read_all(cluster, functions.SHIPPED_JOURNAL)) == 2
    assert await shipping.fence(cluster, 8)
    assert not await shipping.fence(cluster, 7)


async def test_a_job_is_run_once_and_streams_are_trimmed_on_every_node(cluster: Client) -> None:
    runs: list[str] = []

    async def work() -> str:
        runs.append("ran")
        return "worked"

    job, slot = Job("chore", "* * * * *", "a test", work), datetime(2026, 11, 25, 12, tzinfo=UTC)
    outcomes = await asyncio.gather(
        *(Scheduler(cluster, [], f"h{n}").attempt(job, slot) for n in range(5))
    )
    assert (runs, {one.note for one in outcomes}) == (["ran"], {"worked", ""})
    await cluster.set(keys.RUN, "now")
    for stream in (keys.audit("now"), keys.audit("old"), keys.REQUESTS):
        await cluster.xadd(stream, {b"d": b"x"}, id="1-0")
    await cluster.xgroup_create(keys.REQUESTS, keys.INTEL_GROUP, id="$")
    told = await stream_upkeep.tend(cluster, 1_000)
    assert told == "1 entries trimmed, 1 streams of runs long over dropped"


def test_what_each_function_is_given_has_one_slot() -> None:
    """And so has what a transaction writes."""
    for group in (
        (keys.LEASE, keys.LEASE_EPOCH),
        (keys.JOURNAL, keys.FENCE),
        (keys.PAPER_LEDGER, keys.PAPER_FENCE),
        (keys.job_state("a"), keys.job_history("a")),
        (keys.RUN, keys.KEPT, keys.summary("r"), keys.audit("r")),
        (keys.REQUESTS, keys.dead(keys.REQUESTS)),
    ):
        assert len({key_slot(name.encode()) for name in group}) == 1, group
