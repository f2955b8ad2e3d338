"""`authz policy`."""

import sys
from pathlib import Path

import click
import msgspec

from authz import policy as room


@click.group()
def policy() -> None:
    """Build policies."""


@policy.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The bundle.")
@click.option("--opa", type=click.Path(path_type=Path), help="The opa program; found on PATH if not stated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def build(source: Path, output: Path, opa: Path | None, as_json: bool) -> None:
    """Build the policy in SOURCE into one bundle; exit 1 if it breaks the contract."""
    try:
        report = room.build(source, output, opa)
    except room.BuildError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    click.echo(msgspec.json.encode(report) if as_json else str(report))
