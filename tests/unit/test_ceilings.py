"""The ceilings of live trading: what a day may buy, how often, and how small micro is."""

from msgspec.structs import replace
from scenes import COIN, SECOND, YES, Scene, coin, contract, terms

from betatrader.engine.ceilings import cut, least
from betatrader.engine.checks import CHECKS
from betatrader.engine.engine import Engine
from betatrader.engine.proposal import Proposal
from betatrader.engine.state import State
from betatrader.engine.today import DAY_NS
from betatrader.model.account import Fill, OrderCanceled, OrderInDoubt, OrderRejected
from betatrader.model.command import Approved, StateChanged
from betatrader.model.ids import ClientOrderId, InstrumentId, StrategyId
from betatrader.model.instruction import ConfirmLimits, Started, TradingState
from betatrader.model.limits import UNBOUND, Limits, raised
from betatrader.model.money import SCALE, parse
from betatrader.model.order import OrderTerms, OrderType, Side, TimeInForce

BUY, SELL = Side.BUY, Side.SELL
DAY_S = DAY_NS / SECOND
FULL = Limits(daily_bought=10 * SCALE)
FEW = Limits(daily_orders=2)
COLLAR = Limits().collar
MICRO = Limits(minimum_times=1)


def next_day(scene: Scene) -> None:
    scene.now_s += DAY_S
    scene.quote()


def test_what_was_bought_today_is_bound_and_the_next_day_begins_at_midnight_utc() -> None:
    scene = Scene(FULL)
    scene.hold("0.6")
    assert scene.refused_by(terms(BUY, "10.00", "0.41")) == "daily_bought"
    assert scene.refused_by(terms(BUY, "10.00", "0.4")) == ""
    next_day(scene)
    assert scene.refused_by(terms(BUY, "9.99", "0.5")) == "", "an open buy of yesterday counts"
    assert scene.refused_by(terms(BUY, "9.98", "0.2")) == "daily_bought"


def test_selling_is_free_and_gives_nothing_back() -> None:
    scene = Scene(FULL)
    scene.hold("0.9")
    sold = scene.propose(terms(SELL, "10.02", "0.9"))
    assert isinstance(sold, Approved)
    scene.fill(sold, trade="t2")
    assert scene.refused_by(terms(BUY, "10.00", "0.2")) == "daily_bought"


def test_an_order_in_doubt_counts_until_the_venue_says_what_became_of_it() -> None:
    scene = Scene(FULL)
    order = scene.propose(terms(BUY, "10.00", "0.8"))
    assert isinstance(order, Approved)
    scene.take(OrderInDoubt(0, order.order, "no answer"))
    assert scene.refused_by(terms(BUY, "9.99", "0.3")) == "daily_bought"
    scene.take(OrderRejected(0, order.order, "it never came"))
    again = scene.propose(terms(BUY, "9.99", "0.3"))
    assert isinstance(again, Approved)
    scene.take(OrderCanceled(0, again.order))
    scene.fill(replace(order, terms=terms(BUY, "10.00", "0.8")), trade="late")
    assert scene.refused_by(terms(BUY, "9.99", "0.3")) == "daily_bought", "a late fill counts"


def test_a_fill_of_an_order_that_we_do_not_know_counts_too() -> None:
    scene = Scene(FULL)
    order = ClientOrderId("f" * 32)
    made = Fill(SECOND, order, COIN, BUY, parse("10"), parse("0.8"), 0, True, "t9")
    scene.take(made)
    scene.take(made)
    assert scene.state.orders.today.bought == 8 * SCALE, "and once"
    assert scene.refused_by(terms(BUY, "9.99", "0.3")) == "daily_bought"


def test_near_the_ceiling_a_person_is_warned() -> None:
    scene = Scene(FULL)
    scene.puppet.intents = []
    order = scene.propose(terms(BUY, "10.00", "0.85"))
    assert isinstance(order, Approved)
    assert "daily_bought" in scene.state.warned


def test_a_few_orders_a_day_and_sales_besides() -> None:
    scene = Scene(FEW)
    scene.hold("0.3")
    scene.hold("0.3", "9.99", stop=0)
    assert scene.refused_by(terms(BUY, "9.98", "0.3")) == "daily_orders"
    assert scene.refused_by(terms(SELL, "10.02", "0.5")) == ""
    next_day(scene)
    assert scene.refused_by(terms(BUY, "9.98", "0.3")) == ""


def test_the_counts_survive_a_restart_from_a_snapshot() -> None:
    scene = Scene(FULL)
    scene.hold("0.9")
    again = Engine(FULL, [scene.puppet])
    again.restore(scene.engine.snapshot())
    assert again.state.orders.today.bought == 9 * SCALE
    scene.engine = again
    assert scene.refused_by(terms(BUY, "10.00", "0.2")) == "daily_bought"


def test_the_clock_does_not_open_a_day_twice() -> None:
    scene = Scene(FULL)
    today = scene.state.orders.today
    today.fill(DAY_NS, SCALE)
    today.fill(DAY_NS - 1, SCALE)
    assert (today.at(DAY_NS), today.at(2 * DAY_NS)) == ((2 * SCALE, 0), (0, 0))


def test_micro_buys_the_least_that_can_be_sold_again() -> None:
    listed = replace(coin(), min_notional=5 * SCALE, min_quantity=parse("0.2"))
    ten, thousand = terms(BUY, "10", "1"), terms(BUY, "1000", "1")
    assert least(listed, ten, COLLAR) == parse("0.59"), "5.50 at 9.50 are 0.58, and a lot over"
    assert least(listed, thousand, COLLAR) == parse("0.2")
    assert least(replace(listed, min_quantity=0), thousand, COLLAR) == 2 * listed.lot
    rests = terms(BUY, "0.40", "9", YES)
    assert least(contract(YES), rests, COLLAR) >= contract(YES).lot
    free = replace(contract(YES), min_notional=0, min_taken=SCALE)
    assert least(free, rests, COLLAR) == free.lot, "no minimum value: shares alone count"
    takes = replace(rests, time_in_force=TimeInForce.IOC)
    assert least(free, takes, COLLAR) == parse("2.5"), "what takes must be worth a dollar"


def test_what_micro_has_bought_may_be_sold_at_the_collar_after_its_fee_took_a_part() -> None:
    """Else a stop and `flatten` would be refused by the venue for ever."""
    pair = replace(coin(), tick=parse("0.01"), lot=parse("0.00001"), min_notional=5 * SCALE)
    price = parse("61781.79")
    bought = least(pair, terms(BUY, "61781.79", "1"), COLLAR)
    kept = bought // 1000
    sellable = (bought - kept) // pair.lot * pair.lot
    assert sellable * (price * 95 // 100) // SCALE >= 5 * SCALE


def test_in_micro_a_larger_buy_is_cut_to_that_and_a_smaller_one_left() -> None:
    scene = Scene(MICRO)
    order = scene.propose(terms(BUY, "10.00", "0.9"))
    assert isinstance(order, Approved)
    smallest = least(coin(), order.terms, COLLAR)
    assert order.terms.quantity == smallest < parse("0.9")
    asked = OrderTerms(COIN, BUY, OrderType.MARKET, 0, parse("0.9"), TimeInForce.IOC)
    taken = scene.propose(asked)
    assert isinstance(taken, Approved)
    assert 0 < taken.terms.quantity <= smallest
    scene.fill(order)
    scene.take(OrderCanceled(0, taken.order))
    sold = scene.propose(terms(SELL, "10.02", "0.01"))
    assert isinstance(sold, Approved)


def proposal(scene: Scene, asked: OrderTerms) -> Proposal:
    return Proposal(
        scene.state, scene.engine.limits, ClientOrderId("0" * 32), StrategyId("puppet"), asked
    )


def test_the_check_itself_refuses_what_was_not_cut() -> None:
    check = next(one for one in CHECKS if one.__name__ == "minimum_size")
    scene = Scene(MICRO)
    breach = check(proposal(scene, terms(BUY, "10.00", "0.9")))
    assert breach is not None
    assert breach[1] == "0.9"
    assert check(proposal(scene, terms(BUY, "10.00", "0.01"))) is None
    assert check(proposal(scene, terms(SELL, "10.00", "0.9"))) is None
    nowhere = replace(terms(BUY, "10.00", "0.9"), instrument=InstrumentId("NONE.SIM"))
    assert check(proposal(scene, nowhere)) is None
    assert check(proposal(scene, terms(BUY, "0", "0.9"))) is None
    assert cut(terms(BUY, "0", "0.9"), coin(), MICRO).quantity == parse("0.9")


def test_a_raised_ceiling_waits_for_a_person_and_a_lowered_one_is_taken() -> None:
    first, higher, lower = FULL, Limits(daily_bought=20 * SCALE), Limits(daily_bought=5 * SCALE)
    assert raised(higher, first) == ("daily_bought",)
    assert raised(lower, first) == ()
    assert set(raised(Limits(), replace(MICRO, daily_orders=5))) == {
        "minimum_times",
        "daily_orders",
    }
    state = State()
    engine = Engine(higher, [], state)
    engine.process(Started(0, 1, TradingState.ACTIVE, limits=first))
    step = engine.process(Started(1, 2, TradingState.ACTIVE, limits=higher))
    assert step is not None
    assert StateChanged(
        TradingState.REDUCING,
        "raised limits wait for `betatrader limits confirm` (daily_bought)",
    ) in (step.changes)
    engine.process(ConfirmLimits(2, "i", "ann", "a good month"))
    assert (state.confirmed, state.trading_state) == (higher, TradingState.ACTIVE)


def test_unbound_binds_nothing() -> None:
    scene = Scene(cash="1000")
    assert scene.engine.limits.daily_bought == UNBOUND
    assert scene.refused_by(terms(BUY, "10.00", "1")) == ""
    assert scene.refused_by(terms(BUY, "0.42", "10", YES)) == ""
