"""The program: its commands, `--role`, and the one place where errors become an exit status."""

import importlib
import sys

import click

from betatrader import __version__
from betatrader.model.errors import BetatraderError, UnreachableError, UsageError

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
    except BetatraderError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_status)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "betatrader"
        click.echo(f"{error.format_message()}\nSee `{path} --help`.", err=True)
        sys.exit(2)
    except BaseExceptionGroup as group:
        ours, rest = group.split(BetatraderError)
        if ours is None or rest is not None:
            raise
        _end_with_first(ours)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if not error.filename:
            raise
        click.echo(
            f"{error.filename}: {error.strerror}\nChoose a place that can be used.", err=True
        )
        sys.exit(2)
    except Exception as error:
        told = _of_redis(error)
        if told is None:
            raise
        click.echo(str(told), err=True)
        sys.exit(told.exit_status)
    sys.exit(status if isinstance(status, int) else 0)


def _of_redis(error: Exception) -> BetatraderError | None:
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


def _end_with_first(group: BaseExceptionGroup[BetatraderError]) -> None:
    error = group.exceptions[0]
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    click.echo(str(error), err=True)
    sys.exit(error.exit_status)
