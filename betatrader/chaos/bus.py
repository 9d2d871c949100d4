"""A small model of the Redis server: the commands and functions that a trader uses, and faults.

`Store` is the data and what commands do to it; `SimulatedRedis` is a client as redis-py's, in
virtual time. A conformance test holds the store to the real server.
"""

import asyncio
import copy
import random
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from betatrader.chaos.loop import VirtualLoop, current_process
from betatrader.store import keys
from betatrader.store.connection import COMMAND_TIMEOUT_S

Entry = tuple[bytes, dict[bytes, bytes]]
Id = tuple[int, int]


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _id(text: bytes) -> Id:
    ms, _, number = text.partition(b"-")
    return int(ms), int(number or b"0")


def _text(found: Id) -> bytes:
    return b"%d-%d" % found


class Group:
    """A consumer group: where it stands, and what was read and not acknowledged."""

    def __init__(self, last: Id) -> None:
        self.last = last
        self.pending: dict[Id, str] = {}


class Stream:
    """Entries by id, in order."""

    def __init__(self) -> None:
        self.entries: dict[Id, dict[bytes, bytes]] = {}
        self.last: Id = (0, 0)
        self.groups: dict[str, Group] = {}


class Store:
    """The server's data. `now_ms` is its own clock."""

    def __init__(self) -> None:
        self.strings: dict[str, bytes] = {}
        self.hashes: dict[str, dict[bytes, bytes]] = {}
        self.streams: dict[str, Stream] = {}
        self.now_ms = 0
        self.full = False

    # Commands, as the server does them.

    def get(self, key: str) -> bytes | None:
        """GET."""
        return self.strings.get(key)

    def set(self, key: str, value: object, ex: int | None = None) -> bool:  # noqa: ARG002
        """SET; what expires is kept: no run is so long."""
        self._grow()
        self.strings[key] = _bytes(value)
        return True

    def hget(self, key: str, field: str) -> bytes | None:
        """HGET."""
        return self.hashes.get(key, {}).get(field.encode())

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        """HGETALL."""
        return dict(self.hashes.get(key, {}))

    def hset(self, key: str, mapping: dict[str, object]) -> int:
        """HSET."""
        self._grow()
        return self._hset(key, mapping)

    def _hset(self, key: str, mapping: dict[str, object]) -> int:
        fields = self.hashes.setdefault(key, {})
        new = sum(_bytes(name) not in fields for name in mapping)
        fields.update({_bytes(name): _bytes(value) for name, value in mapping.items()})
        return new

    def xadd(
        self,
        key: str,
        fields: dict[Any, Any],
        maxlen: int | None = None,
        approximate: bool = True,  # noqa: ARG002  redis-py's own name
    ) -> bytes:
        """XADD with an id of the server's."""
        self._grow()
        stream = self.streams.setdefault(key, Stream())
        ms, number = stream.last
        made = (self.now_ms, 0) if self.now_ms > ms else (ms, number + 1)
        stream.last = made
        stream.entries[made] = {_bytes(k): _bytes(v) for k, v in fields.items()}
        while maxlen is not None and len(stream.entries) > maxlen:
            del stream.entries[next(iter(stream.entries))]
        return _text(made)

    def xlen(self, key: str) -> int:
        """XLEN."""
        stream = self.streams.get(key)
        return len(stream.entries) if stream is not None else 0

    def xrange(self, key: str, min: bytes = b"-", count: int | None = None) -> list[Entry]:  # noqa: A002
        """XRANGE to the end."""
        stream = self.streams.get(key)
        if stream is None:
            return []
        after = min.startswith(b"(")
        start = (0, 0) if min == b"-" else _id(min.lstrip(b"("))
        found = [
            (_text(name), dict(fields))
            for name, fields in stream.entries.items()
            if (name > start if after else name >= start)
        ]
        return found[:count] if count is not None else found

    def xgroup_create(
        self,
        key: str,
        group: str,
        id: str = "0",  # noqa: A002
        mkstream: bool = False,  # noqa: ARG002
    ) -> bool:
        """XGROUP CREATE … MKSTREAM."""
        stream = self.streams.setdefault(key, Stream())
        if group in stream.groups:
            raise ResponseError("BUSYGROUP Consumer Group name already exists")
        stream.groups[group] = Group((0, 0) if id == "0" else stream.last)
        return True

    def xreadgroup(
        self, group: str, consumer: str, streams: dict[str, str], count: int = 64
    ) -> dict[bytes, list[Entry]]:
        """XREADGROUP of one stream, without waiting."""
        (key, cursor), *_ = streams.items()
        stream = self.streams.get(key)
        if stream is None or group not in stream.groups:
            raise ResponseError(f"NOGROUP No such key '{key}' or consumer group '{group}'")
        found = stream.groups[group]
        if cursor != ">":
            start = _id(cursor.encode())
            names = [n for n, who in found.pending.items() if who == consumer and n > start]
            old = [(_text(n), dict(stream.entries.get(n, {}))) for n in sorted(names)[:count]]
            return {key.encode(): old}
        entries = [(n, f) for n, f in stream.entries.items() if n > found.last][:count]
        for name, _ in entries:
            found.last = name
            found.pending[name] = consumer
        return {key.encode(): [(_text(n), dict(f)) for n, f in entries]} if entries else {}

    def xack(self, key: str, group: str, *entries: bytes) -> int:
        """XACK."""
        stream = self.streams.get(key)
        found = stream.groups.get(group) if stream is not None else None
        if found is None:
            return 0
        return sum(found.pending.pop(_id(entry), None) is not None for entry in entries)

    def _grow(self) -> None:
        if self.full:
            raise OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")

    # Functions, as functions.lua has them.

    def fcall(self, name: str, _numkeys: int, *arguments: Any) -> Any:
        """FCALL."""
        functions: dict[str, Any] = {
            "bt_lease_acquire": self._lease_acquire,
            "bt_lease_renew": self._lease_renew,
            "bt_lease_release": self._lease_release,
            "bt_ship": self._ship,
            "bt_fence": self._ship,
        }
        return functions[name](*arguments)

    def _lease_acquire(self, lease: str, counter: str, holder: str, ttl: int, known: int) -> Any:
        held = self.hgetall(lease)
        left = int(held.get(b"until", b"0")) - self.now_ms
        if b"holder" in held and held[b"holder"] != _bytes(holder) and left > 0:
            return [b"held", held[b"epoch"], _bytes(left)]
        last = max(
            int(self.strings.get(counter, b"0")),
            int(held.get(b"epoch", b"0")),
            int(known),
            self.now_ms - 1,
        )
        epoch = last + 1
        self.strings[counter] = _bytes(epoch)
        until = self.now_ms + int(ttl)
        self._hset(lease, {"holder": holder, "epoch": epoch, "until": until})
        return [b"taken", _bytes(epoch), _bytes(ttl)]

    def _lease_renew(self, lease: str, holder: str, epoch: int, ttl: int) -> int:
        held = self.hgetall(lease)
        if b"holder" not in held:
            return -1
        if held[b"holder"] != _bytes(holder) or held[b"epoch"] != _bytes(epoch):
            return 0
        if int(held[b"until"]) <= self.now_ms:
            return -1
        self._hset(lease, {"until": self.now_ms + int(ttl)})
        return 1

    def _lease_release(self, lease: str, holder: str, epoch: int) -> int:
        held = self.hgetall(lease)
        if held.get(b"holder") != _bytes(holder) or held.get(b"epoch") != _bytes(epoch):
            return 0
        self._hset(lease, {"until": 0})
        return 1

    def _ship(self, key: str, fence: str, *rest: Any) -> Any:
        asked, *entries = rest
        if entries:
            self._grow()
        epoch, first, kind = asked.split()
        epoch, first = int(epoch), int(first)
        held = self.hgetall(fence)
        last, at = int(held.get(b"epoch", b"0")), int(held.get(b"number", b"0"))
        whole = kind == "whole"
        if epoch < last:
            return [b"fenced", held[b"epoch"]]
        if epoch > last:
            at = 0
            self._hset(fence, {"epoch": epoch, "number": 0})
        if not entries:
            return at
        if first > at + 1 and not whole:
            return [b"gap", _bytes(at)]
        for number, entry in enumerate(entries, first):
            if number <= at:
                continue
            name = self.xadd(key, {b"d": entry})
            if whole and number == first:
                before = self.hashes.get(fence, {}).get(b"whole")
                if before is not None:
                    self._trim(key, _id(before))
                self._hset(fence, {"whole": name})
            at = number
        self._hset(fence, {"number": at})
        return at

    def _trim(self, key: str, oldest: Id) -> None:
        stream = self.streams[key]
        stream.entries = {name: f for name, f in stream.entries.items() if name >= oldest}


class Server:
    """A store in virtual time, with what may befall it. Times are virtual seconds."""

    def __init__(self, loop: VirtualLoop, seed: int, epoch_s: float) -> None:
        self.store = Store()
        self.away_until = 0.0
        self.hangs_until = 0.0
        self.loses_answers_until = 0.0
        self.full_until = 0.0
        self.slowest_s = 0.001
        self.started_s = -1000.0
        self.loop = loop
        self._epoch_s = epoch_s
        self._older: list[Store] = []
        self._chance = random.Random(f"redis {seed}")  # noqa: S311  a seed, to be repeated

    def remember(self) -> None:
        """Keep the data as it stands, for `fail_over`."""
        self._older.append(copy.deepcopy(self.store))
        del self._older[:-1]

    def restart_empty(self) -> None:
        """All is gone."""
        self.store = Store()
        self.started_s = self.loop.time()

    def fail_over(self) -> None:
        """A replica takes over that has not seen the last writes."""
        if self._older:
            self.store = copy.deepcopy(self._older[-1])
        self.started_s = self.loop.time()

    def now_s(self) -> float:
        """Its clock, UTC."""
        return self._epoch_s + self.loop.time()

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
            return {"uptime_in_seconds": int(self.loop.time() - self.started_s)}
        if name == "many":
            return [getattr(self.store, one)(*a, **k) for one, a, k in args]
        return getattr(self.store, name)(*args, **kwargs)


class SimulatedRedis:
    """A client: each method is a command, as redis-py's."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
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


KEPT = (keys.LEASE, keys.LEASE_EPOCH, keys.FENCE)
"""What a leader's safety rests on."""
