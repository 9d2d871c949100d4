"""The venue's rate limits by what is asked for, and its clock as ours sees it.

Facts: per 10 s and per 10 minutes by endpoint, and a bucket a signer for orders and for cancels,
by its tier. What each of ours lets through at once and in the next 10 s or 10 minutes is
below the limit of that window.
"""

from collections.abc import Mapping

from betatrader.config.venues import Tier
from betatrader.net.transport import Answer
from betatrader.ops import clock
from betatrader.venues.pace import Bucket

PAUSE_S = 10.0
"""Where the venue says that it was asked too often, and not for how long to rest."""

NOTICED_S = 2.0
"""The venue tells whole seconds: a smaller difference of clocks cannot be seen."""


TIERS: dict[Tier, tuple[float, float]] = {
    "standard": (40, 60),
    "copper": (60, 90),
    "bronze": (80, 120),
    "silver": (200, 300),
    "gold": (400, 600),
    "platinum": (450, 675),
    "diamond": (525, 787),
    "elite": (600, 900),
}
"""Orders a second and at once, by the account's volume; of cancels, each twice as many."""

A_WINDOW, WINDOW_S = 120_000, 600
"""Of POST /order and DELETE /order each, in ten minutes: of a high tier that is what holds."""


def _of_signer(rate: float, burst: float) -> Bucket:
    return Bucket(burst, min(rate, (A_WINDOW - burst) / WINDOW_S))


def _per_10_s(count: float) -> Bucket:
    return Bucket(count / 2, count / 20)


class Limits:
    """A bucket for each kind of request; `order` and `cancel` are those of the signer, from which
    each order and each cancel draws, in however many requests they leave. POST /order and DELETE
    /order stay below their own limits by that alone."""

    def __init__(self, tier: Tier = "standard") -> None:
        rate, burst = TIERS[tier]
        self.buckets = {
            "order": _of_signer(rate, burst),
            "cancel": _of_signer(2 * rate, 2 * burst),
            "order-many": Bucket(500, 34),
            "cancel-many": Bucket(500, 24),
            "cancel-all": Bucket(20, 9),
            "book": _per_10_s(1500),
            "tick": _per_10_s(200),
            "ledger": _per_10_s(500),
            "orders": _per_10_s(900),
            "balance": _per_10_s(200),
            "auth": _per_10_s(100),
            "other": _per_10_s(9000),
        }

    def take(self, kind: str, count: float = 1.0) -> bool:
        """Whether so many requests may leave now; they are counted then."""
        return self.buckets[kind].take(clock.boot_s(), count)

    def draw(self, kind: str, count: float) -> None:
        """So many were used, though nobody could say before how many they would be."""
        self.buckets[kind].draw(clock.boot_s(), count)

    def ready_in_s(self, kind: str) -> float:
        """After how many seconds one may."""
        return self.buckets[kind].ready_in_s(clock.boot_s())

    def heed(self, kind: str, answer: Answer, stated_s: float = 0.0) -> None:
        """What an answer says of our rate."""
        now_s, bucket = clock.boot_s(), self.buckets[kind]
        left = answer.headers.get("poly-ratelimit-remaining", "")
        if left.isdecimal():
            bucket.spent(now_s, bucket.burst - int(left))
        if answer.status == 429:
            bucket.close(now_s + (retry_after_s(answer.headers) or stated_s or PAUSE_S))


def retry_after_s(headers: Mapping[str, str]) -> float:
    """The header's seconds; 0 where there is none."""
    text = headers.get("retry-after", "")
    return float(text) if text.isdecimal() else 0.0


class VenueClock:
    """The venue's seconds: ours, unless the two are clearly apart."""

    def __init__(self) -> None:
        self.skew_s = 0.0

    def measured(self, sent_ns: int, received_ns: int, stated_s: int) -> None:
        """The venue has stated its time, between these two moments of ours."""
        skew_s = stated_s + 0.5 - (sent_ns + received_ns) / 2e9
        self.skew_s = skew_s if abs(skew_s) >= NOTICED_S else 0.0

    @property
    def apart_s(self) -> float:
        """By how much the venue's clock is ahead of ours."""
        return self.skew_s

    def now_s(self) -> int:
        """For headers."""
        return int(clock.now_ns() / 1e9 + self.skew_s)
