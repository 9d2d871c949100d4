"""What users complain of in other systems, as tests of this one: market data."""

import tracemalloc

import msgspec
import pytest
from complaints import cancelled, rest, tick
from scenes import COIN, NO, SECOND, YES, Scene, coin, quote, terms

from betatrader.engine.book import OrderBook
from betatrader.engine.engine import Engine
from betatrader.engine.strategy import Place, Strategy
from betatrader.engine.sweeping import standing_still
from betatrader.model.account import (
    CancelRejected,
    OrderAccepted,
    OrderInDoubt,
    Reconciled,
    VenueConnection,
)
from betatrader.model.command import (
    Alert,
    Approved,
    CancelOrder,
    Refused,
)
from betatrader.model.ids import InstrumentId
from betatrader.model.instruction import TimerFired
from betatrader.model.limits import Limits
from betatrader.model.market import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    InstrumentStatus,
    PublicTrade,
)
from betatrader.model.money import parse
from betatrader.model.order import OrderState, OrderType, Side, TimeInForce
from betatrader.model.signal import Forecast
from betatrader.roles.reconnects import OFTEN, WITHIN_NS, Reconnects

BUY, SELL = Side.BUY, Side.SELL
LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK


def test_t13_where_a_stream_freezes_its_quotes_are_pulled_and_a_person_is_told() -> None:
    scene = Scene()
    frozen = rest(scene)
    scene.take(OrderAccepted(SECOND, scene.propose(terms(BUY, "0.41", "5", YES)).order))
    [alive] = [o for o in scene.state.orders.open if o != frozen.order]
    scene.take(quote("0.40", "0.42", 6.0, YES))
    assert tick(scene, 6.0) == [], "not yet"
    still = standing_still(scene.state, Limits(), int(6.1 * SECOND))
    assert (COIN in still, YES in still) == (True, False), "shown by /readyz"
    assert tick(scene, 6.1) == [
        CancelOrder(frozen.order, COIN, "market data is stale"),
        Alert("error", "COIN.SIM: market data is stale, 1 orders are cancelled"),
    ]
    assert tick(scene, 7.0) == [], "one cancel is under way"
    scene.take(CancelRejected(7 * SECOND, frozen.order, "try again"))
    assert cancelled(tick(scene, 8.0)) == [frozen.order]
    assert scene.state.orders.open[alive].state is OrderState.ACCEPTED


def test_t13_while_the_venue_is_away_no_cancel_is_tried_and_afterwards_it_is() -> None:
    scene = Scene()
    order = rest(scene)
    scene.take(VenueConnection(2 * SECOND, "SIM", False, "cut"))
    scene.take(VenueConnection(2 * SECOND, "SIM", False, "cut, and told again"))
    assert scene.state.reconciling
    assert tick(scene, 9.0) == []
    scene.take(VenueConnection(9 * SECOND, "SIM", True))
    assert cancelled(tick(scene, 9.5)) == [order.order], "no data has come since"


def test_t13_an_order_in_doubt_is_asked_for_and_not_cancelled_again_and_again() -> None:
    scene = Scene()
    order = rest(scene)
    scene.take(OrderInDoubt(SECOND, order.order, "no answer"))
    assert tick(scene, 9.0) == []


def test_t26_a_connection_is_up_for_orders_only_once_data_has_come_over_it() -> None:
    scene, asked = Scene(), terms(BUY, "0.41", "5", YES)
    scene.now_s, now = 10.0, 10 * SECOND
    scene.take(quote("0.40", "0.42", 9.0, YES))
    scene.take(VenueConnection(now, "SIM", False, "cut"))
    scene.take(VenueConnection(now, "SIM", True))
    scene.take(Reconciled(now, "SIM"))
    refused = scene.propose(asked)
    assert isinstance(refused, Refused)
    assert refused.check == "stale_data"
    assert refused.actual == "nothing since the venue was reached"
    scene.take(quote("0.40", "0.42", 10.0, YES))
    assert scene.refused_by(asked) == ""


class Onlooker(Strategy):
    """Notes every top of book that it is shown, whatever it is asked about."""

    name = "onlooker"

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def on_quote(self, view, market):  # type: ignore[no-untyped-def]
        self.seen.append((market.bid, market.ask))

    on_trade = on_forecast = on_tick = on_quote


def watched() -> tuple[Scene, Onlooker]:
    scene, onlooker = Scene(), Onlooker()
    scene.engine = Engine(Limits(), [scene.puppet, onlooker], scene.state)
    return scene, onlooker


CROSSING = [
    quote("10.03", "10.01", 2.0),
    BookSnapshot(2 * SECOND, COIN, ((parse("10.03"), 1),), ((parse("10.01"), 1),)),
    BookDelta(2 * SECOND, COIN, ((parse("10.03"), 1),), ((parse("10.01"), 1),)),
]


@pytest.mark.parametrize("crossing", CROSSING, ids=lambda event: type(event).__name__)
def test_t32_a_crossed_book_is_never_shown_to_a_strategy(crossing: object) -> None:
    scene, onlooker = watched()
    scene.hold("0.5", stop=parse("9.50"))
    onlooker.seen.clear()
    assert scene.take(crossing) is None
    scene.take(PublicTrade(2 * SECOND, COIN, parse("10"), 1, True))
    scene.take(Forecast(2 * SECOND, COIN, "return", 0.1, 0.5, SECOND, 9 * SECOND, "m"))
    assert onlooker.seen == []
    assert scene.state.markets[COIN].bid == parse("9.99"), "the last that was one stays"
    scene.take(quote("9.98", "10.00", 3.0))
    assert onlooker.seen == [(parse("9.98"), parse("10.00"))]


def test_t32_a_book_that_stays_crossed_is_a_stale_one() -> None:
    scene = Scene()
    order = rest(scene)
    for second in range(2, 8):
        scene.take(quote("10.03", "10.01", float(second)))
    assert cancelled(tick(scene, 7.0)) == [order.order]


@pytest.mark.parametrize("crossing", CROSSING, ids=lambda event: type(event).__name__)
def test_t32_who_follows_is_shown_what_who_decides_is_shown(crossing: object) -> None:
    taken = [crossing, TimerFired(2 * SECOND, "tick"), quote("9.98", "10.00", 3.0)]
    (scene, deciding), (replica, following) = watched(), watched()
    for event in taken:
        scene.take(event)
        replica.engine.follow(event)  # type: ignore[arg-type]
    assert deciding.seen == following.seen


@pytest.mark.parametrize(
    "fault", [quote("10.03", "10.01", 1.0), InstrumentStatus(SECOND, COIN, False)]
)
def test_t33_a_fault_in_one_instrument_leaves_the_others_untouched(fault: object) -> None:
    scene = Scene()
    order = scene.propose(terms(BUY, "0.41", "5", YES))
    scene.take(OrderAccepted(SECOND, order.order))
    before = msgspec.msgpack.encode(scene.state.markets[YES])
    scene.take(fault)
    assert tick(scene, 2.0) == []
    assert msgspec.msgpack.encode(scene.state.markets[YES]) == before
    scene.now_s = 2.0
    scene.puppet.intents = [Place(terms(BUY, "0.58", "5", NO))]
    step = scene.take(quote("0.58", "0.60", 2.0, NO))
    assert step is not None
    assert isinstance(step.changes[0], Approved)


def test_t34_one_symbol_at_two_venues_is_two_instruments() -> None:
    scene, elsewhere = Scene(), InstrumentId("COIN.ALT")
    scene.take(InstrumentListed(SECOND, msgspec.structs.replace(coin(), id=elsewhere)))
    scene.take(quote("7.99", "8.01", 1.0, elsewhere))
    here, there = rest(scene), scene.propose(terms(BUY, "7.90", "0.5", elsewhere))
    assert isinstance(there, Approved)
    scene.fill(there, trade="T1")
    scene.fill(here, "0.2", trade="T1")
    assert scene.state.portfolio.quantity(elsewhere) == parse("0.5")
    assert scene.state.portfolio.quantity(COIN) == parse("0.2")
    assert scene.state.markets[COIN].bid == parse("9.99")


def test_t38_the_cost_of_a_best_price_does_not_grow_with_the_book() -> None:
    deep, books = 100_000, []
    for levels in (10, deep):
        book = OrderBook()
        book.replace([(n, 1) for n in range(1, levels)], [(deep + n, 1) for n in range(levels)], 1)
        books.append(book)

    def taken(book: OrderBook) -> int:
        """Bytes that a look at the top needs at most."""
        tracemalloc.start()
        assert book.top() == (book.best_bid, 1, book.best_ask, 1)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    shallow = taken(books[0])
    assert taken(books[1]) <= shallow + 256 < 4_096


def test_t27_losses_that_lie_far_apart_are_no_rate() -> None:
    told: list[str] = []
    reconnects = Reconnects(lambda _level, text: told.append(text))
    for at in range(2 * OFTEN):
        lost_ns = at * (WITHIN_NS // (OFTEN - 1) + 1)
        reconnects.note(VenueConnection(lost_ns, "SIM", False, "cut"))
        reconnects.note(VenueConnection(lost_ns + 1, "SIM", True))
    assert told == []
    for at in range(OFTEN):  # and those of another venue are its own
        reconnects.note(VenueConnection(at, "ALT", False, "cut"))
    assert told == ["ALT was lost 5 times in 10 minutes or less, the last time: cut"]
