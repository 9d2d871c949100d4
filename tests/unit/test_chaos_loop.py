"""Virtual time: an hour passes at once, a seed's order repeats, and the dead do nothing."""

import asyncio
import random

import anyio
import pytest

from betatrader.chaos.loop import Process, VirtualLoop


def played(
    seed: int, *, kill_at: float = 0.0, pause: tuple[float, float] = (0.0, 0.0)
) -> list[str]:
    """What a process of three tasks says, with the virtual time of each word."""
    loop, said = VirtualLoop(seed), []
    process = Process("p")

    async def speak(name: str) -> None:
        try:
            for _ in range(3):
                await anyio.sleep(1.0)
                said.append(f"{loop.time():.1f} {name}")
        finally:
            said.append(f"{loop.time():.1f} {name} cleans up")

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(speak, name)

    loop.spawn(process, main)
    if kill_at:
        loop.call_at(kill_at, process.kill)
    if pause[0]:
        loop.call_at(pause[0], setattr, process, "paused_until", sum(pause))
    loop.run_until(lambda: False, 3_600.0)
    assert loop.unhandled == []
    return said


def test_an_hour_passes_at_once_and_all_is_said() -> None:
    said = played(1)
    assert len(said) == 12
    assert said[-1].startswith("3.0 ")


def test_a_seed_repeats_its_order_and_another_has_its_own() -> None:
    assert played(1) == played(1)
    assert len({tuple(played(seed)) for seed in range(20)}) > 1


def test_a_killed_process_says_nothing_more_not_even_in_its_clean_up() -> None:
    said = played(1, kill_at=1.5)
    assert [line[:3] for line in said] == ["1.0"] * 3


def test_a_paused_process_wakes_where_it_slept() -> None:
    said = played(1, pause=(1.5, 10.0))
    assert [line.split()[0] for line in said[:6]] == ["1.0"] * 3 + ["11.5"] * 3


def test_the_callbacks_of_one_task_keep_their_order() -> None:
    for seed in range(20):
        loop, said = VirtualLoop(seed), []

        async def main(loop: VirtualLoop = loop, said: list[int] = said) -> None:
            for number in range(10):
                loop.call_soon(said.append, number)

        loop.spawn(Process("p"), main)
        loop.run_until(lambda: False, 1.0)
        assert said == sorted(said)


def test_timeouts_and_cancellation_work_as_on_a_real_loop() -> None:
    loop, seen = VirtualLoop(random.randrange(100)), []

    async def main() -> None:
        with anyio.move_on_after(2.0) as scope:
            await anyio.sleep(9.0)
        seen.append((scope.cancelled_caught, loop.time()))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3.0):
                await asyncio.sleep(9.0)
        seen.append((True, loop.time()))

    task = loop.spawn(Process("p"), main)
    loop.run_until(task.done, 100.0)
    task.result()
    assert seen == [(True, 2.0), (True, 5.0)]
