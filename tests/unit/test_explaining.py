"""The life of one order: over every run that knows of it, and with each word of whoever said it."""

import json
import os
from pathlib import Path

import msgspec
import pytest
from commands import Ask
from scenes import SECOND, Scene, terms

from betatrader.engine.leaving import overtaken
from betatrader.engine.strategy import Place
from betatrader.model.account import (
    CancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderFound,
    OrderRejected,
    VenueConnection,
)
from betatrader.model.command import Approved, Step
from betatrader.model.errors import UsageError
from betatrader.model.ids import ClientOrderId, StrategyId, client_order_id
from betatrader.model.instruction import CancelAll, Started, TradingState
from betatrader.model.limits import Limits
from betatrader.model.money import parse
from betatrader.model.order import Side
from betatrader.roles import keeping
from betatrader.roles.explaining import NO_BEGINNING, Life, explain
from betatrader.store.journal import CLOSED, Journal, Setup
from betatrader.venues import gateway

SETUP = Setup(limits=msgspec.Raw(msgspec.msgpack.encode(Limits())), strategies=())
RUNS = ("00000000001", "00000000002", "00000000003")


class Home:
    """A home whose engine writes each event and its Step into the journal of the run it is in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scene = Scene()
        self._process = self.scene.engine.process
        self.scene.take = self.take  # type: ignore[method-assign, assignment]
        self.begin(RUNS[0])

    def begin(self, run: str, mode: str = "paper") -> None:
        self.log = Journal(keeping.journals(self.folder, mode) / run, run, "0", SETUP)

    def next_run(self, run: str, mode: str = "paper", epoch: int = 2) -> None:
        self.log.close()
        self.begin(run, mode)
        self.take(Started(self.now_ns, epoch, TradingState.ACTIVE))

    def take(self, event: object) -> Step | None:
        self.log.append(event)  # type: ignore[arg-type]
        step = self._process(event)  # type: ignore[arg-type]
        if step is not None:
            self.log.append(step)
        return step

    @property
    def now_ns(self) -> int:
        return int(self.scene.now_s * SECOND)

    def rests(self) -> ClientOrderId:
        """An order that is approved and accepted."""
        self.scene.now_s += 1
        self.scene.puppet.intents = [Place(terms(Side.BUY, "9.90", "0.5"), "rests")]
        step = self.scene.quote()
        assert step is not None
        [order] = [change.order for change in step.changes if isinstance(change, Approved)]
        self.take(OrderAccepted(self.now_ns, order))
        return order

    def told(self, wanted: str) -> Life:
        self.log.sync()
        return explain(keeping.books(self.folder), wanted)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def texts(life: Life) -> list[str]:
    return [line.text for line in life.lines]


def test_an_order_made_in_one_run_and_ended_in_the_next_has_one_life(home: Home) -> None:
    order = home.rests()
    home.next_run(RUNS[1])
    home.take(CancelAll(home.now_ns, "i1", "ann", "enough"))
    home.take(OrderCanceled(home.now_ns, order))
    home.next_run(RUNS[2], epoch=3)
    for wanted in (order, order[-20:]):
        life = home.told(wanted)
        assert (life.order, life.notes) == (order, ())
        assert [line.run for line in life.lines] == [RUNS[0]] * 3 + [RUNS[1]] * 2
        assert texts(life)[1:] == [
            "puppet proposed BUY 0.5 COIN.SIM at 9.9 LIMIT GTC (rests); every check passed: "
            "approved",
            "the venue: OrderAccepted",
            "to be cancelled: enough",
            "the venue: OrderCanceled",
        ]


def test_last_digits_mean_the_newest_order_that_ends_so(home: Home) -> None:
    old = home.rests()
    home.next_run(RUNS[1])
    new = home.rests()
    assert old[-12:] == new[-12:], "each run counts anew"
    assert home.told(new[-12:]).order == new
    assert home.told(old).order == old


def test_several_orders_that_end_so_are_named(home: Home) -> None:
    old = home.rests()
    home.next_run(RUNS[1])
    home.take(OrderCanceled(home.now_ns, old))
    new = home.rests()
    with pytest.raises(UsageError, match="2 orders end in") as refused:
        home.told(new[-12:])
    assert old in str(refused.value)
    assert new in str(refused.value)
    assert home.told(old).order == old


def test_an_order_that_was_found_has_a_life_from_there(home: Home) -> None:
    lost = client_order_id(StrategyId("puppet"), 1, 77)
    home.next_run(RUNS[1])
    found = terms(Side.BUY, "9.90", "0.5")
    home.take(OrderFound(home.now_ns, lost, found, parse("0.2")))
    home.take(OrderCanceled(home.now_ns, lost))
    life = home.told(lost)
    assert texts(life) == [
        "found working at the venue: BUY 0.5 COIN.SIM at 9.9 LIMIT GTC, 0.2 filled; taken into "
        "the books",
        "to be cancelled: not in our journal",
        "the venue: OrderCanceled",
    ]
    assert life.notes == (NO_BEGINNING,)


def test_an_order_whose_first_journal_was_removed_tells_the_rest(home: Home) -> None:
    order = home.rests()
    home.next_run(RUNS[1])
    home.take(OrderCanceled(home.now_ns, order))
    for path in (home.folder / "journal" / RUNS[0]).iterdir():
        path.unlink()
    (home.folder / "journal" / RUNS[0]).rmdir()
    life = home.told(order)
    assert (texts(life), life.notes) == (["the venue: OrderCanceled"], (NO_BEGINNING,))


def test_where_nobody_knows_the_order_all_places_are_named(home: Home) -> None:
    home.rests()
    home.next_run(RUNS[1], "live")
    with pytest.raises(UsageError) as refused:
        home.told("zz")
    said = str(refused.value).splitlines()
    paper, live = (keeping.journals(home.folder, mode) for mode in ("paper", "live"))
    assert said[0] == f"no journal in {live} and {paper} knows an order that ends in 'zz'"
    assert len(said) == 2


def test_the_books_of_the_last_run_are_asked_first_and_no_life_is_told_of_both(home: Home) -> None:
    paper = home.rests()
    home.next_run(RUNS[1], "live")
    live = home.rests()
    home.next_run(RUNS[2], epoch=3)
    home.take(OrderCanceled(home.now_ns, live))
    home.take(OrderCanceled(home.now_ns, paper))
    assert {line.run for line in home.told(paper).lines} == {RUNS[0], RUNS[2]}
    assert {line.run for line in home.told(live).lines} == {RUNS[2]}


def test_an_order_of_the_other_books_is_found_too(home: Home) -> None:
    paper = home.rests()
    home.next_run(RUNS[1], "live")
    assert {line.run for line in home.told(paper).lines} == {RUNS[0]}


def test_a_run_that_cannot_be_read_hides_no_other_and_is_named(home: Home) -> None:
    order = home.rests()
    home.next_run(RUNS[1])
    home.next_run(RUNS[2], epoch=3)
    bad = home.folder / "journal" / RUNS[1] / "000001.btj"
    bad.write_bytes(b"no journal")
    life = home.told(order)
    assert len(life.lines) == 3
    [note] = life.notes
    assert note.startswith(f"not read to its end: {bad} is no journal of ours")
    with pytest.raises(UsageError, match="1 cannot be read: ") as refused:
        home.told("zz")
    assert len(str(refused.value).splitlines()) == 2


def test_one_journal_that_is_named_is_read_alone(home: Home) -> None:
    order = home.rests()
    home.next_run(RUNS[1])
    home.take(OrderCanceled(home.now_ns, order))
    home.log.sync()
    first, second = (home.folder / "journal" / run for run in RUNS[:2])
    assert len(explain([[first]], order).lines) == 3
    assert len(explain([[second]], order).lines) == 1
    with pytest.raises(UsageError, match="knows no order that ends in 'zz'"):
        explain([[first]], "zz")
    (first / "000001.btj").write_bytes(b"no journal")
    with pytest.raises(UsageError, match="no journal of ours"):
        explain([[first]], order)


def kept_back() -> list[str]:
    """What is said of orders that never left, by those who keep them back."""
    scene = Scene()
    made = scene.propose(terms(Side.BUY, "9.90", "0.5"))
    assert isinstance(made, Approved)
    scene.take(VenueConnection(SECOND, "SIM", up=False, reason="gone"))
    said = overtaken(scene.state, made)
    assert said
    return [gateway.NOT_SENT, gateway.NOT_SHIPPED, gateway.WITHDRAWN, said]


@pytest.mark.parametrize("reason", kept_back())
def test_what_never_left_is_the_traders_word(home: Home, reason: str) -> None:
    order = home.rests()
    home.take(CancelRejected(home.now_ns, order, reason))
    home.take(OrderRejected(home.now_ns, order, reason))
    assert texts(home.told(order))[-2:] == [
        f"the trader: CancelRejected ({reason})",
        f"the trader: OrderRejected ({reason})",
    ]


def test_what_the_venue_refuses_is_the_venues_word(home: Home) -> None:
    order = home.rests()
    home.take(OrderRejected(home.now_ns, order, "the key was not sent"))
    assert texts(home.told(order))[-1] == "the venue: OrderRejected (the key was not sent)"


def test_the_command_tells_the_run_and_the_day_of_each_part_and_what_lacks(
    home: Home, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BETATRADER_HOME", str(home.folder))
    order = home.rests()
    one = ask("explain", order)
    assert (one.status, "run" in one.out, one.err) == (0, False, "")
    home.next_run(RUNS[1])
    home.take(OrderCanceled(home.now_ns, order))
    home.take(CancelAll(home.now_ns, "i1", "ann", "enough"))
    home.log.close()
    assert ask("explain", order).out.splitlines()[1::4] == [
        f"  run {RUNS[0]}, 1970-01-01",
        f"  run {RUNS[1]}, 1970-01-01",
    ]
    last = home.folder / "journal" / RUNS[1]
    (last / CLOSED).unlink()
    os.truncate(last / "000001.btj", (last / "000001.btj").stat().st_size - 3)
    torn = ask("explain", order)
    assert torn.status == 0
    assert torn.err.startswith(f"the last write of run {RUNS[1]} was cut off (")
    assert len(torn.err.splitlines()) == 1
    assert json.loads(ask("explain", order, "--json").out)["notes"] == [torn.err.strip()]


def test_the_command_says_where_there_is_no_journal_at_all(ask: Ask) -> None:
    refused = ask("explain", "zz")
    assert (refused.status, len(refused.err.splitlines())) == (2, 2)
    assert "no journal in" in refused.err
