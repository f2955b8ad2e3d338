"""`authz audit top`: what occurs most."""

import click
import msgspec

from authz.cli.search_options import Search, colour, search_options
from authz.cli.table import printable, table
from authz.replicas import top


@click.command("top")
@search_options
@click.option("--by", default="reason", show_default=True, help="Fields to count by, such as reason,route,scope.")
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="So many rows.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def top_command(search: Search, by: str, limit: int, as_json: bool) -> None:
    """What most events have in common: `top --by reason,route,scope --since 1h --decision deny`.

    By reason, route, scope, role, type, decision, subject, method, ip, caller or instance. It reads every event that
    matches, so say --since. An event with several scopes or roles counts for each of them.

    Exit 3: there is no ledger to read, or a replica could not be asked.
    """
    fields = [name.strip() for name in by.split(",")]
    with search:
        counts = top(search.fleet.events(search.asked), fields, limit)
        if as_json:
            documents = [{"events": each.events, **dict(zip(fields, each.values, strict=True))} for each in counts]
            click.echo(msgspec.json.encode(documents))
            return
        width = max((len(f"{each.events:,}") for each in counts), default=0)
        rows = [(f"{each.events:,}".rjust(width), *map(printable, each.values)) for each in counts]
        for text in table([("EVENTS", *map(str.upper, fields)), *rows]):
            click.echo(text, color=colour())
