"""`authz status`: the replicas side by side."""

import asyncio
import sys
from pathlib import Path

import click
import msgspec

from authz.cli.bearer import bearer
from authz.cli.table import printable, table
from authz.replicas import COLUMNS, revisions, standings


@click.command("status")
@click.option(
    "--url", "urls", multiple=True, required=True, help="Admin listener of a replica: http://HOST:PORT or unix:PATH."
)
@click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the bearer token to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(urls: tuple[str, ...], token_file: Path | None, as_json: bool) -> None:
    """How each replica stands: version, revision, ledger, keys and disk.

    Exit 0: all were asked and have one revision in force, 1: the revisions differ, 3: one could not be asked.
    """
    token = bearer(token_file)
    found = asyncio.run(standings(urls, token))
    known = revisions(found)
    if as_json:
        click.echo(msgspec.json.encode({"replicas": found, "revisions": known}))
    else:
        for line in table([COLUMNS, *(tuple(map(printable, each.row())) for each in found)]):
            click.echo(line)
    missed = [each.missed for each in found if each.missed]
    for each in missed:
        click.echo(f"missed: {each}", err=True)
    if len(known) > 1:
        click.echo(f"the revisions differ: {', '.join(known)}", err=True)
        sys.exit(1)
    sys.exit(3 if missed else 0)
