"""Cash and positions are conserved over any fills; YES and NO net; contracts settle."""

from hypothesis import given
from hypothesis import strategies as st

from betatrader.engine.portfolio import Portfolio
from betatrader.model.account import Fill
from betatrader.model.ids import ClientOrderId, InstrumentId
from betatrader.model.money import SCALE, parse
from betatrader.model.order import Side

YES, NO = InstrumentId("UP-YES.SIM"), InstrumentId("UP-NO.SIM")
FILLS = st.lists(
    st.tuples(
        st.sampled_from([YES, NO]),
        st.sampled_from(list(Side)),
        st.integers(1, SCALE),
        st.integers(1, 50 * SCALE),
        st.integers(0, SCALE),
        st.booleans(),
    ),
    max_size=30,
)


def fill(name: InstrumentId, side: Side, price: int, quantity: int, fee: int = 0) -> Fill:
    return Fill(1, ClientOrderId("0" * 32), name, side, price, quantity, fee, True, "t")


@given(FILLS)
def test_cash_and_cost_are_conserved_over_random_fills(fills: list) -> None:
    portfolio = Portfolio()
    portfolio.deposit(100 * SCALE)
    held = {YES: 0, NO: 0}
    for name, side, price, quantity, fee, nets in fills:
        other = NO if name == YES else YES
        portfolio.take_fill(fill(name, side, price, quantity, fee), other if nets else None)
        held[name] += quantity if side is Side.BUY else -quantity
        booked = sum(position.cost for position in portfolio.positions.values())
        assert portfolio.cash + booked == portfolio.deposits + portfolio.realised - portfolio.fees
    difference = portfolio.position(YES).quantity - portfolio.position(NO).quantity
    assert difference == held[YES] - held[NO]


@given(FILLS, st.sampled_from([0, SCALE]))
def test_after_settlement_all_value_is_cash(fills: list, payout: int) -> None:
    portfolio = Portfolio()
    for name, side, price, quantity, fee, _ in fills:
        portfolio.take_fill(fill(name, side, price, quantity, fee), None)
    portfolio.settle(YES, payout)
    portfolio.settle(NO, SCALE - payout)
    assert not portfolio.open_positions()
    assert portfolio.cash == portfolio.realised - portfolio.fees


def test_one_yes_and_one_no_are_one_unit_of_cash() -> None:
    portfolio = Portfolio()
    portfolio.take_fill(fill(YES, Side.BUY, parse("0.40"), 10 * SCALE), NO)
    portfolio.take_fill(fill(NO, Side.BUY, parse("0.55"), 4 * SCALE), YES)
    assert portfolio.position(YES).quantity == 6 * SCALE
    assert portfolio.position(NO).quantity == 0
    assert portfolio.realised == parse("0.20")
    assert portfolio.cash == parse("-4") - parse("2.2") + parse("4")
