"""The schedule on a real server: one run of each slot, caught up after downtime, with a history."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from betatrader.cli import jobs as command_line
from betatrader.jobs import pnl_report, schedule
from betatrader.jobs.leader_watch import LeaderWatch
from betatrader.jobs.schedule import Job, Scheduler
from betatrader.model.errors import ConfigurationError
from betatrader.model.summary import PositionLine, StrategyLine, Summary
from betatrader.ops import logs
from betatrader.ops.embedded_redis import EmbeddedRedis
from betatrader.store import functions, keys
from betatrader.store.connection import Client

SLOT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def job(runs: list[str], name: str = "chore", expression: str = "* * * * *", fails: int = 0) -> Job:
    async def work() -> str:
        runs.append(name)
        if len(runs) <= fails:
            raise OSError("no")
        return "worked"

    return Job(name, expression, "a test", work)


async def test_of_many_contenders_one_runs_a_slot(redis: Client) -> None:
    runs: list[str] = []
    contenders = [Scheduler(redis, [], f"h{n}") for n in range(20)]
    outcomes = await asyncio.gather(*(s.attempt(job(runs), SLOT) for s in contenders))
    assert runs == ["chore"]
    assert sorted(o.status for o in outcomes)[0] == "done"
    again = await contenders[0].attempt(job(runs), SLOT)
    assert (again.status, runs) == ("done", ["chore"])


async def test_a_slot_of_the_past_is_refused(redis: Client) -> None:
    runs: list[str] = []
    scheduler = Scheduler(redis, [], "h")
    await scheduler.attempt(job(runs), SLOT)
    assert (await scheduler.attempt(job(runs), SLOT - timedelta(minutes=1))).status == "past"


async def test_a_failed_run_is_tried_three_times_and_then_left(redis: Client) -> None:
    runs: list[str] = []
    scheduler = Scheduler(redis, [], "h")
    outcomes = [(await scheduler.attempt(job(runs, fails=9), SLOT)).status for _ in range(4)]
    assert outcomes == ["failed", "failed", "failed", "dead"]
    assert len(runs) == 3
    history = await redis.xrange(keys.job_history("chore"))
    assert [fields[b"status"] for _, fields in history] == [b"failed"] * 3


async def test_the_slot_of_a_holder_that_vanished_is_taken_over(redis: Client) -> None:
    slot_ms = int(SLOT.timestamp() * 1000)
    first = await functions.claim(redis, "chore", slot_ms, "gone", 1)
    await asyncio.sleep(0.02)
    second = await functions.claim(redis, "chore", slot_ms, "heir", 60_000)
    assert (first.verdict, second.verdict) == ("run", "run")
    assert not await functions.finish(redis, "chore", first.run, "done", "late")
    assert await functions.finish(redis, "chore", second.run, "done", "")


async def test_a_job_that_overlaps_its_next_slot_is_not_run_twice_at_once(redis: Client) -> None:
    slot_ms = int(SLOT.timestamp() * 1000)
    await functions.claim(redis, "chore", slot_ms, "busy", 60_000)
    assert (await functions.claim(redis, "chore", slot_ms + 60_000, "b", 1)).verdict == "overlap"


async def test_after_downtime_the_latest_missed_slot_is_run_once(redis: Client) -> None:
    runs: list[str] = []
    yearly = job(runs, expression="0 0 1 1 *")
    stop = False

    async def halt() -> None:
        nonlocal stop
        await asyncio.sleep(0.3)
        stop = True

    scheduler = Scheduler(redis, [yearly], "h")
    await asyncio.gather(scheduler.run(lambda: stop), halt())
    assert runs == ["chore"]
    stop = False
    await asyncio.gather(Scheduler(redis, [yearly], "h2").run(lambda: stop), halt())
    assert runs == ["chore"]


async def test_a_server_that_lost_its_functions_gets_them_again(redis: Client) -> None:
    await redis.function_flush()
    runs: list[str] = []
    assert (await Scheduler(redis, [], "h").attempt(job(runs), SLOT)).status == "done"


async def test_a_full_server_still_lets_the_upkeep_run(redis: Client) -> None:
    runs: list[str] = []
    await redis.config_set("maxmemory", "1")
    try:
        await functions.load(redis)  # as each role does at its start
        assert (await Scheduler(redis, [], "h").attempt(job(runs), SLOT)).status == "done"
        await redis.function_flush()
        lost = await Scheduler(redis, [], "h").attempt(job(runs), SLOT)
        assert lost.status == "away"
        assert "maxmemory" in lost.note, "not that there is no such function"
    finally:
        await redis.config_set("maxmemory", "256mb")


async def test_a_run_by_hand_from_a_machine_whose_clock_is_ahead_bars_no_slot(
    redis: Client, server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(days=1)

    monkeypatch.setattr(command_line, "datetime", Ahead)
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)
    monkeypatch.setenv("REDIS_URL", server.url)
    assert (await command_line._run("stream_upkeep"))[0] == "done"
    assert (await command_line._run("stream_upkeep"))[0] == "done", "each is a slot of its own"
    upkeep = Job("stream_upkeep", "* * * * *", "", tended)
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert (await Scheduler(redis, [], "h").attempt(upkeep, soon)).status == "done"


async def tended() -> str:
    return "tended"


def test_a_wrong_expression_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"jobs\.a: '99 \* \* \* \*'"):
        schedule.check_expressions({"jobs.a": "99 * * * *", "jobs.b": "* * * * *"})


def test_slots_follow_the_clock() -> None:
    hourly = job([], expression="0 * * * *")
    now = SLOT + timedelta(minutes=5)
    assert schedule.latest_slot(hourly, now) == SLOT
    assert schedule.next_slot(hourly, now) == SLOT + timedelta(hours=1)


async def test_the_report_writes_json_and_markdown(redis: Client, tmp_path: Path) -> None:
    assert await pnl_report.write(redis, tmp_path) == "no run to report on yet"
    position = PositionLine(
        instrument="A.SIM", quantity="1", average_price="2", mark="3", unrealised="1"
    )
    summary = Summary(
        run="r1",
        mode="PAPER",
        version="0",
        started_ns=0,
        time_ns=10**9,
        trading_state="ACTIVE",
        pnl="1.25",
        positions=(position,),
    )
    await redis.set(keys.RUN, "r1")
    await redis.set(keys.summary("r1"), msgspec.json.encode(summary))
    assert "1.25 USD" in await pnl_report.write(redis, tmp_path)
    assert msgspec.json.decode((tmp_path / "r1/pnl.json").read_bytes())["pnl"] == "1.25"
    text = (tmp_path / "r1/pnl.md").read_text()
    assert "| profit and loss, after fees | 1.25 |" in text
    assert "| A.SIM | 1 | 2 | 3 | 1 |" in text


async def test_profit_is_reported_net_of_what_running_costs_since_the_first_run(
    redis: Client, tmp_path: Path
) -> None:
    day_ns = 86_400 * 10**9
    for number, (started_ns, time_ns) in enumerate([(0, day_ns), (9 * day_ns, 10 * day_ns)]):
        summary = Summary(
            run=f"r{number}",
            mode="PAPER",
            version="0",
            started_ns=started_ns,
            time_ns=time_ns,
            trading_state="ACTIVE",
            pnl="5",
            strategies=(
                StrategyLine(strategy="maker", profit="4"),
                StrategyLine(strategy="parity", profit="0.5"),
                StrategyLine(strategy="unknown", profit="0.5"),
            ),
        )
        await redis.set(keys.RUN, summary.run)
        await redis.set(keys.summary(summary.run), msgspec.json.encode(summary))
        await pnl_report.write(redis, tmp_path, Decimal("11.10"))
    first, second = (
        msgspec.json.decode((tmp_path / f"r{number}/pnl.json").read_bytes()) for number in (0, 1)
    )
    assert (first["running_costs"], first["net"]) == ("0.37", "4.63")
    assert (second["running_costs"], second["net"]) == ("3.70", "1.30")
    text = (tmp_path / "r1/pnl.md").read_text()
    assert "| net of running costs | 1.30 |" in text
    assert "| maker | 4 | 2.15 |" in text
    assert [one["net"] for one in second["strategies"]] == ["2.15", "-1.35", "0.50"], (
        "each strategy bears as much of the costs; what none has made bears none"
    )


async def test_that_nobody_leads_any_more_is_told_once_and_its_end_too(redis: Client) -> None:
    told: list[tuple[str, str]] = []
    times = [60.0]
    watch = LeaderWatch(redis, lambda *alert: told.append(alert), lambda: times[-1])
    await watch.look()
    assert told == [], "nobody has led yet"
    await functions.lease_acquire(redis, "one", 60_000, 0)
    await watch.look()
    await functions.lease_release(redis, "one", int(await redis.hget(keys.LEASE, "epoch")))
    for now_s in (70.0, 74.0, 76.0, 90.0):
        times.append(now_s)
        await watch.look()
    assert told == [("critical", "nobody leads, for 16 s and more")]
    _, epoch, _ = await functions.lease_acquire(redis, "two", 60_000, 0)
    await watch.look()
    assert told[1:] == [("error", f"a trader leads again, in epoch {epoch}")]
    await redis.delete(keys.LEASE)
    await watch.look()
    assert len(told) == 2


async def test_who_starts_while_nobody_leads_tells_so_where_somebody_led_before(
    redis: Client,
) -> None:
    told: list[tuple[str, str]] = []
    times = [60.0]
    watch = LeaderWatch(redis, lambda *alert: told.append(alert), lambda: times[-1])
    _, epoch, _ = await functions.lease_acquire(redis, "one", 60_000, 0)
    await functions.lease_release(redis, "one", epoch)
    for now_s in (60.0, 74.0, 75.0, 90.0):
        times.append(now_s)
        await watch.look()
    assert told == [("critical", "nobody leads, for 15 s and more")]


async def test_a_fresh_install_without_a_trader_is_no_trouble(redis: Client) -> None:
    told: list[tuple[str, str]] = []
    times = [60.0]
    watch = LeaderWatch(redis, lambda *alert: told.append(alert), lambda: times[-1])
    for now_s in (60.0, 90.0, 600.0):
        times.append(now_s)
        await watch.look()
    assert told == []
