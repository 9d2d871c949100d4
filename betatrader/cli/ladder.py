"""`live status|allow`: the ladder to real money, where one stands on it, and a stated override."""

import asyncio
import os
import secrets
from typing import Any

import click

from betatrader.cli.output import Group, json_option, print_json
from betatrader.model.ladder import NEEDS, Allowed, Day, Record, Stage, lacking
from betatrader.model.money import SCALE, show
from betatrader.ops.author import user
from betatrader.ops.clock import iso, now_ns


@click.group(cls=Group)
def live() -> None:
    """The way to real money: paper, shadow, micro, full, each with the record of the one before.

    Example: betatrader live status
    """


@live.command("status")
@click.option("--config", "config_path", metavar="FILE", help="Configuration file.")
@json_option
def live_status(config_path: str | None, *, as_json: bool) -> None:
    """Where each venue stands, and what is lacking for each step.

    Example: betatrader live status --json
    """
    config, home = _configured(config_path)
    found = _found(config, _kept(config, home))
    if as_json:
        print_json(found)
        return
    click.echo(f"the configuration is on: {found['stage'] or 'no step (recorded markets)'}")
    if not found["places"]:
        click.echo("no venue is named: set [binance] symbols, or [polymarket] markets")
    for place, steps in found["places"].items():
        click.echo(place)
        for step in steps:
            _print_step(step)


@live.command("allow")
@click.argument("stage", type=click.Choice([str(stage) for stage in NEEDS]))
@click.option("--reason", required=True, help="Why; kept, journaled and audited with your name.")
@click.option("--config", "config_path", metavar="FILE", help="Configuration file.")
@json_option
def live_allow(stage: str, reason: str, config_path: str | None, *, as_json: bool) -> None:
    """Enter a step without the record of the one before, at the venues that are configured.

    The trader journals who, when and why as it starts on that step.

    Example: betatrader live allow shadow --reason 'two years on another machine'
    """
    from betatrader.model.errors import UsageError
    from betatrader.roles import ladder

    if not reason.strip():
        raise UsageError("--reason is empty\nSay why: it is what the journal will tell.")
    config, home = _configured(config_path)
    places = tuple(ladder.places(config).values())
    if not places:
        raise UsageError(
            "no venue is named, so that nothing can be allowed there\n"
            "Set [binance] symbols, or [polymarket] markets."
        )
    one = Allowed(secrets.token_hex(8), stage, places, user(), reason.strip(), now_ns())
    if config.journal.durability == "shipped" or os.environ.get("REDIS_URL"):
        _with_redis(lambda redis: ladder.ship_allowed(redis, one))  # a trader elsewhere reads it
    ladder.allow(home, one)
    if as_json:
        print_json(one)
    else:
        click.echo(f"{stage} is allowed at {', '.join(places)} by {one.author}: {one.reason}")


def _configured(config_path: str | None) -> Any:
    from betatrader.config import find_file, load
    from betatrader.ops.home import default_home

    home = default_home()
    return load(find_file(config_path, home)).config, home


def _kept(config: Any, home: Any) -> Any:
    from betatrader.roles import ladder

    kept = ladder.load(home)
    if config.journal.durability == "shipped":
        _with_redis(lambda redis: ladder.load_shipped(redis, kept))
    return kept


def _with_redis(ask: Any) -> None:
    """Ask Redis, where the record is too; raises UnreachableError."""
    from betatrader.model.errors import UnreachableError
    from betatrader.ops import home
    from betatrader.store.connection import AWAY, connected

    async def asked() -> None:
        async with connected(home.redis_url(), 2.0) as redis:
            await ask(redis)

    try:
        asyncio.run(asked())
    except AWAY as error:
        raise UnreachableError(f"Redis went away: {error}\nTry again.") from error


def _found(config: Any, kept: Any) -> dict[str, Any]:
    from betatrader.roles import ladder

    stage = ladder.stage_of(config)
    return {
        "mode": config.mode.upper(),
        "stage": str(stage) if stage else "",
        "places": {
            place: [
                _step(one, kept.records.get(place, Record()), ladder.overrides(kept, one, place))
                for one in Stage
            ]
            for place in ladder.places(config).values()
        },
    }


def _step(stage: Stage, record: Record, allowed: list[Allowed]) -> dict[str, Any]:
    total, days = Day(), record.days.get(stage, {})
    for day in days.values():
        total.add(day)
    missing = lacking(stage, record)
    return {
        "stage": str(stage),
        "open": not missing or bool(allowed),
        "lacking": list(missing),
        "allowed": [
            {"by": one.author, "at": iso(one.time_ns), "reason": one.reason} for one in allowed
        ],
        "days": len(days),
        "hours": total.seconds // 3600,
        "orders": total.orders,
        "signed": total.signed,
        "fills": total.fills,
        "cost": show(total.cost * SCALE // total.filled) if total.filled else "",
        "unexplained": total.unexplained,
    }


def _print_step(step: dict[str, Any]) -> None:
    mark = "open" if step["open"] else "shut"
    done = ""
    if step["days"]:
        done = (
            f"{step['days']} days, {step['hours']} hours, {step['orders']} orders, "
            f"{step['signed']} signed, {step['fills']} fills"
        )
    click.echo(f"  {step['stage']:7} {mark}  {done}".rstrip())
    for one in step["allowed"]:
        click.echo(f"          allowed by {one['by']} at {one['at']}: {one['reason']}")
    if not step["allowed"]:
        for text in step["lacking"]:
            click.echo(f"          lacks, of {text}")
