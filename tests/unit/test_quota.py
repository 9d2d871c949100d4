"""The bench of the quota counts an order as late by the moment at which it was sent."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from scenes import terms

from betatrader.bench import quota
from betatrader.bench.failover import LEASE_S, Trader
from betatrader.bench.quota import Lease, Watched
from betatrader.model.account import OrderAccepted
from betatrader.model.command import Approved, Step
from betatrader.model.ids import ClientOrderId, StrategyId
from betatrader.model.order import Side

S = 1_000_000_000
ORDER = ClientOrderId("00000001000000000001000000000001")
OVER_AT_2_S = [Lease(at_ms, 2_000, b"7") for at_ms in (100, 1_000, 8_000, 10_000)]


def judged(sent_s: float, leases: list[Lease] = OVER_AT_2_S) -> Any:
    """An order that answers the market of 1.0 s, and that the venue took at another time."""
    step = Step(1, 1, 1 * S, (Approved(ORDER, StrategyId("s"), terms(Side.BUY, "10", "1")),))
    records = [step, OrderAccepted(int(9.5 * S), ORDER)]
    trader = cast("Trader", SimpleNamespace(records=lambda: records))
    return quota._judge(trader, Watched(0, 10 * S, leases, {ORDER: int(sent_s * S)}), 0.1)


def test_an_order_sent_at_9_s_under_a_lease_that_was_over_at_2_s_is_late() -> None:
    found = judged(9.0)
    assert (found.sent, found.late, found.unheard) == (1, 1, 0), "the event came at 1.0 s"


@pytest.mark.parametrize(("sent_s", "late"), [(1.0, 0), (1.39, 0), (1.41, 1), (1.9, 1), (2.1, 1)])
def test_the_deadline_is_the_fences_the_margin_before_the_end(sent_s: float, late: int) -> None:
    assert (LEASE_S, quota.MARGIN) == (2.0, 0.3)
    assert judged(sent_s).late == late


def test_a_lease_renewed_in_time_covers_what_is_sent_after() -> None:
    renewed = [*OVER_AT_2_S[:2], Lease(1_200, 3_190, b"7"), Lease(3_500, 5_400, b"8")]
    late = {at_s: judged(at_s, renewed).late for at_s in (1.5, 2.5, 2.7, 3.3, 3.45, 4.7, 4.9)}
    assert late == {1.5: 0, 2.5: 0, 2.7: 1, 3.3: 1, 3.45: 0, 4.7: 0, 4.9: 1}


def test_a_lease_that_was_given_back_covers_nothing() -> None:
    given_back = [Lease(100, 2_000, b"7"), Lease(1_000, 0, b"7")]
    assert [judged(at_s, given_back).late for at_s in (0.9, 1.2)] == [0, 1]


def test_what_was_sent_before_the_first_grant_that_was_seen_is_not_judged() -> None:
    assert judged(0.5, [Lease(1_000, 2_990, b"7")]).late == 0


def test_an_order_whose_sending_was_not_seen_is_told() -> None:
    records = [
        Step(1, 1, 1 * S, (Approved(ORDER, StrategyId("s"), terms(Side.BUY, "10", "1")),)),
        OrderAccepted(2 * S, ORDER),
    ]
    trader = cast("Trader", SimpleNamespace(records=lambda: records))
    found = quota._judge(trader, Watched(0, 10 * S, OVER_AT_2_S, {}), 0.1)
    assert (found.sent, found.unheard) == (0, 1)
