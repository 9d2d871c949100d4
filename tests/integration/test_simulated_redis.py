"""The model of the server answers as the real one, command for command."""

import random
from typing import Any

import pytest
from redis.exceptions import ResponseError

from betatrader.chaos.keyspace import Store
from betatrader.store import functions, keys
from betatrader.store.connection import Client

pytestmark = pytest.mark.asyncio
STREAM, GROUP = "bt:{t}:s", "g"


class Both:
    """Each command to both; stream ids are told apart by their order of appearance alone."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.model = Store()
        self.names: dict[bytes, bytes] = {}
        """Ids of the real server to those of the model."""

    async def do(self, name: str, *args: Any, **more: Any) -> Any:
        seconds, micros = await self.redis.time()
        self.model.now_ms = seconds * 1000 + micros // 1000
        theirs = await _answer(getattr(self.redis, name), args, more)
        ours_args = tuple(self._translated(arg) for arg in args)
        more = {key: self._translated(value) for key, value in more.items()}
        ours = await _answer(getattr(self.model, name), ours_args, more)
        if name == "xadd" and "id" not in more:
            self.names[theirs] = ours
            return None
        return theirs, ours

    def _translated(self, value: Any) -> Any:
        if isinstance(value, bytes) and value.lstrip(b"(") in self.names:
            return (b"(" if value.startswith(b"(") else b"") + self.names[value.lstrip(b"(")]
        return value

    def same(self, theirs: Any, ours: Any) -> bool:
        real = {name: b"id %d" % at for at, name in enumerate(self.names)}
        modelled = {name: b"id %d" % at for at, name in enumerate(self.names.values())}
        return bool(_renamed(theirs, real) == _renamed(ours, modelled))


def _renamed(value: Any, names: dict[bytes, bytes]) -> Any:
    if isinstance(value, bytes):
        return names.get(value, value)
    if isinstance(value, dict):
        return {_renamed(k, names): _renamed(v, names) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(one, names) for one in value]
    return value


async def _answer(command: Any, args: Any, more: Any) -> Any:
    try:
        found = command(*args, **more)
        return await found if hasattr(found, "__await__") else found
    except ResponseError as error:
        return str(error).split()[0]


def _next(chance: random.Random, added: list[bytes]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    key = chance.choice(["bt:{t}:a", "bt:{t}:b"])
    some = chance.choice(added) if added else b"0-1"
    return chance.choice(
        [
            ("set", (key, chance.randrange(9)), {}),
            ("get", (key,), {}),
            ("hset", (f"{key}:h",), {"mapping": {chance.choice("xy"): chance.randrange(9)}}),
            ("hget", (f"{key}:h", "x"), {}),
            ("hgetall", (f"{key}:h",), {}),
            ("xadd", (STREAM, {b"d": b"%d" % chance.randrange(99)}), {}),
            ("xlen", (STREAM,), {}),
            ("xrange", (STREAM,), {"min": b"-", "count": 3}),
            ("xrange", (STREAM,), {"min": b"(" + some}),
            ("xgroup_create", (STREAM, GROUP), {"id": "0", "mkstream": True}),
            ("xreadgroup", (GROUP, "c", {STREAM: ">"}), {"count": 2}),
            ("xreadgroup", (GROUP, "c", {STREAM: "0"}), {"count": 2}),
            ("xack", (STREAM, GROUP, some), {}),
        ]
    )


@pytest.mark.parametrize("seed", range(12))
async def test_a_random_sequence_of_commands_has_the_same_answers(redis: Client, seed: int) -> None:
    chance, both = random.Random(seed), Both(redis)
    for number in range(150):
        name, args, more = _next(chance, list(both.names))
        answers = await both.do(name, *args, **more)
        assert answers is None or both.same(*answers), (seed, number, name, args, more, answers)


@pytest.mark.parametrize("seed", range(6))
async def test_lease_and_shipping_have_the_same_answers(redis: Client, seed: int) -> None:
    chance, both = random.Random(seed), Both(redis)
    await functions.load(redis)
    epochs, number = [1], 0
    for _ in range(80):
        holder, epoch = chance.choice("ab"), chance.choice(epochs)
        lease = (keys.LEASE, keys.LEASE_EPOCH)
        ship = (keys.JOURNAL, keys.FENCE)
        entries = [b"%d" % chance.randrange(99) for _ in range(chance.randrange(3))]
        number = chance.choice((1, number, number + 1, number + 3))
        kind = chance.choice(("whole", "records"))
        asked = f"{chance.choice((5, 6, 7))} {number} {kind}"
        call = chance.choice(
            [
                ("bt_lease_acquire", 2, *lease, holder, chance.choice((0, 60_000)), epoch),
                ("bt_lease_renew", 1, keys.LEASE, holder, epoch, 60_000),
                ("bt_lease_release", 1, keys.LEASE, holder, epoch),
                ("bt_ship", 2, *ship, asked, *entries),
            ]
        )
        if not chance.randrange(3):
            more = {"id": f"{chance.choice((5, 6, 7))}-{number}", "nomkstream": True}
            theirs, ours = await both.do("xadd", keys.JOURNAL, {b"d": b"1"}, **more)
            assert theirs == ours, more
        theirs, ours = await both.do("fcall", functions.named(call[0]), *call[1:])
        if call[0] == "bt_lease_acquire":  # an epoch is the server's clock, and two are asked
            assert theirs[0] == ours[0], call
            epochs.append(int(theirs[1]))
            both.model.strings.update({keys.LEASE_EPOCH: await redis.get(keys.LEASE_EPOCH)})
            both.model.hashes[keys.LEASE] = await redis.hgetall(keys.LEASE)
        else:
            assert theirs == ours, call
    entries = [fields for _, fields in await redis.xrange(keys.JOURNAL)]
    assert entries == [fields for _, fields in both.model.xrange(keys.JOURNAL)]
