"""What a comparison with a venue counts as: an account's first cash, and what nobody explains."""

from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest
from scenes import SECOND, Scene, parse, terms

from betatrader.model.account import (
    CancelRejected,
    Fill,
    OrderCanceled,
    VenueAccount,
    VenueConnection,
    VenueOrder,
)
from betatrader.model.command import Approved
from betatrader.model.ids import ClientOrderId, InstrumentId, venue_of
from betatrader.model.instruction import CancelAll, Started, TradingState
from betatrader.model.order import OrderState, Side
from betatrader.roles import reconciling
from betatrader.roles.reconciling import Reconciler
from betatrader.sim.invariants import check_account
from betatrader.venues.reconcile import DAY_MS, later_epoch, order_reports

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


def order_id(epoch: int) -> ClientOrderId:
    return ClientOrderId(f"{0:08x}{epoch:012x}{1:012x}")


def bought(order: ClientOrderId) -> Fill:
    return Fill(0, order, ANY.instrument, Side.BUY, 1, 1, 0, True, "t1")


NOW_MS = 1_800_000_000_000
ANY = terms(Side.BUY, "1", "1", InstrumentId("BTCUSDT.TWO"))


@pytest.mark.parametrize(
    ("order", "fill", "later"),
    [
        (3, 3, 0),
        (2, 3, 0),
        (5, 3, 5),
        (3, 6, 6),
        (1 << 47, 3, 0),
        (NOW_MS + 2 * DAY_MS, 3, 0),
        (NOW_MS + 5, 3, NOW_MS + 5),
    ],
)
def test_an_order_or_a_fill_of_a_later_epoch_is_known_by_its_id(
    order: int, fill: int, later: int
) -> None:
    """What only looks like one of ours says nothing: its epoch is of no time."""
    there = VenueOrder(order_id(order), ANY, 0, OrderState.ACCEPTED)
    told = bought(order_id(fill))
    account = VenueAccount(0, {}, {there.order: there}, (told,), {})
    assert later_epoch(account, 3, NOW_MS * 1_000_000) == later
    foreign = VenueAccount(0, {}, {}, (bought(ClientOrderId("by-hand")),), {})
    assert later_epoch(foreign, 3, NOW_MS * 1_000_000) == 0


async def test_what_a_later_leader_does_is_not_repaired() -> None:
    scene, venue, asked = two(), Shown("TWO", "30"), []
    made = reconciler(scene, venue)
    await made.at_start(EVER, nothing)
    there = VenueOrder(order_id(3), ANY, 0, OrderState.ACCEPTED)

    def overtaken(epoch: int) -> bool:
        asked.append(epoch)
        return True

    made.overtaken = overtaken
    with anyio.move_on_after(3 * reconciling.PAUSE_S) as scope:
        await seen(made, venue, orders={there.order: there})
    assert scope.cancelled_caught, "its process is ended meanwhile"
    assert {*asked} == {3}
    assert there.order not in scene.state.orders.open
    made.overtaken = lambda _epoch: False
    await seen(made, venue, orders={there.order: there})
    assert there.order in scene.state.orders.open, "who is alone takes it for its own"


async def seen(made: Reconciler, venue: Shown, **account: object) -> None:
    """The venue states this account, as long as it is compared."""
    cash = account.pop("cash", venue.cash)

    async def answer(_asked: object) -> VenueAccount:
        whole = {"positions": {}, "orders": {}, "fills": ()} | account
        return VenueAccount(parse(str(cash)), **whole)  # type: ignore[arg-type]

    venue.account = answer  # type: ignore[method-assign]
    await made.at_start(EVER, nothing)


async def test_what_is_somebody_elses_is_left_aside_and_never_in_our_books() -> None:
    """`unexplained = "ignore"`: a person's own coins and deposits stay that person's."""
    scene, venue = two(), Shown("TWO", "30")
    made = reconciler(scene, venue)
    made._unexplained = "ignore"
    coin = InstrumentId("BTCUSDT.TWO")
    await seen(made, venue, positions={coin: parse("2")})
    await seen(made, venue, positions={coin: parse("3")}, cash="35")
    state = scene.state
    assert state.cash_at("TWO") == parse("30"), "the first cash is ours, the later is not"
    assert state.portfolio.quantity(coin) == 0
    assert (state.aside, state.aside_cash) == ({coin: parse("3")}, {"TWO": parse("5")})
    assert made.unexplained_seen == 0
    assert state.trading_state is TradingState.ACTIVE
    account = VenueAccount(parse("35"), {coin: parse("3")}, {}, ())
    assert all(check_account(state, account, "TWO").values()), "our books and theirs agree"


async def test_what_goes_beyond_what_was_left_aside_was_ours() -> None:
    scene, venue = two(), Shown("TWO", "30")
    made = reconciler(scene, venue)
    made._unexplained = "ignore"
    await seen(made, venue)
    await seen(made, venue, cash="35")
    await seen(made, venue, cash="28")
    assert scene.state.aside_cash == {}
    assert scene.state.cash_at("TWO") == parse("28"), "5 were not ours, 2 were"
    assert made.unexplained_seen == 1


async def test_books_whose_cash_is_not_settled_are_not_called_equal() -> None:
    scene, venue = two(), Shown("TWO", "30")
    made = reconciler(scene, venue)
    await seen(made, venue)
    coin = InstrumentId("BTCUSDT.TWO")
    taken = scene.state.agreed["TWO"]
    scene.state.orders.fills += 1
    accounts = [
        VenueAccount(parse("30"), {}, {}, (), moving=(coin,)),
        VenueAccount(parse("30"), {}, {}, ()),
    ]
    heard: list[bool] = []

    async def answer(_asked: object) -> VenueAccount:
        heard.append(scene.state.agreed["TWO"] == taken)
        return accounts[min(len(heard), 2) - 1]

    venue.account = answer  # type: ignore[method-assign]
    async with anyio.create_task_group() as group:
        group.start_soon(made.keep, 0.0)
        while len(heard) < 3:
            made.look_now()
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert heard == [True, True, False]


async def test_what_waits_for_a_person_at_the_venue_is_told_of_once() -> None:
    scene, venue = two(), Shown("TWO", "30")
    told: list[str] = []
    made = reconciler(scene, venue)
    made.on_difference = told.append
    for waiting in (("redeem 1",), ("redeem 1", "redeem 2"), ()):
        await seen(made, venue, by_hand=waiting)
    assert told == ["TWO: redeem 1", "TWO: redeem 2"]
    assert scene.state.trading_state is TradingState.ACTIVE


async def test_books_whose_balances_still_move_count_as_compared_and_not_as_equal() -> None:
    scene, venue = two(), Shown("TWO", "30")
    made = reconciler(scene, venue)
    made._unexplained = "adopt"
    await made.at_start(EVER, nothing)
    _, fills = scene.state.agreed.pop("TWO")
    cash = iter(range(31, 99))

    async def account(_asked: object) -> VenueAccount:
        return VenueAccount(parse(str(next(cash))), {}, {}, (), {})

    venue.account = account  # type: ignore[method-assign]
    await made.at_start(EVER, nothing)
    assert scene.state.uncompared == ["ONE"], "orders may be sent"
    assert scene.state.agreed == {}, "and a loss is not halted for by books that nobody confirmed"
    await seen(made, venue, moving=(InstrumentId("YES.TWO"),))
    assert scene.state.agreed == {}
    await seen(made, venue)
    assert scene.state.agreed["TWO"][1] == fills


async def test_an_order_that_is_not_ours_is_told_of_once() -> None:
    scene, venue = two(), Shown("TWO", "30")
    told: list[str] = []
    made = reconciler(scene, venue)
    made._unexplained = "adopt"
    made.on_difference = told.append
    for _ in range(2):
        await seen(made, venue, foreign=("SELL 1 BTCUSDT at 9 (web_1)",))
    assert told == ["an order that is not ours rests at TWO: SELL 1 BTCUSDT at 9 (web_1)"]
    assert scene.state.trading_state is TradingState.ACTIVE
    made._unexplained = "halt"
    await seen(made, venue, foreign=("BUY 2 BTCUSDT at 8 (web_2)",))
    assert scene.state.trading_state is TradingState.HALTED


def test_an_order_that_never_arrived_ends_however_often_its_cancel_is_refused() -> None:
    """A refusal is no sign of life: each second a cancel was refused, and the order stayed open."""
    scene = Scene()
    order = scene.propose(terms(Side.BUY, "10.00", "1"))
    assert isinstance(order, Approved)
    unknown = VenueAccount(scene.state.portfolio.cash, {}, {}, ())
    ended: list[object] = []
    for second in range(1, 8):
        now_ns = scene.state.now_ns + SECOND
        scene.take(CancelAll(now_ns, f"c{second}", "ann", ""))
        scene.take(CancelRejected(now_ns, order.order, "unknown order"))
        ended += order_reports(
            scene.state, unknown, venue_of(order.terms.instrument), now_ns, 3 * SECOND
        )
    assert isinstance(ended[0], OrderCanceled)
