"""What goes wrong on request: restarts, modes, answers that are lost or lie, trades that fail."""

from betatrader.net.transport import Answer
from betatrader.venues.polymarket.serve.answers import RefusedRequestError

SECOND = 1_000_000_000
RESTART_NS = 90 * SECOND
POST_ONLY_NS = 120 * SECOND

LOST = "lost"
"""It is done, and the connection is cut without an answer."""

NEVER_CAME = "never came"
"""It is not done, and the connection is cut."""

ERROR = "error"
"""It is done, and the answer is status 500."""

HTML = "html"
"""It is not done, and the answer is a page of the proxy before the venue."""

TWICE = "twice"
"""It comes twice, as by a proxy that sends again, and the answer is the second one's."""

PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"


class Troubles:
    """The modes the venue is in, and what happens to its next trading requests."""

    def __init__(self) -> None:
        self.cancel_only = False
        self.disabled = False
        self.closed_only: set[str] = set()
        """Addresses that may only sell."""
        self.banned: set[str] = set()
        self.blocked_region = False
        self.next: list[str] = []
        """What happens to the next trading requests, in order: LOST, NEVER_CAME, ERROR, HTML,
        TWICE."""
        self.next_reads: list[str] = []
        """What happens to the next questions (GET), in order: NEVER_CAME, ERROR, HTML."""
        self._down_until_ns = 0
        self._post_only_until_ns = 0

    def restart(
        self, now_ns: int, down_ns: int = RESTART_NS, post_only_ns: int = POST_ONLY_NS
    ) -> None:
        """The matching engine goes down, and takes only post-only orders for a while after."""
        self._down_until_ns = now_ns + down_ns
        self._post_only_until_ns = self._down_until_ns + post_only_ns

    def check(self, now_ns: int) -> None:
        """Refuse any trading request while the engine is down."""
        if now_ns < self._down_until_ns:
            wait_s = -(-(self._down_until_ns - now_ns) // SECOND)
            raise RefusedRequestError(425, "Service is not ready", retry_after_s=wait_s)

    def check_orders(self) -> None:
        """Refuse all new orders where the mode says so."""
        if self.disabled:
            text = "Trading is currently disabled. Check polymarket.com for updates"
            raise RefusedRequestError(503, text)
        if self.cancel_only:
            text = (
                "Trading is currently cancel-only. New orders are not accepted, but cancels "
                "are allowed."
            )
            raise RefusedRequestError(503, text)

    def check_post_only(self, now_ns: int, *, post_only: bool) -> None:
        """Refuse an order that could take, for a while after a restart."""
        if post_only or now_ns >= self._post_only_until_ns:
            return
        raise RefusedRequestError(
            503,
            "post-only mode: only post-only orders and cancels are allowed",
            code="post_only_mode",
            retry_after_s=-(-(self._post_only_until_ns - now_ns) // SECOND),
        )

    def check_region(self) -> None:
        """Refuse orders from where the venue may not trade."""
        if self.blocked_region:
            text = (
                "Trading restricted in your region, please refer to available regions - "
                "https://docs.polymarket.com/developers/CLOB/geoblock"
            )
            raise RefusedRequestError(403, text)

    def take_next(self) -> str:
        """What happens to this trading request; empty: nothing unusual."""
        return self.next.pop(0) if self.next else ""

    def take_next_read(self) -> str:
        """What happens to this question; empty: nothing unusual."""
        return self.next_reads.pop(0) if self.next_reads else ""


def broken_answer(trouble: str) -> Answer | None:
    """What the client sees of a trading request with this trouble."""
    if trouble == ERROR:
        return RefusedRequestError(500, "Internal server error").answer()
    if trouble == HTML:
        return Answer(502, PAGE, {"content-type": "text/html; charset=UTF-8"})
    return None
