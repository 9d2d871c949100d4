"""The strategies that ship, on generated markets with the model that ships."""

import pytest
from market_run import MarketRun
from msgspec.structs import replace
from scenes import SECOND, Scene, coin, quote, terms

from betatrader.engine.engine import Engine
from betatrader.engine.sizing import kelly_binary, kelly_return, quantity_for
from betatrader.engine.strategy import View
from betatrader.model.command import Approved, CancelOrder, RequestForecast
from betatrader.model.features import WIDTH
from betatrader.model.limits import Limits
from betatrader.model.market import InstrumentListed
from betatrader.model.money import SCALE, Quantity, cost, parse
from betatrader.model.order import Side
from betatrader.model.signal import Forecast
from betatrader.sim.generator import binary_market, spot_market
from betatrader.strategies.forecast_edge import ForecastEdge
from betatrader.strategies.market_maker import MarketMaker

CONTRACTS = 25


def approved(run: MarketRun) -> list[Approved]:
    return [c for step in run.steps for c in step.changes if isinstance(c, Approved)]


def entries(pattern: float) -> list[Approved]:
    return [
        order
        for loop in range(CONTRACTS)
        for order in approved(MarketRun([ForecastEdge()]).play(binary_market(40, loop, pattern)))
        if order.terms.side is Side.BUY
    ]


def test_with_the_pattern_off_the_forecast_strategy_trades_next_to_nothing() -> None:
    with_pattern, without = entries(1.0), entries(0.0)
    assert len(with_pattern) >= CONTRACTS // 2
    assert len(without) <= CONTRACTS // 5
    assert len(without) * 5 <= len(with_pattern)


def test_every_entry_carries_a_stop_below_its_price_and_is_sized_within_its_limits() -> None:
    for order in entries(1.0):
        assert 0 < order.stop < order.terms.price
        assert cost(order.terms.price, order.terms.quantity) <= 8 * SCALE


def test_a_price_driven_through_the_stop_closes_the_position() -> None:
    strategy = ForecastEdge()
    scene = Scene()
    engine = Engine(Limits(), [strategy], scene.state)
    engine.process(Forecast(SECOND, "COIN.SIM", "return", 0.2, 1.0, SECOND, 9 * SECOND, "m"))
    [order] = scene.state.orders.open.values()
    assert scene.state.markets["COIN.SIM"].stop == 0, "armed by the fill"
    scene.engine = engine
    scene.fill(Approved(order.id, order.strategy, order.terms))
    stop = scene.state.markets["COIN.SIM"].stop
    assert 0 < stop < order.terms.price
    through = (stop - SCALE // 100) / SCALE
    step = engine.process(quote(f"{through:.2f}", f"{through + 0.02:.2f}", 1.5))
    assert step is not None
    sale = next(change for change in step.changes if isinstance(change, Approved))
    assert (sale.strategy, sale.terms.side) == ("stop", Side.SELL)
    scene.fill(sale, trade="t2")
    assert scene.state.portfolio.open_positions() == []


def test_forecasts_are_asked_for_twice_a_second_with_full_windows_of_public_data() -> None:
    run = MarketRun([ForecastEdge()]).play(binary_market(40, 0))
    asked = [c for step in run.steps for c in step.changes if isinstance(c, RequestForecast)]
    assert all(len(request.features) == WIDTH for request in asked)
    assert 60 <= len(asked) <= 100
    assert {request.kind for request in asked} == {"probability"}


def test_true_fees_leave_the_spot_pair_alone() -> None:
    run = MarketRun([ForecastEdge()]).play(spot_market(41, 60.0))
    assert approved(run) == []


def test_the_market_maker_quotes_post_only_and_leans_against_its_inventory() -> None:
    runs = [MarketRun([MarketMaker()]).play(binary_market(42, loop)) for loop in range(4)]
    orders = [o for run in runs for o in approved(run) if o.strategy == "market_maker"]
    assert orders
    assert all(order.terms.post_only for order in orders)
    assert sum(run.engine.state.orders.fills for run in runs) > 4


def test_the_market_maker_bids_lower_the_more_it_holds() -> None:
    bids = []
    for held in ("0", "0.5"):
        scene = Scene()
        engine = Engine(Limits(), [MarketMaker()], scene.state)
        if held != "0":
            order = scene.propose(terms(Side.BUY, "10.00", held))
            scene.state.orders.open[order.order].strategy = "market_maker"
            scene.fill(order)
        for second in range(2, 8):
            engine.process(quote("9.99", "10.01", float(second)))
        mine = [o for o in scene.state.orders.open.values() if o.strategy == "market_maker"]
        bids.append(max(o.terms.price for o in mine if o.terms.side is Side.BUY))
        assert {str(o.terms.side) for o in mine} == ({"BUY"} if held == "0" else {"BUY", "SELL"})
    assert bids[1] < bids[0]


@pytest.mark.parametrize("held", ["0", "0.5"])
def test_the_market_maker_proposes_nothing_below_the_venues_smallest_size(held: str) -> None:
    for least, quotes in (("0.1", True), ("0.7", False)):  # 6 USD buy 0.6
        scene = Scene()
        if held != "0":
            order = scene.propose(terms(Side.BUY, "10.00", held))
            scene.state.orders.open[order.order].strategy = "market_maker"
            scene.fill(order)
        scene.take(InstrumentListed(SECOND, replace(coin(), min_quantity=Quantity(parse(least)))))
        engine = Engine(Limits(), [MarketMaker()], scene.state)
        for second in range(2, 8):
            engine.process(quote("9.99", "10.01", float(second)))
        assert any(o.strategy == "market_maker" for o in scene.state.orders.open.values()) == quotes
        assert scene.state.denials == {}


def test_a_strategy_does_not_see_what_another_holds() -> None:
    scene = Scene()
    scene.hold("0.5")
    engine = Engine(Limits(), [MarketMaker()], scene.state)
    for second in range(2, 8):
        engine.process(quote("9.99", "10.01", float(second)))
    assert not [o for o in scene.state.orders.open.values() if o.terms.side is Side.SELL]


def test_the_market_makers_inventory_stays_within_its_own_bound() -> None:
    for loop in range(5):
        run = MarketRun([MarketMaker()]).play(binary_market(43, loop))
        ledger = run.session.exchange.ledgers["us"]
        assert 0 < ledger.largest_stake <= 13 * SCALE, "12 USD, and what the price moves meanwhile"


def test_a_quiet_maker_near_expiry_cancels_what_rests() -> None:
    run = MarketRun([MarketMaker()]).play(binary_market(42, 1))
    cancels = [c for s in run.steps for c in s.changes if isinstance(c, CancelOrder)]
    assert any(cancel.reason == "near expiry" for cancel in cancels)


@pytest.mark.parametrize(
    ("probability", "price", "share"),
    [(0.6, 0.5, 0.2), (0.5, 0.5, 0.0), (0.4, 0.5, 0.0), (1.0, 0.0, 0.0)],
)
def test_kelly(probability: float, price: float, share: float) -> None:
    assert kelly_binary(probability, price) == pytest.approx(share)


def test_sizing_rounds_down_to_the_lot() -> None:
    assert quantity_for(10 * SCALE, 3 * SCALE, SCALE) == 3 * SCALE
    assert quantity_for(10 * SCALE, 0, SCALE) == 0
    assert kelly_return(0.01, 0.0) == 0.0
    assert kelly_return(0.01, 0.1) == pytest.approx(0.1)


def test_a_view_shows_the_account_and_cannot_be_written_to() -> None:
    scene = Scene()
    scene.hold("0.5")
    view = View(scene.state, "puppet")  # type: ignore[arg-type]
    assert view.position("COIN.SIM") == SCALE // 2  # type: ignore[arg-type]
    assert view.average_price("COIN.SIM") == 10 * SCALE  # type: ignore[arg-type]
    assert view.cash == 95 * SCALE
    assert view.equity == 100 * SCALE - SCALE // 200
    assert view.market("COIN.SIM").bid > 0  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        view.cash = 1  # type: ignore[misc]
