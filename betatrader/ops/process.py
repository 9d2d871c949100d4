"""A process: its end with its parent or on a signal, when it started, how much memory it holds."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import anyio

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """In a child just forked: get SIGTERM when the parent's main thread ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def resident_mb(pid: int) -> float:
    """Resident memory in 2^20 bytes; 0 where the process is gone or the system does not tell."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def age_s(pid: int) -> float:
    """Seconds since a process started; 0 where the system does not tell."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        started = int(after_name[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    return 0.0


def alive(pid: int) -> bool:
    """Whether a process exists (a zombie does not count)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


async def cancel_on_signal(scope: anyio.CancelScope) -> None:
    """End a scope on the first SIGINT or SIGTERM."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        async for _ in received:
            scope.cancel()
            return
