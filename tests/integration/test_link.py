"""The reference venue over real sockets: what is lost on the way is found, and never resent."""

from collections.abc import Callable
from functools import partial

import anyio
import pytest
from floors import Floor, floor
from scenes import coin, quote, terms
from stops import stop_terms

from betatrader.bench.tape import Silent
from betatrader.model.account import (
    CancelRejected,
    Fill,
    OrderInDoubt,
    OrderRejected,
    VenueConnection,
)
from betatrader.model.command import CancelOrder
from betatrader.model.order import OrderState, Side
from betatrader.ops import clock, metrics
from betatrader.roles.reconnects import OFTEN
from betatrader.roles.trader import Trader
from betatrader.sim.faults import SILENT, Faults, FaultyLink
from betatrader.venues.link import client

pytestmark = pytest.mark.asyncio


async def test_an_order_is_accepted_and_another_filled_over_the_socket() -> None:
    async with floor() as made:
        rests, takes = made.propose("9.90"), made.propose("10.01")
        await made.until(lambda: made.state_of(takes) is OrderState.FILLED)
        await made.until(lambda: made.state_of(rests) is OrderState.ACCEPTED)
        ledger, resting = await made.venue.ledger()
        assert resting == {rests.order}
        assert ledger.cash == made.scene.state.portfolio.cash


async def test_t1_every_answer_lost_the_order_is_in_doubt_until_the_venue_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.3)
    async with floor(Faults(lost=1.0)) as made:
        takes = made.propose("10.01")
        await made.until(lambda: any(isinstance(e, OrderInDoubt) for e in made.taken))
        assert made.state_of(takes) is OrderState.IN_DOUBT
        await made.reconciler.at_start((1, 99), anyio.lowlevel.checkpoint)
        assert made.state_of(takes) is OrderState.FILLED
        assert made.exchange.ledgers["us"].cash == made.scene.state.portfolio.cash
        assert made.sent == [takes.order], "it was never sent again"


async def test_t2_a_stop_whose_answers_are_lost_is_found_waiting_and_found_filled() -> None:
    async with floor(Faults(lost=1.0)) as made:
        takes = made.propose("10.01")
        await made.reconciler.at_start((1, 99), anyio.lowlevel.checkpoint)
        assert made.state_of(takes) is OrderState.FILLED
        stop = made.send(stop_terms(Side.SELL, "9.30", "9.90"))
        await made.until(lambda: stop.order in made.exchange.resting())
        await made.reconciler.at_start((1, 99), anyio.lowlevel.checkpoint)
        assert made.state_of(stop) is OrderState.ACCEPTED, "asked for while it waits"
        made.exchange.on_market(quote("9.89", "9.91"))
        await made.reconciler.at_start((1, 99), anyio.lowlevel.checkpoint)
        assert made.state_of(stop) is OrderState.FILLED
        assert made.exchange.ledgers["us"].cash == made.scene.state.portfolio.cash
        assert made.sent == [takes.order, stop.order]


async def test_everything_twice_and_late_counts_once() -> None:
    async with floor(Faults(twice=1.0, late=0.7)) as made:
        order = made.propose("10.01")
        await made.until(lambda: sum(isinstance(e, Fill) for e in made.taken) == 2)
        assert made.scene.state.portfolio.quantity(coin().id) == order.terms.quantity
        assert made.scene.state.orders.fills == 1


async def test_t25_a_cut_between_send_and_answer_no_new_order_before_the_old_is_found() -> None:
    async with floor(Faults(lost=1.0)) as made:
        rests = made.propose("9.90")
        await made.until(lambda: rests.order in made.exchange.ledgers["us"].orders)
        made.listening.close()
        made.server.close()
        await made.until(lambda: made.scene.state.away)
        assert made.state_of(rests) is OrderState.IN_DOUBT
        asked = terms(Side.BUY, "9.80", "0.5")
        assert made.scene.refused_by(asked) == "venue_connection"
        made.listening = await made.server.listen(*made.venue.address)
        await made.until(lambda: not made.scene.state.away)
        assert made.scene.refused_by(asked) == "reconciled"
        async with anyio.create_task_group() as group:
            group.start_soon(made.reconciler.keep, 60.0)
            await made.until(lambda: not made.scene.state.reconciling)
            group.cancel_scope.cancel()
        assert made.state_of(rests) is OrderState.ACCEPTED
        assert made.scene.refused_by(asked) == ""


async def test_t15_not_found_for_a_while_and_then_filled() -> None:
    async with floor(Faults(lost=1.0, unknown=1.0)) as made:
        takes = made.propose("10.01")
        await made.until(lambda: takes.order in made.exchange.ledgers["us"].orders)
        async with anyio.create_task_group() as group:
            group.start_soon(made.reconciler.keep, 60.0)
            await made.until(lambda: made.state_of(takes) is OrderState.IN_DOUBT)
            await made.until(lambda: made.state_of(takes) is OrderState.FILLED)
            group.cancel_scope.cancel()
        assert made.link.counts["unknown"] >= 2
        assert made.sent == [takes.order]


async def test_t27_a_reconnect_is_an_event_with_its_reason() -> None:
    async with floor() as made:
        made.server.close()
        await made.until(lambda: sum(isinstance(e, VenueConnection) for e in made.taken) == 3)
        away = [e for e in made.taken if isinstance(e, VenueConnection)][1]
        assert (away.up, away.reason) == (False, "closed by the venue")


async def test_t27_reconnects_are_counted_and_their_rate_is_told() -> None:
    async with floor() as made:
        alerts: list[str] = []
        trader = Trader(made.scene.engine, "run", Silent())  # type: ignore[arg-type]
        trader.on_alert = lambda _level, text: alerts.append(text)
        made.scene.take = trader.take  # type: ignore[method-assign,assignment]
        counted = metrics.VENUE_LOST.labels("SIM")._value.get()

        async def lose(times: int) -> None:
            for _ in range(times):
                heard = len(made.taken)
                made.server.close()
                await made.until(lambda: len(made.taken) == heard + 2)  # noqa: B023  away, and back

        await lose(OFTEN - 1)
        assert metrics.VENUE_LOST.labels("SIM")._value.get() == counted + OFTEN - 1
        assert alerts.count("SIM is away: closed by the venue") == OFTEN - 1, "each with its reason"
        often = f"SIM was lost {OFTEN} times in 10 minutes or less"
        assert not any(text.startswith(often) for text in alerts)
        await lose(OFTEN)
        told = [text for text in alerts if text.startswith(often)]
        assert told == [f"{often}, the last time: closed by the venue"], "and then counted anew"


def always(link: FaultyLink, fate: str) -> Callable[[str], str]:
    """Let each request that meets trouble meet this one."""
    meets = link.meets
    return lambda part: meets(part) and fate


def withdraw(made: Floor, order: str) -> None:
    made.venue.cancel(CancelOrder(order, coin().id, "test"), clock.now_ns())  # type: ignore[arg-type]


async def test_orders_that_nobody_hears_are_never_taken_while_questions_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.3)
    async with floor(Faults(down_orders=1.0)) as made:
        monkeypatch.setattr(made.link, "meets", always(made.link, SILENT))
        lost = made.propose("10.01")
        await made.until(lambda: made.state_of(lost) is OrderState.IN_DOUBT)
        made.link.faults = Faults()
        await made.reconciler.at_start((1, 99), anyio.lowlevel.checkpoint)
        assert made.state_of(lost) is OrderState.REJECTED
        assert made.exchange.ledgers["us"].orders == {}
        assert made.sent == [lost.order], "it was never sent again"
        assert made.link.counts["silent"] + made.link.counts["down"] == 1


@pytest.mark.parametrize("down", [True, False])
async def test_orders_are_refused_where_only_that_part_is_down_or_limits_the_rate(
    down: bool,
) -> None:
    faults = Faults(down_orders=1.0) if down else Faults(limited_orders=1.0)
    async with floor(faults) as made:
        made.link.meets = partial(_loudly, made.link.meets, down)  # type: ignore[method-assign]
        order = made.propose("10.01")
        await made.until(lambda: made.state_of(order) is OrderState.REJECTED)
        [why] = [e.reason for e in made.taken if isinstance(e, OrderRejected)]
        assert why == ("this part of the venue is out of order" if down else "too many requests")
        assert (await made.venue.ledger())[0].orders == {}


def _loudly(meets: Callable[[str], str], down: bool, part: str) -> str:
    found = meets(part)
    return "down" if found and down else found


async def test_cancels_alone_meet_the_rate_limit() -> None:
    async with floor(Faults(limited_cancels=1.0)) as made:
        rests = made.propose("9.90")
        await made.until(lambda: made.state_of(rests) is OrderState.ACCEPTED)
        withdraw(made, rests.order)
        await made.until(lambda: any(isinstance(e, CancelRejected) for e in made.taken))
        assert made.state_of(rests) is OrderState.ACCEPTED
        made.link.faults = Faults()
        withdraw(made, rests.order)
        await made.until(lambda: made.state_of(rests) is OrderState.CANCELED)


async def test_questions_alone_fail_and_orders_pass_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.3)
    async with floor(Faults(limited_queries=1.0)) as made:
        with pytest.raises(ConnectionError, match="too many requests"):
            await made.venue.account(())
        made.link.faults = Faults(down_queries=1.0)
        monkeypatch.setattr(made.link, "meets", always(made.link, SILENT))
        with pytest.raises(TimeoutError):
            await made.venue.account(())
        rests = made.propose("9.90")
        await made.until(lambda: made.state_of(rests) is OrderState.ACCEPTED)
        assert (await made.venue.ledger())[1] == {rests.order}, "the judge is always answered"


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
async def test_a_venues_clock_that_is_off_changes_no_time_of_ours(
    ahead_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.3)
    async with floor(Faults(lost=1.0, ahead_s=ahead_s)) as made:
        takes = made.propose("10.01")
        await made.until(lambda: made.state_of(takes) is OrderState.IN_DOUBT)
        [fill] = made.server._stated(made.exchange.account((), "us")).fills
        assert abs((fill.time_ns - clock.now_ns()) / 1e9 - ahead_s) < 60, "it says so by its clock"
        await made.reconciler.at_start((1, 99), anyio.lowlevel.checkpoint)
        assert made.state_of(takes) is OrderState.FILLED
        assert abs(made.scene.state.now_ns - clock.now_ns()) < 60e9, "we go by our own"
        [booked] = [e for e in made.taken if isinstance(e, Fill)]
        assert abs(booked.time_ns - clock.now_ns()) < 60e9
