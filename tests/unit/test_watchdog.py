"""A loop that stands still ends its process, with its stack told; one that runs never does."""

import threading

import anyio
import pytest
import structlog
from structlog.testing import capture_logs

from betatrader.ops.watchdog import LOOKS, STALLED, Stall, watch


def test_a_stall_is_so_many_looks_in_a_row_without_a_beat() -> None:
    stall = Stall(5.0)
    for _ in range(3):
        stall.beat()
        assert [stall.look() for _ in range(LOOKS)] == [False] * LOOKS
    assert stall.look()


def test_sleep_and_pause_do_not_count_since_nobody_looked() -> None:
    """Time passes for looks alone: between two of them the machine may have slept for hours."""
    stall = Stall(5.0)
    stall.beat()
    stall.look()
    assert not stall.look()
    stall.beat()
    assert not stall.look()


@pytest.mark.asyncio
async def test_a_loop_that_stands_still_is_ended_and_its_stack_told() -> None:
    ended, statuses = threading.Event(), []

    def end(status: int) -> None:
        statuses.append(status)
        ended.set()

    def spin_where_the_stack_names_it() -> None:
        while not ended.is_set():
            pass

    structlog.contextvars.bind_contextvars(role="trading")
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        async with anyio.create_task_group() as group:
            group.start_soon(watch, 0.1, end)
            await anyio.sleep(0)
            spin_where_the_stack_names_it()
            group.cancel_scope.cancel()
    structlog.contextvars.clear_contextvars()
    assert statuses == [STALLED]
    [line] = logs
    assert (line["event"], line["log_level"], line["role"]) == ("stalled", "critical", "trading")
    assert "spin_where_the_stack_names_it" in line["stack"]


@pytest.mark.asyncio
async def test_a_log_that_takes_no_line_does_not_keep_the_process_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended, never = threading.Event(), threading.Event()

    class Stuck:
        def critical(self, *_: object, **__: object) -> None:
            never.wait()

    monkeypatch.setattr("betatrader.ops.watchdog.TELL_S", 0.01)
    monkeypatch.setattr("betatrader.ops.watchdog.structlog.get_logger", Stuck)
    async with anyio.create_task_group() as group:
        group.start_soon(watch, 0.05, lambda status: ended.set())
        await anyio.sleep(0)
        assert ended.wait(10)  # blocks the loop, as what stalls does
        group.cancel_scope.cancel()
    never.set()


@pytest.mark.asyncio
async def test_its_thread_ends_with_it_and_zero_starts_none() -> None:
    await watch(0, lambda status: pytest.fail("ended"))
    async with anyio.create_task_group() as group:
        group.start_soon(watch, 60.0, lambda status: pytest.fail("ended"))
        await anyio.sleep(0)
        [thread] = [t for t in threading.enumerate() if t.name == "watchdog"]
        group.cancel_scope.cancel()
    thread.join(10)
    assert not thread.is_alive()
