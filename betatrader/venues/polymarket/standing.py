"""What the venue lets this address and this account do, as far as it has said so.

A bar of the region holds until the venue's own page says that it is none, closed-only until its
status says so. Of a ban no status tells: it holds for as long as this process lives, or buys would
leave once a minute, each to be refused.
"""

import structlog

from betatrader.model.order import OrderTerms, Side
from betatrader.venues.polymarket.forms import VENUE
from betatrader.venues.polymarket.rest import RefusalError

BANNED = "address banned"


class Standing:
    """What was said last. Sales are for the venue to judge, unless the region is barred."""

    def __init__(self) -> None:
        self.barred = ""
        """Why this address may send no order at all."""
        self._closed_only = ""
        """Why the account may only sell."""
        self._banned = ""
        """The same, where only a person can mend it."""
        self._log = structlog.get_logger()

    @property
    def by_hand(self) -> tuple[str, ...]:
        """What a person has to do, a sentence each."""
        if not self._banned:
            return ()
        return (
            f"the venue said: {self._banned}. Nothing is bought there: speak with its support, and "
            "start the trader again once the ban has ended",
        )

    def heed(self, error: RefusalError) -> bool:
        """Whether a refusal tells of a bar, which holds from now on."""
        text = error.text.lower()
        if BANNED in text:
            if not self._banned:
                self._log.error("banned", venue=VENUE, reason=error.text)
            self._banned = self._banned or error.text
        elif "closed only mode" in text or "banned" in text:
            self._closed_only = error.text
            self._log.error("closed_only", venue=VENUE, reason=error.text)
        elif error.status == 403 or "restricted in your region" in text:
            self.barred = error.text
            self._log.critical("barred", venue=VENUE, reason=error.text)
        else:
            return False
        return True

    def stated(self, *, closed_only: bool) -> None:
        """The venue's status of our account."""
        if closed_only and not self._closed_only:
            self._log.error("closed_only", venue=VENUE)
        self._closed_only = "the account is in closed only mode" if closed_only else ""

    def held_back(self, terms: OrderTerms) -> str:
        """Why this order may not leave, or nothing."""
        reason = self.barred or (terms.side is Side.BUY and (self._banned or self._closed_only))
        return f"not sent: {reason}" if reason else ""
