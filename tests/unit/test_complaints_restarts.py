"""What users complain of in other systems, as tests of this one: a restart, warm and cold."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from homes import Home
from scenes import COIN, NO, SECOND, YES, Puppet, quote, terms
from stops import STOP_AT
from structlog.testing import capture_logs

from betatrader.config import load
from betatrader.engine.engine import Engine
from betatrader.model.account import CashFlow, Fill, PositionTransfer
from betatrader.model.command import Step
from betatrader.model.ids import InstrumentId
from betatrader.model.limits import Limits
from betatrader.model.market import Resolution
from betatrader.model.money import parse
from betatrader.model.order import OrderState, Side
from betatrader.roles.service import Service
from betatrader.roles.standby import Standby
from betatrader.sim.replay import replay
from betatrader.store.journal_reader import Reader

BUY, SELL = Side.BUY, Side.SELL


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(tmp_path / "journal", monkeypatch)


def trade(home: Home, story: str) -> None:
    """flat: bought and sold; open: bought; flipped: closed and bought again, since nothing is
    short here; reversed: out of YES and into NO."""
    name, price, more = (YES, "0.42", "5") if story == "reversed" else (COIN, "10.01", "0.5")
    home.show("0.40", "0.42", YES)
    home.show("0.58", "0.60", NO)
    home.propose(terms(BUY, price, more, name))
    home.hear()
    if story != "open":
        home.propose(terms(SELL, "0.40" if name == YES else "9.99", more, name))
        home.hear()
    if story == "flipped":
        home.propose(terms(BUY, "10.01", "0.3"))
    elif story == "reversed":
        home.propose(terms(BUY, "0.60", "4", NO))
    home.hear()


HELD = {
    "flat": {},
    "open": {COIN: parse("0.5")},
    "flipped": {COIN: parse("0.3")},
    "reversed": {NO: parse("4")},
}


@pytest.mark.parametrize("story", list(HELD))
async def test_t3_a_warm_restart_keeps_the_position_and_makes_nothing_up(
    home: Home, story: str
) -> None:
    await home.start()
    trade(home, story)
    realised = home.scene.state.portfolio.realised
    for _ in range(3):
        assert await home.start() == ()
        assert not [e for e in home.events if isinstance(e, Fill | PositionTransfer | CashFlow)]
        assert {n: p.quantity for n, p in home.scene.state.portfolio.open_positions()} == HELD[
            story
        ]
        assert home.scene.state.orders.fills == home.venue.ledgers["us"].fill_count
        assert home.scene.state.portfolio.realised == realised
        assert home.agrees()


@pytest.mark.parametrize("story", list(HELD))
async def test_t3_a_cold_restart_takes_the_venues_position_and_no_fill(
    home: Home, story: str
) -> None:
    await home.start()
    trade(home, story)
    found = await home.start(cold=True)
    assert len(found) == len(HELD[story]), "each position, as one that came; no fill is made up"
    assert not [event for event in home.events if isinstance(event, Fill)]
    moved = [event for event in home.events if isinstance(event, PositionTransfer)]
    assert {event.instrument: event.quantity for event in moved} == HELD[story]
    assert home.scene.state.orders.fills == 0
    assert home.scene.state.portfolio.realised == 0
    assert home.agrees()
    assert await home.start() == (), "and then it is its own journal's"
    assert home.agrees()


@pytest.mark.parametrize("heard", [0, 1, 2, 3, 4])
async def test_t16_stop_and_reverse_within_a_second_each_fill_is_its_own_orders(
    home: Home, heard: int
) -> None:
    """The stop sells at the venue and the strategy buys again at once; of the reports of both we
    have heard the first few as the process is killed."""
    await home.start()
    guard = home.guarded("0.9")
    home.quote(STOP_AT)  # sold there: its report is under way
    began_s = home.now_s
    home.propose(terms(BUY, "9.60", "0.4"), STOP_AT)
    assert home.now_s - began_s < 1
    [again] = home.of("puppet")
    home.hear(heard)
    await home.start()
    state = home.scene.state
    first, second = state.orders.find(guard.id), state.orders.find(again.id)
    assert first is not None
    assert second is not None
    assert (first.filled, first.state) == (parse("0.9"), OrderState.FILLED)
    assert (second.filled, second.state) == (parse("0.4"), OrderState.FILLED)
    held = state.portfolio.positions[COIN]
    assert (held.quantity, held.cost) == (parse("0.4"), parse("9.52") * 4 // 10)
    assert state.portfolio.realised == parse("0.9") * (parse("9.50") - parse("10.01")) // 10**8
    assert state.holdings.shares[COIN] == {"puppet": parse("0.4")}
    assert state.orders.fills == home.venue.ledgers["us"].fill_count == 3
    assert home.agrees()
    assert await home.start() == ()


@pytest.mark.parametrize("heard", [0, 1, 2, 3, 4])
async def test_t16_out_of_yes_and_into_no_within_a_second(home: Home, heard: int) -> None:
    await home.start()
    home.show("0.58", "0.60", NO)
    home.show("0.40", "0.42", YES)
    home.propose(terms(BUY, "0.42", "5", YES), stop="0.35")
    home.hear()
    began_s = home.now_s
    home.show("0.34", "0.36", YES)  # our own stop sells: contracts have none at the venue
    [stop] = home.of("stop")
    home.propose(terms(BUY, "0.60", "4", NO))
    [again] = home.of("puppet")
    assert home.now_s - began_s < 1
    home.hear(heard)
    await home.start()
    state = home.scene.state
    ends = {one: state.orders.closed[one].filled for one in (stop.id, again.id)}
    assert ends == {stop.id: parse("5"), again.id: parse("4")}
    assert state.portfolio.quantity(YES) == 0
    assert state.holdings.shares[NO] == {"puppet": parse("4")}
    assert state.portfolio.positions[NO].cost == parse("2.4")
    assert home.agrees()
    assert await home.start() == ()


POISON = {
    "a quote of what was never listed": lambda at: quote("1", "2", at, InstrumentId("NEVER.SIM")),
    "an end of what was never listed": lambda at: Resolution(
        int(at * SECOND), InstrumentId("NEVER.SIM"), 0
    ),
}


@pytest.mark.parametrize("poison", list(POISON))
async def test_t17_a_poisoned_row_ends_one_process_and_never_stops_the_start(
    home: Home, poison: str
) -> None:
    """It is in the journal before the engine takes it: each start would end at it again."""
    await home.start()
    guard = home.guarded("0.9")
    with pytest.raises(KeyError):
        home.take(POISON[poison](home.now_s))
    with capture_logs() as logs:
        await home.start()
    [left] = [log for log in logs if log["event"] == "record_left_out"]
    assert left["kind"] in ("Quote", "Resolution")
    assert home.agrees()
    assert home.of("guard")[0].id == guard.id
    home.propose(terms(BUY, "10.01", "0.3"))
    home.hear()
    assert home.agrees(), "and it trades on"
    with capture_logs() as logs:
        assert await home.start() == ()
    assert not [log for log in logs if log["event"] == "record_left_out"]


async def test_t17_a_person_is_told_of_a_row_that_was_left_out(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(own_home / "journal", monkeypatch)
    await home.start()
    with pytest.raises(KeyError):
        home.take(POISON["a quote of what was never listed"](home.now_s))
    service = Service("trading", load(None).config, "redis://nowhere")
    service.redis = SimpleNamespace()  # type: ignore[assignment]
    told: list[str] = []
    service.alert = lambda _level, text: told.append(text)  # type: ignore[method-assign]
    standby = Standby(service)
    assert standby.recovered is not None
    standby.desks[0].close()
    [text] = told
    assert text.startswith("1 records of run 00000000001 could not be taken")


async def test_t17_a_journal_with_a_poisoned_row_is_replayed(home: Home) -> None:
    await home.start()
    home.quote("9.99")
    with pytest.raises(KeyError):
        home.take(POISON["a quote of what was never listed"](home.now_s))
    home.tick()  # the process may have lived on
    records = [(entry.sequence, entry.record) for entry in Reader(home.root / "00000000001")]
    replayed = replay(Engine(Limits(), [Puppet()]), records)
    assert replayed.difference is None
    assert replayed.events == sum(not isinstance(record, Step) for _, record in records)
