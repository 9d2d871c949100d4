"""Generated contracts under the names that Polymarket gives its own: token and condition ids."""

from collections.abc import Iterable, Iterator
from hashlib import sha256

import msgspec

from betatrader.model.event import MarketInput
from betatrader.model.ids import InstrumentId, venue_of
from betatrader.model.instrument import BinaryContract
from betatrader.model.market import InstrumentListed


def as_polymarket(events: Iterable[MarketInput]) -> Iterator[MarketInput]:
    """The contracts among these events; other instruments are left out."""
    names: dict[InstrumentId, InstrumentId] = {}
    for event in events:
        if isinstance(event, InstrumentListed):
            if isinstance(event.definition, BinaryContract):
                yield InstrumentListed(event.time_ns, _renamed(event.definition, names))
        elif event.instrument in names:
            yield msgspec.structs.replace(event, instrument=names[event.instrument])


def _renamed(contract: BinaryContract, names: dict[InstrumentId, InstrumentId]) -> BinaryContract:
    for name in (contract.id, contract.complement):
        names[name] = InstrumentId(f"{int.from_bytes(_digest(name))}.POLYMARKET")
    return msgspec.structs.replace(
        contract,
        id=names[contract.id],
        complement=names[contract.complement],
        event=f"0x{_digest(contract.event).hex()}",
    )


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def of_venue(venue: str, events: Iterable[MarketInput]) -> Iterator[MarketInput]:
    """The events of one venue's instruments, as their ids name it."""
    for event in events:
        name = event.definition.id if isinstance(event, InstrumentListed) else event.instrument
        if venue_of(name) == venue:
            yield event
