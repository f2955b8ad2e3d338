"""`authz audit`: is the ledger intact, and what does it hold."""

from pathlib import Path
from typing import Any

import click
import msgspec

from authz.audit import get_audit_events
from authz.cli.ledger_options import could_not_find_out, filter_options, state_option
from authz.cli.privacy_options import FILE, places, privacy_options
from authz.cli.table import printable, table
from authz.privacy import Opener, load_private_team_key, with_names


@click.group()
def audit() -> None:
    """The ledger: verify it, search it."""


@audit.command("events")
@state_option
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@click.option("--after", help="Go on after the event with this id.")
@filter_options
@privacy_options
@click.option("--names", "team_key", type=FILE, metavar="KEY", help="Show names, with the security team's private key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def events_command(
    directory: Path | None,
    key: Path | None,
    identities: Path | None,
    team_key: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Events, newest first. Exit 3 when there is no ledger to read."""
    where = places(directory, key, identities)
    with could_not_find_out():
        events = get_audit_events(path=directory, pseudonyms=where.pseudonyms(), **asked)
        if team_key is not None:
            events = list(with_names(events, where.table, Opener(load_private_team_key(team_key))))
    if as_json:
        click.echo(msgspec.json.encode(events))
        return
    for line in table([_HEADINGS, *(_row(event) for event in events)]):
        click.echo(line)


_HEADINGS = ("TIME", "TYPE", "DECISION", "REASON", "SUBJECT", "METHOD", "ROUTE", "SCOPES")


def _row(event: dict[str, Any]) -> tuple[str, ...]:
    """The cells of one event."""
    subject = event.get("subject_name") or event.get("subject") or "-"
    cells = (
        event["ts"][:23] + "Z",
        event["type"],
        event.get("decision", "-"),
        event.get("reason", "-"),
        subject if len(subject) <= 16 else f"{subject[:15]}…",
        event.get("action") or event.get("method") or "-",
        event.get("route") or event.get("path") or event.get("operation") or "-",
        " ".join(event.get("scopes") or event.get("missing") or ()) or "-",
    )
    return tuple(map(printable, cells))
