"""Binance's rate limits, kept before it has to say so, and its clock as ours sees it."""

from collections.abc import Iterable, Mapping

import msgspec

from betatrader.ops import clock
from betatrader.venues.pace import Bucket

SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}
KEPT_FOR_CANCELS = 100.0
"""Weight that only cancels may use."""

SLOW_NS = 1_000_000_000
WEIGHT_HEADER = "x-mbx-used-weight-1m"


class RateLimit(msgspec.Struct, rename="camel", gc=False):
    """One limit as the venue states it; in an answer with the count used so far."""

    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int
    count: int | None = None

    @property
    def seconds(self) -> int:
        """The length of its window, 0 where the unit is not known."""
        return SECONDS.get(self.interval, 0) * self.interval_num


DEFAULTS = (
    RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 6_000),
    RateLimit("ORDERS", "SECOND", 10, 50),
    RateLimit("ORDERS", "DAY", 1, 160_000),
)


class Limits:
    """What may still be sent. A bucket fills evenly where the venue's windows jump: it is behind
    the venue at a window's start, and what the venue counts holds it back within one."""

    def __init__(self) -> None:
        self._stated: dict[tuple[str, int], int] = {}
        self._buckets: dict[tuple[str, int], Bucket] = {}
        self.learn(DEFAULTS)

    def learn(self, stated: Iterable[RateLimit]) -> None:
        """Keep these limits from now on; those that have not changed keep what is used of them."""
        for rate in stated:
            name = (rate.rate_limit_type, rate.seconds)
            if name[0] not in ("REQUEST_WEIGHT", "ORDERS") or not rate.seconds or rate.limit <= 0:
                continue
            if self._stated.get(name) != rate.limit:
                self._stated[name] = rate.limit
                self._buckets[name] = Bucket(float(rate.limit), rate.limit / rate.seconds)

    def may_order(self) -> bool:
        """Count one new order; False, and none counted, where it would go over a limit."""
        now = clock.boot_s()
        if any(bucket.ready_in_s(now) > 0 for bucket in self._buckets.values()):
            return False
        for (kind, _), bucket in self._buckets.items():
            if kind == "ORDERS":
                bucket.take(now)
        return True

    def may_weigh(self, weight: float, *, last_reserve: bool = False) -> bool:
        """Use weight; False, and none used, where too little is left. `last_reserve`: also of what
        is kept for cancels."""
        now = clock.boot_s()
        kept = 0.0 if last_reserve else KEPT_FOR_CANCELS
        weights = [b for (kind, _), b in self._buckets.items() if kind == "REQUEST_WEIGHT"]
        if any(bucket.ready_in_s(now, weight + kept) > 0 for bucket in weights):
            return False
        return all(bucket.take(now, weight) for bucket in weights)

    def counted(self, rates: Iterable[RateLimit]) -> None:
        """The venue's own counts, from an answer of the WebSocket API."""
        now = clock.boot_s()
        for rate in rates:
            bucket = self._buckets.get((rate.rate_limit_type, rate.seconds))
            if bucket is not None and rate.count is not None:
                bucket.spent(now, rate.count)

    def answered(self, headers: Mapping[str, str]) -> None:
        """The same from the headers of a REST answer."""
        used = headers.get(WEIGHT_HEADER, "")
        bucket = self._buckets.get(("REQUEST_WEIGHT", 60))
        if bucket is not None and used.isdigit():
            bucket.spent(clock.boot_s(), int(used))

    def close(self, seconds: float, *, orders_alone: bool = False) -> None:
        """The venue said: nothing for so long, or no orders."""
        until_s = clock.boot_s() + seconds
        for (kind, _), bucket in self._buckets.items():
            if kind == "ORDERS" or not orders_alone:
                bucket.close(until_s)


class VenueClock:
    """The venue's time by ours: a timestamp that is off is refused, or arrives later than meant."""

    def __init__(self) -> None:
        self.offset_ns = 0
        self._is_measured = False

    def measured(self, sent_ns: int, received_ns: int, venue_ms: int) -> None:
        """The venue's clock stood at `venue_ms` somewhere between sending and receiving: where
        they lie far apart that says little, and no better measure is given up for it."""
        if self._is_measured and received_ns - sent_ns > SLOW_NS:
            return
        self._is_measured = True
        self.offset_ns = venue_ms * 1_000_000 - (sent_ns + received_ns) // 2

    @property
    def apart_s(self) -> float:
        """By how much the venue's clock is ahead of ours."""
        return self.offset_ns / 1e9

    def now_ms(self) -> int:
        """The venue's time now, as far as we know it."""
        return (clock.now_ns() + self.offset_ns) // 1_000_000
