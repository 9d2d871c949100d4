"""The features of a forecast: public market data alone, made in one place for trading and training.

One sample a period: mid price, imbalance of the sizes at the top of the book, and signed flow of
public trades. A window of them, scaled to numbers near one, is what the model reads.
"""

import msgspec

from betatrader.model.instrument import BinaryContract, Instrument
from betatrader.model.money import SCALE

SAMPLES = 16
"""Samples in a window."""

COLUMNS = ("mid_change", "imbalance", "flow")
"""Features of each sample, oldest first."""

WIDTH = SAMPLES * len(COLUMNS) + 2
"""All of a window's features, then the mid (1 for a spot pair is 0.5) and the time left."""

TIME_SCALE_S = 60.0


class FeatureWindow(msgspec.Struct):
    """The last samples of one instrument, and the flow since the last."""

    next_ns: int = 0
    mids: list[int] = msgspec.field(default_factory=list)
    imbalances: list[float] = msgspec.field(default_factory=list)
    flows: list[float] = msgspec.field(default_factory=list)
    bought: int = 0
    sold: int = 0

    def trade(self, quantity: int, *, buyer_is_taker: bool) -> None:
        """Count one public trade to the side that crossed the spread."""
        if buyer_is_taker:
            self.bought += quantity
        else:
            self.sold += quantity

    def sample(self, now_ns: int, every_ns: int, mid: int, bid_size: int, ask_size: int) -> None:
        """Close the current period with a sample."""
        self.next_ns = now_ns + every_ns
        self.mids.append(mid)
        self.imbalances.append(_balance(bid_size, ask_size))
        self.flows.append(_balance(self.bought, self.sold))
        self.bought = self.sold = 0
        if len(self.mids) > SAMPLES + 1:
            del self.mids[0], self.imbalances[0], self.flows[0]

    def features(self, now_ns: int, definition: Instrument) -> tuple[float, ...] | None:
        """The window as `WIDTH` numbers, None while it is not full."""
        if len(self.mids) <= SAMPLES:
            return None
        binary = isinstance(definition, BinaryContract)
        scale = SCALE / 50 if binary else self.mids[-1] / 2000
        changes = [
            max(-5.0, min(5.0, (self.mids[i + 1] - self.mids[i]) / scale)) for i in range(SAMPLES)
        ]
        left = 1.0
        mid = 0.5
        if isinstance(definition, BinaryContract):
            left = max(0.0, min(1.0, (definition.expires_ns - now_ns) / 1e9 / TIME_SCALE_S))
            mid = self.mids[-1] / SCALE
        return (*changes, *self.imbalances[1:], *self.flows[1:], mid, left)


def _balance(one: int, other: int) -> float:
    total = one + other
    return (one - other) / total if total else 0.0
