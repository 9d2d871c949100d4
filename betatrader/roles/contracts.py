"""Markets for the simulated venues, under the names that each real one gives its own."""

import heapq
from collections.abc import Iterable, Iterator
from hashlib import sha256

import msgspec

from betatrader.config import Feed
from betatrader.model.event import MarketInput
from betatrader.model.ids import InstrumentId, venue_of
from betatrader.model.instrument import BinaryContract
from betatrader.model.market import InstrumentListed
from betatrader.roles import feeds
from betatrader.sim import generator

GENERATED = InstrumentId("GENUSDT.BINANCE")
LOOP_S = 600.0
"""A generated pair goes on for so long, and then anew."""


def as_binance(feed: Feed, start_ns: int) -> Iterator[MarketInput]:
    """The recorded pairs of a feed and, where it may, a generated one on which more happens."""
    recorded = (e for e in feeds.open_feed(feed, start_ns) if venue_of(_name(e)) == "BINANCE")
    sources: list[Iterator[MarketInput]] = [recorded]
    if feed.generated and not feed.data:
        pace = feeds.Pace(feed.speed)
        sources.append(pace.forever(lambda loop: _spot(feed, loop), start_ns))
    return heapq.merge(*sources, key=lambda event: event.time_ns)


def _spot(feed: Feed, loop: int) -> Iterator[MarketInput]:
    for arrival in generator.spot_market(feed.seed + loop, LOOP_S, float(feed.pattern)):
        for event in arrival.events:
            if isinstance(event, InstrumentListed):
                definition = msgspec.structs.replace(event.definition, id=GENERATED)
                yield InstrumentListed(event.time_ns, definition)
            else:
                yield msgspec.structs.replace(event, instrument=GENERATED)


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


def _name(event: MarketInput) -> InstrumentId:
    return event.definition.id if isinstance(event, InstrumentListed) else event.instrument
