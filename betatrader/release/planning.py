"""Before anything changes: what a release would do, and every reason not to begin it."""

import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from betatrader.model.errors import BetatraderError, ConfigurationError, RefusedError
from betatrader.ops import home
from betatrader.release import (
    configuration,
    credentials,
    fly,
    pricing,
    rights,
    schemas,
    settings,
)
from betatrader.release.apps import ORDER, Image, app_name, apps_of, image
from betatrader.release.configuration import Files
from betatrader.release.gates import one_colour, stands
from betatrader.release.record import Held, Record, author, refused
from betatrader.release.releasing import Setup, Target, survey

GATE = "one machine of this image and digest, ready, seen in Redis, no error burst"
INTEL_GATE = GATE.replace("one machine", "machines", 1)
IMMEDIATE_GATE = "the machine has started with this image; nothing goes back by itself"
TRADER_GATE = f"{GATE}, the lease is its own, its books agree with the venue's"


GATES = {"jobs": GATE, "intel": INTEL_GATE, "trading": TRADER_GATE}


class Step(NamedTuple):
    """One app: the command that moves it, "" where it runs the image already, and its gate."""

    app: str
    command: str
    before: str
    gate: str
    staged: tuple[str, ...] = ()
    """Secrets that are set and not in force yet: this release puts them into force."""
    removes: tuple[str, ...] = ()
    """The commands that remove what a release which was cut off has left over."""
    unknown: tuple[str, ...] = ()
    """Secrets of which fly cannot say whether they are in force."""
    stages: tuple[str, ...] = ()
    """Secrets that a rotation stages first, by name."""

    def told(self) -> list[str]:
        """The same in lines."""
        lines = [
            f"{self.app}: from {self.before or 'nothing'}",
            *(f"  {self._staging()}" for _ in self.stages[:1]),
            *(f"  {command}" for command in self.removes),
            f"  {self.command or 'it runs this image already'}",
            f"  gate: {self.gate}",
        ]
        if self.staged:
            lines.insert(-2, f"  staged secrets go into force: {', '.join(self.staged)}")
        if self.unknown:
            lines.append(
                f"  fly cannot say whether these secrets are in force: {', '.join(self.unknown)}"
            )
        return lines

    def _staging(self) -> str:
        command = shlex.join(["fly", *fly.stage_secrets(self.app)])
        return f'{command}  # on stdin, each value in """…""": {", ".join(self.stages)}'


class Plan(NamedTuple):
    """A release that may begin."""

    record: Record
    target: Target
    over: Held | None
    """The dead release that it goes on with or takes back."""


async def prepare(
    setup: Setup, kind: str, wanted: str, folder: Path, *, over: Held | None = None
) -> Plan:
    """Check everything; raises what stands against it before anything has changed."""
    prefix, project = setup.settings.prefix, setup.settings.project
    chosen = image(wanted, prefix)
    await setup.fly.who()
    held = await setup.book.held()
    if held is not None and held != over:
        raise refused(held, await setup.book.now_ns())
    records = await setup.book.records()
    files = configuration.for_release(kind, chosen, project, records, setup.tell)
    if kind != "rotate":  # that version runs, and its settings are read with the new key
        settings.check(kind, chosen, project, files, setup.tell)
    before = _first_before(records, over) or await survey(setup)
    if kind != "rotate":  # with its version nothing moves
        _check_way_back(setup, kind, chosen, before, records)
    target = Target(chosen, files, folder)
    stored = await schemas.stored(setup.redis)
    schemas.check_readable(str(chosen), stored, files.reads, records)
    configuration.write(files, folder)
    await check_image(setup, target)
    await check_secrets(setup, files)
    await rights.check(setup, kind, chosen, files.revision)
    if kind == "deploy":
        _warn_of_cost(setup, files)
    record = Record(
        id=secrets.token_hex(4),
        kind=kind,
        image=str(chosen),
        before=before,
        by=author(),
        began_ns=await setup.book.now_ns(),
        revision=files.revision,
        reads=files.reads,
        files={role: text.encode(errors="replace").decode() for role, text in files.text.items()},
    )
    return Plan(record, target, over)


def _check_way_back(
    setup: Setup, kind: str, chosen: Image, before: Mapping[str, str], records: Sequence[Record]
) -> None:
    """Whether each app could go back to what it runs, where a gate fails. Raises RefusedError; who
    goes back, or with --immediate, which goes back by itself never, is told alone."""
    told = []
    for role, running in before.items():
        if running in ("", str(chosen)):
            continue
        try:
            configuration.of_image(image(running), setup.settings.project, records)
        except BetatraderError as error:
            why = str(error).partition("\n")[0]
            told.append(f"{app_name(role, setup.settings.prefix)} runs {running}: {why}")
    if told and kind == "deploy" and not setup.settings.immediate:
        raise RefusedError(
            "after a failed gate no way would lead back: " + "; ".join(told) + "\n"
            "Name that commit by its tag (`git tag TAG COMMIT`), or run this in a checkout that "
            "has it; with `deploy --immediate` nothing goes back by itself anyway."
        )
    for line in told:
        setup.tell(f"warning: no way leads back to what runs: {line}")


def _warn_of_cost(setup: Setup, files: Files) -> None:
    apps = apps_of(setup.settings.prefix, setup.settings.redis_app)
    told = pricing.warning({role: text for role, text in files.text.items() if role in apps})
    if told:
        setup.tell(f"warning: {told}")


async def check_image(setup: Setup, target: Target) -> None:
    """Raises NoImageError where the registry does not have the image."""
    app = app_name(ORDER[0], setup.settings.prefix)
    path = str(target.folder / f"{ORDER[0]}.toml")
    await setup.fly.look_for(fly.find_image(app, path, target.image))


async def check_secrets(setup: Setup, files: Files) -> None:
    """Raises ConfigurationError with every missing, extra or doubled secret of every app."""
    problems = []
    for role, app in apps_of(setup.settings.prefix, setup.settings.redis_app).items():
        environment = configuration.environment(files, role)
        found = await setup.fly.secrets(app)
        problems += credentials.problems(app, credentials.needs(role, environment), found)
    if problems:
        raise ConfigurationError(problems)


async def steps(setup: Setup, plan: Plan, stages: Sequence[str] = ()) -> list[Step]:
    """What would be done, in its order; `stages` names the secrets of a rotation. Each command can
    be given as it stands: the version's fly files are put where it names them, since those of the
    working tree may be another's."""
    kind, wanted = plan.record.kind, plan.target.image
    files = home.default_home() / "fly" / f"{wanted.tag}-{plan.target.files.revision[:12]}"
    files.mkdir(parents=True, exist_ok=True)
    configuration.write(plan.target.files, files)
    if kind == "rotate":
        step = await _step(setup, "trading", wanted, files, again=True)
        return [step._replace(stages=tuple(stages))]
    order = ORDER if kind == "deploy" else tuple(reversed(ORDER))
    return [await _step(setup, role, wanted, files) for role in order]


async def _step(
    setup: Setup, role: str, wanted: Image, files: Path, *, again: bool = False
) -> Step:
    app, immediate = app_name(role, setup.settings.prefix), setup.settings.immediate
    running = [m for m in await setup.fly.machines(app) if m.runs]
    stays = one_colour(role, running, str(wanted), immediate=immediate)
    removes = tuple(
        shlex.join(["fly", *command])
        for m in running
        if m not in stays
        for command in (fly.stop(app, m.id), fly.destroy(app, m.id))
    )
    before = " and ".join(dict.fromkeys(m.image for m in running))
    words = fly.deploy(app, str(files / f"{role}.toml"), wanted, setup.settings.strategy)
    found = await setup.fly.secrets(app)
    staged = tuple(s.name for s in found if s.waits)
    unknown = tuple(s.name for s in found if s.status == fly.UNKNOWN)
    stood = stands(role, stays, str(wanted)) and not staged and not again
    gate = IMMEDIATE_GATE if immediate else GATES[role]
    command = "" if stood else shlex.join(["fly", *words])
    return Step(app, command, before, gate, staged, removes, unknown)


def version_before(records: Sequence[Record], now: str) -> str:
    """The image to which a rollback without a name goes: what ran before `now` was first put in
    place, so that going back twice leads further back; raises RefusedError."""
    done = [record.image for record in records if record.result == "done"]
    earlier = done[: done.index(now)] if now in done else done
    if not earlier:
        raise RefusedError(
            f"no release before that of {now or 'today'} is on record\n"
            "Name the tag: betatrader release rollback TAG."
        )
    return earlier[-1]


def resumed(records: Sequence[Record], held: Held) -> Record:
    """The record of a release that was cut off; raises RefusedError."""
    for record in records:
        if record.id == held.id:
            return record
    raise RefusedError(
        f"nothing is on record of release {held.id}\n"
        f"Go back with `betatrader release rollback TAG`: it takes the lock over."
    )


def _first_before(records: Sequence[Record], over: Held | None) -> dict[str, str]:
    """What ran before the release that was cut off: that is what to go back to, not its middle."""
    if over is None:
        return {}
    return next((record.before for record in records if record.id == over.id), {})


def renewed(record: Record, held: Held) -> Record:
    """The same release under the hand that goes on with it."""
    return msgspec.structs.replace(record, id=held.id, by=author())
