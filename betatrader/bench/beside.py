"""The same steps by a library that others wrote, in turns with ours in the same run.

Both hear the same bytes, and a message counts where ours answered it with an order. The library is
called as its own socket calls it, and its decision is the simplest there is: no strategy, no risk
check, no journal, and no network in it.
"""

import gc
import time
from collections.abc import Callable, Collection, Sequence
from decimal import localcontext
from typing import Protocol

from betatrader.bench.result import Result, quantile


class Library(Protocol):
    """What a user of the library does."""

    name: str

    def hear(self, message: bytes) -> None:
        """Decode a message of the market, and bring the book up to date."""

    def order(self) -> bytes:
        """Decide by the book, and build, sign and encode an order."""


class Beside:
    """Plays to a library what ours has heard; without one, ours is measured all the same."""

    def __init__(self, library: Library | None) -> None:
        self.library = library
        self.spans: list[int] = []
        """In ns, from a message's bytes to an order's."""

    def play(self, messages: Sequence[bytes], ordered: Collection[int]) -> None:
        """Its turn; `ordered` are the places of the messages that ours answered with an order."""
        library, spans = self.library, self.spans
        if library is None:
            return
        gc.collect()
        with localcontext():  # ccxt sets how decimals are rounded, for whoever comes after it
            for place, message in enumerate(messages):
                began = time.perf_counter_ns()
                library.hear(message)
                if place in ordered:
                    library.order()
                    spans.append(time.perf_counter_ns() - began)
        gc.collect()
        gc.freeze()  # what it keeps is not to be looked through in our turn

    def results(self, venue: str, ours: list[int]) -> list[Result]:
        """Both sides, and ours as a share of theirs. `ours`: spans in ns, of the same messages."""
        mine, theirs = sorted(ours), sorted(self.spans)
        found = []
        for label, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
            value = quantile(mine, share) / 1e3
            name = f"wire_{venue}_order_{label}_us"
            if self.library is None or not theirs:
                found.append(Result(name=name, value=value, unit="us", note="without a baseline"))
                continue
            baseline = quantile(theirs, share) / 1e3
            note = f"{self.library.name}: {baseline:,.0f} us, {baseline / value:.1f} times as long"
            if label == "p50":
                note += f" ({len(mine)} messages that caused an order)"
            found.append(
                Result(
                    name=name,
                    value=value,
                    unit="us",
                    baseline=baseline,
                    ratio=value / baseline,
                    note=note,
                )
            )
        return found


def beside(make: Callable[[], Library], names: str, progress: Callable[[str], None]) -> Beside:
    """With the library where it is installed; where it is not, one line says so."""
    try:
        with localcontext():
            return Beside(make())
    except ImportError as error:
        progress(
            f"wire: no baseline, {names} cannot be loaded ({error}): install the extra dev "
            "(pip install 'betatrader[dev]') to measure beside it"
        )
        return Beside(None)
