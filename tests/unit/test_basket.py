"""Baskets of exclusive outcomes: bought below what they must pay, and none loses much in part."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import SECOND, YES, contract, quote

from betatrader.engine.engine import Engine
from betatrader.model.account import CashFlow, Fill, OrderAccepted, OrderCanceled
from betatrader.model.command import Approved
from betatrader.model.errors import ConfigurationError
from betatrader.model.ids import InstrumentId
from betatrader.model.instruction import Started, TradingState
from betatrader.model.instrument import BinaryContract
from betatrader.model.limits import Limits
from betatrader.model.market import InstrumentListed, Resolution
from betatrader.model.money import SCALE, parse
from betatrader.model.order import Side, TimeInForce
from betatrader.roles.strategies import load
from betatrader.strategies.basket import Basket, Parameters

WHO = ("ANN", "BOB", "EVE")
YESES = [InstrumentId(f"{who}-YES.SIM") for who in WHO]
NOES = [InstrumentId(f"{who}-NO.SIM") for who in WHO]
ROUNDING = SCALE // 1000
"""A fill's fee is rounded to five decimals, each fill on its own."""


def answer(name: InstrumentId, **other: object) -> BinaryContract:
    """One outcome, yes or no, of who becomes mayor."""
    side = "YES" if "YES" in name else "NO"
    twin = InstrumentId(name.replace(side, "NO" if side == "YES" else "YES"))
    given = {"id": name, "complement": twin, "outcome": side, "event": name[:3], "nets": False}
    return msgspec.structs.replace(contract(YES), **{**given, "exclusive": "MAYOR", **other})


class Town:
    """An engine with the strategy alone, three candidates, and prices that a test sets."""

    def __init__(self, limits: Limits | None = None, **parameters: object) -> None:
        self.limits = limits or Limits(open_positions=6)
        self.engine = Engine(self.limits, [Basket(Parameters(**parameters))])  # type: ignore[arg-type]
        self.now_s = 1.0
        self.trades = 0
        self.paid = dict.fromkeys(YESES + NOES, Decimal(0))
        self.take(Started(0, 1, TradingState.ACTIVE))
        self.take(CashFlow(0, "SIM", 1000 * SCALE))
        for name in YESES + NOES:
            self.take(InstrumentListed(0, answer(name)))

    def take(self, event: object) -> list[Approved]:
        step = self.engine.process(event)  # type: ignore[arg-type]
        return [c for c in step.changes if isinstance(c, Approved)] if step is not None else []

    def quotes(
        self, names: list[InstrumentId], *tops: tuple[str, str], size: str = "6"
    ) -> list[Approved]:
        """New tops of these, each seen only when the old ones are gone."""
        for name in names:
            self.take(quote("0", "0", self.now_s, name, "0"))
        self.now_s += 1.1
        made = []
        for name, top in zip(names, tops, strict=True):
            made += self.take(quote(*top, self.now_s, name, size))
        return made

    def fill(self, order: Approved, quantity: int | None = None) -> list[Approved]:
        """Fill an order in part or whole (None), with the fee that the contract states; the rest
        is cancelled."""
        self.trades += 1
        now, asked = int(self.now_s * SECOND), order.terms
        done = asked.quantity if quantity is None else quantity
        made = self.take(OrderAccepted(now, order.order))
        if done:
            fee = answer(asked.instrument).fees.fee(asked.price, done, maker=False)
            self._pay(asked.instrument, asked.side, asked.price * done // SCALE + fee, done)
            what = (asked.instrument, asked.side, asked.price, done, fee, False, f"t{self.trades}")
            made += self.take(Fill(now, order.order, *what))
        if done < asked.quantity:
            made += self.take(OrderCanceled(now, order.order, "IOC"))
        return made

    def _pay(self, name: InstrumentId, side: Side, spent: int, quantity: int) -> None:
        held = self.held(name)
        if side is Side.BUY:
            self.paid[name] += spent
        else:
            self.paid[name] -= self.paid[name] * quantity / held

    def held(self, name: InstrumentId) -> int:
        return self.engine.state.portfolio.quantity(name)

    def worst(self, *, complete: bool) -> Decimal:
        """What is lost of what was paid for what is held, whoever wins."""
        winners = [*range(len(WHO))] if complete else [*range(len(WHO)), -1]
        least = min(
            sum(
                self.held(yes if at == winner else no)
                for at, (yes, no) in enumerate(zip(YESES, NOES, strict=True))
            )
            for winner in winners
        )
        return sum(self.paid.values(), Decimal(0)) - least


def test_no_of_exclusive_outcomes_is_bought_below_what_all_but_one_must_pay() -> None:
    town = Town()
    orders = town.quotes(NOES, ("0.59", "0.60"), ("0.59", "0.60"), ("0.59", "0.60"))
    assert {o.terms.instrument for o in orders} == set(NOES), "1.80 and fees, and 2 is paid"
    assert {(o.terms.price, o.terms.quantity) for o in orders} == {(parse("0.60"), 6 * SCALE)}
    assert {o.terms.time_in_force for o in orders} == {TimeInForce.IOC}
    for order in orders:
        town.fill(order)
    assert town.worst(complete=False) < 0, "it gains, whoever wins, be it nobody"
    assert town.quotes(NOES, *[("0.65", "0.66")] * 3) == [], "1.98, and fees"


def test_two_of_many_are_enough_where_they_cost_less_than_one() -> None:
    town = Town()
    assert town.quotes(NOES[:1], ("0.44", "0.45")) == [], "one alone is no basket"
    orders = town.quotes(NOES[:2], ("0.44", "0.45"), ("0.44", "0.45"))
    assert {o.terms.instrument for o in orders} == set(NOES[:2])


def test_yes_of_each_is_bought_only_where_a_person_says_that_none_is_missing() -> None:
    cheap = [("0.29", "0.30")] * 3
    assert Town().quotes(YESES, *cheap) == [], "another may win"
    assert Town(complete="MAYOR=4").quotes(YESES, *cheap) == [], "one is not known yet"
    assert Town(complete="SHERIFF=3").quotes(YESES, *cheap) == [], "another question"
    orders = Town(complete="MAYOR=3").quotes(YESES, *cheap)
    assert {o.terms.instrument for o in orders} == set(YESES)
    assert {(o.terms.price, o.terms.quantity) for o in orders} == {(parse("0.30"), 6 * SCALE)}


def test_an_outcome_that_is_out_counts_and_one_that_won_ends_it() -> None:
    town = Town(complete="MAYOR=3")
    town.quotes(YESES, *[("0.49", "0.50")] * 3)
    town.take(Resolution(int(town.now_s * SECOND), YESES[2], 0))
    orders = town.quotes(YESES[:2], ("0.44", "0.45"), ("0.44", "0.45"))
    assert {o.terms.instrument for o in orders} == set(YESES[:2])
    over = Town(complete="MAYOR=3")
    over.quotes(YESES, *[("0.49", "0.50")] * 3)
    over.take(Resolution(int(over.now_s * SECOND), YESES[2], SCALE))
    assert over.quotes(YESES[:2], ("0.24", "0.25"), ("0.24", "0.25")) == []


def test_what_fees_take_is_no_gain_and_old_quotes_are_none() -> None:
    assert Town().quotes(NOES, *[("0.64", "0.65")] * 3) == [], "1.95, and 0.048 of fees"
    town = Town()
    town.quotes(NOES[:2], ("0.59", "0.60"), ("0.59", "0.60"))
    town.now_s += 10
    assert town.quotes(NOES[2:], ("0.59", "0.60")) == [], "risk would refuse two legs of three"


def test_legs_are_as_many_as_may_fill_alone() -> None:
    orders = Town(unhedged_usd=2.0).quotes(NOES, *[("0.59", "0.60")] * 3)
    assert {o.terms.quantity for o in orders} == {parse("3.24")}, "one NO alone: 0.6168 with fee"
    orders = Town(unhedged_usd=3.0, complete="MAYOR=3").quotes(YESES, *[("0.29", "0.30")] * 3)
    assert {o.terms.quantity for o in orders} == {parse("4.76")}, "two YES of three: 0.6294"
    assert Town(unhedged_usd=0.5).quotes(NOES, *[("0.59", "0.60")] * 3) == [], "too small"
    assert Town(most_legs=2).quotes(NOES, *[("0.59", "0.60")] * 3) == [], "1.20 for 1"
    assert Town(most_legs=2, complete="MAYOR=3").quotes(YESES, *[("0.2", "0.3")] * 3) == []


def test_no_leg_is_held_beyond_its_own_bound() -> None:
    town = Town(most_leg_usd=6.0)
    for order in town.quotes(NOES, *[("0.59", "0.60")] * 3):
        town.fill(order)
    orders = town.quotes(NOES, *[("0.59", "0.60")] * 3)
    assert {o.terms.quantity for o in orders} == {parse("3.72")}


def test_legs_below_the_venues_least_size_are_not_bought() -> None:
    town = Town()
    for name in NOES:
        town.take(InstrumentListed(0, answer(name, min_quantity=5 * SCALE)))
    assert town.quotes(NOES, *[("0.59", "0.60")] * 3, size="4") == []
    assert len(town.quotes(NOES, *[("0.59", "0.60")] * 3, size="5")) == 3


def test_what_filled_alone_is_completed_while_the_basket_gains() -> None:
    town = Town()
    first, second, third = town.quotes(NOES, *[("0.59", "0.60")] * 3)
    town.fill(first)
    town.fill(second, 2 * SCALE)
    assert town.fill(third, 0) == []
    orders = town.quotes(NOES, ("0.59", "0.60"), ("0.60", "0.61"), ("0.60", "0.61"))
    assert {(o.terms.instrument, o.terms.quantity) for o in orders} == {
        (second.terms.instrument, 4 * SCALE),
        (third.terms.instrument, 6 * SCALE),
    }
    for order in orders:
        town.fill(order)
    assert [town.held(no) for no in NOES] == [6 * SCALE] * 3


def test_missing_yes_are_completed_all_or_none() -> None:
    town = Town(complete="MAYOR=3")
    first, *others = town.quotes(YESES, *[("0.29", "0.30")] * 3)
    town.fill(first)
    for order in others:
        town.fill(order, 0)
    dear = [("0.29", "0.30"), ("0.40", "0.41"), ("0.40", "0.41")]
    assert town.quotes(YESES, *dear) == [], "1.12"
    orders = town.quotes(YESES, *[("0.29", "0.30")] * 3)
    assert {(o.terms.instrument, o.terms.quantity) for o in orders} == {
        (order.terms.instrument, 6 * SCALE) for order in others
    }


@pytest.mark.parametrize(("names", "price"), [(NOES, "0.60"), (YESES, "0.30")])
def test_a_leg_that_stays_alone_is_given_up_and_no_other_basket_follows_at_once(
    names: list[InstrumentId], price: str
) -> None:
    town = Town(complete="MAYOR=3")
    bid = str(Decimal(price) - Decimal("0.01"))
    first, *others = town.quotes(names, *[(bid, price)] * 3)
    town.fill(first)
    for order in others:
        town.fill(order, 0)
    gone = [(bid, price), ("0.80", "0.81"), ("0.80", "0.81")]
    assert town.quotes(names, *gone) == [], "patience"
    orders: list[Approved] = []
    while not orders and town.now_s < 10:
        orders = town.quotes(names, *gone)
    [sale] = orders
    assert (sale.terms.instrument, sale.terms.side) == (first.terms.instrument, Side.SELL)
    assert (sale.terms.price, sale.terms.quantity) == (parse(bid), 6 * SCALE)
    town.fill(sale)
    assert town.quotes(names, *[(bid, price)] * 3) == [], "it rests"
    town.now_s += 60
    assert len(town.quotes(names, *[(bid, price)] * 3)) == 3


def test_two_no_that_filled_alike_cover_each_other_and_only_what_is_above_is_sold() -> None:
    town = Town()
    first, second, third = town.quotes(NOES, *[("0.59", "0.60")] * 3)
    town.fill(first)
    town.fill(second, 2 * SCALE)
    town.fill(third, 0)
    orders: list[Approved] = []
    while not orders and town.now_s < 10:
        orders = town.quotes(NOES, *[("0.79", "0.85")] * 3)
    [sale] = orders
    assert (sale.terms.instrument, sale.terms.side) == (NOES[0], Side.SELL)
    assert sale.terms.quantity == 4 * SCALE


def test_other_instruments_are_none_of_its_business_and_what_is_gone_is_forgotten() -> None:
    town = Town()
    town.take(InstrumentListed(0, contract(YES)))
    assert town.take(quote("0.10", "0.11", 1.0, YES)) == []
    town.quotes(NOES, *[("0.65", "0.66")] * 3)
    [strategy] = town.engine.strategies
    assert list(strategy.memory) == ["MAYOR.SIM"]
    copy = Basket()
    copy.restore(strategy.snapshot())
    assert copy.memory["MAYOR.SIM"].names == NOES
    strategy.forget({NOES[0]})
    assert strategy.memory["MAYOR.SIM"].names == NOES[:1]
    strategy.forget({YES})
    assert strategy.memory == {}


@pytest.mark.parametrize("wrong", ["MAYOR", "MAYOR=", "=3", "MAYOR=1", "MAYOR=3;B=4", "MAYOR=x"])
def test_a_wrong_count_of_outcomes_is_one_clear_line(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="strategies: basket: complete: write QUESTION="):
        load("basket", {"complete": wrong})
    assert load("basket", {"complete": " MAYOR = 3,B=2, "}).name == "basket"
    with pytest.raises(ConfigurationError, match="2 legs or more"):
        load("basket", {"most_legs": 1})


def top_of(low: int, high: int) -> st.SearchStrategy[tuple[int, int, int, int]]:
    """An ask in cents, a spread in cents, and both sizes; now and then there is no ask, or bid."""
    sizes = st.integers(0, 12), st.integers(0, 12)
    return st.tuples(st.integers(low, high), st.integers(1, 20), *sizes)


TOPS = st.one_of(
    st.tuples(*[top_of(10, 45)] * 3, *[top_of(55, 99)] * 3),  # YES are cheap, and NO dear
    st.tuples(*[top_of(25, 60)] * 3, *[top_of(30, 80)] * 3),  # the other way about
)
PARTS = st.lists(st.sampled_from([0, 0, 1, 2, 4, 4]), min_size=12, max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    unhedged=st.sampled_from([2.0, 5.0]),
    least=st.sampled_from([0, 3]),
    complete=st.booleans(),
    rounds=st.lists(st.tuples(TOPS, PARTS, st.sampled_from([2, 3, 70])), min_size=3, max_size=12),
)
def test_whatever_fills_no_outcome_loses_more_than_the_bound(
    unhedged: float,
    least: int,
    complete: bool,
    rounds: list[tuple[tuple[tuple[int, int, int, int], ...], list[int], int]],
) -> None:
    """Any prices, any part of any leg filled, for as long as one likes."""
    limits = Limits(open_positions=6, daily_loss=10**12, drawdown=SCALE)
    town = Town(limits, unhedged_usd=unhedged, complete="MAYOR=3" if complete else "")
    for name in YESES + NOES:  # what is left of a fill may be too small to be sold
        town.take(InstrumentListed(0, answer(name, min_quantity=least * SCALE)))
    for tops, parts, pause_s in rounds:
        town.now_s += pause_s
        orders: list[Approved] = []
        for name, (ask, spread, bid_size, ask_size) in zip(YESES + NOES, tops, strict=True):
            bid = max(0, ask - spread)
            told = quote("0", "0", town.now_s, name)
            top = {"bid": bid * SCALE // 100, "bid_size": bid_size * SCALE}
            if ask_size:
                top.update(ask=ask * SCALE // 100, ask_size=ask_size * SCALE)
            orders += town.take(msgspec.structs.replace(told, **top))
        for part in parts:
            if not orders:
                break
            order = orders.pop(0)
            lots = order.terms.quantity * part // 4 // (SCALE // 100)
            orders += town.fill(order, lots * SCALE // 100)
            assert town.worst(complete=complete) <= int(unhedged * SCALE) + ROUNDING
        for order in orders:
            town.fill(order, 0)
    assert not town.engine.state.failed
