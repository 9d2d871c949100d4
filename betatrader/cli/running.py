"""`up` and `demo`: the three roles side by side."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click

from betatrader.cli.output import Duration, Speed
from betatrader.model.errors import RefusedError


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        (
            click.option("--data", multiple=True, metavar="FILE", help="Trade on this recording."),
            click.option(
                "--strategy",
                multiple=True,
                metavar="NAME|PATH[:CLASS]",
                help="A strategy to run; repeatable. Default: both that ship.",
            ),
            click.option(
                "--speed", type=Speed(), metavar="N", help="Play recorded time N times as fast."
            ),
            click.option(
                "--venue",
                multiple=True,
                type=click.Choice(["sim", "binance-sim", "polymarket-sim"]),
                help="Trade at a simulated venue in a process of its own, over its protocol; "
                "two real venues may be traded at once.",
            ),
            click.option("--config", "config_path", metavar="FILE", help="Configuration file."),
            click.option("--json", "as_json", is_flag=True, help="Print the report as JSON."),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.option("--for", "seconds", type=Duration(), metavar="60s", help="Stop after so long.")
@click.option("--live", is_flag=True, help='With mode = "live" in the configuration: real money.')
@_options
def up(**options: Any) -> None:
    """Run the three roles as separate processes until Ctrl-C, then report.

    A private Redis is started unless REDIS_URL is set. A role that dies is started again.

    \b
    Examples:
      betatrader up
      betatrader up --data day.jsonl.gz --strategy my.py --speed 10 --for 60s
    """
    from betatrader.ops.home import default_home

    home = default_home()
    _run(home, home / "reports", demo=False, options=options)


@click.command()
@click.option("--for", "seconds", type=Duration(), default="40s", show_default=True)
@_options
def demo(**options: Any) -> None:
    """Watch it trade: real BTCUSDT data and a generated prediction market, nothing to set up.

    \b
    Examples:
      betatrader demo
      betatrader demo --for 20s --json
    """
    from betatrader.ops.home import default_home
    from betatrader.roles.local import clear_leftovers, demo_home

    clear_leftovers()
    home = demo_home()
    try:
        _run(home, default_home() / "reports", demo=True, options={**options, "live": False})
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _venues(named: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(named)) < len(named) or ("sim" in named and len(named) > 1):
        raise click.UsageError(
            "--venue: each once, and the reference venue `sim` alone; "
            "for example --venue binance-sim --venue polymarket-sim"
        )
    return tuple(name.removesuffix("-sim") for name in named)


def _run(home: Path, reports: Path, *, demo: bool, options: dict[str, Any]) -> None:
    from betatrader import __version__
    from betatrader.ops import logs
    from betatrader.roles.local import Plan, run

    reports.mkdir(parents=True, exist_ok=True)
    as_json, show = options["as_json"], not options["as_json"] and sys.stdout.isatty()
    environment, config = _environment(home, options)
    log_file = _log_file(home) if show else None
    logs.configure(config.log_level, role="up", version=__version__, instance=f"up-{os.getpid()}")
    view = None
    if show:
        from betatrader.cli.live import LiveView

        view = LiveView()
    venues = _venues(options["venue"])
    plan = Plan(
        home,
        reports,
        options["seconds"],
        environment,
        config.mode,
        demo,
        log_file,
        venues,
        options["live"],
    )
    try:
        result = run(plan, view.show if view is not None else None)
    finally:
        if view is not None:
            view.close()
        if log_file is not None:
            log_file.close()
    _print_report(result, as_json=as_json)
    sys.exit(result.status)


def _environment(home: Path, options: dict[str, Any]) -> tuple[dict[str, str], Any]:
    """The roles' further environment, and the configuration; raises what is wrong at once."""
    import msgspec

    from betatrader.config import find_file, load
    from betatrader.config.live import check_command_line
    from betatrader.roles import feeds, ladder, strategies

    path = find_file(options["config_path"], home)
    added = {}
    if path is not None:
        added["BETATRADER_CONFIG"] = str(path.resolve())
    if options["data"]:
        names = [str(Path(name).resolve()) for name in options["data"]]
        added["BETATRADER_FEED__DATA"] = msgspec.json.encode(names).decode()
    if options["speed"]:
        added["BETATRADER_FEED__SPEED"] = options["speed"]
    if options["strategy"]:
        entries = ", ".join(
            f"{{name = {msgspec.json.encode(_resolved(name)).decode()}}}"
            for name in options["strategy"]
        )
        added["BETATRADER_STRATEGIES"] = f"[{entries}]"
    config = load(path, {**os.environ, **added}).config
    for name in config.feed.data:
        feeds.read_file(Path(name))
    strategies.load_all(config.strategies)
    check_command_line(config, live=options["live"])
    if options["venue"] and config.mode != "paper":
        raise RefusedError(
            f'--venue is for simulated venues, and the configuration says mode = "{config.mode}"\n'
            'Leave --venue out, or set mode = "paper".'
        )
    if config.journal.durability == "local":  # else Redis may know more: the trader looks there
        ladder.check(config, ladder.load(home))
    return added, config


def _resolved(name: str) -> str:
    """A path made absolute, a shipped strategy's name left alone."""
    head, colon, tail = name.rpartition(":")
    if ".py" not in name and os.sep not in name:
        return name
    if colon and tail.isidentifier():
        return f"{Path(head).resolve()}:{tail}"
    return str(Path(name).resolve())


def _log_file(home: Path) -> IO[bytes]:
    """Where the roles' logs go while the live view has the screen."""
    home.mkdir(parents=True, exist_ok=True)
    return (home / "roles.log").open("ab")


def _print_report(result: Any, *, as_json: bool) -> None:
    from betatrader.roles import report

    if result.report is None:
        click.echo("no report: the trader never opened its account", err=True)
        return
    if as_json:
        click.echo(report.encode(result.report).decode())
    else:
        click.echo(report.text(result.report))
        click.echo(f"  report kept in {result.folder}")
    if result.report.error:
        click.echo(result.report.error, err=True)
