"""A ping to an outside service that cries when it stays away: what no alert of ours can tell, that
nothing of ours runs any more.

It is pinged while the role is well; what is wrong with it is logged once, and holds nothing up.
"""

import time
from collections.abc import Callable

import anyio
import structlog

from betatrader.config import Alerts
from betatrader.ops import http, metrics

ANSWER_S = 5.0


class Deadman:
    """Pings `settings.deadman` for as long as `is_well`; nothing without an address."""

    def __init__(self, settings: Alerts, is_well: Callable[[], bool]) -> None:
        self._url = settings.deadman
        self._every_s = float(settings.deadman_seconds)
        self._is_well = is_well
        self._log = structlog.get_logger()
        self._away = False

    async def run(self) -> None:
        """Ping until cancelled. One ping at a time, each within its time."""
        while self._url:
            began_s = time.monotonic()
            if self._is_well():
                self._tell(await self._ping())
            await anyio.sleep(max(0.0, self._every_s - (time.monotonic() - began_s)))

    async def _ping(self) -> str:
        """What went wrong; "" where nothing did."""
        timeout_s = min(ANSWER_S, self._every_s)
        try:
            answer = await http.request("GET", self._url.reveal(), timeout_s=timeout_s)
        except (OSError, TimeoutError) as error:
            return str(error) or "no answer in time"
        except ValueError:
            return "the address cannot be used"
        return "" if 200 <= answer.status < 300 else f"status {answer.status}"

    def _tell(self, trouble: str) -> None:
        metrics.DEADMAN.labels("failed" if trouble else "pinged").inc()
        if trouble and not self._away:
            self._log.warning("deadman_not_pinged", error=trouble)
        if self._away and not trouble:
            self._log.info("deadman_pinged_again")
        self._away = bool(trouble)
