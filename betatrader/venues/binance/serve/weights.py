"""Rate limits by weight and by orders, in windows that begin with the clock's own."""

from collections.abc import Callable
from typing import Any

from betatrader.venues.binance.serve.requests import Refusal

WEIGHT_A_MINUTE = 6_000
ORDERS_IN_10_S = 50
ORDERS_A_DAY = 160_000
CONNECTIONS_IN_5_MIN = 300
"""Attempts from one address, to the streams and to the WebSocket API each."""

BANNED_AFTER = 10
"""Refusals, or connections ended for what they said, after which the address is banned."""

MINUTE_MS, TEN_S_MS, DAY_MS = 60_000, 10_000, 86_400_000
FIVE_MINUTES_MS = 5 * MINUTE_MS


class Weights:
    """Counts what one address, and what each account, has used. `now_ms` is the venue's clock."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.weight = WEIGHT_A_MINUTE
        self.orders_in_10_s = ORDERS_IN_10_S
        self.connections_in_5_min = CONNECTIONS_IN_5_MIN
        self._now_ms = now_ms
        self._used: dict[tuple[str, int, int], int] = {}
        self._refused = 0
        self._banned_until_ms = 0

    def weigh(self, weight: int) -> None:
        """Use weight; raises Refusal where it is used up."""
        now = self._now_ms()
        if now < self._banned_until_ms:
            text = f"Way too many requests; IP banned until {self._banned_until_ms}."
            raise self._over(418, text, self._banned_until_ms)
        ends = (now // MINUTE_MS + 1) * MINUTE_MS
        if self.used("weight", MINUTE_MS) + weight > self.weight:
            self._refused += 1
            if self._refused >= BANNED_AFTER:
                self._banned_until_ms, self._refused = now + 2 * MINUTE_MS, 0
            text = f"Too many requests; current limit of IP is {self.weight} requests per minute."
            raise self._over(429, text, ends)
        self._use("weight", MINUTE_MS, weight)

    def order(self, owner: str) -> None:
        """Count an order; raises Refusal where there are too many."""
        if self.used(owner, TEN_S_MS) >= self.orders_in_10_s:
            ends = (self._now_ms() // TEN_S_MS + 1) * TEN_S_MS
            text = (
                f"Too many new orders; current limit is {self.orders_in_10_s} orders per 10 SECOND."
            )
            refusal = self._over(429, text, ends)
            refusal.code = -1015
            raise refusal
        for window in (TEN_S_MS, DAY_MS):
            self._use(owner, window, 1)

    def connect(self, kind: str) -> bool:
        """Count an attempt to connect, one that is refused too; False where there are too many."""
        self._use(kind, FIVE_MINUTES_MS, 1)
        if self._now_ms() < self._banned_until_ms:
            return False
        return self.used(kind, FIVE_MINUTES_MS) <= self.connections_in_5_min

    def flooded(self) -> None:
        """A connection was ended since it said too much: repeated, the address is banned."""
        self._use("floods", FIVE_MINUTES_MS, 1)
        if self.used("floods", FIVE_MINUTES_MS) >= BANNED_AFTER:
            self._banned_until_ms = self._now_ms() + 2 * MINUTE_MS

    def _over(self, status: int, text: str, until_ms: int) -> Refusal:
        return Refusal(status, -1003, text, {"serverTime": self._now_ms(), "retryAfter": until_ms})

    def used(self, what: str, window_ms: int) -> int:
        """What was used in the window of now."""
        return self._used.get((what, window_ms, self._now_ms() // window_ms), 0)

    def _use(self, what: str, window_ms: int, count: int) -> None:
        at = (what, window_ms, self._now_ms() // window_ms)
        self._used = {
            key: used for key, used in self._used.items() if key[:2] != at[:2] or key == at
        }
        self._used[at] = self._used.get(at, 0) + count

    def headers(self, owner: str = "") -> dict[str, str]:
        """What an HTTP answer says of it."""
        used = str(self.used("weight", MINUTE_MS))
        found = {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        if owner:
            found["X-MBX-ORDER-COUNT-10S"] = str(self.used(owner, TEN_S_MS))
            found["X-MBX-ORDER-COUNT-1D"] = str(self.used(owner, DAY_MS))
        return found

    def stated(self, owner: str = "", *, counts: bool = False) -> list[dict[str, Any]]:
        """The limits as exchangeInfo and WebSocket answers list them."""
        rows = [
            ("REQUEST_WEIGHT", "MINUTE", 1, self.weight, "weight", MINUTE_MS),
            ("ORDERS", "SECOND", 10, self.orders_in_10_s, owner, TEN_S_MS),
            ("ORDERS", "DAY", 1, ORDERS_A_DAY, owner, DAY_MS),
        ]
        return [
            {
                "rateLimitType": kind,
                "interval": unit,
                "intervalNum": number,
                "limit": limit,
                **({"count": self.used(what, window)} if counts else {}),
            }
            for kind, unit, number, limit, what, window in rows
        ]
