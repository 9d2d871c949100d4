"""The data of a small model of the Redis server, and what a trader's commands do to it.

A conformance test holds it to the real server.
"""

from typing import Any

from redis.exceptions import OutOfMemoryError, ResponseError

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

    def copy(self) -> "Group":
        """Another that changes by itself."""
        made = Group(self.last)
        made.pending = dict(self.pending)
        return made


class Stream:
    """Entries by id, in order."""

    def __init__(self) -> None:
        self.entries: dict[Id, dict[bytes, bytes]] = {}
        self.last: Id = (0, 0)
        self.groups: dict[str, Group] = {}

    def copy(self) -> "Stream":
        """Another that changes by itself; what an entry holds never changes."""
        made = Stream()
        made.entries, made.last = dict(self.entries), self.last
        made.groups = {name: group.copy() for name, group in self.groups.items()}
        return made


class Store:
    """The server's data. `now_ms` is its own clock."""

    def __init__(self) -> None:
        self.strings: dict[str, bytes] = {}
        self.hashes: dict[str, dict[bytes, bytes]] = {}
        self.streams: dict[str, Stream] = {}
        self.now_ms = 0
        self.full = False

    def copy(self) -> "Store":
        """Another that changes by itself."""
        made = Store()
        made.strings = dict(self.strings)
        made.hashes = {key: dict(fields) for key, fields in self.hashes.items()}
        made.streams = {key: stream.copy() for key, stream in self.streams.items()}
        return made

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
        id: str = "*",  # noqa: A002
        *,
        maxlen: int | None = None,
        approximate: bool = True,  # noqa: ARG002  redis-py's own name
        nomkstream: bool = False,
    ) -> bytes | None:
        """XADD with the id that is given, or one of the server's."""
        self._grow()
        if nomkstream and key not in self.streams:
            return None
        stream = self.streams.setdefault(key, Stream())
        ms, number = stream.last
        made = (self.now_ms, 0) if self.now_ms > ms else (ms, number + 1)
        if id != "*":
            made = _id(id.encode())
            if made <= stream.last:
                raise ResponseError(
                    "The ID specified in XADD is equal or smaller than the target stream top item"
                )
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

    def xrevrange(self, key: str, count: int | None = None) -> list[Entry]:
        """XREVRANGE from the end."""
        stream = self.streams.get(key)
        names = list(reversed(stream.entries))[:count] if stream is not None else []
        return [(_text(name), dict(stream.entries[name])) for name in names if stream is not None]

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
        return functions[name.rpartition("_")[0]](*arguments)  # without the mark of its version

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
        held = int(self.hgetall(fence).get(b"epoch", b"0"))
        writer, at = self.streams[key].last if key in self.streams else (0, 0)
        whole = kind == "whole"
        if epoch < max(held, writer):
            return [b"fenced", _bytes(max(held, writer))]
        if epoch > writer:
            self.streams.setdefault(key, Stream()).last = (epoch, 0)
            at = 0
        self._hset(fence, {"epoch": epoch})
        if not entries:
            return at
        if first > at + 1 and not whole:
            return [b"gap", _bytes(at)]
        for number, entry in enumerate(entries, first):
            if number <= at:
                continue
            name = self.xadd(key, {b"d": entry}, f"{epoch}-{number}")
            if whole and number == first:
                before = self.hashes.get(fence, {}).get(b"whole")
                if before is not None:
                    self._trim(key, _id(before))
                self._hset(fence, {"whole": name})
            at = number
        return at

    def _trim(self, key: str, oldest: Id) -> None:
        stream = self.streams[key]
        stream.entries = {name: f for name, f in stream.entries.items() if name >= oldest}
