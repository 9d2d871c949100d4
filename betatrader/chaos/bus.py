"""A small model of the Redis server in virtual time, with what may befall it.

`SimulatedRedis` is a client as redis-py's; the data is `keyspace.Store`.
"""

import asyncio
import random
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from betatrader.chaos.keyspace import Store
from betatrader.chaos.loop import VirtualLoop, current_process
from betatrader.store.connection import COMMAND_TIMEOUT_S


class Server:
    """A store in virtual time, with what may befall it. Times are virtual seconds."""

    def __init__(self, loop: VirtualLoop, seed: int, epoch_s: float) -> None:
        self.store = Store()
        self.away_until = 0.0
        self.hangs_until = 0.0
        self.loses_answers_until = 0.0
        self.full_until = 0.0
        self.slowest_s = 0.001
        self.ahead_s = 0.0
        """How far its clock is off."""
        self.started_s = -1000.0
        self.made = 0
        """Which process it is: each restart and each failover is another, with its own run id."""
        self.loop = loop
        self._epoch_s = epoch_s
        self._older: list[Store] = []
        self._chance = random.Random(f"redis {seed}")  # noqa: S311  a seed, to be repeated

    def remember(self) -> None:
        """Keep the data as it stands, for `fail_over`."""
        self._older.append(self.store.copy())
        del self._older[:-1]

    def restart_empty(self) -> None:
        """All is gone."""
        self.store = Store()
        self.started_s = self.loop.time()
        self.made += 1

    def fail_over(self) -> None:
        """A replica takes over that has not seen the last writes, and has been up for long."""
        if self._older:
            self.store = self._older[-1].copy()
        self.made += 1

    def now_s(self) -> float:
        """Its clock, UTC as far as it is right."""
        return self._epoch_s + self.loop.time() + self.ahead_s

    async def call(self, name: str, args: Any, kwargs: Any) -> Any:
        """One command of one client."""
        loop = self.loop
        await asyncio.sleep(self._chance.uniform(0.0001, self.slowest_s))
        if loop.time() < self.away_until:
            raise RedisConnectionError("away")
        if loop.time() < self.hangs_until:
            await asyncio.sleep(COMMAND_TIMEOUT_S)
            raise RedisTimeoutError("no answer")
        process = current_process()
        if process is not None and not process.alive:
            raise RedisConnectionError("dead")
        answer = self._do(name, args, kwargs)
        if loop.time() < self.loses_answers_until and self._chance.random() < 0.5:
            await asyncio.sleep(COMMAND_TIMEOUT_S)
            raise RedisTimeoutError("answer lost")
        await asyncio.sleep(self._chance.uniform(0.0001, self.slowest_s))
        return answer

    def _do(self, name: str, args: Any, kwargs: Any) -> Any:
        self.store.now_ms = int(self.now_s() * 1000)
        self.store.full = self.loop.time() < self.full_until
        if name == "time":
            now = self.now_s()
            return int(now), int(now % 1 * 1e6)
        if name == "info":
            uptime_s = int(self.loop.time() - self.started_s)
            return {"run_id": f"{self.made:040x}", "uptime_in_seconds": uptime_s}
        if name == "many":
            return [getattr(self.store, one)(*a, **k) for one, a, k in args]
        return getattr(self.store, name)(*args, **kwargs)


class SimulatedRedis:
    """A client: each method is a command, as redis-py's; `client` makes one of one connection."""

    def __init__(self, server: Server, *, single: bool = False) -> None:
        self._server = server
        self._single = single
        self._connected = server.made

    def client(self) -> "SimulatedRedis":
        """A client whose one connection breaks where the server restarts."""
        return SimulatedRedis(self._server, single=True)

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            connected, self._connected = self._connected, self._server.made
            if self._single and connected != self._connected:
                raise RedisConnectionError("connection reset")
            return await self._server.call(name, args, kwargs)

        return call

    async def xreadgroup(
        self,
        group: str,
        consumer: str,
        streams: dict[str, str],
        count: int = 64,
        block: int | None = None,
    ) -> Any:
        """Waits for a first entry, as a blocking read does."""
        until = self._server.loop.time() + (block or 0) / 1000
        while True:
            found = await self._server.call("xreadgroup", (group, consumer, streams, count), {})
            if found or self._server.loop.time() >= until:
                return found
            await asyncio.sleep(0.25)

    def pipeline(self, *, transaction: bool = True) -> "Pipeline":  # noqa: ARG002
        """Commands in one trip."""
        return Pipeline(self._server)

    async def aclose(self) -> None:
        """Nothing to close."""


class Pipeline:
    """Gathers commands; `execute` sends them all."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._commands: list[tuple[str, Any, Any]] = []

    async def __aenter__(self) -> "Pipeline":
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        def add(*args: Any, **kwargs: Any) -> "Pipeline":
            self._commands.append((name, args, kwargs))
            return self

        return add

    async def execute(self) -> Any:
        """Send what was gathered."""
        return await self._server.call("many", tuple(self._commands), {})
