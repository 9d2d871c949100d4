"""`release`: plan, deploy, rollback, status, cost, secrets; over the `fly` command."""

import sys
from pathlib import Path
from typing import Any

import click

from betatrader.cli.output import Group, json_option, print_json, print_table
from betatrader.cli.over_fly import Work, gates, options, run


@click.group(cls=Group)
def release() -> None:
    """Put a version on fly.io, and take it back: jobs, intel, trading, a gate after each.

    Needs the `fly` command, and REDIS_URL for the operator's way to the setup's Redis
    (docs/deploy.md).

    \b
    Examples:
      betatrader release plan sha-1a2b3c4
      betatrader release deploy sha-1a2b3c4
      betatrader release rollback
    """


@release.command()
@click.argument("image")
@options
def plan(image: str, *, as_json: bool, **more: Any) -> None:
    """What a deploy of IMAGE would do; every reason not to begin is told.

    Example: betatrader release plan sha-1a2b3c4
    """
    run(_planned("deploy", image, as_json=as_json), **more)


@release.command()
@click.argument("image", required=False)
@options
@gates
@click.option("--resume", is_flag=True, help="Go on with a release that was cut off.")
def deploy(image: str | None, *, as_json: bool, resume: bool, **more: Any) -> None:
    """Release IMAGE (a tag, or REGISTRY/NAME:TAG) to the three apps; back by itself where a gate
    fails.

    Example: betatrader release deploy sha-1a2b3c4
    """
    if (image is None) != resume:
        raise click.UsageError("Give an image, or --resume.")
    if more.pop("dry_run"):
        run(_planned("deploy", image, as_json=as_json), **more)
        return
    work = _resumed if resume else _done("deploy", image)
    _show(run(work, **more), as_json=as_json)


@release.command()
@click.argument("image", required=False)
@options
@gates
def rollback(image: str | None, *, as_json: bool, dry_run: bool, **more: Any) -> None:
    """Back to IMAGE, or to the version before; takes back a release that was cut off, too.

    The fly files are those of that version. Refused where it cannot read what is stored today.

    Example: betatrader release rollback
    """
    if dry_run:
        run(_planned("rollback", image, as_json=as_json), **more)
        return
    _show(run(_done("rollback", image), **more), as_json=as_json)


@release.command()
@options
def status(*, as_json: bool, **more: Any) -> None:
    """What runs, who leads, whether a release is under way, and the last ones.

    Example: betatrader release status
    """
    from betatrader.release.standing import gather

    async def work(setup: Any, _folder: Path) -> Any:
        return await gather(setup)

    found = run(work, **more)
    if as_json:
        print_json(found)
        return
    heads = ("app", "machine", "state", "checks", "image")
    rows = [
        (a["app"], m["id"], m["state"], m["checks"], m["image"])
        for a in found["apps"]
        for m in a["machines"]
    ]
    print_table(heads, rows, "no machine runs")
    click.echo(f"leader: {found['leader'] or 'nobody'}")
    if found["cut_off"]:
        click.echo(f"cut off: {found['under_way']}\n  {found['mend']}")
    else:
        click.echo(f"under way: {found['under_way'] or 'no release'}")
    last = [(r["began"], r["kind"], r["image"], r["by"], r["result"]) for r in found["releases"]]
    print_table(("began", "what", "image", "by", "result"), last, "no release is on record")


@release.command()
@click.option("--region", help="Default: the files' own; else the cheapest that serves the venue.")
@click.option("--venue", default="polymarket", show_default=True)
@click.option("--traffic-gb", type=click.FloatRange(0), help="Sent in a month.")
@click.option("--intel-usd", default="0", metavar="USD", help="Models and searches a month.")
@click.option(
    "--intel-machines",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="How many there are; no file says so.",
)
@click.option("--egress", is_flag=True, help="With a static address, for keys bound to one.")
@click.option("--budget", default="100", show_default=True, metavar="USD")
@click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="Whose fly files are priced.",
)
@json_option
def cost(*, as_json: bool, project: Path, **more: Any) -> None:
    """The monthly bill: of the fly files here, and of three sizes; from a dated price table.

    Example: betatrader release cost --venue binance --intel-usd 20
    """
    from betatrader.release.pricing import priced

    found = priced(project, **more)
    if as_json:
        print_json(found)
        return
    click.echo(f"prices as of {found['prices_as_of']}, USD for 30 days")
    for bill in found["plans"]:
        click.echo(click.style(f"\n{bill['name']}, {bill['region']}", bold=True))
        rows = [(line["name"], line["what"], line["usd"]) for line in bill["lines"]]
        rows.append(("total", f"{bill['daily_usd']} a day", bill["usd"]))
        print_table(("", "", "USD"), rows, "")
        click.echo(f"${found['budget_usd']} buys {bill['months']} months")


@release.command()
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default="fly"
)
@json_option
def check(folder: Path, *, as_json: bool) -> None:
    """Check fly files: keys, ranges, what we ask of them, and each role's settings in [env]; status
    3 where one is wrong.

    A cost in jobs.toml that is not the bill of these files is a warning.

    Example: betatrader release check fly
    """
    from betatrader.release import settings
    from betatrader.release.configuration import wrong_in
    from betatrader.release.pricing import warning

    found = [*wrong_in(folder), *settings.wrong_in(folder)]
    texts = {} if found else {path.stem: path.read_text() for path in folder.glob("*.toml")}
    if texts and (told := warning(texts)):
        click.echo(f"warning: {told}", err=True)
    if as_json:
        print_json(found)
    elif not found:
        click.echo(f"{folder}: nothing is wrong")
    for problem in [] if as_json else found:
        click.echo(problem, err=True)
    if found:
        click.get_current_context().exit(3)


@click.group(cls=Group)
def secrets() -> None:
    """Each app's own secrets: checked, set, and a venue's key rotated.

    \b
    Examples:
      betatrader release secrets check
      betatrader release secrets set trading < trading.env
      betatrader release secrets rotate binance < new-key.env
    """


release.add_command(secrets)


@secrets.command("check")
@options
def secrets_check(*, as_json: bool, **more: Any) -> None:
    """Name what is missing, extra or one value under several names; status 3 where there is any.

    Example: betatrader release secrets check
    """
    from betatrader.release.keeping import checked

    async def work(setup: Any, _folder: Path) -> Any:
        return await checked(setup)

    found = run(work, **more)
    if as_json:
        print_json(found)
    else:
        rows = [(s["app"], s["name"], s["status"]) for s in found["secrets"]]
        print_table(("app", "secret", "status"), rows, "no secret is set")
        for problem in found["problems"]:
            click.echo(problem, err=True)
    if found["problems"]:
        click.get_current_context().exit(3)


@secrets.command("set")
@click.argument("role", type=click.Choice(["trading", "intel", "jobs", "redis"]))
@options
def secrets_set(role: str, *, as_json: bool, **more: Any) -> None:
    """Stage NAME=VALUE lines from stdin for an app; they are in force with the next deploy.

    Example: betatrader release secrets set trading < trading.env
    """
    from betatrader.release import credentials
    from betatrader.release.keeping import stage

    given = credentials.read(sys.stdin.read())

    async def work(setup: Any, _folder: Path) -> Any:
        return await stage(setup, role, given)

    app = run(work, redis=False, **more)
    if as_json:
        print_json({"app": app, "staged": sorted(given)})
    else:
        click.echo(f"staged at {app}: {', '.join(sorted(given))}; in force with a deploy")


@secrets.command("rotate")
@click.argument("venue", type=click.Choice(["binance", "polymarket"]))
@options
@gates
@click.option("--order", is_flag=True, help="Prove it with one small order, cancelled at once.")
def secrets_rotate(venue: str, *, as_json: bool, order: bool, **more: Any) -> None:
    """Prove a venue's new key (NAME=VALUE lines on stdin), stage it, restart the trader with it.

    Example: betatrader release secrets rotate binance < new-key.env
    """
    from betatrader.release import credentials, planning, rotating

    given = credentials.read(sys.stdin.read())
    rotating.check(venue, given)
    dry_run = more.pop("dry_run")

    async def work(setup: Any, folder: Path) -> Any:
        made = await rotating.plan(setup, folder, venue, given)
        config = rotating.tried(venue, made.target.files, given)
        await rotating.prove(setup, config, venue, order=order and not dry_run)
        if dry_run:
            _show_plan(made, await planning.steps(setup, made, sorted(given)), as_json=as_json)
            return None
        return await rotating.switch(setup, made, venue, given)

    record = run(work, **more)
    if record is None:
        told = f"\nthe new key of {venue} is proven; nothing was changed"
        click.echo(told, err=as_json)
        return
    _show(record, as_json=as_json)
    if not as_json:
        click.echo(f"The old key of {venue} may be revoked there now: nothing holds it any more.")


def _done(kind: str, image: str | None) -> Work:
    """A release from its plan to its end."""
    from betatrader.release.standing import carry_out

    async def work(setup: Any, folder: Path) -> Any:
        return await carry_out(setup, kind, image, folder)

    return work


async def _resumed(setup: Any, folder: Path) -> Any:
    from betatrader.release.standing import go_on

    return await go_on(setup, folder)


def _planned(kind: str, image: str | None, *, as_json: bool) -> Work:
    from betatrader.release.standing import planned, planned_rest

    async def work(setup: Any, folder: Path) -> None:
        if kind == "deploy" and image is None:  # --resume
            made, steps = await planned_rest(setup, folder)
        else:
            made, steps = await planned(setup, kind, image, folder)
        _show_plan(made, steps, as_json=as_json)

    return work


def _show_plan(made: Any, steps: list[Any], *, as_json: bool) -> None:
    record = made.record
    if as_json:
        shown = {"kind": record.kind, "image": record.image, "revision": record.revision}
        print_json({**shown, "steps": [step._asdict() for step in steps]})
        return
    click.echo(f"{record.kind} of {record.image} (fly files of {record.revision[:12]})")
    for step in steps:
        click.echo("\n" + "\n".join(step.told()))


def _show(record: Any, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(record))
    else:
        click.echo(f"{record.kind} {record.id} done: {record.image} by {record.by}")
