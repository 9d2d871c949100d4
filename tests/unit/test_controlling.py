"""What the trader says to orders at its own door, and which of them pass a lease that is over."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import Ask
from scenes import Scene, terms

from betatrader.cli import direct
from betatrader.engine.strategy import Place
from betatrader.model.command import CancelOrder
from betatrader.model.errors import ConfigurationError, UnreachableError
from betatrader.model.event import Event
from betatrader.model.instruction import (
    NO_REASON,
    CancelAll,
    ConfirmLimits,
    Flatten,
    Halt,
    Instruction,
    Resume,
)
from betatrader.model.order import Side
from betatrader.model.secret import Secret
from betatrader.ops import door, home
from betatrader.roles.controlling import KINDS, Control, Order, Refusal
from betatrader.roles.trader import Trader
from betatrader.roles.trading import TradingRole
from betatrader.store.bus import Seen
from betatrader.store.journal import JournalBrokenError
from betatrader.venues.gateway import Gateway


class Stage:
    """A trader with one order at rest; it may lead, or not, and is the role and its own fence."""

    leads = True
    stops = False

    def __init__(self) -> None:
        self.scene = Scene()
        self.sent: list[object] = []
        self.audit: list[object] = []
        self.seen = Seen()
        self.trader = Trader(self.scene.engine, "r1", self)  # type: ignore[arg-type]
        self.trader.connect(Gateway(self, self))
        self.scene.take = self.trader.take  # type: ignore[method-assign, assignment]
        self.control = Control(Secret("t"), self.may_order, lambda: self.stops)
        self.control.role = self
        self.scene.puppet.intents = [Place(terms(Side.BUY, "9.90", "0.5"), "rests")]
        self.scene.quote()
        self.sent.clear()

    def take_instruction(self, instruction: Instruction) -> None:
        self.trader.obey(instruction)  # type: ignore[arg-type]

    def may_order(self) -> bool:
        return self.leads

    may_cancel = may_order

    def submit(self, command: object, now_ns: int) -> None:
        self.sent.append(command)

    cancel = submit

    def offer(self, record: object) -> None:
        self.audit.append(record)

    ask = offer

    def told(self, kind: str, name: str = "") -> dict:  # type: ignore[type-arg]
        answer = self.control.obey(Order(kind=kind, author="ann", reason="news", id=name))
        assert isinstance(answer, dict), answer
        return answer

    def refused(self, kind: str, reason: str = "") -> Refusal:
        answer = self.control.obey(Order(kind=kind, author="ann", reason=reason))
        assert isinstance(answer, Refusal), answer
        return answer


def test_an_order_is_obeyed_acknowledged_and_audited_with_who_and_why() -> None:
    stage = Stage()
    assert stage.told("halt") == {
        "acknowledged": True,
        "state": "HALTED",
        "canceled": 1,
        "positions": 0,
        "repeated": False,
    }
    assert [type(command) for command in stage.sent] == [CancelOrder]
    [halt] = [record for record in stage.audit if isinstance(record, Halt)]
    assert (halt.author, halt.reason) == ("ann", "news")
    assert halt.time_ns > 0


def test_the_same_id_is_obeyed_once_however_it_came() -> None:
    stage = Stage()
    stage.seen.first_time("by Redis")
    assert stage.told("halt", "by Redis")["repeated"]
    assert stage.told("cancel_all", "mine")["canceled"] == 1
    again = stage.told("cancel_all", "mine")
    assert (again["repeated"], again["canceled"], again["state"]) == (True, 0, "ACTIVE")
    assert sum(isinstance(record, CancelAll) for record in stage.audit) == 1


@pytest.mark.parametrize("kind", ["cancel_all", "halt"])
def test_past_the_lease_a_persons_cancels_leave_and_the_traders_own_do_not(kind: str) -> None:
    stage = Stage()
    stage.leads = False
    stage.trader.take(CancelAll(1, "drain", "betatrader", "stopping"))
    assert stage.sent == []
    assert stage.told(kind)["canceled"] == 1
    assert [type(command) for command in stage.sent] == [CancelOrder]


def test_past_the_lease_flatten_is_refused_and_says_why() -> None:
    stage = Stage()
    stage.leads = False
    refusal = stage.refused("flatten")
    assert refusal.status == 409
    assert "the lease may be over" in refusal.text
    assert "\n" not in refusal.text
    assert not any(isinstance(record, Flatten) for record in stage.audit)
    stage.leads = True
    assert stage.told("flatten")["state"] == "HALTED"


def test_who_does_not_lead_or_stops_or_cannot_journal_says_so() -> None:
    stage = Stage()
    assert stage.refused("sell_all").status == 400
    stage.stops = True
    assert "stopping" in stage.refused("halt").text
    stage.stops = False
    stage.trader.broken = JournalBrokenError("full")
    assert stage.refused("halt") == Refusal(
        503, "the journal is broken: what rests is cancelled, the trader ends"
    )
    stage.control.role = None
    assert "does not lead" in stage.refused("halt").text


def test_a_journal_that_breaks_under_the_order_acknowledges_nothing() -> None:
    stage = Stage()

    def breaks(_event: Event) -> None:
        raise JournalBrokenError("full")

    stage.trader._decide = breaks  # type: ignore[assignment]
    assert stage.refused("halt").status == 503


def test_every_instruction_of_the_command_line_has_its_kind() -> None:
    assert set(KINDS) == {"halt", "reduce", "resume", "cancel_all", "flatten", "confirm_limits"}


@pytest.mark.parametrize("reason", ["", " \t"])
def test_limits_are_confirmed_with_a_reason_or_not_at_all(reason: str) -> None:
    stage = Stage()
    assert stage.refused("confirm_limits", reason) == Refusal(400, NO_REASON)
    assert not any(isinstance(record, ConfirmLimits) for record in stage.audit)
    assert stage.told("confirm_limits")["acknowledged"]
    [confirmed] = [record for record in stage.audit if isinstance(record, ConfirmLimits)]
    assert (confirmed.author, confirmed.reason) == ("ann", "news")
    assert stage.control.obey(Order(kind="resume", author="ann")), "this one needs none"


def test_what_is_refused_over_redis_is_not_seen_by_the_trader_and_told_to_a_person() -> None:
    logged: list[Mapping[str, str]] = []
    posted: list[tuple[str, str]] = []
    service = SimpleNamespace(
        log=SimpleNamespace(
            warning=lambda _event, **told: logged.append(told), info=lambda *_, **__: None
        ),
        alert=lambda *told: posted.append(told),
    )
    obeyed: list[Instruction] = []
    role = SimpleNamespace(
        service=service, trader=SimpleNamespace(obey=obeyed.append), _summarise=lambda: None
    )
    TradingRole.take_instruction(role, ConfirmLimits(1, "i1", "ann"))  # type: ignore[arg-type]
    assert obeyed == []
    assert logged == [{"by": "ann", "why": NO_REASON}]
    assert posted == [("error", f"an order of ann is not obeyed: {NO_REASON}")]
    for given in (ConfirmLimits(1, "i2", "ann", "more saved"), Resume(1, "i3", "ann")):
        TradingRole.take_instruction(role, given)  # type: ignore[arg-type]
    assert [one.id for one in obeyed] == ["i2", "i3"]
    assert len(posted) == 1


@pytest.mark.parametrize("words", [[], ["--reason", " "], ["--direct"], ["--direct", "--reason="]])
def test_the_command_asks_for_the_reason_before_anybody_is_asked(
    ask: Ask, words: list[str]
) -> None:
    refused = ask("limits", "confirm", *words)
    assert (refused.status, len(refused.err.splitlines())) == (2, 2)
    assert "--reason" in refused.err


def test_the_token_is_left_for_the_user_alone_and_is_another_each_time(tmp_path: Path) -> None:
    (tmp_path / "control-token.part").write_text("left by somebody, readable")
    first = door.leave(tmp_path, 8701)
    for name in ("control-token", "control-port"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert door.find(tmp_path) == (8701, first)
    assert len(first.reveal()) >= 32
    assert door.leave(tmp_path, 8701) != first
    door.remove(tmp_path)
    door.remove(tmp_path)
    with pytest.raises(UnreachableError, match="BETATRADER_HOME"):
        door.find(tmp_path)


def test_a_token_of_the_environment_is_used_and_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.leave(tmp_path, 8701)
    monkeypatch.setenv(door.VARIABLE, "a-long-enough-token")
    assert door.leave(tmp_path, 8702).reveal() == "a-long-enough-token"
    assert [path.name for path in tmp_path.iterdir()] == ["control-port"]
    assert door.find(tmp_path) == (8702, Secret("a-long-enough-token"))


@pytest.mark.parametrize(
    "weak", ["short", "sixteen of them with spaces", "é" * 20, "a" * 16 + "\n"]
)
def test_a_weak_token_is_refused_without_being_shown(weak: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        door.given_token({door.VARIABLE: weak})
    assert weak not in str(caught.value)


def test_a_command_for_another_redis_does_not_reach_the_run_nearby(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = home.Runtime(home=str(tmp_path), pid=1, redis_url="redis://near", mode="PAPER")
    monkeypatch.setattr(home, "find_run", lambda: run)
    assert direct._home() == tmp_path
    monkeypatch.setenv("REDIS_URL", "redis://far")
    with pytest.raises(UnreachableError, match="not on REDIS_URL"):
        direct._home()
    monkeypatch.setenv("BETATRADER_HOME", str(tmp_path))
    assert direct._home() == tmp_path
