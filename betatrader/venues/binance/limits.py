"""Binance's rate limits, kept before it has to say so, and its clock as ours sees it.

The venue counts in windows that begin with its own clock (a minute's at :00), and so do we: a full
window's worth may leave at once, and nothing more until the next begins.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping

import msgspec

from betatrader.ops import clock

SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}
KINDS = ("REQUEST_WEIGHT", "ORDERS", "RAW_REQUESTS")
STREAM, API = "stream", "api"
KEPT_FOR_CANCELS = 100
"""Weight that only cancels may use."""

ATTEMPTS, ATTEMPTS_S = 300, 300.0
"""Attempts to open a connection that the venue takes from one address in so long: to the streams,
and as many to the WebSocket API."""

KEPT_FOR_OTHERS = 60
"""Of those, for other processes at this address: a standby, `doctor`."""

EARLY_MS, LATE_MS = 250, 750
"""The venue may count a request in the window of so long before we think that it leaves, or after:
its clock is known to half a round trip, and the way takes the rest of one."""

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
    RateLimit("RAW_REQUESTS", "MINUTE", 5, 300_000),
)


class Windows:
    """What is used of one limit, by the venue's windows. Pure: times are the venue's, in ms."""

    def __init__(self, limit: int, seconds: int) -> None:
        self.limit = limit
        self._span_ms = seconds * 1_000
        self._used: dict[int, int] = {}

    def fit(self, now_ms: int, count: int) -> bool:
        """Whether so much more may leave now: in every window that it may be counted in."""
        room = self.limit - count
        return all(self._used.get(number, 0) <= room for number in self._touched(now_ms))

    def use(self, now_ms: int, count: int) -> None:
        """Count so much in each of them."""
        touched = self._touched(now_ms)
        for number in touched:
            self._used[number] = self._used.get(number, 0) + count
        if len(self._used) > len(touched):
            near = range(touched.start - 1, touched.stop + 1)
            self._used = {number: used for number, used in self._used.items() if number in near}

    def stated(self, now_ms: int, count: int) -> None:
        """The venue's count, heard now: it is believed where it is higher. Close to a window's
        start it may be of the one before, and says nothing of the new one."""
        number = (now_ms - LATE_MS) // self._span_ms
        self._used[number] = max(self._used.get(number, 0), count)

    def _touched(self, now_ms: int) -> range:
        first = (now_ms - EARLY_MS) // self._span_ms
        return range(first, (now_ms + LATE_MS) // self._span_ms + 1)


class Attempts:
    """Attempts to connect, in any stretch of so long: how the venue's windows lie is not known."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._made_s: deque[float] = deque()

    def may(self, now_s: float) -> bool:
        """Count one; False, and none counted, where it would be one too many."""
        while self._made_s and now_s - self._made_s[0] > self._seconds:
            self._made_s.popleft()
        if len(self._made_s) >= self._most:
            return False
        self._made_s.append(now_s)
        return True


class Limits:
    """What may still be sent, by the venue's time as `now_ms` tells it."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._windows: dict[tuple[str, int], Windows] = {}
        most = ATTEMPTS - KEPT_FOR_OTHERS
        self.connects = {kind: Attempts(most, ATTEMPTS_S) for kind in (STREAM, API)}
        """By what is connected to."""
        self._closed_until_s = self._orders_closed_until_s = 0.0
        self.learn(DEFAULTS)

    def learn(self, stated: Iterable[RateLimit]) -> None:
        """Keep these limits from now on; what is used of them stays used."""
        for rate in stated:
            name = (rate.rate_limit_type, rate.seconds)
            if name[0] not in KINDS or not rate.seconds or rate.limit <= 0:
                continue
            self._windows.setdefault(name, Windows(rate.limit, rate.seconds)).limit = rate.limit

    def may_order(self) -> bool:
        """Count one new order; False, and none counted, where it would go over a limit."""
        if clock.boot_s() < max(self._closed_until_s, self._orders_closed_until_s):
            return False
        now_ms = self._now_ms()
        if not all(windows.fit(now_ms, 1) for windows in self._windows.values()):
            return False
        for windows in self._windows.values():  # an order weighs 1, and is one request
            windows.use(now_ms, 1)
        return True

    def may_weigh(self, weight: int, *, last_reserve: bool = False) -> bool:
        """Use weight; False, and none used, where too little is left. `last_reserve`: also of what
        is kept for cancels."""
        if clock.boot_s() < self._closed_until_s:
            return False
        now_ms, kept = self._now_ms(), 0 if last_reserve else KEPT_FOR_CANCELS
        counts = {"REQUEST_WEIGHT": weight, "RAW_REQUESTS": 1}
        asked = [
            (w, kind, counts[kind]) for (kind, _), w in self._windows.items() if kind in counts
        ]
        for windows, kind, count in asked:
            if not windows.fit(now_ms, count + (kept if kind == "REQUEST_WEIGHT" else 0)):
                return False
        for windows, _, count in asked:
            windows.use(now_ms, count)
        return True

    def weighed(self, weight: int) -> None:
        """Count what leaves in any case: a connection, its logon, a sign of life."""
        now_ms, counts = self._now_ms(), {"REQUEST_WEIGHT": weight, "RAW_REQUESTS": 1}
        for (kind, _), windows in self._windows.items():
            if kind in counts:
                windows.use(now_ms, counts[kind])

    def counted(self, rates: Iterable[RateLimit]) -> None:
        """The venue's own counts, from an answer of the WebSocket API."""
        for rate in rates:
            windows = self._windows.get((rate.rate_limit_type, rate.seconds))
            if windows is not None and rate.count is not None:
                windows.stated(self._now_ms(), rate.count)

    def answered(self, headers: Mapping[str, str]) -> None:
        """The same from the headers of a REST answer."""
        used = headers.get(WEIGHT_HEADER, "")
        windows = self._windows.get(("REQUEST_WEIGHT", 60))
        if windows is not None and used.isdigit():
            windows.stated(self._now_ms(), int(used))

    def close(self, seconds: float, *, orders_alone: bool = False) -> None:
        """The venue said: nothing for so long, or no orders."""
        until_s = clock.boot_s() + seconds
        self._orders_closed_until_s = max(self._orders_closed_until_s, until_s)
        if not orders_alone:
            self._closed_until_s = max(self._closed_until_s, until_s)


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
