"""Where a trader's books are kept: those of real money apart from those of paper and shadow.

A paper account is no account at a venue. Whoever goes live on the same home begins with what the
venue states, and comes back to the paper account as it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from betatrader.model.errors import RefusedError, UsageError
from betatrader.ops.files import Taken, lock
from betatrader.store.functions import LIVE_JOURNAL, SHIPPED_JOURNAL, Fenced
from betatrader.store.journal import RUN_DIGITS, is_run

TRADING_LOCK = "trading.lock"
"""In the home; a trader holds it from its start to its end."""


def journals(home: Path, mode: str) -> Path:
    """The folder of this account's journals, a folder a run."""
    return home / "live" / "journal" if mode == "live" else home / "journal"


def shipped(mode: str) -> Fenced:
    """The journal's second home, in Redis."""
    return LIVE_JOURNAL if mode == "live" else SHIPPED_JOURNAL


def runs(home: Path) -> list[Path]:
    """The journals of all runs, of either account, the last one last."""
    found = [run for mode in ("paper", "live") for run in journals(home, mode).glob("*/")]
    return sorted((run for run in found if is_run(run)), key=lambda path: path.name)


def books(home: Path) -> list[list[Path]]:
    """The journals of each account, that of the last run first; of each the last run last."""
    found = runs(home)
    folders = dict.fromkeys(run.parent for run in reversed(found))
    return [[run for run in found if run.parent == folder] for folder in folders]


def new_run(home: Path, now_ns: int) -> str:
    """The id of a run that starts now: UTC milliseconds in hex, and more than that of any run here.

    Of two runs the later is told by its id alone, on a clock that was ahead and put right too.
    """
    numbers = (int(run.name, 16) for run in runs(home))
    return f"{max(now_ns // 1_000_000, max(numbers, default=0) + 1):0{RUN_DIGITS}x}"


@contextmanager
def without_trader(path: Path) -> Iterator[None]:
    """Keep every trader out of the home that this journal lies in; a copy elsewhere is in none.

    Raises RefusedError while one works there: it has the file that it writes mapped, and dies at
    its next record where somebody cuts that.
    """
    held = next(
        (home / TRADING_LOCK for home in path.resolve().parents if (home / TRADING_LOCK).exists()),
        None,
    )
    if held is None:
        yield
        return
    try:
        ours = lock(held)
    except Taken as taken:
        raise RefusedError(
            f"a trader works in {held.parent} (pid {taken.pid}): its journals are not repaired\n"
            "Stop it and repair then; `betatrader journal verify` alone checks beside it."
        ) from None
    except OSError as error:
        raise UsageError(
            f"{held}: {error.strerror or error}\nRepair as the user that the trader runs as."
        ) from error
    try:
        yield
    finally:
        ours.truncate(0)
        ours.close()
