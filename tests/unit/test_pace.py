"""Rates are kept before a venue has to say so, and a venue that fails too often is let rest."""

from betatrader.model.account import OrderInDoubt
from betatrader.ops import clock
from betatrader.venues.in_flight import InFlight
from betatrader.venues.pace import Breaker, Bucket, Rules


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(3, 2.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.ready_in_s(100.0) == 0.5
    assert [bucket.take(100.5), bucket.take(100.5)] == [True, False]
    assert [bucket.take(200.0, 3), bucket.take(200.0)] == [True, False], "never more than its burst"


def test_what_the_venue_says_was_used_counts_and_what_it_closes_stays_closed() -> None:
    bucket = Bucket(100, 10.0)
    bucket.spent(50.0, 99)
    assert [bucket.take(50.0), bucket.take(50.0)] == [True, False]
    bucket.close(60.0)
    assert not bucket.take(59.9)
    assert bucket.ready_in_s(59.0) == 1.0
    assert bucket.take(60.0)


def test_a_breaker_opens_after_so_many_failures_in_so_long_and_closes_by_itself() -> None:
    breaker = Breaker(Rules(failures=3, within_s=10.0, rest_s=30.0))
    assert [breaker.failed(at) for at in (0.0, 9.0, 11.0)] == [False, False, False]
    assert breaker.may_order(11.0)
    assert breaker.failed(12.0)
    assert (breaker.may_order(12.0), breaker.rests_s(12.0)) == (False, 30.0)
    assert not breaker.failed(13.0), "it is open"
    assert breaker.may_order(42.0)


def test_a_request_without_an_answer_leaves_its_order_in_doubt_once(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    told: list = []
    passed = [5.0]
    monkeypatch.setattr(clock, "boot_s", lambda: passed[0])
    flying = InFlight(told.append, 2.0)
    first, second, third = flying.begin("a"), flying.begin("b"), flying.begin()  # type: ignore[arg-type]
    assert (first, second, third, bool(flying)) == (1, 2, 3, True)
    assert flying.answered(first) == "a"
    assert flying.answered(first) is None
    passed[0] = 7.0
    flying.doubt_late()
    flying.doubt_late()
    assert [(type(event), event.order, event.reason) for event in told] == [
        (OrderInDoubt, "b", "no answer in 2 s")
    ]
    fourth = flying.begin("c")  # type: ignore[arg-type]
    flying.reported("c")  # type: ignore[arg-type]
    flying.doubt(fourth, "late")
    flying.doubt_all("cut")
    assert len(told) == 1
    assert not flying
