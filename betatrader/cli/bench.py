"""`bench`: the benchmarks, each figure with its goal."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from betatrader import __version__
from betatrader.cli.output import print_json, print_table
from betatrader.model.errors import UsageError

RECORDING = "binance_spot_btcusdt_20240808.jsonl.gz"


def _engine(progress: Callable[[str], None]) -> list[Any]:
    from betatrader.bench import engine

    return engine.run(_recorded(progress), progress)


def _journal(progress: Callable[[str], None]) -> list[Any]:
    from betatrader.bench import journal

    return journal.run(_recorded(progress), progress)


def _recovery(progress: Callable[[str], None]) -> list[Any]:
    from betatrader.bench import recovery

    return recovery.run(_recorded(progress), progress)


def _memory(progress: Callable[[str], None]) -> list[Any]:
    from betatrader.bench import memory

    return memory.run(_recorded(progress), progress)


def _soak(progress: Callable[[str], None]) -> list[Any]:
    from betatrader.bench import soak

    return soak.run(_recorded(progress), progress)


def _failover(progress: Callable[[str], None]) -> list[Any]:
    from betatrader.bench import failover

    return failover.run(progress)


def _quota(progress: Callable[[str], None]) -> list[Any]:
    from betatrader.bench import quota

    return quota.run(progress)


def _recorded(progress: Callable[[str], None]) -> list[Any]:
    from betatrader.roles.feeds import excerpt, read_file

    path = Path(os.environ.get("BETATRADER_SHARED", "../shared")) / "data" / RECORDING
    if not path.exists():
        progress(f"{path} is not there: the packaged excerpt serves instead")
        path = excerpt()
    return list(read_file(path))


def _bus(progress: Callable[[str], None]) -> list[Any]:
    from betatrader.bench import bus

    return bus.run(progress)


def _shipping(progress: Callable[[str], None]) -> list[Any]:
    from betatrader.bench import shipping

    return shipping.run(_recorded(progress), progress)


def _wire(progress: Callable[[str], None]) -> list[Any]:
    from betatrader.bench import wire, wire_polymarket

    path = Path(os.environ.get("BETATRADER_SHARED", "../shared")) / "data" / RECORDING
    if not path.exists():
        raise UsageError(
            f"{path} is not there\nIt measures on raw messages: set BETATRADER_SHARED to them."
        )
    return wire.binance(path, progress) + wire_polymarket.run(progress)


BENCHMARKS = {
    "engine": _engine,
    "journal": _journal,
    "bus": _bus,
    "shipping": _shipping,
    "recovery": _recovery,
    "memory": _memory,
    "failover": _failover,
    "quota": _quota,
    "soak": _soak,
    "wire": _wire,
}
LONG = ("quota", "soak", "wire")
"""Run where they are named: they take minutes, or need raw recordings."""


@click.command()
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def bench(names: tuple[str, ...], as_json: bool) -> None:
    """Measure: engine, journal, bus, shipping, recovery, memory, failover, quota, soak,
    wire.

    Without a name, all but quota, soak and wire (two minutes). soak takes three by itself, for ten
    million events; BETATRADER_SOAK_EVENTS=N sets how many.

    \b
    Examples:
      betatrader bench engine --json
      betatrader bench recovery failover
    """
    for name in names:
        if name not in BENCHMARKS:
            raise UsageError(f"no benchmark is named {name!r}\nThere are: {', '.join(BENCHMARKS)}.")
    from betatrader.ops import logs

    logs.configure("warning", role="bench", version=__version__, instance=f"bench-{os.getpid()}")
    results = []
    for name in names or [name for name in BENCHMARKS if name not in LONG]:
        results += BENCHMARKS[name](lambda text: click.echo(text, err=True))
    if as_json:
        print_json({"results": results})
        return
    rows = [
        (
            r.name,
            f"{r.value:,.2f}",
            r.unit,
            "" if r.goal is None else f"{r.goal:,.2f}",
            {True: "met", False: "NOT met", None: ""}[r.met],
            r.note,
        )
        for r in results
    ]
    print_table(("name", "value", "unit", "goal", "", "note"), rows, "no results")
