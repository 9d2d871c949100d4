"""The wall clock, in one place. Durations are measured with the monotonic clock instead."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

now_ns: Callable[[], int] = time.time_ns
"""UTC, ns since 1970."""


def set_ahead(by_s: float) -> None:
    """Let this whole process's clock be so far ahead of the machine's (behind it where negative):
    it is a simulated venue's, which is off."""
    global now_ns
    by_ns = int(by_s * 1e9)

    def ahead_ns() -> int:
        return time.time_ns() + by_ns

    now_ns = ahead_ns


def boot_s() -> float:
    """Seconds since some moment, counted also while the machine sleeps: a laptop that was shut
    finds its lease over."""
    return time.clock_gettime(_BOOT)


_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # Linux alone has the former


def iso(time_ns: int) -> str:
    """UTC ns as ISO 8601 with milliseconds: `2026-11-25T02:00:00.123Z`."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}Z"
