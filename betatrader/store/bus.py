"""Typed streams over Redis: an envelope a message, one consumer group a role.

At-least-once: what a consumer has read and not acknowledged comes again, so consumers keep a
window of message ids (`Seen`). What cannot be decoded, or was delivered too often, goes to the
stream's dead-letter stream, where a person can look at it.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import msgspec
from redis.exceptions import ResponseError

from betatrader.model.errors import UsageError
from betatrader.model.event import SCHEMA_VERSION, encode_as
from betatrader.ops import metrics
from betatrader.store import keys
from betatrader.store.connection import AWAY, BLOCK_S, Client
from betatrader.store.schema import check

T = TypeVar("T")

FIELD = b"d"
MOST_DELIVERIES = 5
DEAD_KEPT = 1_000
CLAIM_AFTER_MS = 30_000
"""A message that another consumer has held so long is taken over."""

GONE_AFTER_MS = 3_600_000


class Envelope(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What every message wears: schema version, its producer's id for it, and the trace."""

    version: int
    id: str
    trace: str
    body: msgspec.Raw


class Message(NamedTuple, Generic[T]):
    """One message as its consumer sees it; `entry` acknowledges it."""

    entry: bytes
    id: str
    trace: str
    body: T


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode


def seal(body: object, message_id: str, trace: str = "", schema: int = SCHEMA_VERSION) -> bytes:
    """A body in its envelope, as bytes of this schema."""
    return _encode(Envelope(schema, message_id, trace, msgspec.Raw(encode_as(body, schema))))


def open_envelope(data: bytes) -> Envelope:
    """The envelope in these bytes; raises msgspec.DecodeError, or UsageError for a schema that
    this version does not read."""
    envelope = _decode(data)
    check(envelope.version, f"message {envelope.id}")
    return envelope


async def publish(redis: Client, stream: str, data: bytes) -> None:
    """Append one sealed message. Never repeated: a time-out means that the outcome is unknown."""
    await redis.xadd(stream, {FIELD: data})


async def publish_all(redis: Client, messages: list[tuple[str, bytes]]) -> None:
    """Append sealed messages to their streams in one trip."""
    if not messages:
        return
    async with redis.pipeline(transaction=False) as pipe:
        for stream, data in messages:
            pipe.xadd(stream, {FIELD: data})
        await pipe.execute()


class Consumer(Generic[T]):
    """One member of a stream's group. `blocking` waits at the server, `redis` acknowledges."""

    def __init__(
        self,
        redis: Client,
        blocking: Client,
        stream: str,
        group: str,
        *,
        name: str,
        decode: Callable[[msgspec.Raw], T],
    ) -> None:
        self.stream = stream
        self.group = group
        self.dead_letters = 0
        self._redis = redis
        self._blocking = blocking
        self._name = name
        self._decode = decode
        self._cursor = "0"

    async def join(self, start: str = "0") -> None:
        """Make the group where it does not exist; it begins at `start` of the stream."""
        try:
            await self._redis.xgroup_create(self.stream, self.group, id=start, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def rejoin(self) -> None:
        """Make the group again where the server came back empty; and read what was left unread."""
        self._cursor = "0"
        with contextlib.suppress(*AWAY):
            await self.join()

    async def read(self, count: int = 64, block_s: float = BLOCK_S) -> list[Message[T]]:
        """The next messages: first those that this consumer read before and never acknowledged."""
        if self._cursor != ">":
            entries = await self._fetch(self._cursor, count, None)
            if entries:
                return await self._messages(entries)
            self._cursor = ">"
        entries = await self._fetch(">", count, int(block_s * 1000))
        return await self._messages(entries)

    async def take_over(self, idle_ms: int = CLAIM_AFTER_MS) -> list[Message[T]]:
        """Messages that another consumer took and let lie; those tried too often are buried."""
        _, entries, _ = await self._redis.xautoclaim(
            self.stream, self.group, self._name, idle_ms, count=64
        )
        if not entries:
            return []
        tried = {
            row["message_id"]: row["times_delivered"]
            for row in await self._redis.xpending_range(
                self.stream, self.group, entries[0][0], entries[-1][0], len(entries)
            )
        }
        kept = []
        for entry, fields in entries:
            if tried.get(entry, 0) > MOST_DELIVERIES:
                await self.bury(entry, fields, f"delivered {tried[entry]} times")
            else:
                kept.append((entry, fields))
        return await self._messages(kept)

    async def forget_gone(self, idle_ms: int = GONE_AFTER_MS) -> None:
        """Take consumers out of the group that hold nothing and have not asked for long: machines
        that are no more."""
        for found in await self._redis.xinfo_consumers(self.stream, self.group):
            name = found["name"].decode()
            if name != self._name and found["pending"] == 0 and found["idle"] > idle_ms:
                await self._redis.xgroup_delconsumer(self.stream, self.group, name)

    async def acknowledge(self, *entries: bytes) -> None:
        """These messages are dealt with."""
        if entries:
            await self._redis.xack(self.stream, self.group, *entries)

    async def bury(self, entry: bytes, fields: dict[bytes, bytes], reason: str) -> None:
        """Put a message into the dead-letter stream, and acknowledge it."""
        self.dead_letters += 1
        metrics.DEAD_LETTERS.inc()
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xadd(
                keys.dead(self.stream),
                {b"id": entry, b"reason": reason.encode(), **fields},
                maxlen=DEAD_KEPT,
                approximate=True,
            )
            pipe.xack(self.stream, self.group, entry)
            await pipe.execute()

    async def bury_message(self, message: Message[T], reason: str) -> None:
        """The same for a message that was opened, and cannot be dealt with."""
        data = seal(message.body, message.id, message.trace)
        await self.bury(message.entry, {FIELD: data}, reason)

    async def _fetch(
        self, cursor: str, count: int, block_ms: int | None
    ) -> list[tuple[bytes, dict[bytes, bytes]]]:
        answer = await self._blocking.xreadgroup(
            self.group, self._name, {self.stream: cursor}, count=count, block=block_ms
        )
        return next(iter(answer.values())) if answer else []

    async def _messages(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> list[Message[T]]:
        messages = []
        for entry, fields in entries:
            try:
                envelope = open_envelope(fields[FIELD])
                body = self._decode(envelope.body)
            except (KeyError, TypeError, ValueError, msgspec.DecodeError, UsageError) as error:
                why = str(error).partition("\n")[0]
                await self.bury(entry, fields or {}, f"unreadable: {why}")
                continue
            messages.append(Message(entry, envelope.id, envelope.trace, body))
        return messages


class Seen:
    """A window of message ids that were dealt with; `first_time` also remembers."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._ids: OrderedDict[str, None] = OrderedDict()

    def first_time(self, message_id: str) -> bool:
        """False where this id was seen within the window."""
        if message_id in self._ids:
            return False
        self._ids[message_id] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)
        return True
