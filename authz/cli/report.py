"""`authz report`: bring events from a log to a sidecar."""

import sys
from pathlib import Path

import click

from authz.forwarding import forward

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("report")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The sidecar's decision listener.")
@click.option("--secret-file", type=_FILE, help="File with the secret by which the sidecar knows this caller.")
def report(url: str, secret_file: Path | None) -> None:
    """Read events from standard input, one JSON object a line, and report each of them once.

    Runs until the input ends. What is refused is said on standard error; while the sidecar does not answer it waits.
    Exit 2 when this caller may not report.
    """
    secret = None if secret_file is None else secret_file.read_text(encoding="ascii").strip()
    told = forward(sys.stdin.buffer, url, secret, lambda text: click.echo(text, err=True))
    click.echo(f"{told.recorded} recorded, {told.duplicate} duplicate, {told.refused} refused", err=True)
