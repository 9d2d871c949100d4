"""The program: its commands, `--role`, and the one place where errors become an exit status."""

import errno
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import click

from betatrader import __version__
from betatrader.model.errors import BetatraderError, UnreachableError, UsageError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
COMMANDS = {
    "up": "running",
    "demo": "running",
    "status": "show",
    "orders": "show",
    "fills": "show",
    "positions": "show",
    "signals": "show",
    "events": "show",
    "limits": "show",
    "live": "ladder",
    "halt": "control",
    "reduce": "control",
    "resume": "control",
    "cancel-all": "control",
    "flatten": "control",
    "config": "configuring",
    "doctor": "diagnosis",
    "setup": "setup",
    "data": "data",
    "jobs": "jobs",
    "journal": "journal",
    "replay": "journal",
    "explain": "journal",
    "models": "models",
    "simulate": "simulate",
    "venue": "venue",
    "bench": "bench",
    "release": "release",
}
"""Each command and the module that holds it; a module is imported when its command is named."""


class Program(click.Group):
    """Finds commands by name in their modules."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """In the order of the table: what one needs first comes first."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of this name."""
        module = COMMANDS.get(name)
        if module is None:
            return super().get_command(context, name)
        loaded = importlib.import_module(f"betatrader.cli.{module}")
        command = getattr(loaded, name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value:
        return
    from betatrader.ops import build, embedded_redis

    click.echo(
        f"betatrader {__version__} (revision {build.checked_out()}, "
        f"Python {sys.version.split()[0]}, server {embedded_redis.version()})"
    )
    context.exit()


@click.group(
    cls=Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--role",
    metavar="trading|intel|jobs",
    help="Run one slice in the foreground; SIGTERM or Ctrl-C drains it.",
)
@click.option("--config", "config_path", metavar="FILE", help="Configuration for --role.")
@click.option("--live", is_flag=True, help='With --role trading and mode = "live": real money.')
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version)
@click.pass_context
def program(
    context: click.Context, role: str | None, config_path: str | None, *, live: bool
) -> None:
    """An always-on trader for prediction markets and crypto spot.

    \b
    First steps:
      betatrader demo             watch it trade on real and generated data, nothing to set up
      betatrader up               the same as a service: three roles, a private Redis
      betatrader status           from another terminal: what it does, and why if it does not
      betatrader halt             stop new orders and cancel what rests, within a second
    """
    if role is not None:
        if context.invoked_subcommand is not None:
            raise UsageError("--role runs a slice, and takes no command\nGive one or the other.")
        context.exit(_run_role(role, config_path, live=live))
    if live:
        raise UsageError("--live goes with --role trading, or after `up`\nPut it there.")
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _run_role(role: str, config_path: str | None, *, live: bool) -> int:
    from betatrader.roles import ROLES

    if role not in ROLES:
        raise UsageError(f"no role is named {role!r}\nChoose one of: {', '.join(ROLES)}.")
    if live and role != "trading":
        raise UsageError(f"--live is for the trading role, not for {role}\nLeave it out.")
    # structlog loads it to draw tracebacks, where it is installed: 5 MB that no role has a use for
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    from betatrader.roles.service import run_role

    return run_role(role, config_path, live=live)


def main() -> None:
    """Run the program; every error of ours ends in at most two lines and its status."""
    try:
        status = program(standalone_mode=False, prog_name="betatrader")
    except BaseException as error:
        ended = _ending(error)
        if ended is None:
            raise
        _let_go(error)
        if ended.text:
            click.echo(ended.text, err=True)
        sys.exit(ended.status)
    sys.exit(status if isinstance(status, int) else 0)


class Ending(NamedTuple):
    """What a person reads of an error, and the exit status."""

    text: str
    status: int


def _ending(error: BaseException) -> Ending | None:
    """How the program ends by this error; None where it is a bug."""
    if isinstance(error, BaseExceptionGroup):
        found = [(_ending(one), one) for one in _leaves(error)]
        if any(ending is None for ending, _ in found):
            return None
        ours = [ending for ending, one in found if isinstance(one, BetatraderError)]
        return (ours or [ending for ending, _ in found])[0]
    if isinstance(error, BetatraderError):
        return Ending(str(error), error.exit_status)
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "betatrader"
        return Ending(f"{error.format_message()}\nSee `{path} --help`.", 2)
    if isinstance(error, click.Abort | KeyboardInterrupt | BrokenPipeError):
        return Ending("", 1)
    if isinstance(error, OSError):
        return _of_a_place(error)
    told = _of_redis(error)
    return Ending(str(told), told.exit_status) if told is not None else None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _of_a_place(error: OSError) -> Ending | None:
    """A place that cannot be used; one that is open already, as stdout, has no name any more."""
    if error.filename:
        return Ending(f"{error.filename}: {error.strerror}\nChoose a place that can be used.", 2)
    if error.errno in FULL:
        told = f"cannot write: {error.strerror}\nMake room where the output goes, and try again."
        return Ending(told, 2)
    return None


def _let_go(error: BaseException) -> None:
    """What a stream that takes nothing still holds would fail once more at the very end."""
    leaves = list(_leaves(error)) if isinstance(error, BaseExceptionGroup) else [error]
    if not any(isinstance(one, OSError) and not one.filename for one in leaves):
        return
    broken = any(isinstance(one, BrokenPipeError) for one in leaves)
    with open(os.devnull, "wb") as nowhere:
        for stream in (sys.stdout, sys.stderr) if broken else (sys.stdout,):
            with suppress(OSError, ValueError, AttributeError):
                os.dup2(nowhere.fileno(), stream.fileno())


def _of_redis(error: BaseException) -> BetatraderError | None:
    """What Redis has said or left unsaid in the middle of a command; None for any other error. It
    is not imported for that: who has not, has not asked it."""
    known = sys.modules.get("redis.exceptions")
    if known is None or not isinstance(error, known.RedisError):
        return None
    if isinstance(error, known.NoPermissionError):
        return UnreachableError(
            f"Redis does not let this user do that: {error}\n"
            "Set REDIS_URL to the operator's: redis://operator:PASSWORD@HOST:PORT."
        )
    return UnreachableError(
        f"Redis went away: {str(error) or type(error).__name__}\n"
        "Try again; `betatrader doctor` tells more."
    )
