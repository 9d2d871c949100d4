"""What a comparison with a venue counts as: an account's first cash, and what nobody explains."""

from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest
from scenes import SECOND, Scene, parse

from betatrader.model.account import VenueAccount, VenueConnection
from betatrader.model.instruction import Started, TradingState
from betatrader.roles import reconciling
from betatrader.roles.reconciling import Reconciler

EVER = (1, 0)


class Shown:
    """A venue that states an account."""

    under_way_ns = 0

    def __init__(self, name: str, cash: str) -> None:
        self.name = name
        self.cash = cash
        self.looks = 0

    async def account(self, _asked: object) -> VenueAccount:
        self.looks += 1
        return VenueAccount(parse(self.cash), {}, {}, (), {})


def two() -> Scene:
    """A new trader at two venues, neither of them compared."""
    scene = Scene(cash="0")
    scene.engine.state.portfolio.accounts.clear()
    scene.take(Started(0, 2, TradingState.ACTIVE, reconcile=True, accounts=("ONE", "TWO")))
    return scene


async def nothing() -> None:
    return None


def reconciler(scene: Scene, venue: Shown) -> Reconciler:
    def take(event: object) -> None:
        scene.take(event)

    return Reconciler(venue, lambda: scene.state, take, "halt")  # type: ignore[arg-type]


async def test_an_account_that_is_first_reached_late_opens_with_its_cash() -> None:
    scene, told = two(), []
    made = reconciler(scene, Shown("TWO", "30"))
    made.on_difference = told.append
    await made.at_start(EVER, nothing)
    assert scene.state.cash_at("TWO") == parse("30")
    assert scene.state.trading_state is TradingState.ACTIVE
    assert (made.unexplained_seen, told) == (0, []), "nobody need explain an opening balance"


async def test_no_account_is_compared_before_its_venue_has_said_whether_it_serves_us() -> None:
    scene, venue, order = two(), Shown("TWO", "30"), []
    made = reconciler(scene, venue)

    async def permitted() -> None:
        await anyio.lowlevel.checkpoint()
        order.append((venue.looks, list(scene.state.uncompared)))

    made.permitted = permitted
    await made.at_start(EVER, nothing)
    assert order == [(0, ["ONE", "TWO"])]
    assert scene.state.uncompared == ["ONE"]


async def test_cash_that_comes_to_an_account_we_know_is_unexplained() -> None:
    scene, venue = two(), Shown("TWO", "30")
    made = reconciler(scene, venue)
    await made.at_start(EVER, nothing)
    venue.cash = "31"
    await made.at_start(EVER, nothing)
    assert scene.state.cash_at("TWO") == parse("31")
    assert scene.state.trading_state is TradingState.HALTED
    assert made.unexplained_seen == 1


async def test_a_difference_of_before_a_comparison_is_no_first_look_of_a_later_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A balance may lag twice by as much; each time it takes two looks to be believed."""
    now_s = 0.0
    monkeypatch.setattr(reconciling.anyio, "current_time", lambda: now_s)
    scene, venue = two(), Shown("TWO", "30")
    made = reconciler(scene, venue)
    await made.at_start(EVER, nothing)
    venue.under_way_ns = 10 * SECOND

    async def look() -> None:
        seen = venue.looks
        made.look_now()
        while venue.looks == seen:
            await anyio.lowlevel.checkpoint()

    async def with_keep(story: Callable[[], object]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(made.keep, 3600.0)
            await story()  # type: ignore[misc]
            group.cancel_scope.cancel()

    async def story() -> None:
        nonlocal now_s
        venue.cash = "31"
        await look()
        for up in (False, True):
            scene.take(VenueConnection(scene.state.now_ns, "TWO", up, ""))
        venue.cash = "30"
        made.look_now()
        while "TWO" in scene.state.uncompared:
            await anyio.lowlevel.checkpoint()
        venue.cash, now_s = "31", 100.0
        await look()
        await look()

    await with_keep(story)
    assert scene.state.cash_at("TWO") == parse("30"), "seen once since the books agreed"
    assert scene.state.trading_state is TradingState.ACTIVE


async def test_a_balance_that_moves_between_two_looks_is_looked_at_again() -> None:
    """Pairs are merged one after the other, say: the first two answers differ in different ways."""
    scene, venue = two(), Shown("TWO", "30")
    made = reconciler(scene, venue)
    made._unexplained = "adopt"
    await made.at_start(EVER, nothing)
    cash = iter(["31", "32", "33"])

    async def account(_asked: object) -> VenueAccount:
        venue.cash = next(cash, venue.cash)
        return VenueAccount(parse(venue.cash), {}, {}, (), {})

    venue.account = account  # type: ignore[method-assign]
    next(cash)
    await made.at_start(EVER, nothing)
    assert scene.state.cash_at("TWO") == parse("33")
