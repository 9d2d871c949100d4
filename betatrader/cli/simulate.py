"""`simulate`: the whole trader under seeded faults."""

from typing import Any

import click
from click.core import ParameterSource

from betatrader.cli.output import Finite, print_json, print_table
from betatrader.model.errors import UsageError

SEEDS, BUG_SEEDS = 100, 250
"""Unless said otherwise. Of the planted bugs one is seen as late as by the 188th seed."""


@click.command()
@click.option(
    "--seeds",
    type=click.IntRange(1),
    help=f"How many: {SEEDS} by default; with --bugs at most {BUG_SEEDS} for each bug.",
)
@click.option("--seed", "first", type=click.IntRange(0), default=0, help="The first of them.")
@click.option(
    "--hours",
    type=Finite(0, min_open=True),
    help="Until so much is simulated.",
)
@click.option(
    "--venue",
    type=click.Choice(["sim", "binance", "polymarket", "both"]),
    default="sim",
    show_default=True,
    help="Whose protocol the trader speaks: its adapter, against that venue's simulator. "
    "both: one trader at the last two.",
)
@click.option(
    "--bugs",
    "plant",
    is_flag=True,
    help="Plant each known bug; each must be caught, at the reference venue and from seed 0 on.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def simulate(
    seeds: int | None, first: int, hours: float | None, *, venue: str, plant: bool, as_json: bool
) -> None:
    """Run the trader itself against a simulated venue, Redis, network and disk in virtual time.

    Each seed kills, pauses, cuts off and confuses it in its own way, and the venue's ledger judges.
    A failing seed is shrunk to the fewest faults that make it fail, and runs the same again:
    `betatrader simulate --seed N --seeds 1`. Exit status 1 where any seed fails (or, with --bugs,
    where a planted bug is not caught).

    \b
    Examples:
      betatrader simulate --seeds 500
      betatrader simulate --seed 4711 --seeds 1
      betatrader simulate --hours 10 --json
      betatrader simulate --bugs
    """
    if plant:
        _refuse_what_bugs_ignore()
        _plant(seeds or BUG_SEEDS, as_json=as_json)
        return
    from betatrader.chaos.simulate import run

    seeds = seeds or SEEDS
    with click.progressbar(length=seeds, label="seeds", file=_stderr()) as bar:
        report = run(
            range(first, first + seeds),
            lambda done, _: bar.update(done - bar.pos),
            hours=hours or 0.0,
            venue=venue,
        )
    if as_json:
        print_json(report)
    else:
        _show(report, venue)
    if report.failing:
        click.get_current_context().exit(1)


def _refuse_what_bugs_ignore() -> None:
    """Raises UsageError: who has chosen seeds or a venue would take the answer for theirs."""
    context = click.get_current_context()
    options = {"first": "--seed", "hours": "--hours", "venue": "--venue"}
    given = [
        option
        for name, option in options.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if given:
        raise UsageError(
            f"--bugs does not go with {', '.join(given)}\n"
            "Each bug is planted at the reference venue, from seed 0 on; --seeds says how far."
        )


def _show(report: Any, venue: str) -> None:
    faults = sum(report.faults.values())
    click.echo(
        f"{report.seeds} seeds, {report.simulated_hours} simulated hours, {report.orders} orders, "
        f"{faults} faults, {report.instructions} orders of an operator, {report.halts} halts, "
        f"{len(report.failing)} failing; "
        f"{report.cpu_seconds_per_seed} s of CPU each"
    )
    print_table(("fault", "times"), list(report.faults.items()), "no faults")
    for outcome in report.failing:
        click.echo(
            f"\nseed {outcome.seed} fails: "
            f"betatrader simulate --venue {venue} --seed {outcome.seed} --seeds 1"
        )
        for fault in outcome.planned:
            click.echo(f"  {fault.at_s:7.3f} s  {fault.kind} for {fault.lasts_s} s ({fault.size})")
        for line in outcome.wrong[:5]:
            click.echo(f"  {line}")


def _plant(most_seeds: int, *, as_json: bool) -> None:
    from betatrader.chaos.bugs import BUGS
    from betatrader.chaos.simulate import caught, seen_by

    found = []
    for name, bug in BUGS.items():
        outcome = caught(name, most_seeds)
        found.append(
            {
                "bug": name,
                "tells": bug.tells,
                "caught": outcome is not None,
                "seed": outcome.seed if outcome is not None else None,
                "by": seen_by(name, outcome) if outcome is not None else "",
            }
        )
        click.echo(f"{name}: {found[-1]['by'] or 'NOT CAUGHT'}", err=True)
    if as_json:
        print_json({"bugs": found})
    else:
        rows = [(b["bug"], b["seed"] if b["caught"] else "NOT CAUGHT", b["tells"]) for b in found]
        print_table(("bug", "seed", "what is wrong"), rows, "no bugs")
    if not all(b["caught"] for b in found):
        click.get_current_context().exit(1)


def _stderr() -> Any:
    import sys

    return sys.stderr
