"""How commands print (JSON for machines, tables for people), and durations as people write them."""

import math
import re
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import click
import msgspec

UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Duration(click.ParamType[float]):
    """`90`, `60s`, `2m`, `1.5h`."""

    name = "duration"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)", str(value).strip())
        if match is None or float(match[1]) <= 0:
            self.fail(f"{value!r} is no duration: write 60s, 2m or 1h", parameter, context)
        return float(match[1]) * UNITS[match[2]]


class Finite(click.FloatRange):
    """A number in a range; nan, which no range keeps out, and inf are none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number."""
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is no number to go by: give one such as 0.5", param, ctx)
        return found


class Speed(click.ParamType[str]):
    """How many times as fast: more than 0, at most 1000."""

    name = "speed"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> str:
        """The number as text, as the configuration reads it."""
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal(0)
        if not (number.is_finite() and 0 < number <= 1000):
            self.fail(f"{value!r} is no speed: more than 0, at most 1000", parameter, context)
        return format(number, "f")


class Group(click.Group):
    """A command of commands; alone, it shows its help on stdout."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        more.setdefault("invoke_without_command", True)
        super().__init__(*arguments, **more)

    def invoke(self, context: click.Context) -> Any:
        """Help where no command of it was named."""
        if not context._protected_args and not context.args:
            click.echo(context.get_help())
            return None
        return super().invoke(context)


def json_option(command: Any) -> Any:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def print_json(value: Any) -> None:
    """One indented document on stdout."""
    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def print_json_line(value: Any) -> None:
    """One compact document on a line of its own."""
    click.echo(msgspec.json.encode(value, enc_hook=str).decode())
    sys.stdout.flush()


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Columns as wide as they need to be; numbers to the right; `empty` where no row is."""
    if not rows:
        click.echo(empty)
        return
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(heads[i]), *(len(row[i]) for row in texts)) for i in range(len(heads))]
    right = [all(_is_number(row[i]) for row in texts) for i in range(len(heads))]
    click.echo(click.style(_line(heads, widths, right), bold=True))
    for row in texts:
        click.echo(_line(row, widths, right))


def _line(cells: Sequence[str], widths: list[int], right: list[bool]) -> str:
    padded = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _is_number(text: str) -> bool:
    return not text or re.fullmatch(r"[-+$]*[\d.,]+%?", text) is not None
