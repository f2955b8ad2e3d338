"""`authz audit timeline`: what one subject, session or request did, in order, and why it was decided so."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import click
import msgspec

from authz.cli.search_options import Search, colour, search_options
from authz.cli.table import printable
from authz.replicas import reason_of, since_before

_COLOURS = {"allow": "green", "deny": "red", "error": "yellow"}


@click.command("timeline")
@search_options
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help="The newest ones, so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def timeline_command(search: Search, limit: int, as_json: bool) -> None:
    """What happened with one --subject, --session-id or --request-id, oldest first, each with its reason.

    Exit 3: there is no ledger to read, or a replica could not be asked.
    """
    if not {"subject", "session_id", "request_id"} & set(search.asked.filters):
        raise click.UsageError("say whose: --subject, --session-id or --request-id")
    with search:
        newest = islice(search.fleet.events(search.asked, limit), limit)
        events = [search.shown(event) for event in newest][::-1]
        if as_json:
            click.echo(msgspec.json.encode(events))
            return
        for text in _lines(events, instance=search.remote):
            click.echo(text, color=colour())


def _lines(events: Sequence[dict[str, Any]], *, instance: bool) -> Iterator[str]:
    before: dict[str, Any] | None = None
    for event in events:
        what = (
            event.get("decision", "-").ljust(6),
            event.get("action") or event.get("method") or "",
            event.get("route") or event.get("path") or event.get("operation") or event["type"],
        )
        where = f"  [{event['instance']}]" if instance else ""
        head = f"{event['ts'][:23]}Z  {since_before(event, before):>9}  "
        told = printable(f"{' '.join(part for part in what if part)}  {reason_of(event)}{where}")
        yield head + click.style(told, fg=_COLOURS.get(event.get("decision", "")))
        before = event
