"""Executions, fees and balances: our books equal the venue's to the last unit."""

import json
from collections import Counter

import msgspec
import pytest
from binance_scenes import (
    BTC,
    PEM,
    CutError,
    RefuseError,
    World,
    approved,
    executed,
    name,
    order,
    report,
    symbol,
    trade,
)
from hypothesis import given
from hypothesis import strategies as some
from prometheus_client import REGISTRY

from betatrader.engine.portfolio import Portfolio
from betatrader.model.account import Fill, OrderAccepted, OrderExpired, OrderRejected
from betatrader.model.ids import InstrumentId
from betatrader.model.money import SCALE, parse, show
from betatrader.model.order import Order, OrderState, Side
from betatrader.model.secret import Secret
from betatrader.net.transport import Answer, NotSentError
from betatrader.ops import clock
from betatrader.venues.binance import account, rest, rules, wire
from betatrader.venues.binance.account import Execution
from betatrader.venues.binance.limits import EARLY_MS, LATE_MS, Limits, RateLimit, VenueClock
from betatrader.venues.binance.orders import AccountInfo, Balance, decode_report

SPOT = rules.rules_of(
    rules.Symbol("BTCUSDT", "TRADING", "BTC", "USDT", [
        rules.Filter("PRICE_FILTER", tick_size="0.01"),
        rules.Filter("LOT_SIZE", step_size="0.00001"),
    ])
).spot  # fmt: skip


def told(side: Side, price: int, quantity: int, fee: int, asset: str, quote: int) -> Execution:
    return Execution(
        side, show(price), show(quantity), show(quote), show(fee), asset, maker=True, trade_id=1
    )


@given(
    some.lists(
        some.tuples(
            some.sampled_from(Side),
            some.integers(1, 10**13),
            some.integers(1, 10**10),
            some.integers(0, 1_000),
            some.booleans(),
        ),
        max_size=20,
    )
)
def test_cash_and_position_are_the_venues_to_the_last_unit(
    trades: list[tuple[Side, int, int, int, bool]],
) -> None:
    """The venue takes fees from what is received, or in BNB, and cuts amounts below 10^-8."""
    ours = Portfolio(cash=10**20)
    cash, held = 10**20, 10**15
    ours.transfer(BTC, held, SCALE)
    for side, price, quantity, basis_points, in_bnb in trades:
        amount = price * quantity // SCALE
        buys = side is Side.BUY
        fee = (quantity if buys else amount) * basis_points // 10_000
        asset = "BNB" if in_bnb else "BTC" if buys else "USDT"
        found = account.fill(1, name(1), SPOT, told(side, price, quantity, fee, asset, amount))
        ours.take_fill(found, None)
        taken = 0 if in_bnb else fee
        cash += -amount if buys else amount - taken
        held += quantity - taken if buys else -quantity
        assert (ours.cash, ours.quantity(BTC)) == (cash, held)
        assert found.quantity == quantity


def test_a_fee_in_a_third_asset_is_counted_and_no_cash() -> None:
    found = account.Executions()
    found.spots["BTCUSDT"] = SPOT
    given = {"venue": "BINANCE", "asset": "BNB"}
    before = REGISTRY.get_sample_value("bt_fees_elsewhere_total", given) or 0.0
    message = executed(1, 56, n="0.00010000", N="BNB")
    (fill,) = found.report(1, decode_report(json.dumps(message).encode()))
    assert isinstance(fill, Fill)
    assert (fill.fee, fill.kept) == (0, 0)
    assert REGISTRY.get_sample_value("bt_fees_elsewhere_total", given) == before + 1


def test_balances_are_free_and_locked() -> None:
    info = AccountInfo(
        [Balance("USDT", "1.5", "0.25"), Balance("BTC", "0.1", "0.2"), Balance("XYZ", "1", "0")]
    )
    assert account.balances(info, [SPOT]) == (parse("1.75"), {BTC: parse("0.3")})
    assert account.balances(AccountInfo([]), [SPOT]) == (0, {BTC: 0})


def test_no_number_is_larger_than_the_journal_keeps() -> None:
    most = show(wire.LARGEST)
    assert wire.levels([(most, f"{most}0"), ("9999999999.99999999", "1")])[0][0] == wire.LARGEST
    for text in ("92233720368.54775808", "999999999999", "99999999999999999999.00000000"):
        with pytest.raises(ValueError, match="larger than 64 bits"):
            wire.units(text)
        with pytest.raises(ValueError, match="larger than 64 bits"):
            wire.levels([("1.00000000", text)])
        info = AccountInfo([Balance("SHIB", text, "0"), Balance("USDT", "1", "0")])
        assert account.balances(info, [SPOT]) == (SCALE, {BTC: 0}), "what is not traded may be much"
        with pytest.raises(ValueError, match="larger than 64 bits"):
            account.balances(AccountInfo([Balance("BTC", text, "0")]), [SPOT])
    much = 10**10 * SCALE
    with pytest.raises(ValueError, match="larger than 64 bits"):
        account.fill(1, name(1), SPOT, told(Side.BUY, much, much, 0, "BTC", 1))


@pytest.mark.parametrize(
    ("message", "kinds"),
    [
        (report(1), [OrderAccepted]),
        (report(1, "NEW", "PENDING_NEW"), []),
        (report(1, "REPLACED", "NEW", C=name(1)), []),
        (report(1, "TRADE_PREVENTION", "EXPIRED_IN_MATCH"), [OrderExpired]),
        (report(1, "TRADE_PREVENTION", "NEW"), []),
        (report(1, "REJECTED", r="INSUFFICIENT_BALANCES"), [OrderRejected]),
        (report(1, "NONSENSE"), []),
        (report(1, c="by-hand"), []),
        (report(1, s="DOGEUSDT"), []),
    ],
)
def test_each_report_has_its_event(message: dict, kinds: list[type]) -> None:
    found = account.Executions()
    found.spots["BTCUSDT"] = SPOT
    events = found.report(1, decode_report(json.dumps(message).encode()))
    assert [type(event) for event in events] == kinds


def test_a_pair_without_tick_or_lot_is_refused_and_fees_are_added_up() -> None:
    with pytest.raises(ValueError, match="no tick or no lot"):
        rules.rules_of(rules.Symbol("X", "TRADING", "X", "Y", []))
    rates = rules.Rates("0.001", "0.002", "0.0001", "0.0003")
    fees = rules.fees_of(rules.Commission(rates, rules.Rates("0.01", "0.02"), rules.Rates()))
    assert fees.maker_rate == parse("0.0113")
    assert fees.taker_rate == parse("0.0223")


# The books by REST.


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose venue is reached."""
    return World(monkeypatch).go()


def test_the_books_hold_what_works_what_was_asked_for_and_what_was_traded(world: World) -> None:
    fake = world.fake
    fake.rest["/api/v3/openOrders"] = lambda _: [
        order(1, "PARTIALLY_FILLED", executedQty="0.00100000"),
        order(9, clientOrderId="by-hand"),
    ]
    there = {name(2): order(2, "CANCELED"), name(3): order(3, "EXPIRED", type="LIMIT_MAKER")}

    def one(given: dict[str, str]) -> dict:
        if given.get("origClientOrderId") in there:
            return there[given["origClientOrderId"]]
        raise RefuseError(400, -2013, "Order does not exist.")

    fake.rest["/api/v3/order"] = one
    fake.rest["/api/v3/myTrades"] = lambda _: [trade(1, 56), trade(9, 57)]
    found = world.ask(name(1), name(2), name(3), name(4))
    assert found.cash == parse("1000")
    assert found.positions == {BTC: 0}
    assert {one: state.state for one, state in found.orders.items()} == {
        name(1): OrderState.ACCEPTED,
        name(2): OrderState.CANCELED,
        name(3): OrderState.EXPIRED,
    }
    [foreign] = found.foreign
    assert foreign.endswith("(by-hand)"), "an order made by hand is told of, and is none of ours"
    assert found.orders[name(3)].terms.post_only
    assert found.orders[name(1)].filled == parse("0.001")
    (fill,) = found.fills
    assert (fill.order, fill.trade_id, fill.kept) == (name(1), "56", 100)
    assert fake.asked[-1][0] == "/api/v3/account"  # balances are the last word
    assert all("signature" in given for path, given in fake.asked[-5:])


def test_an_execution_of_the_stream_and_of_the_books_is_one(world: World) -> None:
    world.submit(approved(1))
    world.do(world.fake.event, executed(1, 56))
    world.fake.rest["/api/v3/openOrders"] = lambda _: [order(1, executedQty="0.00100000")]
    world.fake.rest["/api/v3/myTrades"] = lambda _: [trade(1, 56)]
    assert len(world.ask(name(1)).fills) == 1
    world.since()
    world.do(world.fake.event, executed(1, 56))
    assert world.since() == []
    assert [path for path, _ in world.fake.asked].count("/api/v3/myTrades") == 1


def test_executions_that_only_the_order_tells_of_are_fetched_by_it(world: World) -> None:
    """An order of ours that was filled longer ago than the first look reaches."""
    there = order(1, "FILLED", executedQty="0.00200000")
    world.fake.rest["/api/v3/order"] = lambda _: there
    world.fake.rest["/api/v3/myTrades"] = lambda given: (
        [trade(1, 56), trade(1, 57)] if given.get("orderId") == "101" else []
    )
    assert [fill.trade_id for fill in world.ask(name(1)).fills] == ["56", "57"]


def test_many_unknown_orders_are_asked_for_as_a_list(world: World) -> None:
    trades = [trade(number, 50 + number) for number in range(1, 9)]
    world.fake.rest["/api/v3/myTrades"] = lambda given: [] if "orderId" in given else trades
    world.fake.rest["/api/v3/allOrders"] = lambda _: [order(number) for number in range(1, 9)]
    found = world.ask()
    assert [fill.order for fill in found.fills] == [name(number) for number in range(1, 9)]
    assert "/api/v3/order" not in [path for path, _ in world.fake.asked]
    world.ask()
    since = [given["startTime"] for path, given in world.fake.asked if path.endswith("myTrades")]
    first, second = (clock.now_ns() // 10**6 - int(text) for text in since)
    assert first > 22 * 3_600_000
    assert second < 120_000


def test_a_long_list_of_executions_is_read_to_its_end(world: World) -> None:
    def page(given: dict[str, str]) -> list:
        first = int(given.get("fromId", 1))
        return [trade(1, n, qty="0.00000001") for n in range(first, min(first + 1_000, 1_500))]

    world.fake.rest["/api/v3/myTrades"] = page
    world.fake.rest["/api/v3/order"] = lambda _: order(1)
    assert len(world.ask().fills) == 1_499


def test_an_order_of_an_earlier_process_is_found_by_what_is_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, symbols=("BTCUSDT", "ETHUSDT"))
    world.fake.rest["/api/v3/exchangeInfo"] = lambda _: {"symbols": [symbol(), symbol("ETHUSDT")]}
    world.go()
    world.ask(name(1))
    asked = [given["symbol"] for path, given in world.fake.asked if path == "/api/v3/order"]
    assert sorted(asked) == ["BTCUSDT", "ETHUSDT"]
    command = approved(2)
    world.venue.remember([Order(command.order, command.strategy, command.terms, 1)])
    world.ask(name(2))
    asked = [given["symbol"] for path, given in world.fake.asked if path == "/api/v3/order"]
    assert asked[2:] == ["BTCUSDT"]


HTML = Answer(200, b"<html>maintenance</html>")


DEEP = b'[{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}]"


@pytest.mark.parametrize(
    "found",
    [
        HTML,
        Answer(200, b'[{"symbol":5}]'),
        Answer(502, b""),
        Answer(200, DEEP),
        Answer(400, DEEP[1:-1]),
    ],
    ids=["page", "shape", "empty", "deep", "deep-refusal"],
)
def test_books_that_cannot_be_read_are_no_answer(world: World, found: Answer) -> None:
    world.fake.rest["/api/v3/openOrders"] = lambda _: found
    error = world.ask()
    assert isinstance(error, OSError), error
    assert "signature" not in str(error)


def test_books_of_a_venue_that_is_away_are_no_answer(world: World) -> None:
    def away(_given: object) -> None:
        raise CutError

    for path in ("/api/v3/account", "/api/v3/openOrders", "/api/v3/myTrades"):
        good = world.fake.rest[path]
        world.fake.rest[path] = away
        assert isinstance(world.ask(), OSError), path
        world.fake.rest[path] = good
    assert world.ask().cash == parse("1000")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(400, b'{"code":-1121,"msg":"Invalid symbol."}'), rest.RefusalError),
        (Answer(429, b'{"code":-1003,"msg":"Too much."}'), rest.RefusalError),
        (Answer(400, b'{"code":-1007,"msg":"Timeout"}'), rest.UnclearError),
        (Answer(503, b'{"code":-1008,"msg":"Busy"}'), rest.UnclearError),
        (Answer(403, b"<html>"), rest.UnclearError),
        (Answer(200, b""), rest.UnclearError),
    ],
)
def test_answers_are_read_by_what_they_mean(answer: Answer, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        rest.reading(answer)


def test_where_the_venue_says_stop_nothing_more_is_sent(world: World) -> None:
    def stop(_given: object) -> None:
        raise RefuseError(429, -1003, "Too much request weight used.")

    good = world.fake.rest["/api/v3/account"]
    world.fake.rest["/api/v3/account"] = stop
    assert isinstance(world.ask(), rest.RefusalError)
    asked = len(world.fake.asked)
    assert isinstance(world.ask(), NotSentError)
    assert len(world.fake.asked) == asked
    world.fake.rest["/api/v3/account"] = good
    world.go(4.0)
    assert world.ask().cash == parse("1000")


def test_limits_are_those_that_the_venue_states_and_counts() -> None:
    now_ms = [1_000_000_002_000]  # 2 s into a window of 10 s, and 42 into its minute
    limits = Limits(lambda: now_ms[0])
    limits.learn(
        [RateLimit("ORDERS", "SECOND", 10, 5), RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 200)]
    )
    assert [limits.may_order() for _ in range(6)] == [True] * 5 + [False]
    now_ms[0] += 7_000
    assert not limits.may_order(), "within one window nothing comes back"
    now_ms[0] += 2_000
    assert limits.may_order(), "the next has begun"
    assert limits.may_weigh(44)
    assert not limits.may_weigh(60)
    assert limits.may_weigh(60, last_reserve=True)
    limits.answered({"x-mbx-used-weight-1m": "199"})
    assert limits.may_weigh(1, last_reserve=True)
    assert not limits.may_weigh(1, last_reserve=True)
    now_ms[0] += 10_000
    assert limits.may_weigh(50), "a new minute"
    limits.counted([RateLimit("ORDERS", "SECOND", 10, 5, count=4)])
    assert [limits.may_order() for _ in range(2)] == [True, False], "others use the same key"


def test_a_count_that_is_heard_as_a_window_begins_is_of_the_one_before() -> None:
    now_ms = [1_000_000_010_100]
    limits = Limits(lambda: now_ms[0])
    limits.counted([RateLimit("ORDERS", "SECOND", 10, 50, count=50)])
    now_ms[0] += EARLY_MS
    assert limits.may_order()


@given(
    some.integers(0, 60_000),
    some.lists(
        some.tuples(
            some.sampled_from([0, 0, 0, 1, 40, 250, 900, 2_000, 9_999]),
            some.integers(-EARLY_MS, LATE_MS),
        ),
        max_size=150,
    ),
)
def test_no_window_of_the_venue_ever_gets_more_than_its_limit(
    phase_ms: int, paced: list[tuple[int, int]]
) -> None:
    """At any pacing, wherever within its windows the venue begins to count, however far its clock
    and the way there put an order's arrival from when it left."""
    now_ms, arrived = [1_000_000_000_000 + phase_ms], Counter[int]()
    limits = Limits(lambda: now_ms[0])
    limits.learn([RateLimit("ORDERS", "SECOND", 10, 20)])
    refused = 0
    for gap_ms, way_ms in paced:
        now_ms[0] += gap_ms
        if limits.may_order():
            arrived[(now_ms[0] + way_ms) // 10_000] += 1
        else:
            refused += 1
    assert all(count <= 20 for count in arrived.values())
    assert not refused or len(paced) > 20, "and nothing is refused for nothing"


def test_books_refused_for_the_time_measure_the_clock(world: World) -> None:
    def late(_given: object) -> None:
        raise RefuseError(400, -1021, "Timestamp for this request is outside of the recvWindow.")

    world.fake.skew_ms = 9_000
    world.fake.rest["/api/v3/openOrders"] = late
    assert isinstance(world.ask(), rest.RefusalError)
    assert abs(world.venue.rest.clock.offset_ns - 9_000 * 10**6) < 10**8


def test_a_slow_measure_of_the_clock_is_no_better_than_the_last() -> None:
    measured = VenueClock()
    measured.measured(0, 10**10, 1_000)
    assert measured.offset_ns == -4 * 10**9
    measured.measured(0, 2, 1_000)
    assert measured.offset_ns == 10**9 - 1
    measured.measured(0, 2 * 10**9, 5_000)
    assert measured.offset_ns == 10**9 - 1


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    world = World(monkeypatch, secret=Secret(PEM)).go()
    world.fake.rest["/api/v3/openOrders"] = lambda _: HTML
    shown = f"{world.ask()} {vars(world.venue)} {capsys.readouterr()}"
    assert PEM.splitlines()[1] not in shown
    assert "KEY" not in repr(world.venue._session._access)


def test_t22_a_fee_in_an_asset_that_is_held_here_is_taken_out_of_that_position() -> None:
    found = account.Executions()
    bnb = msgspec.structs.replace(SPOT, id=InstrumentId("BNBUSDT.BINANCE"), base="BNB")
    found.spots = {"BTCUSDT": SPOT, "BNBUSDT": bnb}
    message = executed(1, 57, n="0.00010000", N="BNB")
    (fill,) = found.report(1, decode_report(json.dumps(message).encode()))
    assert isinstance(fill, Fill)
    assert (fill.fee, fill.kept, fill.paid_in, fill.paid) == (0, 0, bnb.id, parse("0.0001"))


@pytest.mark.parametrize(("secret", "weight"), [("s" * 64, 4), (PEM, 6)], ids=["hmac", "ed25519"])
def test_what_the_session_sends_of_its_own_accord_is_counted(
    monkeypatch: pytest.MonkeyPatch, secret: str, weight: int
) -> None:
    """A connection weighs 2, to log on and to subscribe 2 each, a sign of life 1."""
    world = World(monkeypatch, secret=Secret(secret))
    counted: list[int] = []
    limits = world.venue.rest.limits
    monkeypatch.setattr(limits, "weighed", counted.append)
    world.go()
    assert sum(counted) == weight
    counted.clear()
    for _ in range(10):
        world.go(1.0)
        world.do(lambda: world.fake.stream.say({"stream": "x", "data": {}}))
    assert counted == [1, 1]
    monkeypatch.undo()
    limits = Limits(lambda: 60_000_000)
    limits.learn([RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 110)])
    limits.weighed(5)
    assert not limits.may_weigh(106, last_reserve=True)
    assert limits.may_weigh(105, last_reserve=True)
