"""Where a release stands, and its whole way: what the commands call."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import msgspec
from redis.exceptions import NoPermissionError, RedisError

from betatrader.model.errors import BetatraderError, RefusedError, UnreachableError
from betatrader.model.secret import without_password
from betatrader.ops import home
from betatrader.ops.clock import iso
from betatrader.ops.process import cancel_on_signal
from betatrader.release import configuration, fly, planning, rotating
from betatrader.release.apps import APPS, app_name, apps_of, image
from betatrader.release.planning import Plan, Step
from betatrader.release.record import Book, Held, Record, refused
from betatrader.release.releasing import Settings, Setup, Target, abandon, release, survey, take
from betatrader.store import keys
from betatrader.store.connection import Client, connected

SHOWN = 10
PATIENCE_S = 5.0
E = TypeVar("E", bound=BaseException)


class CutOffError(BetatraderError):
    """A signal ended a release; exit status 1."""


async def with_setup(
    settings: Settings,
    tell: Callable[[str], None],
    work: Callable[[Setup, Path], Awaitable[Any]],
    folder: Path,
    *,
    redis: bool = True,
) -> Any:
    """Find fly and Redis, and work; raises CutOffError on a signal, UnreachableError."""
    program = fly.Fly(fly.find(), tell)
    if not redis:
        return await _unless_signalled(work, Setup(program, None, None, settings, tell), folder)  # type: ignore[arg-type]
    url = os.environ.get("REDIS_URL")
    if not url:
        raise UnreachableError(
            "REDIS_URL is not set: a release is kept in the setup's own Redis\n"
            f"{_way(settings, 'Run')}"
        )
    async with _answered(url, settings) as client:
        book = Book(client, home.default_home() / "releases.jsonl", tell)
        setup = Setup(program, client, book, settings, tell)
        try:
            return await _unless_signalled(work, setup, folder)
        except* RedisError as errors:
            raise _unanswered(url, _first(errors)) from errors


@asynccontextmanager
async def _answered(url: str, settings: Settings) -> AsyncIterator[Client]:
    """The Redis; raises UnreachableError with the way to it: most often that is not open."""
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(connected(url, PATIENCE_S))
        except UnreachableError as error:
            what = str(error).partition("\n")[0]
            raise UnreachableError(f"{what}\n{_way(settings, 'Keep open')}") from error
        yield client


def _way(settings: Settings, do: str) -> str:
    app = apps_of(settings.prefix, settings.redis_app).get("redis")
    if app is None:
        return "Set REDIS_URL to the address that its provider names."
    address = "redis://operator:PASSWORD@127.0.0.1:16379"
    return f"{do} `fly proxy 16379:6379 -a {app}`, and set REDIS_URL to {address}."


def _unanswered(url: str, error: Exception) -> UnreachableError:
    place = without_password(url)
    if isinstance(error, NoPermissionError):
        return UnreachableError(
            f"Redis at {place} does not let this user release: {error}\n"
            "Set REDIS_URL to the operator's: redis://operator:PASSWORD@HOST:PORT."
        )
    return UnreachableError(
        f"Redis at {place} went away: {error}\n"
        "Once it is back `betatrader release status` says where things stand."
    )


async def _unless_signalled(
    work: Callable[[Setup, Path], Awaitable[Any]], setup: Setup, folder: Path
) -> Any:
    found: Any = None
    finished = False
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(cancel_on_signal, group.cancel_scope)
            found = await work(setup, folder)
            finished = True
            group.cancel_scope.cancel()
    except* BetatraderError as errors:
        raise _first(errors) from None
    if not finished:
        held = await setup.book.held() if setup.redis is not None else None
        raise CutOffError(
            f"cut off: {held.told(held.seen_ns)}\n{held.mend()}"
            if held is not None and held.hand == setup.book.hand
            else "cut off before anything was changed\nNothing is to be mended."
        )
    return found


async def planned(
    setup: Setup, kind: str, wanted: str | None, folder: Path
) -> tuple[Plan, list[Step]]:
    """What would be done."""
    plan = await _plan(setup, kind, wanted, folder)
    return plan, await planning.steps(setup, plan)


async def planned_rest(setup: Setup, folder: Path) -> tuple[Plan, list[Step]]:
    """What going on with the release that was cut off would do."""
    plan = await _rest(setup, folder)
    if not await _has_begun(setup, plan.record):
        raise rotating.unstaged(plan.record)
    return plan, await planning.steps(setup, plan)


async def carry_out(setup: Setup, kind: str, wanted: str | None, folder: Path) -> Record:
    """A deploy or a rollback, from its checks to its record."""
    plan = await _plan(setup, kind, wanted, folder)
    lock = await take(setup, plan.record, plan.over)
    if plan.over is not None:
        await _close(setup, plan.over)
    await setup.book.write(plan.record)
    return await release(setup, plan.target, plan.record, lock)


async def go_on(setup: Setup, folder: Path) -> Record:
    """The release that was cut off, from where it stands."""
    record, target, held = await _rest(setup, folder)
    assert held is not None
    begun = await _has_begun(setup, record)
    lock = await setup.book.take(record, held)
    if not begun:
        await abandon(setup, record, lock, "the new key never got to fly; nothing was changed")
        raise rotating.unstaged(record)
    setup.tell(f"going on with {held.told(held.seen_ns)}")
    return await release(setup, target, record, lock)


async def _has_begun(setup: Setup, record: Record) -> bool:
    """Whether a release that was cut off has anything to go on with."""
    return record.kind != "rotate" or await rotating.is_staged(setup, record)


async def _rest(setup: Setup, folder: Path) -> Plan:
    held = await _dead(setup)
    if held is None:
        raise RefusedError("no release was cut off\nThere is nothing to go on with.")
    if held.back:
        raise RefusedError(
            f"what was cut off did not go on: {held.told(held.seen_ns)}\n{held.mend()}"
        )
    record = planning.resumed(await setup.book.records(), held)
    files = configuration.Files(record.revision, record.files, record.reads)
    configuration.write(files, folder)
    await survey_for(setup, record)
    target = Target(image(record.image), files, folder)
    await planning.check_image(setup, target)
    return Plan(record, target, held)


async def survey_for(setup: Setup, record: Record) -> None:
    """A release that was cut off may have left two colours: they are its own to clear up. Any
    other image is not; raises RefusedError."""
    known = {record.image, *record.before.values()}
    for role in APPS[:3]:
        app = app_name(role, setup.settings.prefix)
        strange = [m for m in await setup.fly.machines(app) if m.runs and m.image not in known]
        if strange:
            raise RefusedError(
                f"{app} runs {strange[0].image}, which is neither this release's nor the one "
                "before\nSomebody deployed by hand meanwhile: begin anew with an image."
            )


async def _plan(setup: Setup, kind: str, wanted: str | None, folder: Path) -> Plan:
    over = await _dead(setup) if kind == "rollback" else None
    if wanted is None:
        records = await setup.book.records()
        cut_off = next((r for r in records if over is not None and r.id == over.id), None)
        if cut_off is not None and cut_off.kind == "rotate":
            await rotating.refuse_back(setup, cut_off)
        before = cut_off.before.get("trading", "") if cut_off is not None else ""
        wanted = before or planning.version_before(records, (await survey(setup))["trading"])
    return await planning.prepare(setup, kind, wanted, folder, over=over)


async def _dead(setup: Setup) -> Held | None:
    """The lock of a release that was cut off; None where nobody holds it, RefusedError where the
    holder lives."""
    held = await setup.book.held()
    if held is None:
        return None
    now = await setup.book.now_ns()
    if not held.is_dead(now):
        raise refused(held, now)
    return held


async def _close(setup: Setup, over: Held) -> None:
    """What was cut off is over: its record says so."""
    for record in await setup.book.records():
        if record.id == over.id:
            note = f"cut off at {over.step}, taken back"
            ended = await setup.book.now_ns()
            await setup.book.write(
                msgspec.structs.replace(record, result="failed", note=note, ended_ns=ended)
            )


async def gather(setup: Setup) -> dict[str, Any]:
    """All that `release status` shows."""
    held = await setup.book.held()
    now = await setup.book.now_ns()
    lease = await setup.redis.hgetall(keys.LEASE)
    dead = held is not None and held.is_dead(now)
    records = (await setup.book.records())[-SHOWN:]
    return {
        "apps": [
            await _app(setup, role, app)
            for role, app in apps_of(setup.settings.prefix, setup.settings.redis_app).items()
        ],
        "leader": lease.get(b"holder", b"").decode().partition(" ")[0],
        "under_way": held.told(now) if held is not None else "",
        "cut_off": dead,
        "mend": held.mend() if held is not None and dead else "",
        "schema": int(await setup.redis.get(keys.RELEASE_SCHEMA) or 1),
        "releases": [
            {
                **{n: getattr(r, n) for n in ("id", "kind", "image", "by", "result", "note")},
                "began": iso(r.began_ns),
                "digest": r.digest,
            }
            for r in reversed(records)
        ],
    }


async def _app(setup: Setup, role: str, app: str) -> dict[str, Any]:
    machines = await setup.fly.machines(app)
    beat = await _beat(setup.redis, role)
    return {
        "app": app,
        "machines": [
            {
                "id": m.id,
                "state": m.state,
                "region": m.region,
                "image": m.image,
                "digest": m.image_ref.digest,
                "checks": f"{sum(c.status == 'passing' for c in m.checks or ())}"
                f"/{len(m.checks or ())}",
            }
            for m in machines
        ],
        "version": beat.get("version", ""),
        "revision": beat.get("revision", ""),
        "not_ready": beat.get("not_ready", "" if beat or role == "redis" else "no heartbeat"),
    }


async def _beat(redis: Client, role: str) -> dict[str, str]:
    found = await redis.hgetall(keys.beat(role))
    return {key.decode(): value.decode() for key, value in found.items()}


def _first(errors: BaseExceptionGroup[E]) -> E:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
