"""Shares of strategies always add up to what the account holds."""

from hypothesis import given
from hypothesis import strategies as st

from betatrader.engine.holdings import Holdings
from betatrader.model.ids import InstrumentId, StrategyId

A = InstrumentId("A.SIM")
ONE, TWO = StrategyId("one"), StrategyId("two")


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from([ONE, TWO, StrategyId("stop")]))))
def test_shares_add_up_and_none_is_short_while_the_account_is_not(
    totals: list[tuple[int, StrategyId]],
) -> None:
    holdings = Holdings()
    for total, strategy in totals:
        holdings.settle(A, total, strategy)
        shares = holdings.shares.get(A, {})
        assert sum(shares.values()) == total
        assert all(quantity > 0 for quantity in shares.values())


def test_a_sale_comes_out_of_ones_own_share_first_and_a_stop_out_of_anyones() -> None:
    holdings = Holdings()
    holdings.settle(A, 10, ONE)
    holdings.settle(A, 14, TWO)
    holdings.settle(A, 11, ONE)
    assert (holdings.of(ONE, A), holdings.of(TWO, A)) == (7, 4)
    holdings.settle(A, 2, StrategyId("stop"))
    assert (holdings.of(ONE, A), holdings.of(TWO, A)) == (0, 2)
    holdings.settle(A, 0, StrategyId("stop"))
    holdings.settle(A, -3, ONE)
    assert holdings.of(ONE, A) == -3, "more sold than anyone held: it is told as it is"
    holdings.settle(A, 0, ONE)
    assert holdings.shares == {}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 50),
            st.sampled_from([ONE, TWO, StrategyId("stop")]),
            st.integers(-1000, 1000),
        )
    ),
    st.integers(0, 100_000_000),
)
def test_what_strategies_have_earned_adds_up_to_what_was_paid(
    moves: list[tuple[int, StrategyId, int]], price: int
) -> None:
    holdings, paid = Holdings(), 0
    for total, strategy, cash in moves:
        holdings.settle(A, total, strategy, cash)
        paid += cash
    held = sum(holdings.shares.get(A, {}).values())
    due = held * price // 100_000_000
    holdings.end(A, price, due)
    assert sum(holdings.cash.values()) == paid + due
    assert A not in holdings.shares


def test_who_is_sold_out_by_a_stop_is_paid_for_it() -> None:
    holdings = Holdings()
    holdings.settle(A, 10, ONE, -100)
    holdings.settle(A, 20, TWO, -120)
    holdings.settle(A, 5, StrategyId("stop"), 150)
    assert holdings.cash == {ONE: 0, TWO: -70, StrategyId("stop"): 0}
