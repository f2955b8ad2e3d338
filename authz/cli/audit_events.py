"""`authz audit events`: a page of events."""

from itertools import islice
from pathlib import Path

import click
import msgspec

from authz.cli.event_table import table
from authz.cli.privacy_options import FILE
from authz.cli.search_options import Search, colour, search_options
from authz.privacy import Opener, load_private_team_key, with_names


@click.command("events")
@search_options
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@click.option("--after", help="Go on after the event with this id.")
@click.option("--names", "team_key", type=FILE, metavar="KEY", help="Show names, with the security team's private key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def events_command(search: Search, limit: int, after: str | None, team_key: Path | None, as_json: bool) -> None:
    """Events, newest first, of the ledger in DIRECTORY or of the replicas at --url, merged.

    Exit 1: the index was tampered with; exit 3: there is no ledger to read, or a replica could not be asked.
    """
    if after is not None and search.several:
        raise click.UsageError("--after: an event is of one replica; ask one")
    with search:
        found = search.fleet.events(search.asked, limit, after)
        events = [search.shown(event) for event in islice(found, limit)]
        if team_key is not None:
            events = list(with_names(events, search.places.table, Opener(load_private_team_key(team_key))))
        if as_json:
            click.echo(msgspec.json.encode(events))
            return
        for text in table(events, instance=search.remote):
            click.echo(text, color=colour())
