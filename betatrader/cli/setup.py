"""`setup`: from keys to a proven connection."""

from typing import Any

import click

from betatrader.cli.output import json_option, print_json

ENDS_OTHERS = (
    " For that it keeps a heartbeat: some 10 s after it ends, the venue cancels all open orders of "
    "this API key."
)
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.argument("venue", type=click.Choice(["binance", "polymarket"]))
@click.option("--config", "config_path", metavar="FILE", help="Configuration file.")
@click.option("--yes", is_flag=True, help="Do not ask before the order.")
@json_option
def setup(venue: str, config_path: str | None, *, yes: bool, as_json: bool) -> None:
    """Prove a connection to a venue with your keys, a step at a time; each says how to mend it.

    The last step places the smallest post-only order there is, far from the market, and cancels it.
    Keys come from the environment: BETATRADER_BINANCE__KEY and __SECRET,
    BETATRADER_POLYMARKET__PRIVATE_KEY.

    \b
    Examples:
      betatrader setup binance
      betatrader doctor --venue binance   # the same without the order
    """
    from betatrader.config import find_file, load
    from betatrader.config.venues import elsewhere
    from betatrader.ops.home import default_home

    config = load(find_file(config_path, default_home())).config
    if elsewhere(getattr(config, venue)) and not yes:
        click.confirm(
            f"This places one small order at the real {venue}, far from the market, and cancels "
            f"it.{ENDS_OTHERS if venue == 'polymarket' else ''} Go on?",
            abort=True,
        )
    steps = run(config, venue, order=True, show=not as_json)
    if as_json:
        print_json(steps)
    if any(step["verdict"] == "fail" for step in steps):
        click.get_current_context().exit(1)


def run(config: Any, venue: str, *, order: bool, show: bool) -> list[dict[str, str]]:
    """The steps as they were found; each is shown as it comes."""
    from functools import partial

    import anyio

    from betatrader.ops import logs
    from betatrader.roles.proving import check_name, prove

    check_name(config, venue)
    logs.configure("error", role="setup", version="", instance="setup")

    steps: list[dict[str, str]] = []

    def tell(step: Any) -> None:
        steps.append(step._asdict())
        if show:
            _show(steps[-1])

    anyio.run(partial(prove, config, venue, tell, order=order))
    return steps


def _show(step: dict[str, str]) -> None:
    verdict = click.style(f"{step['verdict']:4}", COLOURS[step["verdict"]])
    click.echo(f"{verdict} {step['name']:10} {step['found']}")
    if step["remedy"]:
        click.echo(f"     {'':10} {step['remedy']}")
