"""`journal verify|show` and `replay`: what a trader saw and did, proven and repeated."""

import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import click
import msgspec

from betatrader.cli.output import Group, json_option, print_json, print_json_line
from betatrader.cli.sentences import describe, event_fields
from betatrader.model.errors import BetatraderError, UsageError
from betatrader.ops.clock import iso

PROGRESS_S = 2.0
MOST = 1_000_000_000
"""Records that one `show` prints; as many as no journal holds."""


@click.group(cls=Group)
def journal() -> None:
    """The journal of a run: every event and every answer, chained so that tampering shows.

    Example: betatrader journal verify
    """


@journal.command("verify")
@click.argument("path", type=Path, required=False)
@click.option(
    "--repair",
    is_flag=True,
    help="Cut off a torn tail, which a crash may leave; no trader may be at work (else status 6).",
)
@json_option
def journal_verify(path: Path | None, repair: bool, as_json: bool) -> None:
    """Check every frame and the hash chain of a journal (default: the home's last run).

    Example: betatrader journal verify --repair
    """
    from betatrader.roles import keeping
    from betatrader.store.journal_reader import Reader
    from betatrader.store.journal_reader import repair as cut_torn_tail

    chosen = _chosen(path)
    if repair:
        with keeping.without_trader(chosen):
            cut_torn_tail(chosen)
    reader = Reader(chosen)
    count = sum(1 for _ in reader)
    facts = {
        "journal": str(reader.paths[0].parent),
        "run": reader.head.run,
        "files": len(reader.paths),
        "records": count,
        "torn_bytes": reader.torn,
        "closed": reader.closed,
    }
    if as_json:
        print_json(facts)
        return
    click.echo(
        f"run {reader.head.run}: {count:,} records in {len(reader.paths)} files, every frame and "
        "the whole chain hold"
    )
    if reader.torn:
        click.echo(_torn(reader.torn))
    if reader.closed:
        click.echo("closed: it ends where the run ended")
    elif not reader.any_file:
        click.echo("not closed cleanly: the run goes on, or was killed; its last records may lack")


@journal.command("show")
@click.argument("path", type=Path, required=False)
@click.option(
    "--limit", type=click.IntRange(1, MOST), default=50, show_default=True, help="How many records."
)
@click.option(
    "--from",
    "first",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="The first record's number.",
)
@json_option
def journal_show(path: Path | None, limit: int, first: int, as_json: bool) -> None:
    """Print records; with --json one a line.

    Example: betatrader journal show --from 1000 --limit 20
    """
    from betatrader.store.journal_reader import Reader

    reader = Reader(_chosen(path))
    wanted = (entry for entry in reader if entry.sequence >= first)
    for entry in islice(wanted, limit):
        fields = event_fields(entry.record)
        if as_json:
            print_json_line({"sequence": entry.sequence, **fields})
            continue
        said = "; ".join(describe(entry.record)) or _short(fields)
        click.echo(f"{entry.sequence:>9} {iso(entry.record.time_ns)} {fields['kind']:16} {said}")
    _tell_torn(reader.torn)


@click.command()
@click.argument("path", type=Path, required=False)
@json_option
def replay(path: Path | None, as_json: bool) -> None:
    """Feed a journal through the engine again, and compare every answer, byte for byte.

    Exit status 1 on the first difference, which is shown. Example: betatrader replay
    """
    from betatrader.roles.replaying import replay_journal

    reader, result = replay_journal(_chosen(path), _Progress("events"))
    facts = {
        "run": reader.head.run,
        "events": result.events,
        "steps": result.steps,
        "same": result.difference is None,
        "torn_bytes": reader.torn,
        "difference": result.difference._asdict() if result.difference is not None else None,
    }
    if as_json:
        print_json(facts)
    else:
        _tell_torn(reader.torn)
    if result.difference is not None:
        one = result.difference
        if not as_json:
            click.echo(f"event {one.sequence}: {one.event}")
            click.echo(f"the journal: {one.journal}")
            click.echo(f"the engine:  {one.engine}")
        raise BetatraderError(
            f"run {reader.head.run}: the engine answers event {one.sequence} differently\n"
            f"Was the journal written by this version? It says {reader.head.version}."
        )
    if not as_json:
        click.echo(
            f"run {reader.head.run}: {result.events:,} events gave the same {result.steps:,} "
            "answers, byte for byte"
        )


@click.command()
@click.argument("order")
@click.option("--journal", "path", type=Path, help="One journal. Default: all of the home.")
@json_option
def explain(order: str, path: Path | None, as_json: bool) -> None:
    """The life of one order: forecast, strategy, checks, venue messages; or why it was refused.

    ORDER is an id, or its last digits: then the newest that ends so. Of an order that rested over a
    restart every run's journal tells its part. Example: betatrader explain 00000000002a
    """
    from betatrader.ops.home import default_home
    from betatrader.roles import keeping
    from betatrader.roles.explaining import explain as tell

    books = keeping.books(default_home()) if path is None else [[path]]
    if not books:
        raise _no_journal()
    life = tell(books, order, _Progress("records"))
    if as_json:
        print_json(life)
        return
    click.echo(f"order {life.order}")
    several, place = len({line.run for line in life.lines}) > 1, ""
    for line in life.lines:
        here = f"run {line.run}, {line.time[:10]}"
        if several and here != place:
            click.echo(f"  {here}")
            place = here
        click.echo(f"  {line.time[11:-1]}  {line.text}")
    for note in life.notes:
        click.echo(note, err=True)


class _Progress:
    """Says on stderr how far it is, every two seconds."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said = time.monotonic()

    def __call__(self, count: int) -> None:
        if time.monotonic() - self._said > PROGRESS_S:
            self._said = time.monotonic()
            click.echo(f"{count:,} {self._what}", err=True)
            sys.stderr.flush()


def _chosen(path: Path | None) -> Path:
    """The journal that is meant: the named one, or that of the home's last run."""
    if path is not None:
        return path
    from betatrader.ops.home import default_home
    from betatrader.roles import keeping

    runs = keeping.runs(default_home())
    if not runs:
        raise _no_journal()
    return runs[-1]


def _no_journal() -> UsageError:
    from betatrader.ops.home import default_home

    return UsageError(
        f"no journal in {default_home() / 'journal'}\n"
        "Run `betatrader up` first, or give the path of a journal."
    )


def _torn(size: int) -> str:
    return f"the last write was cut off ({size} bytes): a crash, and no damage"


def _tell_torn(size: int) -> None:
    """One line beside what was printed, where the journal ends in a torn tail."""
    if size:
        click.echo(_torn(size), err=True)


def _short(fields: dict[str, Any]) -> str:
    rest = {name: value for name, value in fields.items() if name not in ("kind", "time")}
    return msgspec.json.encode(rest, enc_hook=str).decode()[:100]
