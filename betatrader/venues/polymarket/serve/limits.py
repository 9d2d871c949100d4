"""How many requests are allowed: windows of ten seconds by address, token buckets by signer."""

from collections import Counter

from betatrader.net.transport import Request
from betatrader.venues.polymarket.serve.answers import RefusedRequestError

SECOND = 1_000_000_000
WINDOW_S = 10
GENERAL = 15_000
BY_PATH = {
    "/book": 1_500,
    "/price": 1_500,
    "/midpoint": 1_500,
    "/books": 500,
    "/prices": 500,
    "/midpoints": 500,
    "/prices-history": 1_000,
    "/tick-size": 200,
    "/data/orders": 500,
    "/data/trades": 500,
    "/balance-allowance": 200,
    "/balance-allowance/update": 50,
    "/ok": 100,
    "/markets/keyset": 300,
    "/events/keyset": 500,
    "/v2/positions": 150,
    "/v2/trades": 200,
    "POST /order": 5_000,
    "DELETE /order": 5_000,
    "POST /orders": 2_000,
    "DELETE /orders": 2_000,
    "DELETE /cancel-all": 250,
    "DELETE /cancel-market-orders": 1_500,
}
"""Requests of one address in ten seconds; what is not here has the general limit alone."""

AUTH = 100
TIER = "Standard"
ORDERS = (40, 60)
CANCELS = (80, 120)
"""Rate a second and burst of the lowest tier."""


class Bucket:
    """Tokens of one signer; a cancel may take more than there are."""

    def __init__(self, rate: int, burst: int, now_ns: int) -> None:
        self.rate, self.burst = rate, burst
        self._level = burst * SECOND  # tokens times 10^9, so that nothing is lost to rounding
        self._time_ns = now_ns

    def take(self, count: int, now_ns: int, *, below_zero: bool) -> bool:
        """Take tokens where there are enough (for a cancel: where there is any)."""
        filled = self._level + (now_ns - self._time_ns) * self.rate
        self._level = min(self.burst * SECOND, filled)
        self._time_ns = now_ns
        granted = self._level >= (SECOND if below_zero else count * SECOND)
        if granted:
            self._level -= count * SECOND
        return granted

    @property
    def left(self) -> int:
        """Whole tokens."""
        return max(0, self._level // SECOND)

    def full_again_s(self, now_ns: int) -> int:
        """The Unix second by which the bucket is full."""
        missing = self.burst * SECOND - self._level
        return now_ns // SECOND + -(-missing // (self.rate * SECOND))


class Limits:
    """Both kinds of limit. Where `enforced` is false, the signer's only warns."""

    def __init__(self, *, enforced: bool = True) -> None:
        self.enforced = enforced
        self._windows: dict[tuple[str, str], Counter[int]] = {}
        self._buckets: dict[tuple[str, bool], Bucket] = {}

    def count(self, request: Request, now_ns: int) -> None:
        """Count a request against its address; the real venue's proxy would queue the excess."""
        name = f"{request.method} {request.path}"
        path = name if name in BY_PATH else request.path
        limit = AUTH if path.startswith("/auth/") else BY_PATH.get(path, GENERAL)
        scope = "/auth/" if path.startswith("/auth/") else path
        self._window(request.address, scope, limit, now_ns)
        if limit != GENERAL:
            self._window(request.address, "", GENERAL, now_ns)

    def _window(self, address: str, scope: str, limit: int, now_ns: int) -> None:
        second = now_ns // SECOND
        counted = self._windows.setdefault((address, scope if limit != GENERAL else ""), Counter())
        for old in [old for old in counted if old <= second - WINDOW_S]:
            del counted[old]
        if counted.total() >= limit:
            oldest = min(counted)
            wait_s = max(1, oldest + WINDOW_S - second)
            raise RefusedRequestError(429, "Too Many Requests", retry_after_s=wait_s)
        counted[second] += 1

    def signer(
        self, address: str, now_ns: int, *, orders: int = 0, cancels: int = 0
    ) -> dict[str, str]:
        """Take a signer's tokens; the headers that say what is left. A refusal where none is."""
        rate, burst = ORDERS if orders else CANCELS
        key = (address, bool(orders))
        bucket = self._buckets.setdefault(key, Bucket(rate, burst, now_ns))
        granted = bucket.take(orders or cancels, now_ns, below_zero=not orders)
        headers = {
            "poly-ratelimit-remaining": str(bucket.left),
            "poly-ratelimit-reset": str(bucket.full_again_s(now_ns)),
            "poly-ratelimit-tier": TIER,
        }
        if not granted:
            if self.enforced:
                raise RefusedRequestError(429, "Too Many Requests", retry_after_s=1)
            headers["poly-ratelimit-warning"] = "true"
        return headers
