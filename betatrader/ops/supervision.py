"""Child processes, each restarted with backoff if it dies; the others go on."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Mapping
from typing import IO

import structlog

from betatrader.ops.process import die_with_parent, resident_mb

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
STEADY_S = 30.0
"""A child that ran so long is forgiven its earlier deaths."""

EARLY_DEATHS = 5
"""Deaths in a row, none after a steady run, after which an essential child is given up."""


class Child:
    """One supervised process. `final` tells from an exit status whether it is not to come back.

    An `essential` one is given up where it only ever dies; any other is started again for ever.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        *,
        stderr: IO[bytes] | None,
        final: Callable[[int], bool],
        essential: bool,
    ) -> None:
        self.name = name
        self.restarts = 0
        self.status: int | None = None
        """The exit status that ended it for good."""
        self.ended = asyncio.Event()
        self.rss_mb = 0.0
        self._command = command
        self._environment = environment
        self._stderr = stderr
        self._final = final
        self._essential = essential
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._log = structlog.get_logger()

    @property
    def pid(self) -> int:
        """Its process id now, or its last one; 0 before the first start."""
        return self._process.pid if self._process is not None else 0

    async def run(self) -> None:
        """Start it, and start it again, until it is stopped or ends for good."""
        deaths = 0
        try:
            while not self._stopping:
                began = time.monotonic()
                status = await self._run_once()
                if self._asked_to_stop() or self._final(status):
                    # -SIGTERM: asked to stop before it had set itself up to drain
                    self.status = 0 if status == -signal.SIGTERM else status
                    return
                deaths = 1 if time.monotonic() - began > STEADY_S else deaths + 1
                if self._essential and deaths >= EARLY_DEATHS:
                    self._log.error("given_up", child=self.name, status=status)
                    self.status = status or 1
                    return
                pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (deaths - 1))
                self._log.warning("died", child=self.name, status=status, again_in_s=pause)
                await asyncio.sleep(pause)
                self.restarts += 1
        finally:
            self.ended.set()

    async def _run_once(self) -> int:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=dict(self._environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=self._stderr,
            process_group=0,
            preexec_fn=die_with_parent,
        )
        try:
            return await self._process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            raise

    def _asked_to_stop(self) -> bool:
        return self._stopping

    def sample(self) -> None:
        """Note the resident memory; what was last seen stays after the end."""
        self.rss_mb = resident_mb(self.pid) or self.rss_mb

    async def stop(self, patience_s: float) -> None:
        """SIGTERM, and SIGKILL to what does not end in time."""
        self._stopping = True
        if self._process is None or self.ended.is_set():
            return
        self.sample()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.ended.wait(), patience_s)
        except TimeoutError:
            self._log.error("killed", child=self.name, after_s=patience_s)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self.ended.wait()
