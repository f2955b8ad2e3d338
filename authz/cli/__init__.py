"""The command line: one file per command group, and no logic in any of them."""

import sys
from typing import Final

import click

from authz import __version__
from authz.cli.commands import Commands
from authz.core import AuthzError

__all__ = ["main", "program"]

_COMMANDS: Final = (
    "serve",
    "check",
    "explain",
    "status",
    "report",
    "token",
    "revoke",
    "audit",
    "policy",
    "keys",
    "slo",
    "config",
)


@click.group(
    cls=Commands,
    places={name: f"authz.cli.{name}" for name in _COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="authz")
def program() -> None:
    """An authorization decision point for API gateways."""


def main() -> None:
    """Run the program. A domain error, or a file that is not there, is one clear message and exit code 2."""
    try:
        program.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except AuthzError as error:
        click.echo(f"authz: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        # A path that somebody typed. Without one it is a fault of ours, and its traceback says where.
        if error.filename is None:
            raise
        click.echo(f"authz: {error.filename}: {error.strerror}", err=True)
        sys.exit(2)
