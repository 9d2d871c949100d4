"""Ends a process whose event loop has stopped: a trader that stalls must make way for the next.

A thread looks whether the loop still beats. It counts only time in which it could look itself, so
that a machine that slept, or a process that was paused, is not ended for it.
"""

import contextvars
import os
import sys
import threading
import traceback
from collections.abc import Callable

import anyio
import structlog

STALLED = 1
"""The exit status: a supervisor starts the process again."""

LOOKS = 10
"""Looks, and beats, within the allowed time."""

TELL_S = 1.0
"""How long the last log line may take: stderr itself may be what the loop waits for."""


class Stall:
    """Counts how long the loop has not beaten, from looks that are `look_s` apart or more."""

    def __init__(self, stall_s: float) -> None:
        self.look_s = stall_s / LOOKS
        self._beats = 0
        self._seen = 0
        self._looks = 0

    def beat(self) -> None:
        """The loop runs."""
        self._beats += 1

    def look(self) -> bool:
        """Whether the loop has stalled: so many looks in a row have found no beat."""
        if self._beats != self._seen:
            self._seen = self._beats
            self._looks = 0
            return False
        self._looks += 1
        return self._looks >= LOOKS


async def watch(stall_s: float, end: Callable[[int], None] = os._exit) -> None:
    """Beat until cancelled; a loop that does not for `stall_s` seconds ends the process. 0: never.

    Call it on the loop's own thread, which is the one whose stack is told.
    """
    if not stall_s:
        return
    stall, over, loop_thread = Stall(stall_s), threading.Event(), threading.get_ident()

    def guard() -> None:
        while not over.wait(stall.look_s):
            if stall.look():
                _tell_and_end(loop_thread, stall_s, end)
                return

    threading.Thread(target=_in_context(guard), name="watchdog", daemon=True).start()
    try:
        while True:
            stall.beat()
            await anyio.sleep(stall.look_s)
    finally:
        over.set()


def _tell_and_end(loop_thread: int, stall_s: float, end: Callable[[int], None]) -> None:
    frame = sys._current_frames().get(loop_thread)
    stack = traceback.format_stack(frame) if frame is not None else []

    def tell() -> None:
        structlog.get_logger().critical("stalled", after_s=stall_s, stack="".join(stack))

    teller = threading.Thread(target=_in_context(tell), daemon=True)
    teller.start()
    teller.join(TELL_S)
    end(STALLED)


def _in_context(function: Callable[[], None]) -> Callable[[], None]:
    """The function as a thread may run it: its log lines name the role as ours do."""
    context = contextvars.copy_context()
    return lambda: context.run(function)
