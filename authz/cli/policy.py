"""`authz policy`."""

import sys
from pathlib import Path
from typing import Final

import click
import msgspec

from authz.bundle import OpaMissingError
from authz.cli.commands import Commands
from authz.policy import BuildError
from authz.policy import build as build_bundle

_PLACES: Final = {
    "init": "authz.cli.policy_start",
    "import": "authz.cli.policy_start",
    "new": "authz.cli.policy_start",
    "test": "authz.cli.policy_test",
    "matrix": "authz.cli.policy_access",
    "diff": "authz.cli.policy_access",
    "replay": "authz.cli.policy_replay",
    "profile": "authz.cli.policy_replay",
    "unused": "authz.cli.policy_used",
    "holders": "authz.cli.policy_used",
    "unmatched": "authz.cli.policy_used",
    "sign": "authz.cli.policy_sign",
    "verify": "authz.cli.policy_sign",
    "inspect": "authz.cli.policy_sign",
    "status": "authz.cli.policy_admin",
    "log": "authz.cli.policy_admin",
    "activate": "authz.cli.policy_admin",
    "rollback": "authz.cli.policy_admin",
}


@click.group(cls=Commands, places=_PLACES)
def policy() -> None:
    """Build, test and ship policies."""


@policy.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The bundle.")
@click.option("--opa", type=click.Path(path_type=Path), help="The opa program; found on PATH if not stated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def build(source: Path, output: Path, opa: Path | None, as_json: bool) -> None:
    """Build the policy in SOURCE into one bundle; exit 1 if it breaks the contract, 3 without an opa to build it."""
    try:
        report = build_bundle(source, output, opa)
    except BuildError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except OpaMissingError as error:
        click.echo(str(error), err=True)
        sys.exit(3)
    click.echo(msgspec.json.encode(report) if as_json else str(report))
