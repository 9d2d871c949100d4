"""The benchmarks measure what they say: the tape goes on, orders end in every way, leaks show."""

import gc
import os
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import msgspec
import pytest
from scenes import coin, quote

from betatrader.bench.churn import Churn, Ending
from betatrader.bench.soak import RUN, slope, ticking
from betatrader.bench.tape import RICH, SETUP, opened, repeated
from betatrader.engine import orders
from betatrader.engine.engine import Engine
from betatrader.model.instruction import TimerFired
from betatrader.model.market import InstrumentListed, PublicTrade, Quote
from betatrader.model.money import parse
from betatrader.model.order import OrderState
from betatrader.ops.process import resident_mb
from betatrader.roles.trader import Trader
from betatrader.store.journal import Journal
from betatrader.venues.gateway import Gateway

LISTED = InstrumentListed(0, msgspec.structs.replace(coin(), lot=parse("0.0001")))
QUOTES = [quote("1000", "1001", 1.0), quote("1000", "1001", 1.5)]


def recorded() -> list:
    numbered = [
        Quote(q.time_ns, q.instrument, q.bid, q.bid_size, q.ask, q.ask_size, number)
        for number, q in enumerate(QUOTES, 7)
    ]
    return [LISTED, *numbered, PublicTrade(numbered[1].time_ns, coin().id, 10, 1, True, "t")]


def churned(count: int) -> tuple[Trader, Ending]:
    engine, venue = Engine(RICH, [Churn(every=1)]), Ending()
    trader = opened(engine, recorded(), Gateway(venue), None)
    venue.report = trader.take
    for event in islice(repeated(recorded()), 3 * count):
        if venue.orders < count:
            trader.take(event)
    return trader, venue


def test_the_tape_goes_on_for_ever_and_times_and_ids_only_grow() -> None:
    played = list(islice(repeated(recorded()), 30))
    assert not any(isinstance(event, InstrumentListed) for event in played)
    times = [event.time_ns for event in played]
    ids = [event.update_id for event in played if isinstance(event, Quote)]
    assert times == sorted(times)
    assert times[-1] > 9 * 10**9
    assert ids == list(range(7, 27))


def test_a_tick_comes_each_second_before_what_is_due() -> None:
    played = list(islice(ticking(repeated(recorded())), 40))
    ticks = [event.time_ns for event in played if isinstance(event, TimerFired)]
    assert len(ticks) > 5
    assert all(later - one >= 10**9 for one, later in pairwise(ticks))
    assert isinstance(played[0], TimerFired)


def test_churn_leads_to_every_end_and_to_refusals() -> None:
    trader, venue = churned(400)
    state = trader.engine.state
    ends = Counter(order.state for order in state.orders.closed.values())
    assert ends[OrderState.FILLED] >= 150
    assert ends[OrderState.CANCELED] >= 150
    assert ends[OrderState.REJECTED] == 40
    assert venue.orders == 400
    assert any(order.filled for order in state.orders.closed.values() if order.remaining)
    assert set(state.denials) == {"order_notional"}


def test_closed_orders_are_let_go_with_their_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "CLOSED_KEPT", 50)
    monkeypatch.setattr(orders, "DENIED_KEPT", 3)
    trader, venue = churned(500)
    found = trader.engine.state.orders
    assert venue.orders == 500
    assert len(found.closed) == 50
    assert len(found.denied) == 3
    assert len(found.open) <= 1
    assert len(found.seen_fills) <= 500 < 50 + orders.UNKNOWN_KEPT


def test_the_slope_is_that_of_the_leak_and_not_of_the_noise() -> None:
    noise = (0.0, 3.0, -2.0, -1.0)
    leaking = [(at, 80.0 + at / 1000 + noise[at % 4]) for at in range(4000)]
    level = [(at, 80.0 + noise[at % 4]) for at in range(4000)]
    assert slope(leaking) * 4000 == pytest.approx(4.0, abs=0.05)
    assert slope(level) * 4000 == pytest.approx(0.0, abs=0.05)


def test_t14_what_a_trader_remembers_is_bounded_whatever_it_has_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short soak, journal on: `betatrader bench soak` plays ten million events."""
    monkeypatch.setattr(orders, "CLOSED_KEPT", 200)  # soon reached
    monkeypatch.setattr(orders, "DENIED_KEPT", 50)
    monkeypatch.setattr(orders, "UNKNOWN_KEPT", 100)
    engine, venue = Engine(RICH, [Churn(every=1)]), Ending()
    log = Journal(tmp_path / RUN, RUN, "0", SETUP)
    trader = opened(engine, recorded(), Gateway(venue), log)
    venue.report = trader.take
    played = ticking(repeated(recorded()))

    def after(events: int) -> tuple[int, int, float]:
        """Bytes of the engine's memory, objects, and what is resident, in 2^20 bytes."""
        for event in islice(played, events):
            trader.take(event)
        log.sync()
        gc.collect()
        return len(engine.snapshot()), len(gc.get_objects()), resident_mb(os.getpid())

    state, objects, resident = after(8_000)
    ended = venue.orders
    remembered = engine.state.orders
    full = (len(remembered.closed), len(remembered.denied))
    assert full == (orders.CLOSED_KEPT, orders.DENIED_KEPT), "as many as ever will be"
    more_state, more_objects, more_resident = after(16_000)
    assert venue.orders > ended * 2
    assert more_state < state * 1.001
    assert more_objects < objects * 1.01
    assert more_resident - resident < 4.0
    log.close()
