"""The adapter against a Polymarket in memory: what leaves, what comes back, what is in doubt."""

import json
from decimal import Decimal
from types import SimpleNamespace

import pytest
from polymarket_scenes import (
    API_KEY,
    API_SECRET,
    NO,
    NO_TOKEN,
    PRIVATE,
    YES,
    YES_TOKEN,
    CutError,
    RefuseError,
    World,
    approved,
    ended,
    market,
    name,
    order,
    page,
    parameters,
    told,
    trade,
)
from structlog.testing import capture_logs

from betatrader.engine.orders import Orders
from betatrader.engine.state import State
from betatrader.model.account import (
    CancelRejected,
    CashFlow,
    Fill,
    OrderCanceled,
    OrderExpired,
    OrderFound,
    OrderInDoubt,
    OrderRejected,
    PositionTransfer,
    Protection,
    VenueConnection,
)
from betatrader.model.command import CancelOrder, Step
from betatrader.model.errors import UsageError
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.market import InstrumentListed, InstrumentStatus, Resolution
from betatrader.model.money import SCALE, parse
from betatrader.model.order import Order, OrderState, Side, TimeInForce
from betatrader.model.secret import Secret
from betatrader.net.transport import Answer, NotSentError
from betatrader.ops import clock
from betatrader.roles.accounts import Accounts
from betatrader.venues.gateway import Gateway
from betatrader.venues.polymarket.sign import Signer
from betatrader.venues.polymarket.venue import PERMISSION_S, UNKNOWN
from betatrader.venues.reconcile import order_reports

FAK, FOK = TimeInForce.IOC, TimeInForce.FOK


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose venue is reached."""
    made = World(monkeypatch).go(2)
    assert made.kinds() == ["VenueConnection"]
    return made


def refuse(status: int, error: str, **more: object):
    def reply(_given: dict) -> None:
        raise RefuseError(status, error, **more)

    return reply


def cut(_given: dict) -> None:
    raise CutError


# The connection.


def test_it_is_connected_once_channels_and_rest_are_there(world: World) -> None:
    assert world.venue.connected
    listed = [event for event in world.market if isinstance(event, InstrumentListed)]
    assert [event.definition.id for event in listed] == [YES, NO]
    yes = listed[0].definition
    assert (yes.tick, yes.lot, yes.nets) == (parse("0.01"), parse("0.01"), False)
    assert (yes.complement, yes.outcome, yes.is_yes) == (NO, "Yes", True)
    assert yes.fees.taker_rate == 7_000_000
    assert yes.fees.maker_rate == 0
    status = next(event for event in world.market if isinstance(event, InstrumentStatus))
    assert status.tradable
    first = json.loads(world.fake.socket("user").sent[0])
    assert first["auth"]["apiKey"] == API_KEY


def test_it_is_away_while_a_channel_is_and_comes_back(world: World) -> None:
    world.do(world.fake.socket("user").cut, "gone")
    away = world.since()
    assert isinstance(away[0], VenueConnection)
    assert not away[0].up
    assert away[0].reason == "gone"
    assert world.go(2).kinds() == ["VenueConnection"]
    world.do(world.fake.socket("market").cut, "gone")
    assert world.go(2).kinds() == ["VenueConnection", "VenueConnection"]


def test_a_rest_that_answers_no_more_is_told(world: World) -> None:
    world.fake.rest["POST /v1/heartbeats"] = cut
    assert world.go(30).kinds() == ["VenueConnection"]
    assert not world.venue.connected
    assert [e for e in world.events if isinstance(e, Protection)][-1].armed_until_ns == 0


def test_keys_are_derived_where_none_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, api_key=Secret(), api_secret=Secret(), api_passphrase=Secret())
    world.fake.rest["POST /auth/api-key"] = refuse(400, "Could not create api key")
    world.fake.rest["GET /auth/derive-api-key"] = lambda _: {
        "apiKey": API_KEY, "secret": API_SECRET, "passphrase": "bb",
    }  # fmt: skip
    world.go(2)
    assert world.venue.connected
    asked = [what for what, _ in world.fake.asked]
    assert "POLY_NONCE" in world.fake.headers[asked.index("GET /auth/derive-api-key")]


def test_a_standby_is_connected_and_does_not_beat(world: World) -> None:
    """Its beats would keep the orders of a leader alive that has died."""
    world.venue._heartbeat.leads = False
    before = world.fake.beats
    assert world.go(20).venue.connected
    assert world.fake.beats == before


def test_a_leader_whose_lease_is_over_beats_no_more(world: World) -> None:
    """Cut off from Redis it may not order: what rests is to fall with the switch."""
    leads = True
    world.venue.heed(lambda: leads)
    world.go(7)
    before = world.fake.beats
    leads = False
    assert world.go(30).fake.beats == before
    assert world.venue.connected, "it goes on looking"
    assert not world.venue._redeemer.leads()
    leads = True
    assert world.go(7).fake.beats > before
    assert world.venue._redeemer.leads()


def test_the_traders_accounts_hand_it_the_lease(world: World) -> None:
    desk = SimpleNamespace(venue=world.venue, on_question=None)
    leads = [True]
    Accounts([desk], State, world.events.append, "adopt", lambda: leads[0])  # type: ignore[list-item]
    assert world.venue._heartbeat.beats
    leads[0] = False
    assert not world.venue._heartbeat.beats


def test_the_fence_is_asked_before_the_second_try_of_a_beat(world: World) -> None:
    def named(_given: dict) -> None:
        world.venue.heed(lambda: False)
        raise RefuseError(400, "Invalid Heartbeat ID", heartbeat_id="another")

    world.fake.rest["POST /v1/heartbeats"] = named
    before = len(world.fake.posted("POST /v1/heartbeats"))
    world.go(20)
    assert len(world.fake.posted("POST /v1/heartbeats")) == before + 1


def test_the_dead_mans_switch_is_kept_armed(world: World) -> None:
    world.go(20)
    armed = [event for event in world.events if isinstance(event, Protection)]
    assert 4 <= len(armed) <= 6
    assert all(e.venue == "POLYMARKET" and e.armed_until_ns > e.time_ns for e in armed)
    world.fake.beats += 7  # another process has beaten: the venue names the right id
    assert world.go(20).venue.connected
    assert all(e.armed_until_ns for e in world.events if isinstance(e, Protection))


def test_settings_that_cannot_be_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="markets names none"):
        World(monkeypatch, markets=())
    with pytest.raises(UsageError, match="private_key"):
        World(monkeypatch, private_key=Secret())
    with pytest.raises(UsageError, match="merge needs relayer_key, and a wallet"):
        World(monkeypatch, merge=True)
    with pytest.raises(UsageError, match="merge needs relayer_key, and a wallet"):
        World(monkeypatch, merge=True, relayer_key=Secret("k"))
    with pytest.raises(UsageError, match="relayer_key serves wallets alone"):
        World(monkeypatch, relayer_key=Secret("k"))
    with pytest.raises(UsageError, match="api_secret"):
        World(monkeypatch, api_secret=Secret("x"))


def test_that_what_ends_is_left_to_a_person_is_said_beforehand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [(name, found, remedy)] = World(monkeypatch).go(0.1).venue.cautions
    assert (name, found.count("\n")) == ("redeem", 0)
    assert "signature_type 0 is an account of its own" in found
    assert "polymarket.com (Portfolio)" in remedy
    assert "signature_type 1 to 3" in remedy
    wallet = {"signature_type": 2, "funder": "0x" + "70" * 20}
    [(_, found, _)] = World(monkeypatch, **wallet).go(0.1).venue.cautions
    assert found.endswith("no relayer_key is set")
    assert World(monkeypatch, relayer_key=Secret("k"), **wallet).go(0.1).venue.cautions == ()
    assert World(monkeypatch, redeem=False).go(0.1).venue.cautions == ()


def test_no_secret_is_ever_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    relayer, funder = "a key of the relayer", "0x" + "70" * 20
    world = World(
        monkeypatch, relayer_key=Secret(relayer), signature_type=2, funder=funder, merge=True
    ).go(2)
    world.fake.rest["POST /order"] = refuse(401, "Unauthorized/Invalid api key")
    world.submit(approved(1))
    world.do(world.fake.socket("user").cut, "gone").go(3)
    shown = capsys.readouterr()
    text = shown.out + shown.err + repr(world.events) + repr(vars(world.venue))
    for secret in (PRIVATE[2:], API_SECRET, "aa" * 32, relayer):
        assert secret not in text


# Orders.


def test_an_order_leaves_signed_and_is_accepted(world: World) -> None:
    their_id = world.submit(approved(1, "0.56", "21.04", post_only=True))
    sent = world.fake.posted()[-1]
    assert (sent["orderType"], sent["postOnly"], sent["owner"]) == ("GTC", True, API_KEY)
    body = sent["order"]
    assert (body["makerAmount"], body["takerAmount"]) == ("11782400", "21040000")
    assert body["maker"] == body["signer"] == Signer(Secret(PRIVATE), 137, 0).address
    assert 0 < world.events[-1].time_ns // 10**6 - int(body["timestamp"]) < 50
    assert world.kinds() == ["OrderAccepted"]
    assert len(their_id) == 66
    assert not world.venue.busy


@pytest.mark.parametrize(("force", "kind"), [(FAK, "FAK"), (FOK, "FOK"), (TimeInForce.GTC, "GTC")])
def test_each_time_in_force_has_its_kind(world: World, force: TimeInForce, kind: str) -> None:
    world.submit(approved(1, time_in_force=force))
    assert world.fake.posted()[-1]["orderType"] == kind


def test_what_has_no_form_does_not_leave(world: World) -> None:
    for number, command in enumerate(
        [
            approved(1, size="4"),
            approved(2, "0.565"),
            approved(3, time_in_force=FOK, post_only=True),
            approved(4, instrument="123.POLYMARKET"),
        ]
    ):
        world.submit(command)
        refused = world.since()[-1]
        assert isinstance(refused, OrderRejected), number
        assert refused.reason.startswith("not sent: ")
    assert world.fake.posted() == []


def test_an_order_while_the_venue_is_away_does_not_leave(world: World) -> None:
    world.do(world.fake.socket("market").cut, "gone", seconds=0)
    world.since()
    world.submit(approved(1), 0)
    assert [e.reason for e in world.since()] == ["not sent: the venue is away"]


@pytest.mark.parametrize(
    ("status", "text", "more"),
    [
        (400, "not enough balance / allowance", {}),
        (400, "invalid post-only order: order crosses book", {}),
        (425, "Service is not ready", {}),
        (503, "post-only mode: only post-only orders and cancels are allowed",
         {"code": "post_only_mode", "retry_after_seconds": 79}),
        (503, "Trading is currently cancel-only. New orders are not accepted", {}),
        (401, "Unauthorized/Invalid api key", {}),
        (404, "No orderbook exists for the requested token id", {}),
    ],
)  # fmt: skip
def test_a_refusal_is_told_in_the_venues_words(
    world: World, status: int, text: str, more: dict
) -> None:
    world.fake.rest["POST /order"] = refuse(status, text, **more)
    world.submit(approved(1))
    refused = world.since()
    assert [type(e) for e in refused] == [OrderRejected]
    assert refused[0].reason == text


@pytest.mark.parametrize(
    "reply",
    [
        cut,
        refuse(500, "Internal server error"),
        refuse(503, "upstream"),
        refuse(400, "order 0x12 is invalid. Duplicated."),
        refuse(400, "could not insert order: Context canceled"),
        refuse(400, "order match delayed due to market conditions"),
        lambda _: {"success": False, "errorMsg": "order match delayed due to market conditions"},
        lambda _: Answer(502, b"<html>Bad Gateway</html>"),
        lambda _: Answer(200, b"<html>hello</html>"),
        lambda _: {"success": True, "errorMsg": "", "orderID": "0x12", "status": "live"},
        lambda _: {"success": True, "errorMsg": "", "orderID": "", "status": "live"},
        lambda _: Answer(200, b'{"success":'),
    ],
)
def test_what_says_neither_yes_nor_no_leaves_it_in_doubt(world: World, reply: object) -> None:
    world.fake.rest["POST /order"] = reply
    world.submit(approved(1))
    assert world.kinds() == ["OrderInDoubt"]
    assert not world.venue.busy
    assert len(world.fake.posted()) == 1


def test_a_page_of_the_proxy_is_called_one(world: World) -> None:
    world.fake.rest["POST /order"] = lambda _: Answer(403, b"<!DOCTYPE html><p>blocked</p>")
    world.submit(approved(1))
    assert [e.reason for e in world.since()] == ["an HTML page with status 403"]


def test_an_answer_of_success_with_an_error_is_a_refusal(world: World) -> None:
    text = "order couldn't be fully filled. FOK orders are fully filled or killed."
    world.fake.rest["POST /order"] = lambda _: {"success": True, "errorMsg": text, "orderID": ""}
    world.submit(approved(1, time_in_force=FOK))
    assert [e.reason for e in world.since()] == [text]


def test_what_was_never_sent_is_refused(world: World) -> None:
    def away(_given: dict) -> None:
        raise NotSentError("connection refused")

    world.fake.rest["POST /order"] = away
    world.submit(approved(1))
    assert [e.reason for e in world.since()] == ["not sent: connection refused"]


def test_stopping_leaves_what_has_left_in_doubt(world: World) -> None:
    world.submit(approved(1), 0.003)
    assert world.venue.busy
    world.stop()
    assert "OrderInDoubt" in world.kinds()


def test_a_restricted_region_bars_new_orders(world: World) -> None:
    text = "Trading restricted in your region, please refer to available regions"
    world.fake.rest["POST /order"] = refuse(403, text)
    world.submit(approved(1))
    world.submit(approved(2))
    assert [e.reason for e in world.since()] == [text, f"not sent: {text}"]
    assert len(world.fake.posted()) == 1


@pytest.mark.parametrize(
    ("page", "lifted"),
    [
        ({"blocked": False, "ip": "192.0.2.1"}, True),
        ({"blocked": True, "ip": "192.0.2.1"}, False),
        ("no such thing", False),
        (Answer(403, b"<html>"), False),
        (None, False),
    ],
)
def test_a_bar_of_the_region_holds_until_the_venues_page_says_that_it_is_none(
    world: World, page: object, lifted: bool
) -> None:
    asked = []

    def where(_given: dict) -> object:
        asked.append(1)
        if page is None:
            raise NotSentError("silence")
        return page

    world.fake.rest["GET /api/geoblock"] = where
    good = world.fake.rest["POST /order"]
    world.fake.rest["POST /order"] = refuse(403, "Trading restricted in your region")
    world.submit(approved(1))
    world.fake.rest["POST /order"] = good
    world.go(3 * PERMISSION_S).since()
    for number, side in ((2, Side.SELL), (3, Side.BUY)):
        world.submit(approved(number, side=side))
    refused = [event for event in world.since() if isinstance(event, OrderRejected)]
    assert len(refused) == (0 if lifted else 2), "a full bar refuses sales too"
    assert len(asked) == 1 if lifted else len(asked) > 1


def test_closed_only_is_no_bar_whatever_its_status(world: World) -> None:
    world.fake.rest["POST /order"] = refuse(403, "'0x1' address in closed only mode")
    world.submit(approved(1))
    world.since()
    world.submit(approved(2))
    [held] = world.since()
    assert held.reason == "not sent: '0x1' address in closed only mode"
    posted = len(world.fake.posted())
    world.submit(approved(3, side=Side.SELL))
    assert len(world.fake.posted()) == posted + 1, "a sale is for the venue to judge"


def test_closed_only_lets_positions_be_closed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.fake.rest["GET /auth/ban-status/closed-only"] = lambda _: {"closed_only": True}
    world.go(2).since()
    world.submit(approved(1))
    assert [e.reason for e in world.since()] == ["not sent: the account is in closed only mode"]
    world.submit(approved(2, side=Side.SELL))
    assert world.kinds() == ["OrderAccepted"]


def ban(given: dict) -> object:
    if "all" in given:
        return [{"success": False, "errorMsg": BAN, "orderID": ""} for _ in given["all"]]
    raise RefuseError(400, BAN)


BAN = "'0x1' address banned"


@pytest.mark.parametrize("several", [False, True])
def test_a_ban_holds_though_the_status_says_nothing_of_it(world: World, several: bool) -> None:
    """Else a buy would leave and be refused once a minute, for ever."""
    world.fake.rest["POST /order"] = world.fake.rest["POST /orders"] = ban
    with capture_logs() as logs:
        if several:
            orders = [(approved(number), clock.now_ns()) for number in (1, 2)]
            world.do(lambda: world.venue.submit_many(orders))
        else:
            world.submit(approved(1))
        assert {e.reason for e in world.since()} == {BAN}
        sent = [what for what, _ in world.fake.asked if what.startswith("POST /order")]
        for number in range(3, 6):
            world.go(PERMISSION_S + 1.0).since()
            world.submit(approved(number))
            assert [e.reason for e in world.since()] == [f"not sent: {BAN}"]
        assert [what for what, _ in world.fake.asked if what.startswith("POST /order")] == sent
        world.submit(approved(9, side=Side.SELL))
    assert [e.reason for e in world.since()] == [BAN], "a sale is for the venue to judge"
    assert [log["reason"] for log in logs if log["log_level"] == "error"] == [BAN], "told once"
    [told] = world.account().by_hand
    assert BAN in told
    assert "Nothing is bought there" in told


def test_what_an_order_of_several_is_told_of_a_mode_is_heeded(world: World) -> None:
    text = "post-only mode: only post-only orders and cancels are allowed"
    place_three(world, {**REFUSED, "errorMsg": text}, REFUSED, REFUSED)
    world.submit(approved(4))
    assert [e.reason for e in world.since()] == [f"not sent, the venue said: {text}"]
    world.submit(approved(5, post_only=True))
    assert world.kinds() == ["OrderAccepted"]


def test_too_many_failures_rest_new_orders(world: World) -> None:
    world.fake.rest["POST /order"] = cut
    for number in range(6):
        world.submit(approved(number))
    last = world.since()[-1]
    assert isinstance(last, OrderRejected)
    assert "failed too often" in last.reason


@pytest.mark.parametrize("reply", [cut, lambda _: Answer(403, b"<html>blocked</html>")])
def test_a_request_that_fails_is_one_failure_however_many_orders_are_in_it(
    world: World, reply: object
) -> None:
    numbers = range(1, 7)
    for number in numbers:
        world.submit(approved(number))
    world.fake.rest["DELETE /orders"] = world.fake.rest["POST /orders"] = reply
    commands = [CancelOrder(name(number), YES) for number in numbers]
    world.do(lambda: world.venue.cancel_many(commands, clock.now_ns()))
    more = [(approved(number), clock.now_ns()) for number in range(7, 13)]
    world.do(lambda: world.venue.submit_many(more))
    world.since()
    world.submit(approved(13))
    assert world.kinds() == ["OrderAccepted"]


def test_our_own_rate_limit_comes_before_the_venues(world: World) -> None:
    world.do(lambda: [world.venue.submit(approved(n), clock.now_ns()) for n in range(70)])
    refused = [e for e in world.since() if isinstance(e, OrderRejected)]
    assert len(refused) == 10
    assert refused[0].reason == "not sent: it would go over the venue's rate limit"


def test_a_429_is_obeyed(world: World) -> None:
    world.fake.rest["POST /order"] = lambda _: Answer(
        429, b'{"error":"Too Many Requests"}', {"retry-after": "7"}
    )
    world.submit(approved(1))
    world.fake.rest["POST /order"] = world.fake.accept
    world.submit(approved(2))
    assert world.kinds() == ["OrderRejected", "OrderRejected"]
    world.go(8).submit(approved(3))
    assert world.kinds() == ["OrderAccepted"]


REFUSED = {"success": True, "errorMsg": "not enough balance / allowance", "orderID": ""}
DELAYED = {**REFUSED, "errorMsg": "order match delayed due to market conditions"}
CUT_OFF = {"success": False, "errorMsg": "rpc error: context canceled"}


def place_three(world: World, *answers: int | dict | None) -> dict[str, str]:
    """Place orders 1 to 3 in one request; what was told of each. A number in the answers is the
    good answer to that order."""

    def good(number: int) -> dict:
        their_id = world.venue.ids.theirs(name(number))[0]
        return {"success": True, "errorMsg": "", "orderID": their_id, "status": "live"}

    world.fake.rest["POST /orders"] = lambda _: [
        good(one) if isinstance(one, int) else one for one in answers
    ]
    world.since()
    world.do(lambda: world.venue.submit_many([(approved(n), clock.now_ns()) for n in (1, 2, 3)]))
    told = {event.order: type(event).__name__ for event in world.since()}
    return {str(number): told[name(number)] for number in (1, 2, 3)}


A, R, D = "OrderAccepted", "OrderRejected", "OrderInDoubt"


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ((1, REFUSED, 3), (A, R, A)),
        ((1, REFUSED), (A, D, D)),
        ((REFUSED, 3), (D, D, A)),
        ((REFUSED, None, 3), (R, D, A)),
        ((REFUSED, 3, 2), (D, A, A)),
        ((3, 3, 3), (D, D, A)),
        ((1, 2, 3, REFUSED), (A, A, A)),
        ((DELAYED, REFUSED, CUT_OFF), (D, R, D)),
        ((), (D, D, D)),
    ],
)
def test_an_answer_counts_for_the_order_that_it_is_of(
    world: World, answers: tuple, told: tuple
) -> None:
    """Where one is absent, a refusal is of nobody knows which: none of them is told refused."""
    assert tuple(place_three(world, *answers).values()) == told


def test_each_order_of_a_request_is_found_again_after_a_restart(world: World) -> None:
    """Its hash is made from the time of its own Step, which is what the journal has of it."""
    gateway, first_ns = Gateway(world.venue), clock.now_ns()
    orders = [approved(n, "0.55") for n in (1, 2, 3)]
    world.fake.rest["POST /orders"] = cut
    for n, one in enumerate(orders):
        gateway.carry(Step(n, n, first_ns + n * 2_000_000, (one,)), ticket=1 + n)
    world.do(lambda: gateway.shipped(3, clock.now_ns(), lambda _: None))
    (left,) = world.fake.posted("POST /orders")
    assert len(left["all"]) == 3
    assert world.kinds() == ["OrderInDoubt"] * 3
    sent = [world.venue.ids.theirs(one.order) for one in orders]
    world.stop()
    world.start()
    kept = [
        Order(one.order, one.strategy, one.terms, first_ns + n * 2_000_000)
        for n, one in enumerate(orders)
    ]
    world.go(2).venue.remember(kept)
    for one, (their_id,) in zip(orders, sent, strict=True):
        assert their_id in world.venue.ids.theirs(one.order)


def test_what_is_refused_of_several_is_told_when_the_others_have_left(world: World) -> None:
    """Whoever hears of it may cancel them: they must be known by then."""
    world.fake.rest["POST /orders"] = lambda given: [
        {"success": True, "errorMsg": "", "orderID": world.venue.ids.theirs(name(n))[0],
         "status": "live"} for n in (2, 3)
    ]  # fmt: skip
    venue = world.venue
    heard = venue._take

    def cancelling(event: object) -> None:
        heard(event)  # type: ignore[arg-type]
        if isinstance(event, OrderRejected):
            venue.cancel(CancelOrder(name(3), YES), clock.now_ns())

    venue._take = cancelling
    orders = [approved(1, "0.555"), approved(2), approved(3)]
    world.do(lambda: venue.submit_many([(one, clock.now_ns()) for one in orders]))
    assert [given["orderID"] for given in world.fake.posted("DELETE /order")] == [
        venue.ids.theirs(name(3))[0]
    ]
    refused, *others = world.since()
    assert isinstance(refused, OrderRejected)
    assert refused.order == name(1)
    assert not any(isinstance(event, CancelRejected) for event in others)


# Cancels.


def test_a_cancel_waits_for_the_answer_to_its_order(world: World) -> None:
    their_id = world.submit(approved(1), 0.001)
    world.fake.rest[f"GET /data/order/{their_id}"] = lambda _: order(their_id, "CANCELED")
    world.cancel(1)
    asked = [what for what, _ in world.fake.asked if what.endswith(" /order")]
    assert asked == ["POST /order", "DELETE /order"]
    assert world.kinds() == ["OrderAccepted", "OrderCanceled"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (lambda g: {"canceled": [], "not_canceled": {g["orderID"]: "order can't be found - "
         "already canceled or matched"}}, OrderInDoubt),
        (lambda g: {"canceled": [], "not_canceled": {g["orderID"]: "order is delayed"}},
         CancelRejected),
        (lambda g: {"canceled": [], "not_canceled": {g["orderID"]: "context canceled"}},
         OrderInDoubt),
        (refuse(400, "Context canceled"), OrderInDoubt),
        (cut, OrderInDoubt),
        (refuse(500, "x"), OrderInDoubt),
        (refuse(400, "Invalid orderID"), CancelRejected),
    ],
)  # fmt: skip
def test_a_cancel_that_fails(world: World, reply: object, kind: type) -> None:
    world.submit(approved(1))
    world.fake.rest["DELETE /order"] = reply
    world.since()
    world.cancel(1)
    assert [type(e) for e in world.since()] == [kind]


def test_a_cancelled_order_has_not_ended_before_its_fills_are_known(world: World) -> None:
    """Else risk would let another take the place of what it has bought."""
    their_id = world.submit(approved(1))
    world.fake.rest[f"GET /data/order/{their_id}"] = lambda _: order(their_id, "CANCELED", "4")
    world.since()
    world.cancel(1)
    assert world.since() == [], "four shares were bought, and nobody has told of them yet"
    world.fake.rest[f"GET /data/order/{their_id}"] = refuse(500, "x")
    second = world.submit(approved(2))
    assert second != their_id
    world.since()
    world.cancel(2)
    assert [type(e) for e in world.since()] == [OrderInDoubt], "nobody knows"


def test_a_cancel_of_what_was_never_made_is_refused(world: World) -> None:
    world.cancel(9)
    assert world.kinds() == ["CancelRejected"]


def test_all_can_be_cancelled_at_once(world: World) -> None:
    first, second = world.submit(approved(1)), world.submit(approved(2))
    for one in (first, second):
        world.fake.rest[f"GET /data/order/{one}"] = lambda _, id_=one: order(id_, "CANCELED")
    world.since()
    world.fake.rest["DELETE /cancel-all"] = lambda _: {
        "canceled": [first, second, "0x" + "77" * 32], "not_canceled": {},
    }  # fmt: skip
    world.do(lambda: world.venue.cancel_all())
    assert [e.order for e in world.since() if isinstance(e, OrderCanceled)] == [name(1), name(2)]


def test_several_are_cancelled_in_one_request(world: World) -> None:
    first, second, third = [world.submit(approved(number)) for number in (1, 2, 3)]
    world.fake.rest[f"GET /data/order/{first}"] = lambda _: order(first, "CANCELED")
    world.since()
    world.fake.rest["DELETE /orders"] = lambda _: {
        "canceled": [first], "not_canceled": {second: "the order is being matched"},
    }  # fmt: skip
    commands = [CancelOrder(name(number), YES) for number in (1, 2, 3, 9)]
    world.do(lambda: world.venue.cancel_many(commands, clock.now_ns()))
    assert world.fake.posted("DELETE /orders") == [{"all": [first, second, third]}]
    found = {event.order: event for event in world.since()}
    assert isinstance(found[name(1)], OrderCanceled)
    reasons = {name(2): "the order is being matched", name(3): "the venue does not say why"}
    for one, reason in {**reasons, name(9): UNKNOWN}.items():
        assert isinstance(found[one], CancelRejected)
        assert found[one].reason == reason
    for reply, kind in (
        (refuse(400, "no"), "CancelRejected"),
        (refuse(400, "context canceled"), "OrderInDoubt"),
        (cut, "OrderInDoubt"),
    ):
        world.fake.rest["DELETE /orders"] = reply
        world.do(lambda: world.venue.cancel_many(commands[1:3], clock.now_ns()))
        assert world.kinds() == [kind, kind]


# Reports.


def test_t9_a_maker_fill_is_our_entry_and_is_told_once(world: World) -> None:
    their_id = world.submit(approved(1))
    world.since()
    for status in ("MATCHED", "MINED", "CONFIRMED"):
        world.say("user", trade(their_id, "4", status))
    (fill,) = world.since()
    assert isinstance(fill, Fill)
    assert (fill.order, fill.instrument, fill.side) == (name(1), YES, Side.BUY)
    assert (fill.price, fill.quantity, fill.fee) == (parse("0.56"), parse("4"), 0)
    assert fill.maker
    assert fill.trade_id == "28c4"


def test_t9_a_maker_on_the_other_token_sells_at_one_less_the_price(world: World) -> None:
    their_id = world.submit(approved(1))
    world.since()
    found = trade(their_id, "4", maker=False)
    found["maker_orders"][0] |= {"asset_id": NO_TOKEN, "price": "0.46", "side": "BUY"}
    world.say("user", found)
    (fill,) = world.since()
    assert (fill.instrument, fill.price, fill.maker) == (YES, parse("0.54"), False)
    assert fill.fee == parse("0.06955")  # 4 x 0.07 x 0.54 x 0.46 = 0.069552


def test_a_taker_pays_each_maker_its_price(world: World) -> None:
    their_id = world.submit(approved(1))
    world.since()
    found = trade(their_id, "10", maker=False)
    other = {**found["maker_orders"][0], "order_id": "0x1", "price": "0.54"}
    found["maker_orders"][0]["matched_amount"] = "4"
    other["matched_amount"] = "6"
    found["maker_orders"].append(other)
    world.say("user", found)
    fills = world.since()
    assert [(f.price, f.quantity) for f in fills] == [
        (parse("0.54"), parse("6")),
        (parse("0.56"), parse("4")),
    ]
    assert len({f.trade_id for f in fills}) == 2
    world.say("user", found)
    assert world.since() == []


def test_trades_of_others_are_none_of_ours(world: World) -> None:
    found = trade("0x" + "55" * 32)
    found["maker_orders"][0]["owner"] = found["owner"]
    world.say("user", found)
    assert world.since() == []


def test_t11_a_failed_trade_is_undone_to_the_last_unit(world: World) -> None:
    their_id = world.submit(approved(1))
    world.since()
    world.say("user", trade(their_id, "3.333333", maker=False))
    (fill,) = world.since()
    world.say("user", trade(their_id, "3.333333", "FAILED", maker=False))
    world.say("user", trade(their_id, "3.333333", "FAILED", maker=False))
    transfer, flow = world.since()
    assert isinstance(transfer, PositionTransfer)
    assert isinstance(flow, CashFlow)
    assert transfer.quantity == -fill.quantity
    paid = -(-fill.price * fill.quantity // SCALE) + fill.fee
    assert flow.amount == paid
    listed = trade(their_id, "3.333333", "FAILED", maker=False)
    world.fake.rest["GET /data/trades"] = lambda _: page(listed)
    assert world.account().fills == ()


def test_a_failed_sale_brings_the_shares_back(world: World) -> None:
    their_id = world.submit(approved(1, side=Side.SELL))
    found = trade(their_id, "2")
    found["maker_orders"][0]["side"] = "SELL"
    world.say("user", found)
    world.since()
    world.say("user", {**found, "status": "FAILED"})
    transfer, flow = world.since()
    assert (transfer.quantity, flow.amount) == (parse("2"), -parse("1.12"))


def test_a_failure_of_what_was_never_told_moves_nothing(world: World) -> None:
    their_id = world.submit(approved(1))
    world.since()
    world.say("user", trade(their_id, "2", "FAILED"))
    world.say("user", trade(their_id, "2", "CONFIRMED"))
    assert world.since() == []


def half_a_look(world: World, their_id: str) -> None:
    """A look that has seen a trade, and comes to nothing: the balance is not answered."""
    world.fake.rest["GET /data/trades"] = lambda _: page(trade(their_id, "4"))
    world.fake.rest["GET /balance-allowance"] = cut
    with pytest.raises(ConnectionError):
        world.account()
    world.since()


def test_the_failure_of_what_a_failed_look_has_seen_moves_nothing(world: World) -> None:
    """The fill was never told: it is told with what moves it back, and the sum of both is 0."""
    their_id = world.submit(approved(1))
    half_a_look(world, their_id)
    world.say("user", trade(their_id, "4", "FAILED"))
    fill, transfer, flow = world.since()
    assert isinstance(fill, Fill)
    assert isinstance(transfer, PositionTransfer)
    assert isinstance(flow, CashFlow)
    assert fill.quantity + transfer.quantity == 0
    assert flow.amount == parse("2.24")


def test_an_end_tells_the_fills_that_a_failed_look_has_seen(world: World) -> None:
    their_id = world.submit(approved(1))
    half_a_look(world, their_id)
    world.say("user", told("CANCELLATION", their_id, "CANCELED", "4"))
    assert world.kinds() == ["Fill", "OrderCanceled"]
    world.say("user", told("CANCELLATION", their_id, "CANCELED", "4"))
    assert world.since() == []


def test_orders_over_the_channel(world: World) -> None:
    world.fake.rest["POST /order"] = cut
    first, second = world.submit(approved(1)), world.submit(approved(2))
    for one in (first, second):
        world.fake.rest[f"GET /data/order/{one}"] = lambda _, id_=one: order(id_, "CANCELED")
    world.since()
    world.say("user", told("PLACEMENT", first))
    world.say("user", told("UPDATE", first, matched="1"))
    assert world.kinds() == ["OrderAccepted"]
    world.say("user", told("CANCELLATION", second, "CANCELED_EXPIRED_ORDER"))
    (end,) = world.since()
    assert isinstance(end, OrderExpired)
    assert end.order == name(2)
    world.say("user", told("PLACEMENT", "0x" + "33" * 32))
    world.say("user", told("PLACEMENT", first, owner="another key"))
    assert world.since() == []


def test_an_end_comes_after_the_fills_before_it(world: World) -> None:
    their_id = world.submit(approved(1))
    world.since()
    world.say("user", told("CANCELLATION", their_id, "CANCELED", "4"))
    assert world.since() == []
    world.say("user", trade(their_id, "4"))
    assert world.kinds() == ["Fill", "OrderCanceled"]
    world.say("user", told("CANCELLATION", their_id, "CANCELED", "4"))
    assert world.since() == []


def test_an_end_whose_fills_stay_away_is_told_after_asking(world: World) -> None:
    first, second = world.submit(approved(1)), world.submit(approved(2))
    for one in (first, second):
        world.fake.rest[f"GET /data/order/{one}"] = lambda _, id_=one: order(id_, "CANCELED")
    world.since()
    world.fake.rest["GET /data/trades"] = lambda _: page(trade(first, "4"))
    world.say("user", told("CANCELLATION", first, "CANCELED", "4"))
    world.say("user", told("CANCELLATION", second, "CANCELED", "4"))
    world.go(3)
    assert world.kinds() == ["Fill", "OrderCanceled", "OrderCanceled"]


def test_what_takes_at_once_ends_even_where_nobody_says_so(world: World) -> None:
    world.fake.rest["POST /order"] = lambda g: world.fake.accept(g, "matched")
    their_id = world.submit(approved(1, time_in_force=FAK))
    found = order(their_id, "MATCHED", "4", order_type="FAK")
    world.fake.rest[f"GET /data/order/{their_id}"] = lambda _: found
    world.say("user", trade(their_id, "4", maker=False))
    assert world.go(2).kinds() == ["OrderAccepted", "Fill", "OrderCanceled"]


@pytest.mark.parametrize("status", ["delayed", "unmatched"])
def test_an_order_that_is_held_or_rests_after_all_is_accepted(world: World, status: str) -> None:
    world.fake.rest["POST /order"] = lambda g: world.fake.accept(g, status)
    world.submit(approved(1))
    assert world.kinds() == ["OrderAccepted"]


# Our account.


def test_the_account_as_the_venue_states_it(world: World) -> None:
    resting, gone = world.submit(approved(1)), world.submit(approved(2))
    world.since()
    strange = "0x" + "ab" * 32
    world.fake.rest["GET /data/orders"] = lambda _: page(
        order(resting, matched="3"), order(strange), order("0x" + "cd" * 32, owner="other")
    )
    world.fake.rest[f"GET /data/order/{gone}"] = lambda _: order(gone, "CANCELED", "1")
    world.fake.rest["GET /data/trades"] = lambda _: page(trade(resting, "3"))
    world.fake.rest["GET /balance-allowance"] = lambda g: {
        "balance": {"COLLATERAL": "98320000"}.get(
            g["asset_type"], "3000000" if g.get("token_id") == YES_TOKEN else "0"
        )
    }
    found = world.account(name(1), name(2), name(3))
    assert found.cash == parse("98.32")
    assert found.positions == {YES: parse("3")}
    assert set(found.orders) == {name(1), name(2), "ab" * 16}
    assert found.orders[name(1)].state is OrderState.ACCEPTED
    assert found.orders[name(1)].filled == parse("3")
    assert found.orders[name(2)].state is OrderState.CANCELED
    assert [(f.order, f.quantity) for f in found.fills] == [(name(1), parse("3"))]
    again = world.account(name(1), name(2))
    assert again.fills == found.fills
    world.say("user", trade(resting, "3", "CONFIRMED"))
    assert world.since() == list(found.fills)  # the engine counts it once
    adopted = CancelOrder(ClientOrderId("ab" * 16), YES)
    world.do(lambda: world.venue.cancel(adopted, clock.now_ns()))
    assert world.fake.posted("DELETE /order")[-1] == {"orderID": strange}


def moving(world: World) -> tuple:
    return world.account().moving


@pytest.mark.parametrize("over", ["channel", "list"])
def test_a_trade_is_not_settled_until_it_is_mined(world: World, over: str) -> None:
    their_id = world.submit(approved(1))

    def says(status: str) -> None:
        if over == "channel":
            world.say("user", trade(their_id, "4", status))
        else:
            world.fake.rest["GET /data/trades"] = lambda _: page(trade(their_id, "4", status))

    assert moving(world) == ()
    for status in ("MATCHED", "RETRYING", "TRADE_STATUS_MATCHED_NOT_BROADCASTED"):
        says(status)
        assert moving(world) == (YES,)
    says("MINED")
    assert moving(world) == ()
    says("MATCHED")  # late
    assert moving(world) == ()


def test_a_trade_that_has_failed_is_settled(world: World) -> None:
    their_id = world.submit(approved(1))
    for status, found in (("MATCHED", (YES,)), ("FAILED", ())):
        world.say("user", trade(their_id, "4", status))
        assert moving(world) == found


def test_a_trade_that_is_not_settled_is_asked_for_however_old_it_is(world: World) -> None:
    their_id = world.submit(approved(1))
    world.say("user", trade(their_id, "4"))
    world.go(600)
    assert moving(world) == (YES,)
    matched_s = int(trade(their_id)["match_time"])
    assert int(world.fake.posted("GET /data/trades")[-1]["after"]) < matched_s
    world.fake.rest["GET /data/trades"] = lambda _: page(trade(their_id, "4", "CONFIRMED"))
    assert moving(world) == ()
    stuck = trade(their_id, "4", "RETRYING", id="stuck")
    world.fake.rest["GET /data/trades"] = lambda _: page(stuck)
    assert moving(world) == (YES,)
    assert world.go(3600).account().moving == (), "after an hour what differs is told"


def users(world: World) -> int:
    """How many sockets of reports there have been."""
    return len([s for s in world.fake.sockets if s.url.endswith("user")])


def test_a_channel_that_answers_and_tells_nothing_is_made_anew(world: World) -> None:
    """Frozen: each PING has its PONG, and REST is first to tell of a fill."""
    their_id = world.submit(approved(1))
    world.go(20)
    matched_s = str(clock.now_ns() // 10**9)
    world.fake.rest["GET /data/trades"] = lambda _: page(trade(their_id, "4", match_time=matched_s))
    world.go(5).account(name(1))
    world.go(8).since()
    assert users(world) == 1, "it may be late"
    world.go(5)
    assert users(world) == 2
    assert [e.up for e in world.since() if isinstance(e, VenueConnection)] == [False, True]
    world.account(name(1))
    world.go(60)
    assert users(world) == 2, "what was before it, it need not tell"


def test_a_channel_that_does_not_tell_of_an_end_is_made_anew(world: World) -> None:
    their_id = world.submit(approved(1))
    world.fake.rest["GET /data/orders"] = lambda _: page(order(their_id))
    world.go(5).account(name(1))
    world.fake.rest["GET /data/orders"] = lambda _: page()
    world.fake.rest[f"GET /data/order/{their_id}"] = lambda _: order(their_id, "CANCELED")
    world.go(5).account(name(1))
    assert world.go(15).venue.connected
    assert users(world) == 2


@pytest.mark.parametrize("later", [True, False], ids=["of that trade", "of another order"])
def test_a_channel_that_goes_on_telling_is_kept(world: World, later: bool) -> None:
    """One message may be late, or lost."""
    first, second = world.submit(approved(1)), world.submit(approved(2))
    world.go(20)
    found = trade(first, "4", match_time=str(clock.now_ns() // 10**9))
    world.fake.rest["GET /data/trades"] = lambda _: page(found)
    world.go(5).account(name(1))
    world.say("user", found if later else told("UPDATE", second, matched="1"))
    world.go(30)
    assert users(world) == 1


def test_an_account_that_is_not_answered_raises(world: World) -> None:
    world.fake.rest["GET /balance-allowance"] = cut
    with pytest.raises(ConnectionError):
        world.account()
    world.fake.rest["GET /data/orders"] = lambda _: Answer(502, b"<html></html>")
    with pytest.raises(ConnectionError, match="HTML"):
        world.account()


BAD_ORDERS = {
    "a status that is new": {"status": "ORDER_STATUS_PAUSED"},
    "no number": {"size_matched": "some"},
    "another shape": {"size_matched": 3},
}


@pytest.mark.parametrize("bad", BAD_ORDERS.values(), ids=BAD_ORDERS)
@pytest.mark.parametrize("rests", [True, False])
def test_t17_an_order_that_cannot_be_read_goes_on_and_the_others_are_stated(
    world: World, bad: dict, rests: bool
) -> None:
    """One row must not keep a start from its end, nor end an order that may be live."""
    strange, good = world.submit(approved(1)), world.submit(approved(2))
    row = {**order(strange), **bad}
    world.fake.rest["GET /data/orders"] = lambda _: page(*([row] if rests else []), order(good))
    world.fake.rest[f"GET /data/order/{strange}"] = lambda _: row
    found = world.account(name(1), name(2))
    assert {one: there.state for one, there in found.orders.items()} == dict.fromkeys(
        (name(1), name(2)), OrderState.ACCEPTED
    )
    assert bool(found.by_hand) is ("status" not in bad), "what is left out is an alert"


def test_t17_a_trade_that_cannot_be_read_is_left_out_and_told(world: World) -> None:
    ours = [world.submit(approved(number)) for number in (1, 2)]
    good, no_side = trade(ours[0], "3"), trade(ours[1], "2", id="second")
    no_side["maker_orders"][0] |= {"side": "", "asset_id": ""}
    no_number, no_shape = trade(ours[0], "x", id="third"), {"id": 7}
    unknown = trade("0x" + "47" * 32, "2", id="fifth")
    unknown["maker_orders"][0]["side"] = ""
    rows = page(no_number, no_shape, unknown, no_side, good)
    world.fake.rest["GET /data/trades"] = lambda _: rows
    found = world.account()
    assert [(f.order, f.instrument, f.side, f.quantity) for f in found.fills] == [
        (name(2), YES, Side.BUY, parse("2")),
        (name(1), YES, Side.BUY, parse("3")),
    ], "our own order says what a row leaves out"
    assert len(found.by_hand) == 3
    assert any("trade third" in text for text in found.by_hand)
    world.fake.rest["GET /data/trades"] = lambda _: page(good)
    assert world.account().by_hand == ()


def test_an_end_is_told_though_a_trade_cannot_be_read(world: World) -> None:
    their_id = world.submit(approved(1))
    world.since()
    world.fake.rest["GET /data/trades"] = lambda _: page(trade(their_id, "x"), {"id": 7})
    world.say("user", told("CANCELLATION", their_id, "CANCELED", "4"))
    world.go(3)
    assert world.kinds() == ["OrderCanceled"]


def test_orders_of_before_a_restart_are_known_again(world: World) -> None:
    command = approved(1)
    their_id = world.submit(command)
    created_ns = int(world.fake.posted()[-1]["order"]["timestamp"]) * 10**6
    world.stop()
    world.events.clear()
    world.seen = 0
    world.start()
    made = Order(name(1), command.strategy, command.terms, created_ns, OrderState.ACCEPTED)
    world.venue.remember([made])
    world.go(2).since()
    world.fake.rest["GET /data/orders"] = lambda _: page(order(their_id))
    assert set(world.account(name(1)).orders) == {name(1)}
    world.cancel(1)
    assert world.fake.posted("DELETE /order")[-1] == {"orderID": their_id}


def test_trades_of_orders_that_were_counted_long_ago_are_left_out(world: World) -> None:
    old = {**trade("0x" + "44" * 32), "match_time": "1600000000"}
    new = trade("0x" + "45" * 32, id="new")
    world.fake.rest["GET /data/trades"] = lambda _: page(old, new)
    assert [f.order for f in world.account().fills] == ["45" * 16]


def test_what_has_ended_counts_as_what_it_pays(world: World) -> None:
    world.fake.rest["GET /balance-allowance"] = lambda g: {
        "balance": "5000000" if g.get("token_id") != NO_TOKEN else "2000000"
    }
    condition = world.settings.markets[0]
    world.fake.rest[f"GET /markets/{condition}"] = lambda _: ended()
    world.go(61)
    ends = {e.instrument: e.payout for e in world.market if isinstance(e, Resolution)}
    assert ends == {YES: SCALE, NO: 0}
    found = world.account()
    assert found.resolved == ends
    assert found.positions == {}
    assert found.cash == parse("10")  # five of pUSD, and five shares that pay 1


def test_an_order_that_was_found_is_known_again_after_the_next_restart(world: World) -> None:
    """Of a journal that was lost: neither our id nor its time of making gives the venue's hash."""
    strange = "0x" + "ab" * 32
    world.fake.rest["GET /data/orders"] = lambda _: page(order(strange))
    there = world.account()
    orders = Orders()
    for event in order_reports(State(), there, "POLYMARKET", clock.now_ns(), 1):
        assert isinstance(event, OrderFound)
        orders.adopt(event, StrategyId("s"))
    del world.fake.rest["GET /data/orders"]
    world.stop()
    world.events.clear()
    world.seen = 0
    world.start()
    world.do(lambda: world.venue.remember(orders.open.values())).go(2)
    world.since()
    (found,) = orders.open
    world.do(lambda: world.venue.cancel(CancelOrder(found, YES), clock.now_ns()))
    assert world.fake.posted("DELETE /order")[-1] == {"orderID": strange}
    world.since()
    world.say("user", trade(strange, "4"))
    (fill,) = world.since()
    assert (fill.order, fill.quantity) == (found, parse("4"))


def test_a_market_that_stops_taking_orders_is_told(world: World) -> None:
    condition = world.settings.markets[0]
    world.fake.rest[f"GET /markets/{condition}"] = lambda _: market(accepting_orders=False)
    world.go(61)
    last = [e for e in world.market if isinstance(e, InstrumentStatus)][-2:]
    assert [e.tradable for e in last] == [False, False]


def test_a_market_with_fees_that_cannot_be_bounded_is_not_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    condition = world.settings.markets[0]
    world.fake.rest[f"GET /clob-markets/{condition}"] = lambda _: parameters(
        fd={"r": 0.07, "e": 0.5, "to": True}
    )
    world.go(2)
    assert [e for e in world.market if isinstance(e, InstrumentListed)] == []


def test_the_least_that_may_be_taken_is_a_dollar_or_as_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for settings, least in (({}, "1"), ({"least_taken_usd": Decimal("0.5")}, "0.5")):
        world = World(monkeypatch, **settings).go(2)
        listed = [e.definition for e in world.market if isinstance(e, InstrumentListed)]
        assert [(c.min_notional, c.least_taken) for c in listed] == [(0, parse(least))] * 2
