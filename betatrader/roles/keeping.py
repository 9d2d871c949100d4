"""Where a trader's books are kept: those of real money apart from those of paper and shadow.

A paper account is no account at a venue. Whoever goes live on the same home begins with what the
venue states, and comes back to the paper account as it was.
"""

from pathlib import Path

from betatrader.store.functions import LIVE_JOURNAL, SHIPPED_JOURNAL, Fenced


def journals(home: Path, mode: str) -> Path:
    """The folder of this account's journals, a folder a run."""
    return home / "live" / "journal" if mode == "live" else home / "journal"


def shipped(mode: str) -> Fenced:
    """The journal's second home, in Redis."""
    return LIVE_JOURNAL if mode == "live" else SHIPPED_JOURNAL


def runs(home: Path) -> list[Path]:
    """The journals of all runs, of either account, the last one last."""
    found = [run for mode in ("paper", "live") for run in journals(home, mode).glob("*/")]
    return sorted(found, key=lambda path: path.name)
