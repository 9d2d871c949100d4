"""A venue's new key: proven first, then staged, then switched to by a restart through the gate.

It is proven before it is staged, since what is staged goes live with whatever is deployed next.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from betatrader import config as configurations
from betatrader.config import Config
from betatrader.model.errors import BetatraderError, ConfigurationError, RefusedError, UsageError
from betatrader.model.secret import Secret
from betatrader.ops.owners import variable
from betatrader.release import configuration, credentials
from betatrader.release.apps import app_name
from betatrader.release.fly import AppSecret, FlyError
from betatrader.release.planning import Plan, prepare
from betatrader.release.record import Lock, Record
from betatrader.release.releasing import Setup, abandon, kept_alive, release, survey, take

Names = Sequence[AppSecret]


def check(venue: str, given: Mapping[str, Secret]) -> None:
    """Raises UsageError where these are not a venue's secrets, all that it needs."""
    known = credentials.venue_names(venue)
    wanted = credentials.Needs(frozenset(known), frozenset())
    told = credentials.refused("trading", wanted, given)
    needed = {variable(venue, name.lower()) for name in credentials.TRADED[venue][1]}
    told += [f"{name} is missing" for name in sorted(needed - set(given))]
    if told:
        raise UsageError("; ".join(told) + f"\nGive the new key's lines: {', '.join(needed)}.")


def tried(venue: str, files: configuration.Files, given: Mapping[str, Secret]) -> Config:
    """The trader's configuration as it will be, with the new key; raises ConfigurationError."""
    environment = configuration.environment(files, "trading")
    settings = credentials.TRADED[venue][0]
    if not any(environment.get(one) for one in settings):
        named = " or ".join(settings)
        raise ConfigurationError(
            [f"fly/trading.toml: {named} is not set: {venue} is not traded there"]
        )
    secrets = {name: secret.reveal() for name, secret in given.items()}
    return configurations.loads("", "fly/trading.toml", environment | secrets).config


async def prove(setup: Setup, config: Config, venue: str, *, order: bool) -> None:
    """The steps of `setup`, with the new key; raises RefusedError at the first that fails. A key
    that was stolen must go, from wherever that is asked and however little cash is left: such
    things only warn."""
    from betatrader.roles.permits import Step
    from betatrader.roles.proving import prove as steps

    failed: list[Step] = []

    def tell(step: Step) -> None:
        setup.tell(f"new key: {step.name} {step.verdict}: {step.found}")
        if step.verdict == "fail":
            failed.append(step)

    await steps(config, venue, tell, order=order, key_alone=True)
    if failed:
        step = failed[0]
        raise RefusedError(
            f"the new key of {venue} is not proven: {step.name}: {step.found}\n"
            f"The old one is still in use, nothing was changed. {step.remedy}".rstrip()
        )


def refuse_leftovers(venue: str, given: Mapping[str, Secret], app: str, found: Names) -> None:
    """What is proven is what will be in force: raises RefusedError where the app keeps a secret of
    the venue that is not among the new lines, since it belongs to the old key."""
    kept = [s.name for s in found if s.name in credentials.venue_names(venue)]
    left = sorted(set(kept) - set(given))
    if left:
        named = ", ".join(left)
        raise RefusedError(
            f"{app} keeps {named} of the old key, and the lines given do not name "
            f"{'it' if len(left) == 1 else 'them'}: nothing was changed\n"
            f"Give {named} of the new key too, or remove what it does not need: "
            f"`fly secrets unset {' '.join(left)} --stage -a {app}`."
        )


async def plan(setup: Setup, folder: Path, venue: str, given: Mapping[str, Secret]) -> Plan:
    """A restart of the trader with the version that runs; raises RefusedError where none does, or
    where a secret of the old key would stay beside the new one."""
    image = (await survey(setup))["trading"]
    if not image:
        raise RefusedError(
            "no trader runs: there is no key to switch\n"
            "Set it with `betatrader release secrets set trading`, and deploy."
        )
    app = app_name("trading", setup.settings.prefix)
    refuse_leftovers(venue, given, app, await setup.fly.secrets(app))
    return await prepare(setup, "rotate", image, folder)


async def switch(setup: Setup, made: Plan, venue: str, given: Mapping[str, Secret]) -> Record:
    """Stage the key, restart the trader with it, and see the gate passed."""
    app = app_name("trading", setup.settings.prefix)
    before = {secret.name: secret.digest for secret in await setup.fly.secrets(app)}
    held = {name: before.get(name, "") for name in given}
    record = msgspec.structs.replace(made.record, venue=venue, secrets=held)
    lock = await take(setup, record)
    async with kept_alive(lock):
        await setup.book.write(record)
        await lock.renew(f"trading: staging the key of {venue}")
        try:
            await setup.fly.stage(app, credentials.written(given))
        except BetatraderError as error:
            await _look_for_them(setup, record, lock, error)
        record = msgspec.structs.replace(record, staged=True)
        await setup.book.write(record)
        setup.tell(f"staged at {app}: {', '.join(given)}")
    return await release(setup, made.target, record, lock)


async def _look_for_them(setup: Setup, record: Record, lock: Lock, error: BetatraderError) -> None:
    """fly has failed, and may have taken the key all the same: ends the release where it has not,
    or where nobody knows."""
    why = str(error).partition("\n")[0]
    app = app_name("trading", setup.settings.prefix)
    try:
        if await is_staged(setup, record):
            setup.tell(f"{app}: fly has the new key, though {why}")
            return
        left = "nothing was changed"
    except BetatraderError:
        left = (
            f"nobody knows whether {app} has it by now: `fly secrets list -a {app}` says so, and "
            "what is staged there goes into force with the next deploy"
        )
    await abandon(setup, record, lock, f"the key was not staged: {why}; {left}")
    what = f"the key of {record.venue} was not staged: {why}"
    said = error.said if isinstance(error, FlyError) else ""
    raise FlyError(f"{what}\nThe release ends: {left}.", said)


async def is_staged(setup: Setup, record: Record) -> bool:
    """Whether fly has the new key of a rotation: it said so, or holds another value than before."""
    if record.staged:
        return True
    app = app_name("trading", setup.settings.prefix)
    now = {secret.name: secret.digest for secret in await setup.fly.secrets(app)}
    return any(now.get(name, "") != digest for name, digest in record.secrets.items())


def unstaged(record: Record) -> RefusedError:
    """There is nothing to go on with, nor to take back."""
    return RefusedError(
        f"the new key of {record.venue} never got to fly: nothing was changed\n"
        f"Give it again: `betatrader release secrets rotate {record.venue}`."
    )


async def refuse_back(setup: Setup, record: Record) -> None:
    """A rotation that was cut off has no version to go back to; raises RefusedError."""
    if not await is_staged(setup, record):
        raise RefusedError(
            f"the rotation that was cut off has changed nothing: fly never got the new key of "
            f"{record.venue}\nClose it with `betatrader release deploy --resume`."
        )
    app = app_name("trading", setup.settings.prefix)
    raise RefusedError(
        f"{app} has the new key of {record.venue} staged: going back would put it in force\n"
        "Go on with `betatrader release deploy --resume`. Where the old key is to stay, switch "
        f"back to it after that: `betatrader release secrets rotate {record.venue}`."
    )
