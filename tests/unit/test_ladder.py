"""The ladder: what each step needs of the one before, what counts, and a person's override."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scenes import COIN, SECOND, Scene, terms

from betatrader.config import Config, loads
from betatrader.model.account import (
    CashFlow,
    Fill,
    OrderFound,
    OrderSigned,
    PositionTransfer,
    Reconciled,
)
from betatrader.model.command import Alert, Approved, Booked
from betatrader.model.errors import RefusedError, UsageError
from betatrader.model.ids import ClientOrderId
from betatrader.model.instruction import StageAllowed
from betatrader.model.ladder import LEAST_S, Allowed, Day, Record, Stage, lacking
from betatrader.model.money import SCALE, parse
from betatrader.model.order import Side
from betatrader.roles import ladder
from betatrader.roles.ladder import Kept, Witness

HERE = "BINANCE 127.0.0.1"
LOCAL = (
    '[binance]\nsymbols = ["BTCUSDT"]\nrest = "http://127.0.0.1:1"\n'
    'stream = "ws://127.0.0.1:1"\napi = "ws://127.0.0.1:1"\n'
)


def config(text: str) -> Config:
    return loads(text, "f.toml", {}).config


def days(stage: str, count: int, **each: Any) -> dict[str, dict[str, Day]]:
    """So many days in a row that count, each with the same."""
    given = {"seconds": LEAST_S, **each}
    return {stage: {f"2026-11-{number:02}": Day(**given) for number in range(1, count + 1)}}


PAPER = {"fills": 10, "ordered": 100 * SCALE, "filled": 80 * SCALE, "cost": SCALE // 10}


def test_paper_needs_nothing_and_each_other_step_the_one_before() -> None:
    assert lacking(Stage.PAPER, Record()) == ()
    assert lacking(Stage.SHADOW, Record()) == (
        "paper: 0 of 3 days with 6 hours and more",
        "paper: 0 of 20 fills",
    )
    assert lacking(Stage.MICRO, Record()) == (
        "shadow: 0 of 2 days with 6 hours and more",
        "shadow: 0 of 20 signed orders",
    )
    assert lacking(Stage.FULL, Record())[-1] == "micro: no simulated fills to compare with"


def test_a_whole_record_opens_the_next_step() -> None:
    record = Record({**days("paper", 3, **PAPER), **days("shadow", 2, signed=10, **PAPER)})
    assert lacking(Stage.SHADOW, record) == ()
    assert lacking(Stage.MICRO, record) == ()
    record.days.update(days("micro", 5, **PAPER))
    assert lacking(Stage.FULL, record) == ()


def test_a_short_day_does_not_count_and_what_happened_in_it_does() -> None:
    record = Record(days("paper", 3, fills=10))
    record.day(Stage.PAPER, "2026-11-04").seconds = LEAST_S - 1
    assert lacking(Stage.SHADOW, record) == ()
    record.day(Stage.PAPER, "2026-11-04").unexplained = 1
    assert lacking(Stage.SHADOW, record) == (
        "paper: 1 differences that nothing explains since 2026-11-01",
    )
    record.day(Stage.PAPER, "2026-11-03").seconds = 0
    assert "paper: 2 of 3 days with 6 hours and more" in lacking(Stage.SHADOW, record)


def test_trouble_is_outlived_by_as_many_clean_days_as_are_asked_for() -> None:
    record = Record(days("shadow", 4, signed=10))
    record.day(Stage.SHADOW, "2026-11-02").unfit = 3
    assert lacking(Stage.MICRO, record) == ()
    record.day(Stage.SHADOW, "2026-11-03").unfit = 3
    assert lacking(Stage.MICRO, record) == (
        "shadow: 3 orders without a form at the venue since 2026-11-03",
    )


def test_real_fills_are_held_to_the_simulated_ones() -> None:
    record = Record({**days("paper", 3, **PAPER), **days("micro", 5, **PAPER)})
    for day in record.days["micro"].values():
        day.cost = SCALE * 40 // 100
    assert lacking(Stage.FULL, record) == ("micro: fills cost 0.50%, simulated ones 0.12%",)
    for day in record.days["micro"].values():
        day.cost, day.filled = 0, 39 * SCALE
    assert lacking(Stage.FULL, record) == ("micro: 39.00% was filled, of simulated orders 80.00%",)
    for day in record.days["micro"].values():
        day.filled = 0
    assert lacking(Stage.FULL, record) == ()


def test_two_copies_of_a_record_become_one() -> None:
    here, there = Record(days("paper", 2, fills=1)), Record(days("paper", 3, fills=9))
    here.day(Stage.PAPER, "2026-11-01").seconds += 5
    here.merge(there)
    assert [day.fills for day in here.days["paper"].values()] == [1, 1, 9]


def test_which_step_a_configuration_is_on_and_where() -> None:
    assert ladder.stage_of(config("")) is None
    assert ladder.stage_of(config(f'{LOCAL}[paper]\nvenues = ["binance"]')) is None
    assert ladder.stage_of(config(f'{LOCAL}[paper]\nmarket = "live"')) is Stage.PAPER
    assert ladder.stage_of(config(f'mode = "shadow"\n{LOCAL}')) is Stage.SHADOW
    assert ladder.stage_of(config(f'mode = "live"\n{LOCAL}')) is Stage.MICRO
    full = config(f'mode = "live"\n{LOCAL}[live]\nstage = "full"')
    assert ladder.stage_of(full) is Stage.FULL
    assert ladder.places(full) == {"BINANCE": HERE}


def allowed(stage: str = "micro", *where: str, number: int = 1) -> Allowed:
    places = where or (HERE,)
    return Allowed(f"{number:04}", stage, places, "ann", "two years elsewhere", number)


def test_a_step_without_its_record_is_refused_but_for_an_override_of_it_there() -> None:
    live = config(f'mode = "live"\n{LOCAL}')
    with pytest.raises(RefusedError, match="0 of 2 days") as refused:
        ladder.check(live, Kept({}, {}))
    assert refused.value.exit_status == 6
    assert "betatrader live allow micro --reason" in str(refused.value)
    for other in (allowed("full"), allowed("micro", "BINANCE api.binance.com")):
        with pytest.raises(RefusedError):
            ladder.check(live, Kept({}, {"x": other}))
    ladder.check(live, Kept({}, {"x": allowed()}))
    ladder.check(config(""), Kept({}, {}))


def test_an_override_is_kept_whole_and_a_broken_file_is_told(tmp_path: Path) -> None:
    ladder.allow(tmp_path, allowed())
    ladder.allow(tmp_path, allowed("full", number=2))
    assert set(ladder.load(tmp_path).allowed.values()) == {allowed(), allowed("full", number=2)}
    (tmp_path / "ladder" / "records.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        ladder.load(tmp_path)


def test_an_override_that_root_gives_belongs_to_whoever_has_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the trader could neither read it nor keep its record beside it."""
    given: list[tuple[str, int, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, *owner: given.append((path.name, *owner)))
    ladder.allow(tmp_path, allowed())
    assert given == []
    owner = tmp_path.stat()
    monkeypatch.setattr(os, "geteuid", lambda: owner.st_uid + 1)
    ladder.allow(tmp_path, allowed())
    names = ["ladder", f"{ladder.ALLOWED}-0001.json"]
    assert given == [(name, owner.st_uid, owner.st_gid) for name in names]


class Service:
    """What a witness needs of a process."""

    def __init__(self, home: Path, mode: str) -> None:
        self.config = config(f'mode = "{mode}"\n{LOCAL}')
        self.home = home
        self.redis = None


class Trader:
    """A scene that tells as the trader does."""

    def __init__(self, scene: Scene) -> None:
        self.engine = scene.engine
        self.on_done: Any = None
        self.taken: list[Any] = []

    def take(self, event: Any) -> Any:
        self.taken.append(event)
        step = self.engine.process(event)
        self.on_done(event, step)
        return step


def witness(tmp_path: Path, mode: str = "shadow") -> tuple[Scene, Trader, Witness]:
    """One who watches a scene, whose venue stands in the place of Binance."""
    scene = Scene()
    trader = Trader(scene)
    seen = Witness(Service(tmp_path, mode), trader)  # type: ignore[arg-type]
    seen._places = {"SIM": HERE}
    return scene, trader, seen


def day(seen: Witness) -> Day:
    [found] = seen._kept.records[HERE].days["shadow"].values()
    return found


def bought(scene: Scene, order: Approved, price: str, fee: str = "0.01") -> Fill:
    done = order.terms
    fee_paid = parse(fee)
    return Fill(
        SECOND, order.order, COIN, Side.BUY, parse(price), done.quantity, fee_paid, False, "t1"
    )


def test_orders_fills_and_what_they_cost_are_counted_once(tmp_path: Path) -> None:
    scene, trader, seen = witness(tmp_path)
    order = scene.propose(terms(Side.BUY, "10.01", "0.5"))
    assert isinstance(order, Approved)
    step = scene.quote()
    trader.on_done(Reconciled(0, "SIM"), step or _step_of(order))
    fill = bought(scene, order, "10.01")
    trader.take(fill)
    trader.take(fill)
    found = day(seen)
    assert (found.orders, found.ordered) == (1, parse("5.005"))
    assert (found.fills, found.filled) == (1, parse("5.005"))
    assert found.cost == parse("0.01") + parse("0.005"), "the fee, and a half spread of 0.01 on 0.5"


def _step_of(order: Approved) -> Any:
    from betatrader.model.command import Step

    return Step(1, 1, 0, (order,))


def test_signed_orders_are_counted_and_those_without_a_form_apart(tmp_path: Path) -> None:
    scene, trader, seen = witness(tmp_path)
    order = scene.propose(terms(Side.BUY, "10.00", "0.5"))
    trader.take(OrderSigned(0, order.order, "sha256:ab"))
    trader.take(OrderSigned(0, order.order, "", "too small"))
    trader.take(OrderSigned(0, ClientOrderId("e" * 32), "0x"))
    assert (day(seen).signed, day(seen).unfit) == (1, 1)


def test_a_difference_counts_once_the_books_have_been_compared(tmp_path: Path) -> None:
    _, trader, seen = witness(tmp_path)
    trader.take(CashFlow(0, "SIM", SCALE, "found in reconciliation"))
    assert HERE not in seen._kept.records, "what was there before us is taken over"
    trader.take(Reconciled(SECOND, "SIM"))
    trader.take(CashFlow(0, "SIM", SCALE, "found in reconciliation"))
    trader.take(CashFlow(0, "PAPER", SCALE, "found in reconciliation"))
    trader.take(PositionTransfer(0, COIN, parse("0.1"), SCALE))
    found = OrderFound(0, ClientOrderId("e" * 32), terms(Side.BUY, "9.00", "0.1"), 0)
    trader.take(found)
    assert day(seen).unexplained == 4


def test_off_the_ladder_nothing_is_watched(tmp_path: Path) -> None:
    scene = Scene()
    trader = Trader(scene)
    service = Service(tmp_path, "paper")
    Witness(service, trader)  # type: ignore[arg-type]
    assert trader.on_done is None


async def test_the_override_is_journaled_with_who_when_and_why(tmp_path: Path) -> None:
    ladder.allow(tmp_path, allowed("shadow", number=7))
    scene, trader, seen = witness(tmp_path)
    seen._journal_overrides(Stage.SHADOW)
    [event] = trader.taken
    assert isinstance(event, StageAllowed)
    assert (event.author, event.reason, event.stage, event.stated_ns) == (
        "ann",
        "two years elsewhere",
        "shadow",
        7,
    )
    step = scene.take(event)
    assert step is not None
    text = "shadow allowed by ann without its record: two years elsewhere"
    assert step.changes == (Booked("allowed", "0007", text), Alert("warning", text))
    await seen._keep()
    kept = msgspec.json.decode((tmp_path / "ladder" / "records.json").read_bytes())
    assert kept == {}


def test_a_record_that_suffices_needs_no_override(tmp_path: Path) -> None:
    ladder.allow(tmp_path, allowed("shadow"))
    _, trader, seen = witness(tmp_path)
    seen._kept.records[HERE] = Record(days("paper", 3, fills=10))
    seen._journal_overrides(Stage.SHADOW)
    assert trader.taken == []
