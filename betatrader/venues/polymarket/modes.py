"""The modes of the venue in which it takes no new orders, or not all: cancel-only, disabled,
post-only, and an engine that restarts. After a word of it such orders are kept back for a moment
rather than sent to be refused, one by one; cancels go on."""

from betatrader.model.order import OrderTerms
from betatrader.venues.polymarket.rest import MODES, RefusalError

REST_S = 5.0
"""For so long where the venue does not say until when: a mode may end at any moment."""

LONGEST_S = 30.0
RESTARTS = 425
POST_ONLY = "post_only_mode"


class Modes:
    """What the venue has said last."""

    def __init__(self) -> None:
        self.until_s = 0.0
        """Until when it is heeded, by the clock since boot."""
        self._text = ""
        self._post_only = False

    def heed(self, error: RefusalError, now_s: float) -> bool:
        """Whether a refusal tells of a mode, which is heeded from now on."""
        text = error.text.lower()
        post_only = error.fault.code == POST_ONLY or text.startswith("post-only mode")
        if error.status != RESTARTS and not post_only and not text.startswith(MODES):
            return False
        self._post_only = post_only
        stated_s = error.fault.retry_after_seconds or REST_S
        self.until_s, self._text = now_s + min(stated_s, LONGEST_S), error.text
        return True

    def held_back(self, terms: OrderTerms) -> str:
        """Why this order does not leave while that is so; empty where it may."""
        if self._post_only and terms.post_only:
            return ""
        return f"not sent, the venue said: {self._text}"
