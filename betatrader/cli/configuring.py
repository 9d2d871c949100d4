"""`config init|check|show`."""

from pathlib import Path
from typing import Any

import click
import msgspec

from betatrader.cli.output import Group, json_option, print_json, print_table
from betatrader.cli.template import TEMPLATE
from betatrader.config import find_file, load
from betatrader.config.reader import Section
from betatrader.model.errors import RefusedError
from betatrader.ops.home import default_home


@click.group(cls=Group)
def config() -> None:
    """Write, check and show the configuration.

    Example: betatrader config init && betatrader config check
    """


@config.command("init")
@click.argument("path", required=False)
@click.option("--force", is_flag=True, help="Write over a file that exists.")
def config_init(path: str | None, force: bool) -> None:
    """Write a commented file with every default (PATH, or the home's betatrader.toml).

    Example: betatrader config init my.toml
    """
    target = Path(path) if path else default_home() / "betatrader.toml"
    if target.exists() and not force:
        raise RefusedError(f"{target} exists\nGive --force to write over it, or another path.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(TEMPLATE)
    click.echo(f"wrote {target}")


@config.command("check")
@click.argument("path", required=False)
@json_option
def config_check(path: str | None, as_json: bool) -> None:
    """Check a file, and name every error with its line and field (exit status 3).

    Example: betatrader config check my.toml
    """
    from betatrader.jobs.schedule import check_expressions
    from betatrader.roles.strategies import load_all

    found = find_file(path, default_home())
    loaded = load(found)
    load_all(loaded.config.strategies)
    check_expressions(
        {
            "jobs.pnl_report": loaded.config.jobs.pnl_report,
            "jobs.stream_upkeep": loaded.config.jobs.stream_upkeep,
        }
    )
    if as_json:
        print_json({"file": str(found) if found else None, "ok": True})
    else:
        click.echo(f"{found or 'defaults'}: ok")


@config.command("show")
@click.argument("path", required=False)
@json_option
def config_show(path: str | None, as_json: bool) -> None:
    """Show every effective value, and where it came from.

    Example: betatrader config show --json
    """
    loaded = load(find_file(path, default_home()))
    rows = list(_rows(loaded.config, ""))
    if as_json:
        print_json(
            {
                name: {"value": value, "source": loaded.sources.get(name, "default")}
                for name, value in rows
            }
        )
        return
    shown = [(name, _text(value), loaded.sources.get(name, "default")) for name, value in rows]
    print_table(("field", "value", "from"), shown, "")


def _rows(section: Section, prefix: str) -> Any:
    for field in msgspec.structs.fields(type(section)):
        value = getattr(section, field.name)
        if isinstance(value, Section):
            yield from _rows(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value


def _text(value: Any) -> str:
    return "unset" if value is None else str(msgspec.to_builtins(value, enc_hook=str))
