"""An order's age goes by a clock that nobody sets: a step of the wall clock ends no order."""

import pytest
from scenes import SECOND, Scene, parse, terms

from betatrader.model.account import OrderInDoubt, VenueAccount
from betatrader.model.command import Approved
from betatrader.model.order import Order, OrderState, Side
from betatrader.ops import clock
from betatrader.roles.reconciling import Reconciler
from betatrader.venues.ages import Age, Ages

HOUR = 3_600 * SECOND


def order(created_ns: int, updated_ns: int = 0) -> Order:
    made = Order("o", "maker", terms(Side.BUY, "10.00", "1"), created_ns, OrderState.SUBMITTED)  # type: ignore[arg-type]
    made.updated_ns = updated_ns or created_ns
    return made


def test_at_the_first_look_there_is_only_the_wall_clock_to_go_by() -> None:
    ages, old = Ages(), order(HOUR, HOUR + SECOND)
    ages.look([old], HOUR + 5 * SECOND, 77)
    assert ages.age(old) == Age(5 * SECOND, 4 * SECOND)


def test_a_clock_that_is_set_forward_makes_no_order_old() -> None:
    ages, known, new = Ages(), order(HOUR), order(HOUR + SECOND)
    ages.look([known], HOUR, 0)
    ages.look([known], 2 * HOUR, SECOND)
    assert ages.age(known) == Age(SECOND, SECOND)
    new.id = "n"  # type: ignore[assignment]
    ages.look([known, new], 2 * HOUR + SECOND, 2 * SECOND)
    assert ages.age(new) == Age(SECOND, SECOND)  # it came since the last look


def test_a_clock_that_is_set_back_keeps_no_order_young() -> None:
    ages, one = Ages(), order(HOUR)
    ages.look([], HOUR, 0)
    for second in range(1, 9):
        ages.look([one], second * SECOND, second * SECOND)
    assert ages.age(one) == Age(7 * SECOND, 7 * SECOND)


def test_news_make_an_order_no_younger() -> None:
    ages, one = Ages(), order(HOUR)
    ages.look([one], HOUR, 0)
    one.updated_ns = HOUR + 3 * SECOND
    ages.look([one], HOUR + 4 * SECOND, 4 * SECOND)
    assert ages.age(one) == Age(4 * SECOND, SECOND)


def test_an_order_that_ended_is_forgotten() -> None:
    ages, one = Ages(), order(HOUR)
    ages.look([one], HOUR, 0)
    ages.look([], HOUR, SECOND)
    with pytest.raises(KeyError):
        ages.age(one)


class Unknowing:
    """A venue that has no order of ours, and where one may be under way for 10 s."""

    name = "SIM"
    under_way_ns = 10 * SECOND

    def __init__(self, cash: int) -> None:
        self.cash = cash

    async def account(self, _asked: object) -> VenueAccount:
        """Nothing but cash."""
        return VenueAccount(self.cash, {}, {}, (), {})


async def test_an_order_under_way_does_not_end_when_the_clock_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall, boot = HOUR, 0.0
    monkeypatch.setattr(clock, "now_ns", lambda: wall)
    monkeypatch.setattr(clock, "boot_s", lambda: boot)
    scene = Scene()
    venue = Unknowing(parse("100"))
    reconciler = Reconciler(venue, lambda: scene.state, scene.take)  # type: ignore[arg-type]
    account = await venue.account(())
    assert reconciler._orders(account) == []
    wall, boot = HOUR + SECOND, 1.0
    made = scene.propose(terms(Side.BUY, "10.00", "1"))
    assert isinstance(made, Approved)
    wall, boot = 2 * HOUR, 2.0
    [doubt] = reconciler._orders(account)
    assert isinstance(doubt, OrderInDoubt)
    scene.take(doubt)
    wall, boot = 2 * HOUR + 9 * SECOND, 11.0
    assert reconciler._orders(account) == []
    wall, boot = 2 * HOUR + 11 * SECOND, 13.0
    [end] = reconciler._orders(account)
    assert end.order == made.order
