"""Markets that follow each other: the adapter trades the next one as it opens, and none is lost."""

from typing import Any

import msgspec
import poly_scene as scene
import pytest
from poly_meeting import RELAYED, Bridge, Meeting

from betatrader.chaos.loop import Process
from betatrader.model.ids import InstrumentId
from betatrader.model.market import BookSnapshot, InstrumentListed, Resolution
from betatrader.model.money import SCALE, parse
from betatrader.ops import clock
from betatrader.venues.polymarket import listing
from betatrader.venues.polymarket.public import PolymarketMarket
from betatrader.venues.reconcile import unexplained

FOLLOW = {"follow": ("simulated-market-",), "markets": ()}


def names(number: int) -> tuple[InstrumentId, InstrumentId]:
    yes, no = (f"{10**75 + 2 * number + at}.POLYMARKET" for at in (0, 1))
    return InstrumentId(yes), InstrumentId(no)


def open_next(meeting: Meeting, number: int) -> tuple[InstrumentId, InstrumentId]:
    """The venue lists another market, with a book for each token."""
    yes, no = names(number)
    bids, asks = scene.levels("0.48x30"), scene.levels("0.52x30")
    for name, other, token in ((yes, no, scene.YES), (no, yes, scene.NO)):
        event = f"0x{number:064x}"
        made: Any = msgspec.structs.replace(
            scene.contract(token), id=name, complement=other, event=event
        )
        meeting.do(lambda made=made: meeting.core.play(InstrumentListed(clock.now_ns(), made)))
        meeting.do(lambda n=name: meeting.core.play(BookSnapshot(clock.now_ns(), n, bids, asks, 1)))
    meeting.go(2)
    return yes, no


def end(meeting: Meeting, yes: InstrumentId, no: InstrumentId) -> None:
    for name, payout in ((yes, SCALE), (no, 0)):
        meeting.do(lambda n=name, p=payout: meeting.core.play(Resolution(clock.now_ns(), n, p)))


def test_the_next_market_is_traded_as_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = Meeting(monkeypatch, 1, 0, **FOLLOW)
    assert scene.YES_ID in meeting.state.markets
    end(meeting, scene.YES_ID, scene.NO_ID)
    for number in (2, 3):
        yes, no = open_next(meeting, number)
        meeting.buy(yes, "0.52", "10")
        meeting.settle()
        assert meeting.ledger().held(yes) == parse("10")
        end(meeting, yes, no)
    account = meeting.settle()
    assert unexplained(meeting.state, account, "POLYMARKET", clock.now_ns()) == []
    assert meeting.state.portfolio.cash == meeting.ledger().cash


def test_what_ended_while_the_trader_was_away_is_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gamma lists open markets alone; what was traded before is asked for by its token."""
    meeting = Meeting(monkeypatch, 1, 2, **FOLLOW, **RELAYED)
    meeting.core.state.exchange.pays_at_end = False
    meeting.buy(scene.YES_ID, "0.52", "10")
    meeting.settle()
    meeting.do(meeting.scope.cancel)
    meeting.go(1)
    end(meeting, scene.YES_ID, scene.NO_ID)
    yes, _ = open_next(meeting, 2)
    meeting.start()
    assert meeting.venue._listing.payouts == {scene.YES_ID: SCALE, scene.NO_ID: 0}
    assert meeting.venue._listing.knows(yes)
    meeting.go(120)
    assert meeting.ledger().held(scene.YES_ID) == 0, "redeemed"


def test_markets_of_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "ENDED_KEPT", 2)
    meeting = Meeting(monkeypatch, 1, 0, **FOLLOW)
    end(meeting, scene.YES_ID, scene.NO_ID)
    for number in range(2, 7):
        end(meeting, *open_next(meeting, number))
    meeting.account()
    meeting.go(120)
    meeting.account()
    known = meeting.venue._listing
    assert len(known.markets) == 2
    assert len(known.payouts) == 4
    assert known.conditions == []


def test_markets_of_other_names_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = Meeting(monkeypatch, 1, 0, follow=("another-series-",))
    yes, _ = open_next(meeting, 2)
    meeting.go(60)
    assert not meeting.venue._listing.knows(yes)


def test_the_market_without_an_account_follows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As paper and shadow use it: what is held of before is asked for, also where it has ended."""
    meeting = Meeting(monkeypatch, 1, 0, **FOLLOW)
    end(meeting, scene.YES_ID, scene.NO_ID)
    yes, _ = open_next(meeting, 2)
    told: list[Any] = []
    market = PolymarketMarket(meeting.settings, Bridge(meeting.core), told.append, lambda _: None)
    market.remember(lambda: {scene.YES_ID})
    meeting.loop.spawn(Process("paper"), market.run)
    meeting.go(5)
    later, _ = open_next(meeting, 3)
    meeting.go(2)
    listed = {event.definition.id for event in told if isinstance(event, InstrumentListed)}
    assert {yes, later} <= listed
    ended = [(event.instrument, event.payout) for event in told if isinstance(event, Resolution)]
    assert ended == [(scene.YES_ID, SCALE)]
    assert {yes, later} <= {event.instrument for event in told if isinstance(event, BookSnapshot)}
