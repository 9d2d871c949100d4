"""Parity buys a pair that pays more than it costs, and never keeps one leg for long."""

import msgspec
from msgspec.structs import replace
from scenes import NO, SECOND, YES, coin, contract, quote

from betatrader.engine.engine import Engine
from betatrader.model.account import CashFlow, Fill, OrderAccepted, OrderCanceled
from betatrader.model.command import Approved
from betatrader.model.instruction import Started, TimerFired, TradingState
from betatrader.model.limits import Limits
from betatrader.model.market import InstrumentListed
from betatrader.model.money import SCALE, Quantity, parse
from betatrader.model.order import Side, TimeInForce
from betatrader.strategies.parity import Parameters, Parity


class Pair:
    """An engine with the strategy alone, both contracts listed, at a price that a test sets."""

    def __init__(self, *, tells_least: bool = True, **parameters: float) -> None:
        """Without `tells_least` the contracts are as Polymarket's: only what takes has a least."""
        self.engine = Engine(Limits(), [Parity(Parameters(**parameters))])
        self.now_s = 1.0
        self.trades = 0
        self.take(Started(0, 1, TradingState.ACTIVE))
        self.take(CashFlow(0, "SIM", 100 * SCALE))
        self.take(InstrumentListed(0, coin()))
        for listed in (contract(YES), contract(NO)):
            if not tells_least:
                listed = replace(listed, min_notional=0, min_taken=SCALE)
            self.take(InstrumentListed(0, listed))

    def expire(self, order: Approved) -> None:
        """An order took nothing."""
        now = int(self.now_s * SECOND)
        self.take(OrderAccepted(now, order.order))
        self.take(OrderCanceled(now, order.order, "IOC"))

    def take(self, event: object) -> list[Approved]:
        step = self.engine.process(event)  # type: ignore[arg-type]
        return [c for c in step.changes if isinstance(c, Approved)] if step is not None else []

    def quotes(self, yes: tuple[str, str], no: tuple[str, str], size: str = "6") -> list[Approved]:
        self.now_s += 1.1
        first = self.take(quote(*yes, self.now_s, YES, size))
        return first + self.take(quote(*no, self.now_s, NO, size))

    def fill(self, order: Approved, quantity: str = "") -> list[Approved]:
        self.trades += 1
        now, asked = int(self.now_s * SECOND), order.terms
        done = parse(quantity) if quantity else asked.quantity
        self.take(OrderAccepted(now, order.order))
        what = (asked.instrument, asked.side, asked.price, done, 0, False, f"t{self.trades}")
        made = self.take(Fill(now, order.order, *what))
        if done < asked.quantity:
            made += self.take(OrderCanceled(now, order.order, "IOC"))
        return made

    def held(self) -> tuple[int, int]:
        portfolio = self.engine.state.portfolio
        return portfolio.quantity(YES), portfolio.quantity(NO)


def test_a_pair_below_one_is_bought_both_legs_at_once_and_alike() -> None:
    pair = Pair()
    orders = pair.quotes(("0.44", "0.45"), ("0.44", "0.45"))
    assert {o.terms.instrument for o in orders} == {YES, NO}
    assert {(o.terms.price, o.terms.quantity) for o in orders} == {(parse("0.45"), 6 * SCALE)}
    assert {o.terms.time_in_force for o in orders} == {TimeInForce.IOC}
    for order in orders:
        pair.fill(order)
    assert pair.held() == (6 * SCALE, 6 * SCALE)
    assert pair.quotes(("0.54", "0.55"), ("0.44", "0.45")) == [], "even, and nothing to gain"


def test_what_fees_take_is_no_gain() -> None:
    assert Pair().quotes(("0.47", "0.48"), ("0.47", "0.49")) == [], "0.97, and 0.035 of fees"


def test_one_leg_costs_no_more_than_what_may_stand_alone() -> None:
    orders = Pair(unhedged_usd=2.0).quotes(("0.39", "0.40"), ("0.44", "0.45"))
    assert {o.terms.quantity for o in orders} == {parse("4.44")}
    assert Pair(unhedged_usd=0.5).quotes(("0.39", "0.40"), ("0.44", "0.45")) == [], "too small"


def test_a_leg_that_filled_alone_is_completed_while_the_pair_still_gains() -> None:
    pair = Pair()
    no, yes = sorted(pair.quotes(("0.44", "0.45"), ("0.44", "0.45")), key=_name)
    pair.fill(no)
    pair.fill(yes, "2")
    [more] = pair.quotes(("0.45", "0.46"), ("0.44", "0.45"))
    assert (more.terms.instrument, more.terms.side) == (YES, Side.BUY)
    assert (more.terms.price, more.terms.quantity) == (parse("0.46"), 4 * SCALE)
    pair.fill(more)
    assert pair.held() == (6 * SCALE, 6 * SCALE)


def test_a_leg_that_cannot_be_completed_is_given_up_after_a_while() -> None:
    pair = Pair()
    no, yes = sorted(pair.quotes(("0.44", "0.45"), ("0.44", "0.45")), key=_name)
    pair.fill(no)
    pair.expire(yes)
    assert pair.quotes(("0.55", "0.56"), ("0.43", "0.45")) == [], "patience"
    orders: list[Approved] = []
    while not orders and pair.now_s < 10:
        orders = pair.quotes(("0.55", "0.56"), ("0.43", "0.45"))
    [sale] = orders
    assert (sale.terms.instrument, sale.terms.side) == (NO, Side.SELL)
    assert (sale.terms.price, sale.terms.quantity) == (parse("0.43"), 6 * SCALE)
    pair.fill(sale)
    assert pair.held() == (0, 0)
    given_up_s = pair.now_s
    while pair.now_s < given_up_s + 30:
        assert pair.quotes(("0.44", "0.45"), ("0.44", "0.45")) == [], "what failed may fail again"
    pair.now_s = given_up_s + 60
    assert len(pair.quotes(("0.44", "0.45"), ("0.44", "0.45"))) == 2


def test_a_leg_too_cheap_to_be_taken_is_neither_bought_nor_completed() -> None:
    """Else the venue refuses it, and the other leg is bought and sold again, for ever."""
    pair = Pair(tells_least=False)
    assert pair.quotes(("0.88", "0.89"), ("0.05", "0.06")) == [], "6 are worth 0.36"
    no, yes = sorted(pair.quotes(("0.44", "0.45"), ("0.44", "0.45")), key=_name)
    pair.fill(no)
    pair.fill(yes, "4")
    orders: list[Approved] = []
    while not orders:
        orders = pair.quotes(("0.44", "0.45"), ("0.44", "0.46"))
    [sale] = orders
    assert (sale.terms.instrument, sale.terms.side) == (NO, Side.SELL), "2 of YES are worth 0.90"


def test_what_rounding_has_left_is_even_and_a_refused_completion_is_given_up() -> None:
    pair = Pair()
    for order in pair.quotes(("0.44", "0.45"), ("0.44", "0.45")):
        pair.fill(order, "5.995" if order.terms.instrument == YES else "6")
    assert pair.quotes(("0.54", "0.55"), ("0.44", "0.46")) == [], "less than a lot is even"
    assert len(pair.quotes(("0.40", "0.41"), ("0.44", "0.45"))) == 2, "and the next pair is bought"
    lone = Pair(patience_seconds=0.5)
    no, yes = sorted(lone.quotes(("0.44", "0.45"), ("0.44", "0.45")), key=_name)
    lone.fill(no)
    lone.expire(yes)
    made = [*lone.quotes(("0.45", "0.46"), ("0.44", "0.45"))]
    for order in made:
        lone.expire(order)
    [sale] = lone.quotes(("0.45", "0.46"), ("0.44", "0.45"))
    assert (sale.terms.instrument, sale.terms.side) == (NO, Side.SELL)


def _name(order: Approved) -> str:
    return order.terms.instrument


def test_a_spot_pair_and_a_contract_alone_are_none_of_its_business() -> None:
    assert Pair().take(quote("9.99", "10.01", 2.0)) == []
    alone = Engine(Limits(), [Parity()])
    alone.process(InstrumentListed(0, contract(YES)))
    assert alone.process(quote("0.10", "0.11", 1.0, YES)) is None
    assert not alone.state.failed


def test_a_tick_looks_too_and_what_is_gone_is_forgotten() -> None:
    pair = Pair()
    pair.quotes(("0.49", "0.50"), ("0.49", "0.51"))
    assert pair.take(TimerFired(int(pair.now_s * SECOND), "tick")) == []
    [strategy] = pair.engine.strategies
    assert list(strategy.memory) == [NO]
    strategy.forget({YES})
    assert strategy.memory == {}


def test_a_pair_is_bought_only_where_both_quotes_are_fresh_and_large_enough() -> None:
    pair = Pair()
    pair.take(quote("0.44", "0.45", 1.0, NO, "6"))
    pair.now_s = 8.0
    assert pair.take(quote("0.44", "0.45", 8.0, YES, "6")) == [], "the other leg is 7 s old"
    assert len(pair.take(quote("0.44", "0.45", 8.1, NO, "6"))) == 2
    least = Pair()
    for name in (YES, NO):
        made = msgspec.structs.replace(contract(name), min_quantity=Quantity(5 * SCALE))
        least.take(InstrumentListed(0, made))
    assert least.quotes(("0.44", "0.45"), ("0.44", "0.45"), "4.9") == []
    assert len(least.quotes(("0.44", "0.45"), ("0.44", "0.45"), "5")) == 2
