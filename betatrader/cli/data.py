"""`data record|import|list|show`: market data files and the catalogue."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from betatrader.cli.output import Duration, Finite, Group, json_option, print_json, print_table
from betatrader.model.errors import RefusedError, UsageError
from betatrader.ops.clock import iso

PROGRESS_S = 2.0


@click.group(cls=Group)
def data() -> None:
    """Record, import, list and show market data.

    Example: betatrader data import day.jsonl.gz && betatrader data list
    """


def catalogue() -> Path:
    """Where imported data is kept."""
    from betatrader.ops.home import default_home

    return default_home() / "data"


@data.command("import")
@click.argument("path", type=Path)
@click.option("--from", "from_s", type=Finite(0), default=0.0, help="Skip so many seconds.")
@click.option("--to", "to_s", type=Finite(0), help="End after so many seconds.")
@click.option("--output", type=Path, help="The segment's path. Default: the catalogue.")
@click.option("--note", default="", help="Source and licence, kept in the segment.")
@click.option("--force", is_flag=True, help="Write over a segment that exists.")
@json_option
def data_import(
    path: Path, from_s: float, to_s: float | None, output: Path | None, as_json: bool, **more: Any
) -> None:
    """Convert a recording (or a stretch of it) into our compact segment format.

    \b
    A stretch opens with a snapshot made from the book as rebuilt up to there:
      betatrader data import btc.jsonl.gz --from 200 --to 320
    """
    from betatrader.roles.feeds import read_file
    from betatrader.sim.excerpt import cut
    from betatrader.store import segment

    if to_s is not None and to_s <= from_s:
        raise UsageError(
            f"--to {to_s} is not after --from {from_s}\nBoth are seconds from the first event."
        )
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl")
    target = output or catalogue() / f"{stem}.btseg"
    if target.exists() and not more["force"]:
        raise RefusedError(f"{target} exists\nGive --force to write over it, or --output PATH.")
    target.parent.mkdir(parents=True, exist_ok=True)
    events: Iterator[Any] = read_file(path)
    if from_s or to_s is not None:
        events = cut(events, from_s, to_s)
    header = segment.Header(source=path.name, note=more["note"])
    header = segment.write(target, header, _counted(events))
    facts = {"path": str(target), "bytes": target.stat().st_size, **msgspec.to_builtins(header)}
    if as_json:
        print_json(facts)
    else:
        click.echo(f"wrote {target}: {header.events:,} events, {facts['bytes']:,} bytes")


@data.command("record")
@click.argument("venue", type=click.Choice(["binance", "polymarket"]))
@click.argument("symbol", metavar="SYMBOL|MARKET")
@click.option("--for", "seconds", type=Duration(), metavar="60s", help="Stop after so long.")
@click.option("--output", type=Path, help="The raw file. Default: the catalogue.")
@click.option("--config", "config_path", metavar="FILE", help="Its venue's addresses are used.")
@json_option
def data_record(
    venue: str, symbol: str, *, seconds: float | None, config_path: str | None, **more: Any
) -> None:
    """Record what a venue shows of a pair, or of a market by its condition id, raw and decoded,
    until Ctrl-C. No key is needed.

    \b
    Example: a minute, and the same minute again:
      betatrader data record binance BTCUSDT --for 60s --output day.jsonl.gz
      betatrader up --data day.btseg
      betatrader data record polymarket 0x5f65... --output market.jsonl.gz
    """
    import anyio

    from betatrader.config import find_file, load
    from betatrader.net.live import LiveTransport
    from betatrader.ops.clock import now_ns
    from betatrader.ops.home import default_home
    from betatrader.roles.recording import record, record_polymarket

    config = load(find_file(config_path, default_home())).config
    if venue == "polymarket" and not re.fullmatch("0x[0-9a-fA-F]{64}", symbol):
        raise UsageError(
            f"{symbol!r} is no market\nGive its condition id: 0x and 64 hexadecimal digits."
        )
    name = symbol.lower()[:20]
    target = more["output"] or catalogue() / f"{venue}_{name}_{now_ns() // 10**9}.jsonl.gz"
    if target.exists():
        raise RefusedError(f"{target} exists\nGive another --output.")

    def progress(count: int) -> None:
        click.echo(f"{count:,} messages", err=True)

    async def done() -> Any:
        if venue == "polymarket":
            settings, market = config.polymarket, symbol.lower()
            given = (settings, LiveTransport(), market, target, seconds)
            return await record_polymarket(*given, progress=progress)
        pair = symbol.upper()
        return await record(
            config.binance, LiveTransport(), pair, target, seconds, progress=progress
        )

    found = anyio.run(done)
    if more["as_json"]:
        print_json({name: str(value) for name, value in found._asdict().items()})
    else:
        click.echo(
            f"wrote {found.raw} ({found.messages:,} messages) and {found.segment} "
            f"({found.events:,} events)"
        )


def _counted(events: Iterator[Any]) -> Iterator[Any]:
    """Says on stderr how far it is, every two seconds."""
    said = time.monotonic()
    for count, event in enumerate(events, 1):
        if not count % 10_000 and time.monotonic() - said > PROGRESS_S:
            said = time.monotonic()
            click.echo(f"{count:,} events, up to {iso(event.time_ns)}", err=True)
            sys.stderr.flush()
        yield event


@data.command("list")
@json_option
def data_list(as_json: bool) -> None:
    """What the catalogue holds, and the excerpt that is packaged.

    Example: betatrader data list --json
    """
    from betatrader.roles.feeds import excerpt
    from betatrader.store import segment

    rows = []
    for path in [excerpt(), *sorted(catalogue().glob("*.btseg"))]:
        header = segment.read_header(path)
        rows.append(
            {
                "name": path.name,
                "instruments": ", ".join(header.instruments),
                "events": header.events,
                "seconds": round((header.last_ns - header.first_ns) / 1e9),
                "from": iso(header.first_ns),
                "bytes": path.stat().st_size,
            }
        )
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows], "nothing")


def _found(path: Path) -> Path:
    """The file itself, else the one of this name in the catalogue or the package."""
    from betatrader.roles.feeds import excerpt

    for folder in (Path(), catalogue(), excerpt().parent):
        for name in (path.name, f"{path.name}.btseg"):
            candidate = path if folder == Path() and name == path.name else folder / name
            if candidate.exists():
                return candidate
    return path


@data.command("show")
@click.argument("path", type=Path)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many events."
)
@json_option
def data_show(path: Path, limit: int, as_json: bool) -> None:
    """The first events of a file of any format we read; PATH may be a name that `list` prints.

    Example: betatrader data show binance_btcusdt_excerpt --limit 5
    """
    from itertools import islice

    from betatrader.roles.feeds import read_file

    found = _found(path)
    shown = [
        {"kind": type(event).__name__, **msgspec.structs.asdict(event)}
        for event in islice(read_file(found), limit)
    ]
    if as_json:
        print_json(shown)
        return
    for event in shown:
        kind, when = event.pop("kind"), event.pop("time_ns")
        click.echo(f"{iso(when)} {kind:16} {str(event)[:160]}")
