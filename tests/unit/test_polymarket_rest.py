"""Questions over REST: what they ask, what their answers mean, and the venue's clock and rates."""

from typing import Any

import pytest
from polymarket_scenes import (
    EPOCH_NS,
    YES_TOKEN,
    RefuseError,
    World,
    approved,
    order,
    page,
)

from betatrader.model.money import parse
from betatrader.net.transport import Answer, NotSentError
from betatrader.venues.polymarket.amounts import number
from betatrader.venues.polymarket.limits import Limits
from betatrader.venues.polymarket.rest import RefusalError, UnclearError, reading


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch).go(2)


def ask(world: World, question: Any) -> Any:
    """The answer to a question, or what it raised."""
    found: list[Any] = []

    async def go() -> None:
        try:
            found.append(await question)
        except OSError as error:
            found.append(error)

    world.do(lambda: world.loop.create_task(go()), seconds=0.5)
    return found[0]


def test_a_tokens_rules(world: World) -> None:
    world.fake.rest["GET /tick-size"] = lambda given: {"minimum_tick_size": 0.0025}
    world.fake.rest["GET /neg-risk"] = lambda given: {"neg_risk": True}
    found = ask(world, world.venue.rest.tick_size(YES_TOKEN))
    assert number(found.minimum_tick_size) == parse("0.0025")
    assert ask(world, world.venue.rest.neg_risk(YES_TOKEN)) is True
    assert world.fake.posted("GET /neg-risk") == [{"token_id": YES_TOKEN}]


def test_a_list_is_read_to_its_last_page(world: World) -> None:
    first = {**page(order("0x1")), "next_cursor": "MTAw"}
    world.fake.rest["GET /data/orders"] = lambda given: (
        page(order("0x2")) if given.get("next_cursor") == "MTAw" else first
    )
    assert [one.id for one in ask(world, world.venue.rest.open_orders())] == ["0x1", "0x2"]
    world.fake.rest["GET /data/orders"] = lambda given: first
    assert isinstance(ask(world, world.venue.rest.open_orders()), UnclearError)


@pytest.mark.parametrize("balance", ["9" * 17, "9" * 5_000, "-1", "1.5"])
def test_a_balance_that_cannot_be_is_no_answer(world: World, balance: str) -> None:
    world.fake.rest["GET /balance-allowance"] = lambda _: {"balance": balance}
    assert isinstance(ask(world, world.venue.rest.balance()), UnclearError)


def test_a_position_id_is_asked_for_by_the_name_of_its_kind(world: World) -> None:
    newer = str((1 << 200) + (3 << 104) + 5)
    for token, kind in ((newer, "CONDITIONAL-V2"), (YES_TOKEN, "CONDITIONAL"), ("", "COLLATERAL")):
        ask(world, world.venue.rest.balance(token))
        assert world.fake.posted("GET /balance-allowance")[-1]["asset_type"] == kind


@pytest.mark.parametrize("stated", [b"9" * 400, b'{"time":-5}', b'{"time":999999999999999999}'])
def test_a_time_that_cannot_be_is_no_answer(world: World, stated: bytes) -> None:
    world.fake.rest["GET /time"] = lambda _: Answer(200, stated)
    assert isinstance(ask(world, world.venue.rest.measure_clock()), UnclearError)


@pytest.mark.parametrize("answer", [{"time": 1_700_000_100}, {"timestamp": 1_700_000_100}])
def test_the_venues_clock_is_ours_for_headers(world: World, answer: dict) -> None:
    world.fake.rest["GET /time"] = lambda _: answer
    ask(world, world.venue.rest.measure_clock())
    assert 95 < world.venue.rest.clock.skew_s < 101
    world.submit(approved(1))
    stamped = int(world.fake.headers[-1]["POLY_TIMESTAMP"])
    assert 95 < stamped - EPOCH_NS // 10**9 < 110


def test_a_small_difference_of_clocks_is_none(world: World) -> None:
    assert world.venue.rest.clock.skew_s == 0


def test_an_order_that_the_venue_does_not_know_is_none(world: World) -> None:
    assert ask(world, world.venue.rest.order("0x12")) is None
    world.fake.rest["GET /data/order/0x13"] = lambda _: None
    assert ask(world, world.venue.rest.order("0x13")) is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"<html>Not Found</html>"),
        (404, b"404 page not found"),
        (404, b'{"message":"no Route matched with those values"}'),
        (200, b'"OK"'),
        (200, b"{}"),
    ],
)
def test_what_stands_before_the_venue_knows_nothing_of_an_order(
    world: World, status: int, body: bytes
) -> None:
    """Else one that rests would be taken for one that was never placed."""
    world.fake.rest["GET /data/order/0x13"] = lambda _: Answer(status, body)
    assert isinstance(ask(world, world.venue.rest.order("0x13")), UnclearError)


@pytest.mark.parametrize(
    ("kind", "each", "per_10_s", "per_10_min"),
    [
        ("order", 1, 5_000, 120_000),
        ("cancel", 1, 5_000, 120_000),
        ("order", 2, 2_000, 21_000),
        ("cancel-many", 1, 2_000, 15_000),
        ("cancel-all", 1, 250, 6_000),
        ("book", 1, 1_500, 0),
        ("tick", 1, 200, 0),
        ("ledger", 1, 500, 0),
        ("orders", 1, 900, 0),
        ("balance", 1, 200, 0),
        ("auth", 1, 100, 0),
    ],
)
def test_no_window_of_the_venue_gets_more_than_its_limit(
    world: World, kind: str, each: int, per_10_s: int, per_10_min: int
) -> None:
    """POST /order, DELETE /order, POST /orders of two or more, and so on."""
    limits, sent, at_once = Limits(), 0, 0
    for tenth in range(6_000):
        while limits.take(kind, each):
            sent += 1
        if tenth == 99:
            at_once = sent
        world.loop._now += 0.1
    assert 0 < at_once <= per_10_s
    assert not per_10_min or sent <= per_10_min


def test_what_cancels_all_counts_as_so_many_cancels(world: World) -> None:
    ids = ["0x" + f"{number:064x}" for number in range(150)]
    world.fake.rest["DELETE /cancel-all"] = lambda _: {"canceled": ids, "not_canceled": {}}
    world.do(lambda: world.venue.cancel_all())
    assert not world.venue.rest.limits.take("cancel")
    assert 0.3 < world.venue.rest.limits.ready_in_s("cancel") < 0.5, "31 too many, 80 a second"


def test_what_is_over_our_share_does_not_leave(world: World) -> None:
    limits = world.venue.rest.limits
    while limits.take("balance"):
        pass
    before = len(world.fake.asked)
    assert isinstance(ask(world, world.venue.rest.balance()), NotSentError)
    assert len(world.fake.asked) == before


def test_what_the_venue_says_is_left_is_all_that_is(world: World) -> None:
    world.fake.rest["POST /order"] = lambda _: Answer(
        400, b'{"error":"no"}', {"poly-ratelimit-remaining": "1"}
    )
    world.submit(approved(1), 0.012)
    assert world.venue.rest.limits.ready_in_s("order") == 0
    assert world.venue.rest.limits.take("order")
    assert not world.venue.rest.limits.take("order", 2)


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (400, b'{"error":"Invalid side"}', RefusalError, "Invalid side"),
        (400, b'{"errorMsg":"bad"}', RefusalError, "bad"),
        (404, b"{}", RefusalError, "no reason was given"),
        (403, b"<html>", RefusalError, "an HTML page"),
        (408, b'{"error":"timeout"}', UnclearError, "timeout"),
        (400, b'{"error":"insert: Context canceled"}', UnclearError, "Context canceled"),
        (400, b'{"error":"order match delayed due to"}', UnclearError, "order match delayed"),
        (500, b'{"error":"could not insert order"}', UnclearError, "could not insert order"),
        (503, b"upstream", UnclearError, "no JSON"),
        (503, b'{"error":"x","code":"post_only_mode"}', RefusalError, "x"),
        (503, b'{"error":"Trading is currently disabled. Check"}', RefusalError, "disabled"),
        (200, b"", UnclearError, "no JSON"),
        (200, b" <html>", UnclearError, "an HTML page"),
        (302, b"", UnclearError, "no JSON"),
        (400, b"[" * 100_000, RefusalError, "no JSON"),
    ],
)
def test_an_answer_is_good_or_refuses_or_leaves_it_open(
    status: int, body: bytes, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as error:
        reading(Answer(status, body))
    assert text in str(error.value)
    assert f"HTTP {status}" in str(error.value)


def test_a_good_answer_is_its_body() -> None:
    assert reading(Answer(200, b' "OK" ')) == b'"OK"'


def test_a_key_that_is_refused_for_good_is_no_derived_one(world: World) -> None:
    def refuse(_given: dict) -> None:
        raise RefuseError(401, "Invalid L1 Request headers")

    world.fake.rest["POST /auth/api-key"] = refuse
    assert isinstance(ask(world, world.venue.rest.key_of_account()), RefusalError)
