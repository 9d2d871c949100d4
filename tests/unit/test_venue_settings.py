"""What nobody is sure of at a venue is a setting: each takes effect, and has the known value."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from binance_scenes import World as Binance
from polymarket_scenes import PRIVATE, World, approved

from betatrader.cli.template import TEMPLATE
from betatrader.config import Config, loads
from betatrader.config import venues as settings
from betatrader.model.account import OrderRejected, Protection
from betatrader.model.errors import ConfigurationError, UsageError
from betatrader.model.secret import Secret
from betatrader.ops import clock
from betatrader.venues.polymarket.limits import TIERS, Limits
from betatrader.venues.polymarket.public import PolymarketMarket
from betatrader.venues.polymarket.venue import PolymarketVenue

NOBODY: Any = None
SECOND = 1_000_000_000


def test_the_template_names_the_known_values() -> None:
    lines = TEMPLATE.splitlines()
    first, last = lines.index(next(x for x in lines if "[binance]" in x)), lines.index("[feed]")
    text = "\n".join(line.removeprefix("# ") for line in lines[first:last])
    text = text.replace('["BTCUSDT"]', "[]").replace('["0x…"]', "[]")
    assert loads(text, "t", {}).config == Config()
    for name in ("rate_tier", "socket_tokens", "heartbeat_seconds", "heartbeat_deadline_seconds"):
        assert f"\n{name} = " in text
    assert "\nunseen_ms = " in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("heartbeat_seconds = 10", "expected less than heartbeat_deadline_seconds (10), found 10"),
        ("heartbeat_deadline_seconds = 4", "expected less than heartbeat_deadline_seconds (4)"),
        ("heartbeat_seconds = 0.5", "expected at least 1"),
        ('rate_tier = "gld"', "did you mean `gold`?"),
        ("socket_tokens = 1", "expected `int` >= 2"),
    ],
)
def test_values_that_cannot_be_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        loads(f"[polymarket]\n{text}", "f.toml", {})
    [problem] = refused.value.problems
    assert problem.startswith("f.toml")
    assert said in problem


def _account(known: settings.Polymarket) -> object:
    given = msgspec.structs.replace(known, private_key=Secret(PRIVATE))
    return PolymarketVenue(given, NOBODY, print, print)


def _market(known: settings.Polymarket) -> object:
    return PolymarketMarket(known, NOBODY, print, print)


@pytest.mark.parametrize("made", [_account, _market])
def test_a_socket_carries_so_many_tokens(
    made: Callable[[settings.Polymarket], object],
) -> None:
    named = tuple(f"0x{number:064x}" for number in range(251))
    assert made(settings.Polymarket(markets=named[:250]))
    assert made(settings.Polymarket(markets=named, socket_tokens=502))
    for most in ({}, {"socket_tokens": 501}):
        with pytest.raises(UsageError, match="one socket carries 250 at most, and 251 are named"):
            made(settings.Polymarket(markets=named, **most))


def test_heartbeats_are_as_often_and_hold_as_long_as_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, heartbeat_seconds=2, heartbeat_deadline_seconds=7).go(21)
    armed = [event for event in world.events if isinstance(event, Protection)]
    assert 10 <= len(armed) <= 12
    assert all(6.9 < (e.armed_until_ns - e.time_ns) / SECOND <= 7 for e in armed)


@pytest.mark.parametrize(("tier", "at_once"), [("standard", 60), ("copper", 90), ("elite", 900)])
def test_an_account_places_what_its_tier_allows(
    monkeypatch: pytest.MonkeyPatch, tier: str, at_once: int
) -> None:
    world = World(monkeypatch, rate_tier=tier).go(2)
    limits = world.venue.rest.limits

    def burst() -> None:
        limits.draw("order", at_once - 3)
        limits.draw("cancel", 2 * at_once - 1)
        assert limits.take("cancel")
        assert not limits.take("cancel")
        for number in range(5):
            world.venue.submit(approved(number), clock.now_ns())

    world.do(burst)
    assert [type(event) for event in world.since()].count(OrderRejected) == 2


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("kind", ["order", "cancel"])
def test_no_tier_lets_more_leave_than_an_endpoint_takes(
    monkeypatch: pytest.MonkeyPatch, tier: settings.Tier, kind: str
) -> None:
    now_s = 1.0
    monkeypatch.setattr(clock, "boot_s", lambda: now_s)
    limits, sent = Limits(tier), 0
    for second in range(600):
        while limits.take(kind, 10):
            sent += 10
        assert second != 9 or sent <= 5_000
        now_s += 1
    assert sent <= 120_000


def test_requests_of_several_orders_have_a_limit_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A high tier lets more pairs leave than the endpoint takes in ten minutes."""
    world = World(monkeypatch, rate_tier="elite").go(2)
    world.do(lambda: world.venue.rest.limits.draw("order-many", 600))
    pair = [(approved(n), clock.now_ns()) for n in (1, 2)]
    world.do(lambda: world.venue.submit_many(pair))
    told = [event for event in world.since() if isinstance(event, OrderRejected)]
    assert [event.reason for event in told] == [
        "not sent: our share of the venue's rate limit is used up"
    ] * 2
    assert world.fake.posted("POST /orders") == []


def test_an_order_is_unseen_at_binance_for_as_long_as_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, longer = Binance(monkeypatch).go(0.1), Binance(monkeypatch, unseen_ms=25_000).go(0.1)
    assert longer.venue.under_way_ns - known.venue.under_way_ns == 15 * SECOND
    assert known.settings == msgspec.structs.replace(longer.settings, unseen_ms=10_000)
