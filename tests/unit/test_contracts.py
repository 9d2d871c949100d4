"""Markets of the simulated Polymarket: they end, and the next one follows."""

from itertools import islice

from betatrader.config import Feed
from betatrader.model.instrument import BinaryContract
from betatrader.model.market import BookSnapshot, InstrumentListed, Resolution
from betatrader.model.money import SCALE
from betatrader.roles.contracts import LOOPS, as_polymarket, condition, tokens

START = 1_800_000_000_000_000_000
SECOND = 1_000_000_000
FEED = Feed(generated=True)


def test_a_market_ends_and_the_next_one_is_listed() -> None:
    listed, ended, snapshots = list[BinaryContract](), list[Resolution](), 0
    for event in islice(as_polymarket(FEED, START), 1_000_000):
        if isinstance(event, InstrumentListed) and isinstance(event.definition, BinaryContract):
            listed.append(event.definition)
            if len(listed) == 4:
                break
        elif isinstance(event, Resolution):
            ended.append(event)
        snapshots += isinstance(event, BookSnapshot)
    assert snapshots == 2 * LOOPS
    assert [one.event for one in listed] == [condition(FEED, START, at) for at in (0, 0, 1, 1)]
    assert (listed[0].id, listed[1].id) == tokens(FEED, START, 0)
    assert {one.instrument for one in ended} == set(tokens(FEED, START, 0))
    assert sum(one.payout for one in ended) == SCALE
    assert listed[0].expires_ns == START + LOOPS * 30 * SECOND
    assert 0 <= ended[0].time_ns - listed[0].expires_ns < SECOND


def test_a_venue_that_starts_again_has_other_markets() -> None:
    assert condition(FEED, START) != condition(FEED, START + SECOND)
