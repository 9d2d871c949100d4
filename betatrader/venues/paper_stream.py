"""The paper venue's books in Redis, for a trader whose disk may go: `durability = "shipped"`.

The same entries as in the file, in a stream of their own that only the last leader may append to. A
report leaves the venue only once Redis has the entries before it: what was answered is never lost.
"""

from collections import deque
from collections.abc import Callable

import anyio
import msgspec

from betatrader.model.event import encode_as
from betatrader.sim.custody import US
from betatrader.sim.ledger import Entry, Ledger
from betatrader.store import shipping
from betatrader.store.connection import Client
from betatrader.store.functions import PAPER_LEDGER
from betatrader.store.schema import Schema
from betatrader.store.shipping import Shipper

_decode_entry = msgspec.msgpack.Decoder(Entry).decode
_decode_ledger = msgspec.msgpack.Decoder(Ledger).decode


class LedgerStream:
    """Ships the entries of our own account; `release` holds what must wait for them."""

    def __init__(self, redis: Client, ledger: Callable[[], Ledger], schema: Schema) -> None:
        self._redis = redis
        self._shipper = Shipper(
            redis, lambda: encode_as(ledger(), schema.writes), PAPER_LEDGER, schema
        )
        self._shipper.on_acknowledged = self._acknowledged
        self._held: deque[tuple[int, Callable[[], None]]] = deque()
        self._settled = anyio.Event()

    async def load(self, epoch: int) -> Ledger | None:
        """Let no earlier venue write any more, and give the books as they stand; None where there
        are none. Raises what the client raises."""
        await shipping.fence(self._redis, epoch, PAPER_LEDGER)
        ledger: Ledger | None = None
        for shipped in await shipping.read_all(self._redis, PAPER_LEDGER):
            if shipped.whole:
                ledger = _decode_ledger(shipped.body)
            elif ledger is not None:
                ledger.apply(_decode_entry(shipped.body))
        self._shipper.begin(epoch)
        return ledger

    def keep(self, owner: str, entry: Entry) -> None:
        """Queue one entry of our own account."""
        if owner == US:
            self._shipper.offer(entry)

    def release(self, tell: Callable[[], None]) -> None:
        """Tell it once all entries so far are in Redis."""
        if not self._held and self._shipper.acknowledged >= self._shipper.offered:
            tell()
        else:
            self._held.append((self._shipper.offered, tell))

    @property
    def holds_something(self) -> bool:
        """Whether anything waits to be told."""
        return bool(self._held)

    async def settled(self) -> None:
        """Return when all entries so far are in Redis, and all that waited for them was told."""
        while self._held or self._shipper.acknowledged < self._shipper.offered:
            await self._settled.wait()

    def _acknowledged(self, number: int) -> None:
        while self._held and self._held[0][0] <= number:
            self._held.popleft()[1]()
        self._settled.set()
        self._settled = anyio.Event()

    async def run(self) -> None:
        """Ship until cancelled."""
        await self._shipper.run()

    def close(self) -> None:
        """Redis keeps it."""
