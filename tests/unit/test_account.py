"""The Summary shows the engine's account, and says why nothing is traded."""

from scenes import SECOND, YES, Scene, terms

from betatrader.model.command import Approved
from betatrader.model.instruction import Halt
from betatrader.model.limits import Limits
from betatrader.model.order import Side
from betatrader.model.signal import Forecast
from betatrader.roles.account import QUIET_NS, summarise
from betatrader.roles.trader import Trader
from betatrader.venues.gateway import Gateway


class Told:
    """An audit log and a venue that only remember."""

    def __init__(self) -> None:
        self.records: list = []
        self.requests: list = []
        self.sent: list = []

    def offer(self, record: object) -> None:
        self.records.append(record)

    def ask(self, request: object) -> None:
        self.requests.append(request)

    def submit(self, command: Approved, now_ns: int) -> None:
        self.sent.append(command)

    def cancel(self, command: object, now_ns: int) -> None:
        self.sent.append(command)


def scene_and_trader() -> tuple[Scene, Trader, Told]:
    scene, told = Scene(), Told()
    trader = Trader(scene.engine, "r1", told)  # type: ignore[arg-type]
    trader.connect(Gateway(told))
    scene.take = trader.take  # type: ignore[method-assign, assignment]
    return scene, trader, told


def why(trader: Trader, now_ns: int) -> str:
    return summarise(trader, mode="paper", started_ns=0, now_ns=now_ns).why_not


def test_an_account_in_decimal_strings() -> None:
    scene, trader, told = scene_and_trader()
    from betatrader.engine.strategy import Place

    scene.puppet.intents = [Place(terms(Side.BUY, "10.00", "0.5"), "because")]
    scene.quote()
    [order] = told.sent
    scene.fill(order)
    scene.quote("10.20", "10.22")
    found = summarise(trader, mode="paper", started_ns=0, now_ns=2 * SECOND)
    assert (found.mode, found.cash, found.equity, found.pnl) == ("PAPER", "95", "100.1", "0.1")
    assert (found.orders, found.fills, found.risk_denials) == (1, 1, 0)
    [position] = found.positions
    assert (position.quantity, position.average_price, position.unrealised) == ("0.5", "10", "0.1")
    used = {line.name: line.used for line in found.limits}
    assert used["open_positions"] == "1"
    assert used["position_notional_usd"] == "5.1"
    assert not found.final
    assert summarise(trader, mode="paper", started_ns=0, now_ns=1, invariants={"a": True}).final


def test_limits_show_what_an_event_may_cost_what_a_venue_holds_and_where_each_may_trade() -> None:
    scene = Scene(Limits(venues={"puppet": ("SIM", "ALT")}))
    scene.fill(scene.propose(terms(Side.BUY, "0.42", "10", YES)))  # type: ignore[arg-type]
    scene.hold("0.5")
    trader = Trader(scene.engine, "r1", Told())  # type: ignore[arg-type]
    found = summarise(trader, mode="paper", started_ns=0, now_ns=2 * SECOND)
    lines = {line.name: (line.limit, line.used) for line in found.limits}
    assert lines["position_event_usd"] == ("40", "4")
    assert lines["position_venue_usd"] == ("100", "8.995")
    assert lines["venues of puppet"] == ("SIM, ALT", "")


def test_the_age_of_a_market_counts_from_the_start_where_nothing_came() -> None:
    scene, trader, _ = scene_and_trader()
    scene.state.markets[YES].updated_ns = 0
    found = summarise(trader, mode="paper", started_ns=3 * SECOND, now_ns=5 * SECOND)
    assert [line.age_ms for line in found.markets] == [4_000, 2_000, 4_000]


def test_what_is_audited_and_in_which_order() -> None:
    scene, _, told = scene_and_trader()
    from betatrader.engine.strategy import Place

    scene.quote()
    assert told.records == [], "a quote that leads to nothing is no news"
    scene.puppet.intents = [Place(terms(Side.BUY, "10.00", "50"), "too much")]
    scene.quote()
    scene.take(Halt(SECOND, "i", "me", "enough"))
    assert [type(record).__name__ for record in told.records] == ["Step", "Halt", "Step"]


def test_events_that_arise_meanwhile_wait_for_their_turn() -> None:
    scene, trader, told = scene_and_trader()
    order: list[str] = []
    told.offer = lambda record: order.append(type(record).__name__)  # type: ignore[method-assign]

    def submit(command: Approved, now_ns: int) -> None:
        trader.take(Forecast(SECOND, "COIN.SIM", "return", 0.0, 0.5, 1, 2, "m"))
        order.append("sent")

    told.submit = submit  # type: ignore[method-assign]
    from betatrader.engine.strategy import Place

    scene.puppet.intents = [Place(terms(Side.BUY, "10.00", "0.5"))]
    scene.quote()
    assert order == ["sent", "Step", "Forecast"], "the order leaves first, the audit follows"


def test_why_nothing_is_traded() -> None:
    scene, trader, _ = scene_and_trader()
    assert "no fresh forecast" in why(trader, SECOND)
    assert why(trader, 60 * SECOND) == "no market data arrives"
    scene.take(Forecast(SECOND, "COIN.SIM", "return", 0.0, 0.5, SECOND, 9 * SECOND, "m"))
    assert why(trader, SECOND) == "forecasts arrive, and no edge beats costs and thresholds"
    from betatrader.engine.strategy import Place

    scene.puppet.intents = [Place(terms(Side.BUY, "10.00", "50"))]
    scene.quote()
    assert "order_notional (1)" in why(trader, SECOND)
    scene.puppet.intents = [Place(terms(Side.BUY, "9.00", "0.5"))]
    scene.quote()
    assert why(trader, SECOND) == ""
    scene.state.markets["COIN.SIM"].updated_ns = SECOND + QUIET_NS  # type: ignore[index]
    assert why(trader, SECOND + QUIET_NS) == "orders rest and wait to be filled"
    scene.take(Halt(SECOND, "i", "me", "enough"))
    assert why(trader, SECOND) == "HALTED: enough"
    scene.state.trading_state = type(scene.state.trading_state).ACTIVE
    trader.last_order_ns = 0
    scene.state.orders.open.clear()
    scene.state.markets.clear()
    assert why(trader, SECOND) == "no instrument is listed"
