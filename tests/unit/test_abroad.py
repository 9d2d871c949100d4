"""Where a venue does not serve us no new order leaves; its word is asked for again and again."""

import anyio
import pytest
from scenes import Scene

from betatrader.model.account import VenueAccess
from betatrader.model.event import Event
from betatrader.model.instruction import Started, TradingState
from betatrader.net.transport import Answer, NoAnswerError
from betatrader.ops import metrics
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
        assert (found.address, found.place) == ("192.0.2.1", "XX Y")
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
    def __init__(self, name: str) -> None:
        self.name = name


class Desk:
    def __init__(self, name: str = "ONE") -> None:
        self.venue = Named(name)
        self.found: Egress | None = None

    async def egress(self) -> Egress | None:
        return self.found


SERVED = Egress(False, "ONE sees us in X")
BLOCKED = Egress(True, "ONE sees us in Y")
TOLD = "ONE sees us in Y"


def silent(*desks: Desk) -> Abroad:
    return Abroad(desks, lambda *_: None)  # type: ignore[arg-type]


async def test_a_block_is_told_once_and_an_answer_that_stays_away_changes_nothing() -> None:
    desk, alerts = Desk(), []
    abroad = Abroad([desk], lambda *said: alerts.append(said))  # type: ignore[arg-type]
    assert (await abroad.ask(), abroad.barred) == (FIRST_AGAIN_S, {})
    desk.found = BLOCKED
    assert (await abroad.ask(), abroad.barred) == (EVERY_S, {"ONE": TOLD})
    assert metrics.BARRED.labels("ONE")._value.get() == 1
    await abroad.ask()
    desk.found = None
    assert (await abroad.ask(), abroad.barred) == (AGAIN_S, {"ONE": TOLD})
    assert alerts == [("critical", f"{TOLD}: no new orders at ONE from here")]
    desk.found = SERVED
    await abroad.ask()
    assert abroad.barred == {}
    assert alerts[1:] == [("info", "ONE serves this address: new orders may leave for it again")]
    assert metrics.BARRED.labels("ONE")._value.get() == 0


def seen_at(address: str, place: str, blocked: bool = False) -> Egress:
    return Egress(blocked, f"ONE sees us at {address} {place}", address, place)


async def test_another_address_or_country_than_an_hour_ago_is_told() -> None:
    desk, alerts = Desk(), []
    abroad = Abroad([desk], lambda *said: alerts.append(said))  # type: ignore[arg-type]

    async def tells(found: Egress | None) -> list[tuple[str, str]]:
        desk.found = found
        alerts.clear()
        await abroad.ask()
        return list(alerts)

    home = seen_at("192.0.2.1", "XX")
    for same in (home, home, None, SERVED, home):
        assert await tells(same) == [], "as before, or it does not say where"
    for where, before in (
        (seen_at("192.0.2.2", "XX"), "192.0.2.1 XX"),
        (seen_at("192.0.2.2", "YY"), "192.0.2.2 XX"),
        (home, "192.0.2.2 YY"),
    ):
        assert await tells(where) == [("error", f"{where.told}, which was {before} before")]
    assert await tells(seen_at("192.0.2.2", "XX")) == [], "it leaves by two addresses, in turn"
    away = seen_at("192.0.2.3", "ZZ", blocked=True)
    levels = [level for level, _ in await tells(away)]
    assert levels == ["error", "critical"]


async def test_a_machine_of_many_addresses_is_not_remembered_without_end() -> None:
    desk = Desk()
    abroad = silent(desk)
    for number in range(3 * module.ADDRESSES_KEPT):
        desk.found = seen_at(f"192.0.2.{number}", "XX")
        await abroad.ask()
    assert len(abroad._seen["ONE"].addresses) <= module.ADDRESSES_KEPT


async def test_at_the_start_an_account_waits_for_the_first_answer() -> None:
    desk, known = Desk(), []
    abroad = silent(desk)

    async def start() -> None:
        await abroad.known(desk)  # type: ignore[arg-type]
        known.append(abroad.barred)

    async with anyio.create_task_group() as group:
        group.start_soon(start)
        await abroad.ask()
        await anyio.wait_all_tasks_blocked()
        assert known == [], "nobody has said yet"
        desk.found = SERVED
        await abroad.ask()
    assert known == [{}]


async def test_where_the_first_answer_stays_away_we_count_as_blocked_there_until_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HOLD_S", 0.0)
    desk, served, alerts = Desk("TWO"), Desk(), []
    served.found = SERVED
    abroad = Abroad([served, desk], lambda *said: alerts.append(said))  # type: ignore[arg-type]
    await abroad.ask()
    for one in (served, desk, desk):
        await abroad.known(one)  # type: ignore[arg-type]
    told = "TWO does not say whether it serves this address"
    assert abroad.barred == {"TWO": told}
    assert alerts == [("critical", f"{told}: no new orders at TWO from here")]
    desk.found = Egress(False, "")
    await abroad.ask()
    assert abroad.barred == {}


async def test_the_block_of_one_venue_holds_its_own_account_back_for_as_long_as_it_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HOLD_AGAIN_S", 0.01)
    one, two = Desk("ONE"), Desk("TWO")
    one.found, two.found = BLOCKED, Egress(False, "")
    abroad, scene, taken = silent(one, two), Scene(), []
    scene.take(Started(0, 2, TradingState.ACTIVE, accounts=("ONE", "TWO")))

    def take(event: Event) -> None:
        assert isinstance(event, VenueAccess)
        taken.append((event.venue, event.allowed, event.reason))
        scene.take(event)

    async with anyio.create_task_group() as group:
        await abroad.ask()
        group.start_soon(abroad.hold_back, scene.state, take)
        await anyio.sleep(0.05)
        assert scene.state.barred == {"ONE": TOLD}
        assert scene.state.trading_state is TradingState.ACTIVE
        for found in (BLOCKED, None, SERVED, SERVED):
            one.found = found
            await abroad.ask()
            await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    assert taken == [("ONE", False, TOLD), ("ONE", True, "")]
    assert scene.state.barred == {}


async def test_the_only_account_is_held_back_by_whatever_name_it_bears() -> None:
    desk = Desk()
    desk.found = BLOCKED
    abroad, scene = silent(desk), Scene()
    await abroad.ask()
    abroad.hold_now(scene.state, scene.take)
    assert scene.state.barred == {"": TOLD}
    assert not scene.state.may_add_risk
