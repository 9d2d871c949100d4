"""Alerts, posted as JSON to a webhook. `offer` never waits: one task posts, one alert at a time.

What does not fit is dropped, oldest first; the same text leaves at most once a minute, and how
often it came meanwhile is told. An alert may arrive twice where its answer was lost.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import anyio
import msgspec
import structlog

from betatrader.config import Alerts
from betatrader.ops import clock, http, metrics, redaction

LEVELS = {"info": 20, "warning": 30, "error": 40, "critical": 50}
WAITING = 100
TEXTS_KEPT = 256
AGAIN_S = 60.0
"""How long the same text is only counted."""

SWEEP_S = 5.0
"""How soon after that the count is told."""

ANSWER_S = 5.0
TRIES = 4
FIRST_PAUSE_S = 1.0
"""Between tries, doubled each time."""

ASK_AGAIN = (408, 425, 429)
"""Of the statuses below 500, those that are worth another try."""


class Notice(NamedTuple):
    """One alert that waits; `repeated` times it came since it was last posted."""

    level: str
    text: str
    time_ns: int
    repeated: int = 0


class Told:
    """A text that was posted: when (monotonic seconds), and how often it came since."""

    def __init__(self, level: str, since_s: float) -> None:
        self.level = level
        self.since_s = since_s
        self.repeated = 0


class Webhook:
    """Posts what is at least as grave as `settings.level`; nothing without an address."""

    def __init__(
        self,
        settings: Alerts,
        role: str,
        version: str,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = settings.webhook
        self._least = LEVELS[settings.level]
        self._role = role
        self._version = version
        self._now_s = now_s
        self._queue: deque[Notice] = deque()
        self._told: dict[str, Told] = {}
        self._wake = anyio.Event()
        self._log = structlog.get_logger()

    def offer(self, level: str, text: str) -> None:
        """Queue one alert, or count it where the same text left within the last minute."""
        if not self._url or LEVELS.get(level, LEVELS["error"]) < self._least:
            return
        told = self._told.get(text)
        if told is not None and self._now_s() - told.since_s < AGAIN_S:
            told.repeated += 1
            metrics.ALERTS.labels("repeated").inc()
            return
        self._queue_up(level, text, told.repeated if told is not None else 0)

    def _queue_up(self, level: str, text: str, repeated: int) -> None:
        self._told.pop(text, None)
        if len(self._told) >= TEXTS_KEPT:
            del self._told[next(iter(self._told))]
        self._told[text] = Told(level, self._now_s())
        if len(self._queue) >= WAITING:
            self._queue.popleft()
            metrics.ALERTS.labels("dropped").inc()
        self._queue.append(Notice(level, text, clock.now_ns(), repeated))
        self._wake.set()

    async def run(self) -> None:
        """Post until cancelled; a webhook that is away costs its alerts, and nothing else."""
        while self._url:
            with anyio.move_on_after(SWEEP_S):
                await self._wake.wait()
            self._wake = anyio.Event()
            self._tell_repeated()
            while self._queue:
                notice = self._queue[0]
                await self._deliver(notice)
                if self._queue and self._queue[0] is notice:  # not dropped meanwhile
                    self._queue.popleft()

    async def finish(self, patience_s: float) -> None:
        """Post what waits, once each, before the process ends; `run` must have ended."""
        with anyio.move_on_after(patience_s, shield=True):
            while self._queue:
                await self._try(self._queue.popleft())

    def _tell_repeated(self) -> None:
        over_s = self._now_s() - AGAIN_S
        for text, told in [(text, told) for text, told in self._told.items()]:
            if told.since_s > over_s:
                continue
            if told.repeated:
                self._queue_up(told.level, text, told.repeated)
            else:
                del self._told[text]

    async def _deliver(self, notice: Notice) -> None:
        pause_s = FIRST_PAUSE_S
        for last in [False] * (TRIES - 1) + [True]:
            trouble, again = await self._try(notice)
            if not trouble:
                return
            if last or not again:
                break
            await anyio.sleep(pause_s)
            pause_s *= 2
        metrics.ALERTS.labels("failed").inc()
        self._log.warning("alert_not_posted", text=notice.text, error=trouble)

    async def _try(self, notice: Notice) -> tuple[str, bool]:
        """What went wrong, "" where nothing did, and whether it is worth another try."""
        times = f" ({notice.repeated} times more)" if notice.repeated else ""
        body = {
            "text": redaction.text(notice.text) + times,
            "level": notice.level,
            "role": self._role,
            "version": self._version,
            "time": clock.iso(notice.time_ns),
            "repeated": notice.repeated,
        }
        try:
            answer = await http.request(
                "POST",
                self._url.reveal(),
                headers={"Content-Type": "application/json"},
                body=msgspec.json.encode(body),
                timeout_s=ANSWER_S,
            )
        except (OSError, TimeoutError) as error:
            return str(error) or "no answer in time", True
        except ValueError:
            return "the address cannot be used", False
        if 200 <= answer.status < 300:
            metrics.ALERTS.labels("sent").inc()
            return "", False
        again = answer.status >= 500 or answer.status in ASK_AGAIN
        return f"status {answer.status}", again
