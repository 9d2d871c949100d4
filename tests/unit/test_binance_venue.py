"""The adapter against a Binance in memory: what leaves, what comes back, and what is in doubt."""

import json
from collections.abc import Callable

import pytest
from binance_scenes import (
    BTC,
    FOK,
    IOC,
    PEM,
    CutError,
    RefuseError,
    World,
    approved,
    executed,
    instead,
    name,
    order,
    report,
    symbol,
)
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from betatrader.model.account import (
    CancelRejected,
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderInDoubt,
    OrderRejected,
    VenueConnection,
)
from betatrader.model.errors import ConfigurationError, UsageError
from betatrader.model.market import BookSnapshot, InstrumentListed, InstrumentStatus
from betatrader.model.money import parse
from betatrader.model.order import OrderType, Side
from betatrader.model.secret import Secret
from betatrader.net.transport import Answer
from betatrader.ops import clock
from betatrader.venues.binance import orders
from betatrader.venues.binance.venue import Asked


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose venue is reached."""
    made = World(monkeypatch).go()
    made.fake.api["order.place"] = lambda given: order(int(given["newClientOrderId"], 16))
    made.fake.api["order.cancel"] = lambda given: order(
        int(given["origClientOrderId"], 16),
        "CANCELED",
        origClientOrderId=given["origClientOrderId"],
        clientOrderId="x",
    )
    assert [type(event) for event in made.since()] == [VenueConnection]
    return made


def kinds(world: World) -> list[str]:
    return [type(event).__name__ for event in world.since()]


def test_it_is_connected_once_orders_and_market_are_there(world: World) -> None:
    assert world.venue.connected
    listed, status = world.market[:2]
    assert isinstance(listed, InstrumentListed)
    assert listed.definition.tick == parse("0.01")
    assert listed.definition.lot == parse("0.00001")
    assert listed.definition.min_notional == parse("5")
    assert isinstance(status, InstrumentStatus)
    assert status.tradable
    assert any(isinstance(event, BookSnapshot) for event in world.market)
    assert world.fake.methods() == ["userDataStream.subscribe.signature"]


def test_an_order_leaves_as_the_venue_wants_it(world: World) -> None:
    world.submit(approved(1, "50000.5", "0.002"))
    sent = world.fake.sent[-1]
    assert sent["method"] == "order.place"
    signature = sent["params"].pop("signature")
    assert len(signature) == 64
    timestamp = sent["params"].pop("timestamp")
    assert abs(timestamp - clock.now_ns() // 10**6) < 100
    assert sent["params"] == {
        "apiKey": "KEY",
        "newClientOrderId": name(1),
        "newOrderRespType": "RESULT",
        "price": "50000.5",
        "quantity": "0.002",
        "recvWindow": 2000,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "side": "BUY",
        "symbol": "BTCUSDT",
        "timeInForce": "GTC",
        "type": "LIMIT",
    }
    assert kinds(world) == ["OrderAccepted"]
    assert not world.venue.busy


@pytest.mark.parametrize(
    ("given", "kind", "in_force", "price"),
    [
        ({"post_only": True}, "LIMIT_MAKER", None, "50000"),
        ({"time_in_force": IOC}, "LIMIT", "IOC", "50000"),
        ({"time_in_force": FOK}, "LIMIT", "FOK", "50000"),
        ({"type": OrderType.MARKET, "time_in_force": IOC}, "LIMIT", "IOC", "50000"),
        ({"type": OrderType.MARKET}, "LIMIT", "IOC", "50000"),
        ({"type": OrderType.MARKET, "price": "0"}, "MARKET", None, None),
    ],
)
def test_each_kind_of_order_has_its_form(
    world: World, given: dict, kind: str, in_force: str | None, price: str | None
) -> None:
    world.submit(approved(1, **given))
    params = world.fake.sent[-1]["params"]
    assert (params["type"], params.get("timeInForce"), params.get("price")) == (
        kind,
        in_force,
        price,
    )


@pytest.mark.parametrize(
    "given",
    [
        {"post_only": True, "time_in_force": IOC},
        {"post_only": True, "type": OrderType.MARKET},
        {"price": "0"},
    ],
)
def test_what_has_no_form_is_refused_and_not_sent(world: World, given: dict) -> None:
    before = world.fake.methods()
    world.submit(approved(1, **given))
    (found,) = world.since()
    assert isinstance(found, OrderRejected)
    assert found.reason.startswith("not sent: ")
    assert world.fake.methods() == before


def test_a_fill_comes_once_and_what_ends_early_says_so(world: World) -> None:
    world.submit(approved(1, time_in_force=IOC))
    for message in (
        report(1),
        executed(1, 56),
        executed(1, 56),
        report(1, "EXPIRED", eR="UNFILLED_IOC_QUANTITY_EXPIRED", z="0.00100000"),
    ):
        world.do(world.fake.event, message)
    found = world.since()
    assert [type(event) for event in found] == [OrderAccepted, Fill, OrderExpired]
    assert found[1] == Fill(
        found[1].time_ns,
        name(1),
        BTC,
        Side.BUY,
        parse("50000"),
        parse("0.001"),
        0,
        True,
        "56",
        parse("0.000001"),
    )
    assert found[2].reason == "UNFILLED_IOC_QUANTITY_EXPIRED"


def test_an_end_waits_for_the_fills_before_it(world: World) -> None:
    world.fake.api["order.place"] = lambda _: order(1, "EXPIRED", executedQty="0.00100000")
    world.submit(approved(1, time_in_force=IOC))
    assert kinds(world) == ["OrderAccepted"]
    world.fake.api["order.place"] = lambda _: order(2, "EXPIRED")
    world.submit(approved(2, time_in_force=FOK))
    assert kinds(world) == ["OrderAccepted", "OrderExpired"]


def test_a_cancel_names_the_order_and_its_report_too(world: World) -> None:
    world.submit(approved(1))
    world.cancel(1)
    params = world.fake.sent[-1]["params"]
    assert (params["symbol"], params["origClientOrderId"]) == ("BTCUSDT", name(1))
    assert kinds(world) == ["OrderAccepted", "OrderCanceled"]
    world.do(world.fake.event, report(2, "CANCELED", C=name(2), c="another"))
    (found,) = world.since()
    assert found == OrderCanceled(found.time_ns, name(2), "")


def refusing(status: int, code: int, msg: str):
    def reply(_given: object) -> None:
        raise RefuseError(status, code, msg)

    return reply


@pytest.mark.parametrize(
    ("status", "code", "msg", "kind"),
    [
        (400, -2010, "Account has insufficient balance for requested action.", OrderRejected),
        (400, -1013, "Filter failure: LOT_SIZE", OrderRejected),
        (400, -1021, "Timestamp for this request is outside of the recvWindow.", OrderRejected),
        (429, -1015, "Too many new orders.", OrderRejected),
        (401, -2015, "Invalid API-key, IP, or permissions for action.", OrderRejected),
        (400, -2010, "Duplicate order sent.", OrderInDoubt),
        (400, -1007, "Timeout waiting for response from backend server.", OrderInDoubt),
        (500, -1006, "An unexpected response was received.", OrderInDoubt),
        (503, -1008, "Server is currently overloaded.", OrderInDoubt),
        (400, -1000, "An unknown error occurred.", OrderInDoubt),
    ],
)
def test_a_refusal_ends_an_order_only_where_it_is_clear(
    world: World, status: int, code: int, msg: str, kind: type
) -> None:
    world.fake.api["order.place"] = refusing(status, code, msg)
    world.submit(approved(1))
    (found,) = world.since()
    assert type(found) is kind
    assert msg in found.reason
    assert not world.venue.busy


def test_an_answer_that_stays_away_is_doubt_and_a_late_one_counts(world: World) -> None:
    world.fake.api["order.place"] = lambda _: (_ for _ in ()).throw(CutError())
    world.submit(approved(1))
    assert world.venue.busy
    assert kinds(world) == []
    world.go(2.5)
    assert kinds(world) == ["OrderInDoubt"]
    number = world.fake.sent[-1]["id"] if world.fake.sent[-1]["method"] != "ping" else None
    number = number or next(m["id"] for m in world.fake.sent if m["method"] == "order.place")
    world.do(world.fake.account.say, {"id": number, "status": 200, "result": order(1)})
    assert kinds(world) == ["OrderAccepted"]


def test_a_report_answers_before_the_answer(world: World) -> None:
    world.fake.api["order.place"] = lambda _: (_ for _ in ()).throw(CutError())
    world.submit(approved(1))
    world.do(world.fake.event, report(1))
    assert not world.venue.busy
    world.go(3.0)
    assert kinds(world) == ["OrderAccepted"]


def test_a_broken_connection_leaves_doubt_and_comes_back(world: World) -> None:
    del world.fake.api["order.place"]
    world.submit(approved(1))
    world.fake.refuse_sockets = True
    world.do(world.fake.account.cut, "reset")
    found = world.since()
    assert [type(event) for event in found] == [VenueConnection, OrderInDoubt]
    assert not found[0].up
    world.submit(approved(2))
    world.cancel(1)
    assert [event.reason for event in world.since()] == ["not sent: the venue is away"] * 2
    world.market.clear()
    world.fake.refuse_sockets = False
    world.go(3.0)
    assert [(type(event), event.up) for event in world.since()] == [(VenueConnection, True)]
    assert any(isinstance(event, InstrumentListed) for event in world.market)


def test_without_market_data_it_is_away_but_cancels_pass(world: World) -> None:
    world.submit(approved(1))
    world.fake.refuse_sockets = True
    world.do(world.fake.stream.cut, "reset")
    assert not world.venue.connected
    world.cancel(1)
    found = world.since()
    assert [type(event) for event in found] == [OrderAccepted, VenueConnection, OrderCanceled]
    assert "market data" in found[1].reason
    world.fake.refuse_sockets = False
    world.go(5.0)
    assert world.venue.connected


def test_a_refused_cancel_says_so_and_an_unclear_one_says_nothing(world: World) -> None:
    world.fake.api["order.cancel"] = refusing(400, -2011, "Unknown order sent.")
    world.cancel(1)
    (found,) = world.since()
    assert found == CancelRejected(found.time_ns, name(1), "Unknown order sent. (-2011)")
    world.fake.api["order.cancel"] = refusing(503, -1008, "busy")
    world.cancel(1)
    assert world.since() == []


def test_too_many_failures_stop_new_orders_and_no_cancels(world: World) -> None:
    world.fake.api["order.place"] = refusing(500, -1006, "Execution status unknown.")
    for number in range(5):
        world.submit(approved(number))
    assert kinds(world) == ["OrderInDoubt"] * 5
    world.submit(approved(9))
    (found,) = world.since()
    assert isinstance(found, OrderRejected)
    assert "failed too often" in found.reason
    world.cancel(1)
    assert kinds(world) == ["OrderCanceled"]


def test_one_broken_connection_is_one_failure_however_many_orders_it_leaves_in_doubt(
    world: World,
) -> None:
    del world.fake.api["order.place"]
    for number in range(6):
        world.submit(approved(number))
    world.do(world.fake.account.cut, "reset")
    assert kinds(world).count("OrderInDoubt") == 6
    world.go(3.0)
    for number in range(10, 16):
        world.loop.call_soon(world.venue.submit, approved(number), 1)
    world.go(3.0)
    assert kinds(world).count("OrderInDoubt") == 6, "nor is one stretch without answers more"
    world.fake.api["order.place"] = lambda _: order(20)
    world.submit(approved(20))
    assert kinds(world) == ["OrderAccepted"]


def test_the_rate_limit_is_kept_before_the_venue_says_so(world: World) -> None:
    sent = len(world.fake.sent)
    for number in range(60):
        world.loop.call_soon(world.venue.submit, approved(number), 1)
    world.go(0.1)
    found = world.since()
    refused = [event for event in found if isinstance(event, OrderRejected)]
    assert len(refused) == 10
    assert len(world.fake.sent) - sent == 50
    assert {event.reason for event in refused} == {
        "not sent: it would go over the venue's rate limit"
    }
    world.cancel(1)
    assert kinds(world) == ["OrderCanceled"]


def test_the_venues_word_to_stop_is_heeded(world: World) -> None:
    def reply(_given: object) -> None:
        until = clock.now_ns() // 10**6 + 10_000
        raise RefuseError(429, -1003, "Too much request weight used.", retryAfter=until)

    world.fake.api["order.place"] = reply
    world.submit(approved(1))
    world.submit(approved(2))
    first, second = world.since()
    assert "-1003" in first.reason
    assert second.reason.startswith("not sent: ")
    world.go(10.0)
    world.fake.api["order.place"] = lambda _: order(3)
    world.submit(approved(3))
    assert kinds(world) == ["OrderAccepted"]


def test_too_many_orders_stop_orders_alone(world: World) -> None:
    world.fake.api["order.place"] = refusing(429, -1015, "Too many new orders.")
    world.submit(approved(1))
    world.submit(approved(2))
    world.cancel(3)
    assert kinds(world) == ["OrderRejected", "OrderRejected", "OrderCanceled"]
    assert world.fake.methods()[-2:] == ["order.place", "order.cancel"]


def test_with_ed25519_the_session_is_logged_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, secret=Secret(PEM)).go()
    assert world.fake.methods() == ["session.logon", "userDataStream.subscribe"]
    world.submit(approved(1))
    params = world.fake.sent[-1]["params"]
    assert "signature" not in params
    assert "apiKey" not in params
    assert "timestamp" in params


def test_a_session_that_is_refused_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, secret=Secret(PEM))
    logon = world.fake.api["session.logon"]
    world.fake.api["session.logon"] = refusing(401, -2015, "Invalid API-key.")
    world.go(1.0)
    assert not world.venue.connected
    assert world.venue.trouble == "refused by the venue: Invalid API-key. (-2015)"
    world.fake.api["session.logon"] = logon
    world.go(30.0)
    assert (world.venue.connected, world.venue.trouble) == (True, "")


def test_a_key_that_was_never_let_in_ends_it_and_one_that_was_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    subscribe = "userDataStream.subscribe.signature"
    world.fake.api[subscribe] = refusing(400, -1022, "Signature for this request is not valid.")
    world.go(60.0)
    assert isinstance(world.error, ConfigurationError)
    assert "Signature for this request is not valid. (-1022)" in str(world.error)
    world = World(monkeypatch)
    world.go()
    world.fake.api[subscribe] = refusing(401, -2015, "Invalid API-key.")
    world.do(world.fake.account.cut, "gone")
    world.go(300.0)
    assert (world.error, world.venue.connected) == (None, False)


@pytest.mark.parametrize(
    "message",
    [
        {"id": None, "status": 401, "error": {"code": -2015, "msg": "revoked"}},
        {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 1}},
        {"subscriptionId": 0, "event": {"e": "executionReport", "s": 5}},
        {"subscriptionId": 0, "event": executed(1, 5, l="x")},
        b'{"id":1,"result":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    ],
)
def test_a_session_that_cannot_be_trusted_is_made_anew(world: World, message: dict | bytes) -> None:
    before = len(world.fake.sockets)
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    world.do(world.fake.account.handler.received, text)
    world.go(3.0)
    assert len(world.fake.sockets) == before + 1
    assert [event.up for event in world.since()] == [False, True]


def test_an_event_of_our_account_that_nobody_knows_is_counted_and_told_once_a_minute(
    world: World,
) -> None:
    """The venue may tell of our account in a way that is new; balances are looked at anyway."""

    def counted() -> float:
        given = {"venue": "BINANCE", "kind": "event"}
        return REGISTRY.get_sample_value("bt_bad_messages_total", given) or 0.0

    before = counted()
    with capture_logs() as logs:
        for kind in ("outboundAccountPosition", "balanceUpdate", "listStatus"):
            world.do(world.fake.event, {"e": kind, "E": 1})
        assert counted() == before
        for _ in range(3):
            world.do(world.fake.event, {"e": "executionReportV2", "E": 1})
        assert counted() == before + 3
        world.go(60.0)
        world.do(world.fake.event, {"e": "executionReportV2", "E": 1})
    told = [log for log in logs if log["event"] == "account_event_unknown"]
    assert [log["kind"] for log in told] == ["executionReportV2"] * 2
    assert world.venue.connected


def test_a_silent_session_is_broken_off(world: World) -> None:
    del world.fake.api["ping"]
    before = len(world.fake.sockets)
    for _ in range(25):  # the market goes on
        world.do(lambda: world.fake.stream.say({"stream": "x", "data": {}}))
        world.go(1.0)
    assert len(world.fake.sockets) > before


def test_the_clock_is_measured_and_again_when_the_venue_says_it_is_off(world: World) -> None:
    world.fake.skew_ms = 5_000
    world.fake.api["order.place"] = refusing(400, -1021, "outside of the recvWindow.")
    world.submit(approved(1))
    world.go(1.0)
    world.fake.api["order.place"] = lambda _: order(2)
    world.submit(approved(2))
    sent = world.fake.sent[-1]["params"]["timestamp"]
    assert abs(sent - clock.now_ns() // 10**6 - 5_000) < 100


def test_a_halt_of_the_symbol_is_told(world: World) -> None:
    world.market.clear()
    world.fake.rest["/api/v3/exchangeInfo"] = lambda _: {"symbols": [symbol(status="CANCEL_ONLY")]}
    for _ in range(70):
        world.go(1.0)
        world.do(lambda: world.fake.stream.say({"stream": "x", "data": {}}))
    found = [event for event in world.market if isinstance(event, InstrumentStatus)]
    assert [event.tradable for event in found] == [False]


def test_a_pair_of_another_quote_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, symbols=("BTCUSDT", "ETHBTC"))
    world.fake.rest["/api/v3/exchangeInfo"] = lambda _: {"symbols": [symbol("ETHBTC"), symbol()]}
    world.go()
    listed = [event for event in world.market if isinstance(event, InstrumentListed)]
    assert {event.definition.id for event in listed} == {BTC}
    assert "ethbtc" not in world.fake.stream.url


def test_what_can_never_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="symbols names none"):
        World(monkeypatch, symbols=())
    with pytest.raises(UsageError, match="neither an HMAC secret"):
        World(monkeypatch, secret=Secret("x"))
    for rights in ({"enableWithdrawals": True}, {"enableSpotAndMarginTrading": False}):
        world = World(monkeypatch)
        world.fake.rest["/sapi/v1/account/apiRestrictions"] = lambda _, found=rights: found
        world.go()
        assert isinstance(world.error, ConfigurationError)
    world = World(monkeypatch)
    world.fake.rest["/api/v3/exchangeInfo"] = refusing(400, -1121, "Invalid symbol.")
    world.go()
    assert isinstance(world.error, UsageError)


def test_its_own_end_is_quiet_and_leaves_nothing_open(world: World) -> None:
    del world.fake.api["order.place"]
    world.submit(approved(1))
    world.do(world.scope.cancel)
    assert world.since() == []
    assert not world.venue.connected
    assert not any(socket.open for socket in world.fake.sockets)
    assert world.fake.closed


def test_a_venue_that_is_away_at_the_start_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    good = world.fake.rest["/api/v3/time"]
    world.fake.rest["/api/v3/time"] = lambda _: (_ for _ in ()).throw(CutError())
    world.go(5.0)
    assert not world.venue.connected
    world.fake.rest["/api/v3/time"] = good
    world.go(10.0)
    assert world.venue.connected


def test_all_orders_are_cancelled_at_once(world: World) -> None:
    world.fake.api["openOrders.cancelAll"] = lambda _: [
        order(1, "CANCELED", origClientOrderId=name(1), clientOrderId="x"),
        {"orderListId": 1929, "contingencyType": "OCO"},
        order(2, "CANCELED", origClientOrderId=name(2), clientOrderId="x"),
    ]
    world.do(world.venue.cancel_all)
    assert [event.order for event in world.since()] == [name(1), name(2)]


def test_a_replacement_tells_of_both(world: World) -> None:
    world.submit(approved(1))
    canceled = order(1, "CANCELED", origClientOrderId=name(1), clientOrderId="x")
    world.fake.api["order.cancelReplace"] = lambda _: {
        "cancelResult": "SUCCESS",
        "newOrderResult": "SUCCESS",
        "cancelResponse": canceled,
        "newOrderResponse": order(2),
    }
    world.do(world.venue.submit, instead(1, 2, "49000"), 1)
    assert kinds(world) == ["OrderAccepted", "OrderCanceled", "OrderAccepted"]

    def half(_given: object) -> None:
        raise RefuseError(
            409,
            -2021,
            "Order cancel-replace partially failed.",
            cancelResult="SUCCESS",
            newOrderResult="FAILURE",
            cancelResponse=order(2, "CANCELED", origClientOrderId=name(2), clientOrderId="x"),
            newOrderResponse={"code": -2010, "msg": "no balance"},
        )

    world.fake.api["order.cancelReplace"] = half
    world.do(world.venue.submit, instead(2, 3, "49000"), 1)
    found = world.since()
    assert [type(event) for event in found] == [OrderCanceled, OrderRejected]
    assert found[1].reason == "no balance (-2010)"
    assert not world.venue.busy
    world.fake.api["order.cancelReplace"] = refusing(400, -2022, "Order cancel-replace failed.")
    world.do(world.venue.submit, instead(3, 4, "49000"), 1)
    assert kinds(world) == ["CancelRejected", "OrderRejected"]


def test_an_order_whose_answer_cannot_be_read_is_in_doubt(world: World) -> None:
    for number, result in enumerate(({}, order(1, executedQty="x"), None)):
        world.fake.api["order.place"] = lambda _, result=result: result
        world.submit(approved(number))
        assert kinds(world) == ["OrderInDoubt"]


def test_what_our_own_side_raises_is_not_taken_for_the_venues(world: World) -> None:
    def broken(_event: object) -> None:
        raise ValueError("ours")

    world.venue._take = broken
    text = json.dumps({"id": 1, "status": 200, "result": order(1)})
    frame = orders.decode_frame(text.encode())
    world.venue._asked[1] = Asked(place=name(1))
    with pytest.raises(ValueError, match="ours"):
        world.venue.answered(1, frame)
    with pytest.raises(ValueError, match="ours"):
        world.venue.reported(orders.decode_report(json.dumps(report(2)).encode()))


def test_t7_one_id_that_stands_for_two_orders_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue refuses an id only while an order of that id is open; after a cut both may be."""
    world = World(monkeypatch).go()
    both = [order(1), {**order(1), "orderId": 999}]
    world.fake.rest["/api/v3/openOrders"] = lambda _: both
    assert world.ask().doubled == (name(1),)
    del both[0]
    assert world.ask().doubled == ()


RIGHTS = "/sapi/v1/account/apiRestrictions"


@pytest.mark.parametrize(
    "untold",
    [
        refusing(429, -1003, "Too much request weight used."),
        lambda _: Answer(502, b"<html>"),
        lambda _: (_ for _ in ()).throw(CutError()),
    ],
    ids=["429", "page", "silence"],
)
def test_nothing_is_bought_before_the_venue_tells_what_the_key_may_do(
    monkeypatch: pytest.MonkeyPatch, untold: Callable[[object], object]
) -> None:
    world = World(monkeypatch)
    world.fake.rest[RIGHTS] = untold
    world.go(10.0)
    assert world.venue.connected
    world.since()
    world.submit(approved(1))
    (found,) = world.since()
    assert isinstance(found, OrderRejected)
    assert "has not told yet what the key may do" in found.reason
    world.fake.api["order.place"] = lambda given: order(int(given["newClientOrderId"], 16))
    world.submit(approved(2, side=Side.SELL))
    assert kinds(world) == ["OrderAccepted"], "what is held may be sold"
    world.fake.rest[RIGHTS] = lambda _: {"enableWithdrawals": False}
    world.go(15.0)
    world.submit(approved(3))
    assert kinds(world) == ["OrderAccepted"]


def test_a_key_whose_rights_are_told_late_is_refused_then(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.fake.rest[RIGHTS] = lambda _: Answer(502, b"")
    world.go(3.0)
    assert world.venue.connected
    world.fake.rest[RIGHTS] = lambda _: {"enableWithdrawals": True}
    world.go(10.0)
    assert isinstance(world.error, ExceptionGroup)
    assert isinstance(world.error.exceptions[0], ConfigurationError)
    assert "may withdraw" in str(world.error.exceptions[0])


def test_a_testnet_need_not_tell_what_a_key_may_do(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, rest="https://testnet.binance.vision")
    world.fake.rest[RIGHTS] = lambda _: Answer(404, b"<html>")
    world.go()
    world.fake.api["order.place"] = lambda _: order(1)
    world.submit(approved(1))
    assert kinds(world)[-1] == "OrderAccepted"


def test_fees_that_were_refused_once_are_asked_for_again_and_so_are_old_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They follow what was traded: another step of the venue's table counts within an hour."""
    asked = "/api/v3/account/commission"
    world = World(monkeypatch)
    world.fake.rest[asked] = refusing(429, -1003, "Too much request weight used.")

    def rates(seconds: float) -> list[int]:
        world.market.clear()
        for _ in range(int(seconds / 30)):
            world.go(30.0)
            world.do(lambda: world.fake.stream.say({"stream": "x", "data": {}}))
        listed = [event for event in world.market if isinstance(event, InstrumentListed)]
        return [event.definition.fees.taker_rate for event in listed]  # type: ignore[union-attr]

    assert set(rates(90.0)) == {100_000}
    world.fake.rest[asked] = lambda _: {
        "standardCommission": {"maker": "0.0005", "taker": "0.0007"}
    }
    assert rates(120.0)[-1] == 70_000
    before = [path for path, _ in world.fake.asked].count(asked)
    assert rates(600.0) == []
    assert [path for path, _ in world.fake.asked].count(asked) == before
    world.fake.rest[asked] = lambda _: {
        "standardCommission": {"maker": "0.0002", "taker": "0.0004"}
    }
    assert rates(3_600.0)[-1] == 40_000
