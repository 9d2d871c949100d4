"""What users complain of in other systems, as tests of this one: stops that a venue keeps."""

import pytest
from binance_served import COIN as BTC
from binance_served import Served
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scenes import COIN, quote, terms
from stops import STOP_AT, AtVenue, stop_terms

from betatrader.chaos.loop import Process
from betatrader.model.account import OrderInDoubt, OrderRejected, VenueAccount
from betatrader.model.command import Approved, CancelOrder, SubmitOrder
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.money import parse
from betatrader.model.order import OrderState, OrderType, Side, TimeInForce
from betatrader.ops import clock

BUY, SELL = Side.BUY, Side.SELL
GTC, IOC = TimeInForce.GTC, TimeInForce.IOC
NAME = ClientOrderId("a" * 32)
OF_SALE, OF_BUY = ("9.30", "9.90"), ("10.30", "10.10")
"""Price and trigger."""


@pytest.mark.parametrize("side", [SELL, BUY])
@pytest.mark.parametrize("life", [GTC, IOC])
@pytest.mark.parametrize(
    ("then", "state"),
    [
        ("it waits", OrderState.ACCEPTED),
        ("it is triggered", OrderState.FILLED),
        ("it is cancelled", OrderState.CANCELED),
    ],
)
def test_t2_a_query_finds_a_stop_before_and_after_its_trigger(
    side: Side, life: TimeInForce, then: str, state: OrderState
) -> None:
    made = AtVenue()
    made.propose(terms(BUY, "10.01", "0.9"))
    asked = stop_terms(side, *(OF_SALE if side is SELL else OF_BUY), time_in_force=life)
    made.venue.submit(SubmitOrder(NAME, StrategyId("s"), asked), made.now_ns)
    made.venue.advance(made.now_ns)
    if then == "it is triggered":
        made.quote("9.89" if side is SELL else "10.10")
    elif then == "it is cancelled":
        made.venue.cancel(CancelOrder(NAME, COIN), made.now_ns)
        made.venue.advance(made.now_ns)
    found = made.venue.account((NAME,)).orders[NAME]
    assert (found.terms, found.state) == (asked, state)


def test_t2_a_stop_in_doubt_is_found_and_not_taken_for_refused() -> None:
    made = AtVenue()
    guard = made.guarded()
    assert guard.terms.type is OrderType.STOP
    made.take(OrderInDoubt(made.now_ns, guard.id, "no answer"))
    made.now_s += 60.0
    made.look()
    assert made.scene.state.orders.open[guard.id].state is OrderState.ACCEPTED
    made.quote(STOP_AT)
    made.restart()  # it is sold while we are away
    assert made.scene.state.orders.closed[guard.id].state is OrderState.FILLED
    assert made.held() == 0


def test_t21_a_stop_that_is_filled_in_part_then_cancelled_the_rest_is_sold_once() -> None:
    made = AtVenue()
    guard = made.guarded("0.9")
    made.quote(STOP_AT, "0.4")
    made.hear()
    assert (guard.filled, guard.state) == (parse("0.4"), OrderState.PARTIALLY_FILLED)
    assert made.of("stop") == [], "the venue's own sells the rest"
    made.quote("9.00", "0.1")  # gone through its price: it would rest there for ever
    assert guard.state is OrderState.PENDING_CANCEL
    assert made.of("stop") == [], "it may still be filled"
    made.hear()
    assert guard.state is OrderState.CANCELED
    made.quote("9.00", "100")
    [rest] = made.of("stop")
    assert rest.terms.quantity == parse("0.5"), "what the partial fill has left, and no more"
    made.hear()
    assert made.held() == 0
    ledger = made.venue.ledgers["us"]
    assert (ledger.held(COIN), ledger.shorted, ledger.cash) == (
        0,
        0,
        made.scene.state.portfolio.cash,
    )
    assert [f.quantity for f in ledger.fills if f.side is SELL] == [parse("0.4"), parse("0.5")]


MOVES = ["sell", "buy", "quote", "tick", "hear", "doubt", "cancel", "look", "restart"]


@given(
    st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 5), st.integers(1, 60)), max_size=30)
)
def test_t20_exits_and_a_stop_at_the_venue_never_exceed_the_position(
    moves: list[tuple[str, int, int]],
) -> None:
    """Over any sequence of what we, the market and the venue may do, its reports late or lost."""
    made = AtVenue()
    made.guarded("0.9")
    for move, which, lots in moves:
        orders = list(made.scene.state.orders.open.values())
        if move == "sell":
            made.propose(terms(SELL, f"10.{10 + which}", f"0.{lots:02d}"))
        elif move == "buy":
            made.propose(terms(BUY, "10.01", "0.05"), stop=STOP_AT)
        elif move == "quote":
            made.quote(["9.99", "9.60", "9.50", "9.45", "9.20", "10.12"][which], f"0.{lots:02d}")
        elif move == "tick":
            made.tick()
        elif move == "hear":
            made.hear(which + 1)
        elif move == "look":
            made.look()
        elif move == "restart":
            made.restart()
        elif orders and move == "doubt":
            made.take(OrderInDoubt(made.now_ns, orders[which % len(orders)].id, "no answer"))
        elif orders:
            order = orders[which % len(orders)]
            cancel = CancelOrder(order.id, COIN, "test")
            made.scene.state.fold(cancel)
            made.venue.cancel(cancel, made.now_ns)
        offered = made.scene.state.orders.open_quantity(COIN, SELL)
        assert offered <= made.held()
        assert made.venue.ledgers["us"].shorted == 0
        refused = [r.reason for r in made.reports if isinstance(r, OrderRejected)]
        assert "insufficient balance" not in refused, "the venue had to stop us"


@pytest.mark.parametrize("sold", [False, True])
def test_t2_at_binance_the_query_finds_a_stop_that_waits_and_one_that_sold(
    monkeypatch: pytest.MonkeyPatch, sold: bool
) -> None:
    served = Served(monkeypatch)
    served.place(1, "50001")
    asked = replace(stop_terms(SELL, "45000", "48000"), instrument=BTC, quantity=parse("0.0009"))
    served.loop.call_soon(lambda: served.venue.submit(Approved(NAME, StrategyId("s"), asked), 1))
    served.go(1.0)
    if sold:
        low = replace(quote("47999", "48001", clock.now_ns() / 1e9, BTC), update_id=9)
        served.loop.spawn(Process("market"), served.server.run, [low])
        served.go(1.0)
    answers: list[VenueAccount] = []

    async def ask() -> None:
        answers.append(await served.venue.account((NAME,)))

    served.loop.spawn(Process("asks"), ask)
    served.go(1.0)
    found = answers[0].orders[NAME]
    assert found.terms == asked
    assert found.state is (OrderState.FILLED if sold else OrderState.ACCEPTED)
