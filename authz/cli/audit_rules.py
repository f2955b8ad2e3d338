"""`authz audit degrade` and `authz audit new-stream`: what an operator decides about a ledger that fails."""

import asyncio
import sys
from pathlib import Path

import click
import msgspec

from authz.audit import audit_directory, begin_successor, duration
from authz.cli.bearer import bearer
from authz.client import AdminRefusedError, admin_post
from authz.core import AuditUnavailableError


@click.command("degrade")
@click.option("--for", "how_long", required=True, metavar="DURATION", help="10m, 2h; at most 24h. 0s ends it at once.")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--url", required=True, help="Admin listener: http://HOST:PORT or unix:PATH.")
@click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="File with the bearer token to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def degrade(how_long: str, reason: str, url: str, token_file: Path | None, as_json: bool) -> None:
    """Let decisions go out unrecorded for a stated time, while the ledger fails. It ends by itself.

    Nothing is allowed that the policy does not allow. What went out is counted, and recorded as a gap afterwards. It
    takes admin:security:write, or an admin token. Exit 1: the sidecar refused or was not reached.
    """
    asked = {"seconds": duration("--for", how_long), "reason": reason}
    token = bearer(token_file)
    try:
        answer = asyncio.run(admin_post(url, "/v1/audit/degrade", asked, token))
    except AdminRefusedError as error:
        click.echo(f"authz: {error}", err=True)
        sys.exit(1)
    click.echo(msgspec.json.encode(answer) if as_json else f"degraded until {answer['until']}, by {answer['by']}")


@click.command("new-stream")
@click.option("--after", required=True, metavar="STREAM", help="The stream that is left, such as worker-0.")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option(
    "--state", type=click.Path(file_okay=False, path_type=Path), help="State directory; else AUTHZ_STATE or .state."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def new_stream(after: str, reason: str, state: Path | None, as_json: bool) -> None:
    """Leave a stream that cannot go on, such as one put back to an older state, and begin the one after it.

    Stop the service first; its next start writes to the new stream. The old one stays, and is verified as before. Both
    the new stream and the stream of commands say which was left, where it stood and why. Exit 1: somebody writes one.
    """
    try:
        begun = begin_successor(audit_directory(state), after, reason)
    except AuditUnavailableError as error:
        click.echo(f"authz: {error}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(msgspec.json.encode(begun))
    else:
        click.echo(f"{begun.successor} goes on after {begun.after}, which was left at record {begun.after_seq}")
