"""The program: one group, its commands, and the one place where errors become an exit status."""

import sys

import click

from betatrader import __version__
from betatrader.model.errors import BetatraderError


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="betatrader")
@click.pass_context
def program(context: click.Context) -> None:
    """An always-on trader for prediction markets and crypto spot."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Run the program; every error of ours ends in at most two lines and its status."""
    try:
        program(standalone_mode=False)
    except BetatraderError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_status)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(1)
