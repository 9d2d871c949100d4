"""Children that die come back; only an essential one that only ever dies is given up."""

import asyncio
import os
import sys

import pytest

from betatrader.ops import supervision
from betatrader.ops.supervision import Child


def child(code: str, *, essential: bool) -> Child:
    return Child(
        "child",
        [sys.executable, "-c", code],
        os.environ,
        stderr=None,
        final=lambda status: status == 2,
        essential=essential,
    )


async def test_an_essential_child_that_only_dies_is_given_up_and_any_other_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervision, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(supervision, "LONGEST_PAUSE_S", 0.01)
    essential = child("raise SystemExit(1)", essential=True)
    await asyncio.wait_for(essential.run(), 20)
    assert (essential.status, essential.restarts) == (1, supervision.EARLY_DEATHS - 1)

    other = child("raise SystemExit(1)", essential=False)
    task = asyncio.create_task(other.run())
    while other.restarts < supervision.EARLY_DEATHS + 2:
        await asyncio.sleep(0.05)
    assert not other.ended.is_set()
    await other.stop(5)
    await task


async def test_a_final_status_ends_it_at_once() -> None:
    done = child("raise SystemExit(2)", essential=False)
    await asyncio.wait_for(done.run(), 20)
    assert (done.status, done.restarts) == (2, 0)


async def test_a_child_that_is_stopped_while_it_starts_has_not_failed() -> None:
    slow = child("import time\ntime.sleep(60)", essential=True)
    task = asyncio.create_task(slow.run())
    while not slow.pid:
        await asyncio.sleep(0.02)
    await slow.stop(5)
    await task
    assert slow.status == 0


async def test_what_does_not_end_in_time_is_killed() -> None:
    stubborn = child(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)",
        essential=True,
    )
    task = asyncio.create_task(stubborn.run())
    while not stubborn.pid:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    await stubborn.stop(0.3)
    await task
    assert stubborn.rss_mb > 1
