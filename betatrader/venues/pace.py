"""Rates kept before a venue has to say so, and a rest after failures. Pure: times are given."""

from collections import deque
from typing import NamedTuple


class Bucket:
    """A token bucket: `burst` at once, `per_s` a second in the long run. Times in seconds."""

    def __init__(self, burst: float, per_s: float) -> None:
        self.burst = burst
        self.per_s = per_s
        self._tokens = burst
        self._at_s = 0.0
        self._closed_until_s = 0.0

    def take(self, now_s: float, tokens: float = 1.0) -> bool:
        """Use tokens; False, and none used, where there are not enough."""
        if now_s < self._closed_until_s:
            return False
        self._refill(now_s)
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True

    def draw(self, now_s: float, tokens: float) -> None:
        """Use tokens that nobody can hold back any more: there may be less than none left."""
        self._refill(now_s)
        self._tokens -= tokens

    def spent(self, now_s: float, tokens: float) -> None:
        """The venue says that so many have been used: what is left is no more than that leaves."""
        self._refill(now_s)
        self._tokens = min(self._tokens, self.burst - tokens)

    def close(self, until_s: float) -> None:
        """The venue said: not before then."""
        self._closed_until_s = max(self._closed_until_s, until_s)

    def ready_in_s(self, now_s: float, tokens: float = 1.0) -> float:
        """After how many seconds so many tokens can be used."""
        self._refill(now_s)
        missing = max(0.0, tokens - self._tokens)
        return max(missing / self.per_s, self._closed_until_s - now_s, 0.0)

    def _refill(self, now_s: float) -> None:
        if self._at_s:
            self._tokens = min(self.burst, self._tokens + (now_s - self._at_s) * self.per_s)
        self._at_s = now_s


class Backoff:
    """When something that fails may be asked for again: twice as late each time, up to a bound."""

    def __init__(self, first_s: float = 1.0, longest_s: float = 30.0) -> None:
        self.again_s = 0.0
        """Not before then."""
        self._first_s = first_s
        self._longest_s = longest_s
        self._failed = 0

    def failed(self, now_s: float) -> None:
        """Once more."""
        self.again_s = now_s + min(self._first_s * 2**self._failed, self._longest_s)
        self._failed = min(self._failed + 1, 16)

    def succeeded(self) -> None:
        """It is as if it had never failed."""
        self.again_s, self._failed = 0.0, 0


class Rules(NamedTuple):
    """When a breaker opens, and for how long."""

    failures: int = 5
    within_s: float = 120.0
    rest_s: float = 300.0


class Breaker:
    """Lets no new order to a venue that has failed too often of late; all else goes on."""

    def __init__(self, rules: Rules | None = None) -> None:
        self._rules = rules if rules is not None else Rules()
        self._failed_s: deque[float] = deque(maxlen=self._rules.failures)
        self._closed_until_s = 0.0

    def failed(self, now_s: float) -> bool:
        """Count one failure; True where it opens the breaker just now."""
        if now_s < self._closed_until_s:
            return False
        self._failed_s.append(now_s)
        many = len(self._failed_s) == self._rules.failures
        if many and now_s - self._failed_s[0] <= self._rules.within_s:
            self._closed_until_s = now_s + self._rules.rest_s
            self._failed_s.clear()
            return True
        return False

    def may_order(self, now_s: float) -> bool:
        """Whether new orders may go there."""
        return now_s >= self._closed_until_s

    def rests_s(self, now_s: float) -> float:
        """For how many seconds more they may not."""
        return max(0.0, self._closed_until_s - now_s)
