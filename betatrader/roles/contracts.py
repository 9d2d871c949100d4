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
LOOPS = 20
"""So many generated contracts make one market of Polymarket: ten minutes."""

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
    """Markets of the same length, one after another: each goes on over `LOOPS` contracts, with
    their prices, and ends as the last of them does."""
    names: dict[InstrumentId, InstrumentId] = {}
    listed: set[InstrumentId] = set()
    pair: set[InstrumentId] = set()
    loop = 0
    for event in feeds.open_feed(feed, start_ns):
        if isinstance(event, InstrumentListed):
            if not isinstance(event.definition, BinaryContract):
                continue
            if len(pair) == 2 and event.definition.id not in pair:
                pair.clear()
                loop += 1
            pair.add(event.definition.id)
            made = _renamed(event, (feed, start_ns, loop // LOOPS), names)
            if made.id not in listed:
                listed.add(made.id)
                yield InstrumentListed(event.time_ns, made)
        elif isinstance(event, Resolution):
            ours = names.pop(event.instrument, None)
            if ours is not None and (loop + 1) % LOOPS == 0:
                yield msgspec.structs.replace(event, instrument=ours)
        elif event.instrument in names:
            yield msgspec.structs.replace(event, instrument=names[event.instrument])


def condition(feed: Feed, start_ns: int, number: int = 0) -> str:
    """The condition id of one of those markets."""
    return f"0x{_digest(_name_of(feed, start_ns, number)).hex()}"


def tokens(feed: Feed, start_ns: int, number: int = 0) -> tuple[InstrumentId, InstrumentId]:
    """Its two outcomes, YES first."""
    name = _name_of(feed, start_ns, number)
    yes, no = (
        InstrumentId(f"{int.from_bytes(_digest(f'{name} {one}'))}.POLYMARKET")
        for one in ("YES", "NO")
    )
    return yes, no


def _name_of(feed: Feed, start_ns: int, number: int) -> str:
    """A venue that is started again has other markets than before."""
    return f"contract {feed.seed} {start_ns // 1_000_000_000:x} {number}"


def _renamed(
    event: InstrumentListed,
    market: tuple[Feed, int, int],
    names: dict[InstrumentId, InstrumentId],
) -> BinaryContract:
    contract = event.definition
    assert isinstance(contract, BinaryContract)
    pair = tokens(*market)
    ours, other = pair if contract.outcome.upper() == "YES" else pair[::-1]
    names[contract.id] = ours
    return msgspec.structs.replace(
        contract,
        id=ours,
        complement=other,
        event=condition(*market),
        expires_ns=event.time_ns + LOOPS * (contract.expires_ns - event.time_ns),
    )


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _name(event: MarketInput) -> InstrumentId:
    return event.definition.id if isinstance(event, InstrumentListed) else event.instrument
