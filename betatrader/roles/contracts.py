"""Markets for the simulated venues, under the names that each real one gives its own."""

import heapq
from collections.abc import Iterator
from hashlib import sha256

import msgspec

from betatrader.config import Feed
from betatrader.model.event import MarketInput
from betatrader.model.ids import InstrumentId, venue_of
from betatrader.model.instrument import BinaryContract
from betatrader.model.market import InstrumentListed, Resolution
from betatrader.roles import feeds
from betatrader.sim import generator

GENERATED = InstrumentId("GENUSDT.BINANCE")
YEAR_NS = 365 * 86_400 * 1_000_000_000
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


def as_polymarket(feed: Feed, start_ns: int) -> Iterator[MarketInput]:
    """A contract that goes on for a year, its price as those of generated ones, one after another:
    markets at this venue are chosen by their condition, and do not follow each other."""
    names: dict[InstrumentId, InstrumentId] = {}
    listed: set[InstrumentId] = set()
    for event in feeds.open_feed(feed, start_ns):
        if isinstance(event, InstrumentListed):
            if isinstance(event.definition, BinaryContract):
                made = _renamed(event.definition, feed, start_ns, names)
                if made.id not in listed:
                    listed.add(made.id)
                    yield InstrumentListed(event.time_ns, made)
        elif not isinstance(event, Resolution) and event.instrument in names:
            yield msgspec.structs.replace(event, instrument=names[event.instrument])


def condition(feed: Feed) -> str:
    """The condition id of that contract."""
    return f"0x{_digest(f'contract {feed.seed}').hex()}"


def tokens(feed: Feed) -> tuple[InstrumentId, InstrumentId]:
    """Its two outcomes, YES first."""
    yes, no = (
        InstrumentId(f"{int.from_bytes(_digest(f'contract {feed.seed} {one}'))}.POLYMARKET")
        for one in ("YES", "NO")
    )
    return yes, no


def _renamed(
    contract: BinaryContract,
    feed: Feed,
    start_ns: int,
    names: dict[InstrumentId, InstrumentId],
) -> BinaryContract:
    pair = tokens(feed)
    ours, other = pair if contract.outcome == "YES" else pair[::-1]
    names[contract.id], names[contract.complement] = ours, other
    return msgspec.structs.replace(
        contract,
        id=ours,
        complement=other,
        event=condition(feed),
        expires_ns=start_ns + YEAR_NS,
    )


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _name(event: MarketInput) -> InstrumentId:
    return event.definition.id if isinstance(event, InstrumentListed) else event.instrument
