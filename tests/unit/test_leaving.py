"""An order that has waited for its record: what happened meanwhile counts as for a new one."""

import pytest
from scenes import COIN, SECOND, Scene, terms

from betatrader.engine.leaving import ENDED, overtaken
from betatrader.model.account import OrderRejected, VenueAccess, VenueConnection
from betatrader.model.command import Approved
from betatrader.model.instruction import Flatten, Halt, Reduce, Resume, Started, TradingState
from betatrader.model.order import OrderType, Side

BUY, SELL = Side.BUY, Side.SELL


def waiting(side: Side) -> tuple[Scene, Approved]:
    """A scene that holds some, and an order there that was approved."""
    made = Scene()
    made.hold("1")
    order = made.propose(terms(side, "9.90" if side is BUY else "10.10", "0.5"))
    assert isinstance(order, Approved)
    assert overtaken(made.state, order) is None
    return made, order


@pytest.mark.parametrize(
    ("event", "buy", "sell"),
    [
        (Reduce(SECOND, "i", "ann", "x"), "only what reduces", None),
        (Halt(SECOND, "i", "ann", "x"), "halted meanwhile", "halted meanwhile"),
        (VenueConnection(SECOND, "SIM", False, "cut"), "went away", "went away"),
        (VenueAccess(SECOND, "SIM", False, "403"), "does not serve", None),
        (Started(SECOND, 2, TradingState.ACTIVE), "earlier lease", "earlier lease"),
    ],
)
def test_it_leaves_only_where_a_new_one_might(event: object, buy: str, sell: str | None) -> None:
    for side, expected in ((BUY, buy), (SELL, sell)):
        made, order = waiting(side)
        made.take(event)
        told = overtaken(made.state, order)
        assert (told is None) == (expected is None)
        assert expected is None or expected in (told or "")


def test_books_that_are_to_be_compared_come_first() -> None:
    made, order = waiting(BUY)
    made.state.uncompared.append("")
    assert "compared first" in (overtaken(made.state, order) or "")


def test_what_a_person_ordered_meanwhile_is_over_where_it_was_taken_back() -> None:
    made, order = waiting(BUY)
    made.take(Reduce(SECOND, "i", "ann", "x"))
    made.take(Resume(SECOND, "j", "ann", "x"))
    assert overtaken(made.state, order) is None


def test_what_flattens_leaves_while_halted() -> None:
    made = Scene()
    made.hold("1")
    step = made.take(Flatten(SECOND, "i", "ann", "x"))
    assert step is not None
    [sale] = [one for one in step.changes if isinstance(one, Approved)]
    assert (sale.terms.instrument, sale.terms.type) == (COIN, OrderType.MARKET)
    assert overtaken(made.state, sale) is None


def test_one_that_has_ended_is_silently_no_more() -> None:
    made, order = waiting(BUY)
    made.take(OrderRejected(SECOND, order.order, "the venue never took it"))
    assert overtaken(made.state, order) == ENDED
