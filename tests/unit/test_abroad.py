"""Where a venue does not serve us no new order leaves; its word is asked for again and again."""

import anyio
import pytest

from betatrader.model.event import Event
from betatrader.model.instruction import Reduce, TradingState
from betatrader.net.transport import Answer, NoAnswerError
from betatrader.roles import abroad as module
from betatrader.roles.abroad import AGAIN_S, EVERY_S, FIRST_AGAIN_S, Abroad
from betatrader.venues.egress import Egress, of_binance, of_polymarket

PAGE = b'{"blocked":true,"ip":"192.0.2.1","country":"XX","region":"Y"}'


class Answers:
    """A network with one answer to everything, and what was asked of it."""

    def __init__(self, status: int, body: bytes = b"") -> None:
        self.answer = Answer(status, body)
        self.asked: list[str] = []

    async def request(self, _method: str, url: str, **_: object) -> Answer:
        self.asked.append(url)
        if not self.answer.status:
            raise NoAnswerError("silence")
        return self.answer


@pytest.mark.parametrize(
    ("status", "body", "blocked"),
    [
        (200, PAGE, True),
        (200, PAGE.replace(b"true", b"false"), False),
        (200, b"<html>", None),
        (403, b"<html>", True),
        (451, b"", True),
        (503, PAGE, None),
        (0, b"", None),
    ],
)
async def test_polymarket_says_whether_it_serves_an_address(
    status: int, body: bytes, blocked: bool | None
) -> None:
    network = Answers(status, body)
    found = await of_polymarket(network, "https://x/geoblock")  # type: ignore[arg-type]
    assert (found.blocked if found is not None else None) is blocked
    if status == 200 and found is not None:
        assert found.told == "Polymarket sees this machine at 192.0.2.1 XX Y"
    assert network.asked == ["https://x/geoblock"], "once, and of no other"


@pytest.mark.parametrize(
    ("status", "blocked"), [(451, True), (200, False), (502, None), (418, None), (0, None)]
)
async def test_binance_answers_451_where_it_does_not_serve(
    status: int, blocked: bool | None
) -> None:
    found = await of_binance(Answers(status), "https://x")  # type: ignore[arg-type]
    assert (found.blocked if found is not None else None) is blocked


class Named:
    name = "X"


class Desk:
    venue = Named()

    def __init__(self) -> None:
        self.found: Egress | None = None

    async def egress(self) -> Egress | None:
        return self.found


async def test_a_block_is_told_once_and_an_answer_that_stays_away_changes_nothing() -> None:
    desk, alerts = Desk(), []
    abroad = Abroad([desk], lambda *said: alerts.append(said))  # type: ignore[arg-type]
    assert (await abroad.ask(), abroad.blocked) == (FIRST_AGAIN_S, "")
    desk.found = Egress(True, "X sees us in Y")
    assert (await abroad.ask(), abroad.blocked) == (EVERY_S, "X sees us in Y")
    await abroad.ask()
    desk.found = None
    assert (await abroad.ask(), abroad.blocked) == (AGAIN_S, "X sees us in Y")
    assert alerts == [("critical", "X sees us in Y: no new orders from here")]
    desk.found = Egress(False, "")
    await abroad.ask()
    assert abroad.blocked == ""


async def test_at_the_start_an_account_waits_for_the_first_answer() -> None:
    desk, known = Desk(), []
    abroad = Abroad([desk], lambda *_: None)  # type: ignore[arg-type]

    async def start() -> None:
        await abroad.known(desk)  # type: ignore[arg-type]
        known.append(abroad.blocked)

    async with anyio.create_task_group() as group:
        group.start_soon(start)
        await abroad.ask()
        await anyio.wait_all_tasks_blocked()
        assert known == [], "nobody has said yet"
        desk.found = Egress(False, "")
        await abroad.ask()
    assert known == [""]


async def test_where_the_first_answer_stays_away_we_count_as_blocked_until_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HOLD_S", 0.0)
    desk, served, alerts = Desk(), Desk(), []
    served.found = Egress(False, "")
    abroad = Abroad([served, desk], lambda *said: alerts.append(said))  # type: ignore[arg-type]
    await abroad.ask()
    for one in (served, desk, desk):
        await abroad.known(one)  # type: ignore[arg-type]
    told = "X does not say whether it serves this address"
    assert abroad.blocked == told
    assert alerts == [("critical", f"{told}: no new orders from here")]
    desk.found = Egress(False, "")
    await abroad.ask()
    assert abroad.blocked == ""


async def test_while_blocked_a_leader_only_reduces_whatever_is_resumed() -> None:
    desk, taken, state = Desk(), [], [TradingState.ACTIVE]
    abroad = Abroad([desk], lambda *_: None)  # type: ignore[arg-type]
    abroad.blocked = "elsewhere"

    def take(event: Event) -> None:
        taken.append(event)
        state[0] = TradingState.REDUCING

    with anyio.move_on_after(0.1):
        await abroad.hold_back(lambda: state[0], take)
    [event] = taken
    assert isinstance(event, Reduce)
    assert (event.id, event.reason) == ("egress", "elsewhere")
