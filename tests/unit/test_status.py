"""What `status` believes where Redis and the disk tell different things."""

import msgspec

from betatrader.cli.status import accounts, flow, newer
from betatrader.model.summary import AccountLine, Summary

SECOND = 1_000_000_000


def summary(time_s: int, state: str = "ACTIVE", run: str = "r", why_not: str = "") -> Summary:
    return Summary(
        run=run,
        mode="PAPER",
        version="0",
        started_ns=0,
        time_ns=time_s * SECOND,
        trading_state=state,
        why_not=why_not,
    )


def test_a_redis_that_takes_nothing_does_not_hide_a_halt() -> None:
    halted = summary(60, "HALTED", why_not="halted")
    found, trouble = newer(summary(10), halted)
    assert found is halted
    assert "50.0 s behind" in trouble


def test_the_newer_counts_and_half_a_second_is_no_trouble() -> None:
    told, kept = summary(10), summary(11)
    assert newer(told, kept) == (kept, "")
    assert newer(kept, told) == (kept, "")
    assert newer(told, None) == (told, "")


def test_a_disk_of_another_run_says_nothing_of_this_one() -> None:
    told = summary(10)
    assert newer(told, summary(99, run="another")) == (told, "")


def test_of_an_old_summary_nobody_says_that_orders_are_flowing() -> None:
    now = summary(10)
    assert flow(now, stale=False) == "orders are flowing"
    assert "not known" in flow(now, stale=True)
    halted = msgspec.structs.replace(now, why_not="halted: news")
    assert flow(halted, stale=True) == "no new order: halted: news"


def test_an_account_that_is_not_served_is_shown_with_the_venues_word() -> None:
    line = AccountLine(venue="ONE", cash="5", barred="ONE sees us in Y")
    told = accounts(msgspec.structs.replace(summary(10), accounts=(line,)))
    assert told == ["  ONE          cash $5.00   NO NEW ORDERS: ONE sees us in Y"]
    assert (
        accounts(msgspec.structs.replace(summary(10), accounts=(AccountLine(venue="A", cash="5"),)))
        == []
    )
