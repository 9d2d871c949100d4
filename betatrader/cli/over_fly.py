"""What every command over the `fly` command takes, and how it runs."""

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from betatrader.cli.output import Duration, json_option

Work = Callable[[Any, Path], Awaitable[Any]]


def options(command: Any) -> Any:
    """What every command over fly takes."""
    for option in (
        click.option(
            "--prefix",
            default="betatrader",
            envvar="BETATRADER_RELEASE_PREFIX",
            help="Apps are called PREFIX-trading and so on.",
        ),
        click.option(
            "--redis-app",
            default="",
            metavar="NAME|none",
            envvar="BETATRADER_RELEASE_REDIS_APP",
            help="The app that has the setup's Redis, PREFIX-redis where none is named; none: it "
            "is no app of yours.",
        ),
        click.option(
            "--project",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            default=".",
            help="The checkout from which a tag's fly files are taken.",
        ),
        json_option,
    ):
        command = option(command)
    return command


def gates(command: Any) -> Any:
    """How patient and how strict the gates are."""
    for option in (
        click.option(
            "--watch",
            "watch_s",
            type=Duration(),
            default="30s",
            envvar="BETATRADER_RELEASE_WATCH",
            show_default=True,
            help="For so long a gate must hold.",
        ),
        click.option(
            "--gate-timeout",
            "gate_s",
            type=Duration(),
            default="3m",
            show_default=True,
            help="After so long a gate that does not hold has failed.",
        ),
        click.option(
            "--errors",
            "most_errors",
            type=click.IntRange(0),
            default=5,
            show_default=True,
            help="Errors that a role may log before that is a burst.",
        ),
        click.option("--immediate", is_flag=True, help="Emergencies: judge no health, and stay."),
        click.option("--dry-run", is_flag=True, help="Print each command, and change nothing."),
    ):
        command = option(command)
    return command


def run(
    work: Work,
    *,
    prefix: str,
    redis_app: str,
    project: Path,
    redis: bool = True,
    watch_s: float = 30.0,
    gate_s: float = 180.0,
    most_errors: int = 5,
    immediate: bool = False,
) -> Any:
    """Run with all that a release works with; a signal cuts it off, and says where it stands."""
    from functools import partial

    import anyio

    from betatrader.ops import logs
    from betatrader.release.releasing import IMMEDIATE, Settings
    from betatrader.release.standing import with_setup

    logs.configure("error", role="release", version="", instance="release")
    strategy = IMMEDIATE if immediate else ""
    settings = Settings(
        prefix, project.resolve(), watch_s, gate_s, most_errors, strategy, redis_app
    )

    def tell(text: str) -> None:
        click.echo(click.style(text, dim=True), err=True)

    with tempfile.TemporaryDirectory(prefix="betatrader-fly-") as folder:
        start = partial(with_setup, settings, tell, work, Path(folder), redis=redis)
        return anyio.run(start)
