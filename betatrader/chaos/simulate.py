"""Runs seeds, each in an operating-system process that is thrown away, and shrinks what fails."""

import gc
import multiprocessing
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from betatrader.chaos import bugs, loop, plan, seams, world
from betatrader.chaos.plan import Fault, Plan
from betatrader.chaos.seams import put
from betatrader.engine.engine import Engine
from betatrader.engine.orders import Orders
from betatrader.model.account import OrderRejected
from betatrader.model.command import Approved
from betatrader.model.instruction import Resume
from betatrader.roles.reconciling import Reconciler
from betatrader.roles.trading import TradingRole
from betatrader.store.journal import Journal
from betatrader.venues.gateway import Gateway

BATCH = 10
"""Seeds that one operating-system process runs: killed processes are never cleaned up in it."""

MEMORY = Path("/dev/shm")  # noqa: S108  a folder in memory, where there is one


class Outcome(msgspec.Struct, kw_only=True):
    """What a run came to. `broken` is what of `wrong` is a process that fell over. `instructions`
    are the operator's, and `halts` counts how often it was seen to have stopped, by them or by
    itself. `met` counts what befell messages: lost, late, left unheard, over the rate. `digest` is
    the same wherever and whenever a seed is run."""

    seed: int
    wrong: list[str]
    broken: list[str]
    faults: dict[str, int]
    met: dict[str, int]
    instructions: int
    halts: int
    planned: tuple[Fault, ...]
    orders: int
    virtual_s: float
    digest: str


class Report(msgspec.Struct, kw_only=True):
    """What many runs came to; of a failing seed, the fewest faults that make it fail."""

    seeds: int
    failing: list[Outcome]
    simulated_hours: float
    orders: int
    fewest_orders: int
    faults: dict[str, int]
    instructions: int
    halts: int
    digest: str
    cpu_seconds_per_seed: float


def run(
    seeds: range,
    progress: Callable[[int, int], None],
    *,
    hours: float = 0.0,
    bug: str = "",
    venue: str = "sim",
) -> Report:
    """Run seeds, in as many processes as there are cores; `hours` > 0 goes on until so much was
    simulated. A failing seed is shrunk."""
    outcomes: list[Outcome] = []
    began = _cpu_s()
    context = multiprocessing.get_context("fork")
    with context.Pool(os.cpu_count() or 1, maxtasksperchild=1) as pool:
        for found in pool.imap(_batch, ((batch, bug, venue) for batch in _batches(seeds, hours))):
            outcomes += found
            progress(len(outcomes), len(seeds))
            if hours and sum(o.virtual_s for o in outcomes) >= hours * 3600:
                pool.terminate()
                break
    failing = [shrunk(outcome, bug, venue) for outcome in outcomes if outcome.wrong]
    counts: dict[str, int] = {}
    for outcome in outcomes:
        for kind, count in outcome.faults.items():
            counts[kind] = counts.get(kind, 0) + count
    digest = blake2b("".join(o.digest for o in outcomes).encode(), digest_size=8).hexdigest()
    return Report(
        seeds=len(outcomes),
        failing=failing,
        simulated_hours=round(sum(o.virtual_s for o in outcomes) / 3600, 3),
        orders=sum(o.orders for o in outcomes),
        fewest_orders=min((o.orders for o in outcomes), default=0),
        faults=dict(sorted(counts.items())),
        instructions=sum(o.instructions for o in outcomes),
        halts=sum(o.halts for o in outcomes),
        digest=digest,
        cpu_seconds_per_seed=round((_cpu_s() - began) / max(1, len(outcomes)), 3),
    )


def shrunk(outcome: Outcome, bug: str = "", venue: str = "sim") -> Outcome:
    """The same failure with as few faults as it takes, dropping one after the other."""
    drawn = plan.make(outcome.seed, venue)
    kept = list(outcome.planned)
    at = 0
    late = [fault for fault in kept if fault.at_s <= _first_wrong_s(outcome)]
    tried = once(drawn._replace(faults=tuple(late)), bug)
    if seen_by(bug, tried):
        kept, outcome = late, tried
    while at < len(kept):
        fewer = [*kept[:at], *kept[at + 1 :]]
        tried = once(drawn._replace(faults=tuple(fewer)), bug)
        if seen_by(bug, tried):
            kept, outcome = fewer, tried
        else:
            at += 1
    return outcome


def _first_wrong_s(outcome: Outcome) -> float:
    return float(outcome.wrong[0].partition(" s:")[0])


def once(drawn: Plan, bug: str = "") -> Outcome:
    """One plan, in a process of its own."""
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(_isolated, ((drawn,), bug))[0]


def caught(bug: str, most_seeds: int) -> Outcome | None:
    """The first seed that sees a planted bug (`seen_by`); None where none of so many does."""
    for batch in _batches(range(most_seeds), 0.0):
        with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
            for outcome in pool.apply(_batch, ((batch, bug, "sim"),)):
                if seen_by(bug, outcome):
                    return outcome
    return None


def seen_by(bug: str, outcome: Outcome) -> str:
    """The first complaint of a run that is of what a planted bug does, and empty where there is
    none. Without a bug any complaint counts. A run without orders, or in which a process fell
    over, shows no more than that the patch does not fit."""
    if not bug:
        return next(iter(outcome.wrong), "")
    if not outcome.orders or outcome.broken:
        return ""
    shows = bugs.BUGS[bug].shows
    return next((line for line in outcome.wrong if any(word in line for word in shows)), "")


def _batches(seeds: range, hours: float) -> Iterator[range]:
    at = seeds.start
    while hours or at < seeds.stop:
        end = at + BATCH if hours else min(at + BATCH, seeds.stop)
        yield range(at, end)
        at = end


def _batch(asked: tuple[range, str, str]) -> list[Outcome]:
    seeds, bug, venue = asked
    return _isolated(tuple(plan.make(seed, venue) for seed in seeds), bug)


def _isolated(plans: tuple[Plan, ...], bug: str) -> list[Outcome]:
    gc.disable()  # what was killed in a run must never be cleaned up in it
    gc.freeze()
    now: list[Any] = []
    seams.put_in_place(lambda: now[-1].loop.time())
    world.prepare()
    _observe(now)
    if bug:
        bugs.BUGS[bug].plant()
    return [_one(drawn, now) for drawn in plans]


def _one(drawn: Plan, now: list[Any]) -> Outcome:
    loop.begin_numbering()
    seams.begin()
    folder = Path(tempfile.mkdtemp(prefix="bt-sim-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        made = world.World(drawn, folder)
        now.append(made)
        made.run()
        return Outcome(
            seed=drawn.seed,
            wrong=made.judge.wrong,
            broken=made.judge.broken,
            faults=made.judge.counts,
            met=made.met(),
            instructions=made.judge.instructions,
            halts=made.judge.halts,
            planned=drawn.faults,
            orders=made.judge.orders,
            virtual_s=made.loop.time(),
            digest=made.judge.digest(),
        )
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def _observe(now: list[Any]) -> None:
    """Let the judge see which role a process runs, and each order that is let out."""
    begin, submit, adopt = TradingRole.__init__, Gateway._submit, Orders.adopt
    take, take_fill = Orders.take, Orders.take_fill
    open_next, on_resume, answer = Journal._open_next, Engine._on_resume, Reconciler._answer

    def begun(self: TradingRole, service: Any, *rest: Any) -> None:
        begin(self, service, *rest)
        now[-1].judge.leads(self.leadership.lease.epoch)
        for trader in now[-1].traders:
            if trader.service is service:
                trader.role = self

    def sent(self: Gateway, command: Approved, now_ns: int) -> bool:
        left = submit(self, command, now_ns)
        machine = seams.current_machine()
        if left and machine is not None and machine.disk.kill_after_order:
            machine.kill_in, machine.disk.kill_after_order = machine.disk.kill_after_order, 0
        if left:
            now[-1].judge.sent(int(command.order[8:20], 16), command)
        return left

    def adopted(self: Orders, found: Any, strategy: Any) -> None:
        now[-1].judge.adopted(found.order)
        adopt(self, found, strategy)

    def taken(self: Orders, event: Any) -> bool:
        if isinstance(event, OrderRejected):
            now[-1].judge.refused(event.order)
        return take(self, event)

    def filled(self: Orders, fill: Any) -> None:
        if self.find(fill.order) is None:
            now[-1].judge.filled_unknown(fill.order)
        take_fill(self, fill)

    def opened(self: Journal, snapshot: bytes) -> None:
        open_next(self, snapshot)
        now[-1].open_files.append(self._file)

    async def answered(self: Reconciler) -> Any:
        account = await answer(self)
        now[-1].judge.answered(self._venue.name)
        return account

    def resumed(self: Engine, event: Resume, seen: object) -> None:
        on_resume(self, event, seen)
        now[-1].judge.resumed()

    put(Engine, "_on_resume", resumed)
    put(Reconciler, "_answer", answered)
    put(Orders, "adopt", adopted)
    put(Orders, "take", taken)
    put(Orders, "take_fill", filled)
    put(Journal, "_open_next", opened)
    put(TradingRole, "__init__", begun)
    put(Gateway, "_submit", sent)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
