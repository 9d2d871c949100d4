"""The release itself: app by app in their order, a gate after each, and back where one fails.

It works on what fly has, not on what it remembers: an app that already runs the image and passes
its gate is left as it is. So going on after an interruption, rolling back and deploying are one.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import anyio
import msgspec
from redis.exceptions import ResponseError

from betatrader.model.errors import BetatraderError, RefusedError, UnreachableError
from betatrader.ops import clock
from betatrader.release import configuration, fly, schemas
from betatrader.release.apps import ORDER, SEVERAL, Image, app_name, image
from betatrader.release.configuration import Files
from betatrader.release.fly import Fly, FlyError, Machine, NoImageError
from betatrader.release.gates import (
    Problem,
    Sight,
    Wanted,
    in_force,
    judge,
    one_colour,
    stands,
    surplus,
)
from betatrader.release.record import IN_PART, Book, Held, Lock, LostLockError, Record
from betatrader.store import functions, keys
from betatrader.store.connection import AWAY, Client

RENEW_S = 3.0
IMMEDIATE = "immediate"
E = TypeVar("E", bound=BaseException)


class Settings(NamedTuple):
    """How a release is carried out. Times in seconds."""

    prefix: str
    project: Path
    watch_s: float
    """For so long a gate must hold before it is passed."""
    gate_s: float
    """After so long a gate that does not hold has failed."""
    most_errors: int
    strategy: str = ""
    redis_app: str = ""
    """The app that has its Redis (`apps.apps_of`)."""

    @property
    def immediate(self) -> bool:
        """Whether no health is waited for, and nothing goes back by itself."""
        return self.strategy == IMMEDIATE


class Setup(NamedTuple):
    """What a release works with; `tell` hears what happens."""

    fly: Fly
    redis: Client
    book: Book
    settings: Settings
    tell: Callable[[str], None]


class Target(NamedTuple):
    """A version and its files, which stand in `folder`."""

    image: Image
    files: Files
    folder: Path


class GateError(BetatraderError):
    """A gate has failed; exit status 1."""


async def survey(setup: Setup, apps: Sequence[str] = ORDER) -> dict[str, str]:
    """The image that each app runs, "" where none does; raises RefusedError where that is not one
    machine (of intel: machines of one image), since nobody knows then what a release would do."""
    found = {}
    for role in apps:
        app = app_name(role, setup.settings.prefix)
        running = [m for m in await setup.fly.machines(app) if m.runs]
        if len(running) > 1 and (role not in SEVERAL or len({m.image for m in running}) > 1):
            named = ", ".join(f"{m.id} ({m.state}, {m.image})" for m in running)
            raise RefusedError(
                f"{app} has {len(running)} machines: {named}\n"
                f"Remove what is stale with `fly machine destroy ID -a {app} --force`."
            )
        found[role] = running[0].image if running else ""
    return found


async def take(setup: Setup, record: Record, over: Held | None = None) -> Lock:
    """The lock. Raises RefusedError where somebody has it, and where another release came and went
    since this one was planned: it would go back to what ran before that."""
    lock = await setup.book.take(record, over)
    moved = True
    try:
        moved = over is None and await survey(setup) != record.before
    finally:
        if moved:
            with suppress(*AWAY), anyio.CancelScope(shield=True):
                await lock.release()
    if moved:
        raise RefusedError(
            "the apps have moved since this release was planned: nothing was changed\n"
            "`betatrader release status` shows what runs; give the command again."
        )
    return lock


async def look(setup: Setup, role: str) -> Sight:
    """One look at an app."""
    machines = await setup.fly.machines(app_name(role, setup.settings.prefix))
    beat = await setup.redis.hgetall(keys.beat(role))
    lease = await setup.redis.hgetall(keys.LEASE) if role == "trading" else {}
    return Sight(machines, _text(beat), _text(lease))


async def release(setup: Setup, target: Target, record: Record, lock: Lock) -> Record:
    """Carry it out and keep what became of it; raises GateError or FlyError after going back, and
    UnreachableError where Redis went away, which leaves the release to be gone on with."""
    failed: BetatraderError | None = None
    try:
        async with kept_alive(lock):
            try:
                digest = await _all_apps(setup, target, record, lock)
                await lock.renew("all apps: raising the schema")
                await schemas.raise_schema(setup.redis)
                ended = ("done", "", digest)
            except (FlyError, GateError, UnreachableError) as error:
                failed = error
                ended = (*await _after(setup, target, record, lock, error), "")
            record = await _ended(setup, record, *ended)
    except* AWAY as errors:
        raise UnreachableError(
            f"Redis went away during a release, at {lock.held.step}: {_first(errors)}\n"
            f"Once it is back: {lock.held.mend()}"
        ) from errors
    with suppress(*AWAY):
        await lock.release()
    if failed is not None:
        raise type(failed)(*_told(failed, record))
    return record


async def _all_apps(setup: Setup, target: Target, record: Record, lock: Lock) -> str:
    """Returns the digest that all apps run."""
    digest, rotates = "", record.kind == "rotate"
    await _functions(setup, target)
    order = ORDER if record.kind == "deploy" else tuple(reversed(ORDER))
    for role in ("trading",) if rotates else order:
        await lock.renew(f"{role}: deploying")
        await _put(setup, target, role, again=rotates)
        await lock.renew(f"{role}: at its gate")
        asked = _wanted(setup, role, str(target.image), digest)
        digest = await pass_gate(setup, asked._replace(revision=target.files.revision))
        setup.tell(f"{role} runs {target.image}")
    return digest


async def _functions(setup: Setup, target: Target) -> None:
    """The version's own, beside those of what runs: jobs, which may not put them, comes first."""
    text = configuration.functions_of(setup.settings.project, target.files.revision)
    try:
        await functions.load(setup.redis, text)
    except ResponseError as error:
        raise GateError(f"Redis does not take the functions of {target.image}: {error}") from error


async def _put(setup: Setup, target: Target, role: str, *, again: bool = False) -> None:
    """Have an app run an image with its secrets: by a deploy where it does not; what that leaves
    over is removed."""
    app, wanted = app_name(role, setup.settings.prefix), str(target.image)
    running = await _one_colour(setup, role, wanted)
    staged = [s.name for s in await setup.fly.secrets(app) if s.waits]
    if staged:
        setup.tell(f"{app}: staged secrets go into force: {', '.join(staged)}")
    if again or staged or not stands(role, running, wanted):
        path = str(target.folder / f"{role}.toml")
        await setup.fly.deploy(fly.deploy(app, path, target.image, setup.settings.strategy))
        if not any(m.runs for m in await setup.fly.machines(app)):
            setup.tell(f"{app}: the deploy ended well and left no machine; once more")
            await setup.fly.deploy(fly.deploy(app, path, target.image, setup.settings.strategy))
    sight = await look(setup, role)
    await _remove(setup, app, surplus(_wanted(setup, role, wanted), sight))


async def _one_colour(setup: Setup, role: str, wanted: str) -> list[Machine]:
    """Remove one of two colours that a release left in its middle. What remains runs."""
    app = app_name(role, setup.settings.prefix)
    running = [m for m in await setup.fly.machines(app) if m.runs]
    stays = one_colour(role, running, wanted, immediate=setup.settings.immediate)
    await _remove(setup, app, [m for m in running if m not in stays])
    return stays


async def _remove(setup: Setup, app: str, machines: Sequence[Machine]) -> None:
    for stale in machines:
        setup.tell(f"{app}: machine {stale.id} ({stale.image}) was left over: removed")
        await setup.fly.remove(app, stale.id)


def _wanted(setup: Setup, role: str, image: str, digest: str = "") -> Wanted:
    settings = setup.settings
    return Wanted(role, image, digest, settings.most_errors, settings.immediate)


async def pass_gate(setup: Setup, asked: Wanted) -> str:
    """Wait until all holds for a while on end; returns the digest, raises GateError."""
    settings = setup.settings
    role = asked.role
    began = anyio.current_time()
    since = began
    instances: dict[str, str] = {}
    while True:
        try:
            sight = await look(setup, role)
            await _remove(setup, app_name(role, settings.prefix), surplus(asked, sight))
            found = judge(asked, sight)
        except (*AWAY, FlyError) as error:
            sight, found = None, [Problem(str(error).partition("\n")[0])]
        now = anyio.current_time()
        if sight is None or found or is_new(instances, sight):
            since = now
        elif now - since >= settings.watch_s:
            return next(m.image_ref.digest for m in sight.machines if m.runs)
        if any(p.final for p in found) or now - began >= settings.gate_s + settings.watch_s:
            told = "; ".join(p.text for p in found) or "it does not stay up"
            raise GateError(f"{role} with {asked.image}: {told}")
        await anyio.sleep(min(2.0, settings.watch_s / 4))


def is_new(instances: dict[str, str], sight: Sight) -> bool:
    """Whether a process shows itself that was not seen on its machine: several of one role write
    the same heartbeat in turn."""
    machine, instance = (sight.beat.get(name, "") for name in ("machine", "instance"))
    was = instances.get(machine)
    instances[machine] = instance
    return was != instance


async def _after(
    setup: Setup, target: Target, record: Record, lock: Lock, failed: BetatraderError
) -> tuple[str, str]:
    """Back to what was before; the result and the note for the record."""
    why = str(failed).partition("\n")[0]
    setup.tell(f"failed: {why}")
    try:
        if record.kind == "rotate" or set(record.before.values()) == {str(target.image)}:
            return "failed", f"{why}; {await _as_it_stands(setup, target, record)}"
        moved = [r for r in reversed(ORDER) if str(target.image) in await _images(setup, r)]
    except (BetatraderError, *AWAY) as error:
        left = str(error).partition("\n")[0]
        return "failed", f"{why}; and nobody knows what moved: {left}"
    if not moved:
        return (
            "refused" if isinstance(failed, NoImageError) else "failed"
        ), f"{why}; nothing moved"
    if setup.settings.immediate:
        return "failed", f"{why}; with --immediate nothing goes back by itself"
    return await _all_back(setup, record, lock, moved, why)


async def _all_back(
    setup: Setup, record: Record, lock: Lock, moved: Sequence[str], why: str
) -> tuple[str, str]:
    """App by app: one that cannot go back keeps none of the others on the new version."""
    back = []
    going = [role for role in moved if record.before.get(role)]
    stays = [f"{r} had no version before to go back to" for r in moved if r not in going]
    if going:
        setup.tell(f"going back: {', '.join(going)}")
    for role in going:
        try:
            await lock.renew(f"{role}: going back", back=True)
            await _back(setup, record, role)
            back.append(role)
        except LostLockError:
            raise
        except (BetatraderError, *AWAY) as error:
            left = str(error).partition("\n")[0]
            stays.append(f"going back with {role} failed: {left}")
            setup.tell(stays[-1])
    if not stays:
        return "rolled back", why
    if not back:
        return "failed", f"{why}; {'; '.join(stays)}"
    return IN_PART, f"{why}; back: {', '.join(back)}; {'; '.join(stays)}"


async def _as_it_stands(setup: Setup, target: Target, record: Record) -> str:
    """Where a restart with the same version failed there is nothing to go back to: what is left
    over is removed, and what runs then is looked at, with its secrets."""
    told = []
    for role in ("trading",) if record.kind == "rotate" else ORDER:
        app = app_name(role, setup.settings.prefix)
        wanted = _wanted(setup, role, str(target.image))
        await _remove(setup, app, surplus(wanted, await look(setup, role)))
        machines, secrets = await setup.fly.machines(app), await setup.fly.secrets(app)
        told.append(in_force(app, machines, secrets))
    return f"the version stayed the same; {'; '.join(told)}"


async def abandon(setup: Setup, record: Record, lock: Lock, why: str) -> None:
    """End a release that has changed nothing."""
    await _ended(setup, record, "failed", why)
    with suppress(*AWAY):
        await lock.release()


async def _back(setup: Setup, record: Record, role: str) -> None:
    before = image(record.before[role])
    files = configuration.of_image(before, setup.settings.project, await setup.book.records())
    async with anyio.TemporaryDirectory(prefix="betatrader-fly-") as folder:
        configuration.write(files, Path(folder))
        await _put(setup, Target(before, files, Path(folder)), role)
        await pass_gate(setup, _wanted(setup, role, str(before)))
    setup.tell(f"{role} runs {before} again")


async def _images(setup: Setup, role: str) -> set[str]:
    machines = await setup.fly.machines(app_name(role, setup.settings.prefix))
    return {m.image for m in machines if m.runs}


@asynccontextmanager
async def kept_alive(lock: Lock) -> AsyncIterator[None]:
    """Signs of life while this lasts. Where it is cut off or fails, the lock says so."""
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_keep_alive, lock)
            yield
            group.cancel_scope.cancel()
    except BaseException:
        with suppress(*AWAY), anyio.move_on_after(RENEW_S, shield=True):
            await lock.leave()
        raise


async def _keep_alive(lock: Lock) -> None:
    """Signs of life; Redis being away is for the gates to judge."""
    while True:
        await anyio.sleep(RENEW_S)
        try:
            await lock.renew()
        except AWAY:
            continue


async def _ended(setup: Setup, record: Record, result: str, note: str, digest: str = "") -> Record:
    """Keep the end; where Redis is away the operator's own file has it."""
    reads, ended_ns = record.reads, clock.now_ns()
    with suppress(*AWAY):
        ended_ns = await setup.book.now_ns()  # the clock by which it began
        reads = await schemas.reads(setup.redis) if result == "done" else reads
    ended = msgspec.structs.replace(
        record, ended_ns=ended_ns, result=result, note=note, digest=digest, reads=reads
    )
    try:
        await setup.book.write(ended)
    except AWAY as error:
        setup.tell(f"Redis does not take the record: {error}")
    return ended


def _text(found: dict[bytes, bytes]) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in found.items()}


def _first(errors: BaseExceptionGroup[E]) -> E:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _told(failed: BetatraderError, record: Record) -> tuple[str, ...]:
    """The error again, with what became of the release."""
    what, _, remedy = str(failed).partition("\n")
    ends = {
        "rolled back": "Rolled back: the version before runs again.",
        "refused": remedy or "Nothing was changed.",
        IN_PART: f"NOT all rolled back: {record.note}.",
        "failed": f"NOT rolled back: {record.note}.",
    }
    text = f"{what}\n{ends[record.result]}"
    return (text, failed.said) if isinstance(failed, FlyError) else (text,)
