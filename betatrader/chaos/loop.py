"""An event loop of virtual time: no sockets, no waiting, and every choice drawn from a seed.

When nothing is ready it jumps to the next timer. Which ready callback runs next is drawn from the
seed; those that one task has scheduled keep their order. Callbacks belong to simulated processes,
by their context: a killed process's callbacks are never run again, and no `finally` of it has an
effect; a paused one's wait until it wakes.
"""

import asyncio
import contextvars
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from anyio._backends import _asyncio as anyio_backend

_serial = count(1)
_current: contextvars.ContextVar["Process | None"] = contextvars.ContextVar(
    "simulated_process", default=None
)
LONGEST_RUN = 5_000_000
"""Callbacks, after which a run is said to hang."""


def begin_numbering() -> None:
    """Count from the start again: a run is the same whatever ran before it."""
    global _serial
    _serial = count(1)


class ProcessKilled(BaseException):
    """Raised inside synchronous code of a process that was killed in the middle of it."""


class Process:
    """One simulated process: a tree of tasks that lives and dies as one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.paused_until = 0.0
        self.kill_in = 0
        """Kill it after so many of its callbacks (0: do not)."""
        self.held: deque[asyncio.Handle] = deque()
        self.on_killed: list[Callable[[], None]] = []
        """What cuts it off from the world: called first."""

    def kill(self) -> None:
        """Cut it off, and never run it again."""
        if not self.alive:
            return
        self.alive = False
        for cut in self.on_killed:
            cut()


def current_process() -> Process | None:
    """The simulated process whose code runs now; None outside of all."""
    return _current.get()


class SimulatedTask(asyncio.Task):  # type: ignore[type-arg]
    """A task whose hash is its number: sets of tasks have the same order in every run."""

    serial: int

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "SimulatedTask":
        made = super().__new__(cls)
        made.serial = next(_serial)
        return made

    def __hash__(self) -> int:
        return self.serial


class Scheduled(asyncio.Handle):
    """A callback, and the task that has scheduled it."""

    __slots__ = ("by",)
    by: "asyncio.Task[Any] | None"


def number_cancel_scopes() -> None:
    """Give anyio's cancel scopes a hash that is the same in every run, as tasks have it."""
    scope = anyio_backend.CancelScope
    begin = scope.__init__
    numbers: dict[int, int] = {}

    def numbered(self: Any, *args: Any, **kwargs: Any) -> None:
        numbers[id(self)] = next(_serial)
        begin(self, *args, **kwargs)

    scope.__init__ = numbered  # type: ignore[method-assign]
    scope.__hash__ = lambda self: numbers[id(self)]  # type: ignore[method-assign]


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs tasks in virtual time from a seed."""

    def __init__(self, seed: int) -> None:
        self.steps = 0
        self.on_step: Callable[[], None] | None = None
        """Called after each callback."""
        self.unhandled: list[dict[str, Any]] = []
        self._chance = random.Random(f"loop {seed}")  # noqa: S311  a seed, to be repeated
        self._now = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._number = count()
        self._stopping = False
        self._dead: list[object] = []
        self.network: Any = None

    # Time and callbacks.

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """Run it soon."""
        handle = Scheduled(callback, args, self, context)
        handle.by = asyncio.current_task(self)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Run it after so many virtual seconds."""
        return self.call_at(self._now + max(0.0, delay), callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Run it at a virtual time."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._number), timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is skipped when its time comes."""

    def run_until(self, done: Callable[[], bool], deadline: float) -> bool:
        """Run until `done`, or until virtual time passes `deadline`; whether it is done."""
        asyncio._set_running_loop(self)
        try:
            while not done():
                if not self._advance(deadline):
                    return done()
                self._run_one()
        finally:
            asyncio._set_running_loop(None)
        return True

    def _advance(self, deadline: float) -> bool:
        """Make something ready, jumping in time where need be; False past the deadline."""
        timers = self._timers
        while not self._ready:
            if not timers or timers[0][0] > deadline:
                self._now = max(self._now, deadline)
                return False
            self._now = max(self._now, timers[0][0])
            while timers and timers[0][0] <= self._now:
                timer = heapq.heappop(timers)[2]
                if not timer.cancelled():
                    self._ready.append(timer)
        return True

    def _run_one(self) -> None:
        handle = self._choose()
        process = handle._context.get(_current)  # type: ignore[attr-defined]
        if handle.cancelled():
            return
        if process is not None:
            if not process.alive:
                self._dead.append(handle)
                return
            if process.paused_until > self._now:
                self._hold(process, handle)
                return
        self.steps += 1
        if self.steps > LONGEST_RUN:
            raise RuntimeError("the simulation does not come to rest")
        handle._run()
        if process is not None and process.kill_in:
            process.kill_in -= 1
            if process.kill_in == 0:
                process.kill()
        if self.on_step is not None:
            self.on_step()

    def _choose(self) -> asyncio.Handle:
        """One of the first few ready callbacks, but none before another of the same task."""
        ready = self._ready
        if len(ready) == 1:
            return ready.popleft()
        at = self._chance.randrange(min(len(ready), 4))
        by = getattr(ready[at], "by", None)
        for earlier in range(at if by is not None else 0):
            if getattr(ready[earlier], "by", None) is by:
                at = earlier
                break
        handle = ready[at]
        del ready[at]
        return handle

    def _hold(self, process: Process, handle: asyncio.Handle) -> None:
        if not process.held:
            self.call_at(process.paused_until, self._wake, process, context=contextvars.Context())
        process.held.append(handle)

    def _wake(self, process: Process) -> None:
        if process.paused_until > self._now:
            self.call_at(process.paused_until, self._wake, process, context=contextvars.Context())
            return
        self._ready.extend(process.held)
        process.held.clear()

    # Tasks and futures.

    def spawn(
        self, process: Process, run: Callable[..., Coroutine[Any, Any, Any]], *args: Any
    ) -> "asyncio.Task[Any]":
        """Start a process: all that comes of this task belongs to it."""
        context = contextvars.copy_context()
        context.run(_current.set, process)
        task: asyncio.Task[Any] = context.run(self.create_task, run(*args))
        self._dead.append(task)  # never collected: no `finally` of it runs behind our back
        return task

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> Any:
        """A task of this loop."""
        task = SimulatedTask(coro, loop=self, name=name or f"t{next(_serial)}", context=context)
        self._dead.append(task)
        return task

    def create_future(self) -> "asyncio.Future[Any]":
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def get_task_factory(self) -> None:
        """Tasks are made here."""

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """As long as it is asked."""
        return True

    def is_closed(self) -> bool:
        """Never."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody handled."""
        if not isinstance(context.get("exception"), ProcessKilled):
            self.unhandled.append(context)

    def get_exception_handler(self) -> None:
        """None of our own."""

    async def shutdown_asyncgens(self) -> None:
        """There are none that need it."""

    # The network, which the world puts in place.

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None) -> Any:  # type: ignore[override]
        """Connect over the simulated network; raises OSError where nobody listens."""
        return await self.network.connect(factory, host, port)

    async def create_server(self, factory: Any, host: Any = None, port: Any = None) -> Any:  # type: ignore[override]
        """Listen on the simulated network."""
        return self.network.listen(factory, host, port)
