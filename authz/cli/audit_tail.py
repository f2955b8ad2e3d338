"""`authz audit tail`: events as they come."""

import asyncio

import click
import msgspec

from authz.cli.event_table import line
from authz.cli.search_options import Search, colour, search_options


@click.command("tail")
@search_options
@click.option("--last", type=click.IntRange(0, 1000), default=10, show_default=True, help="So many from before first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an event a line.")
def tail_command(search: Search, last: int, as_json: bool) -> None:
    """Watch events as they become durable, until interrupted. Several replicas are shown side by side.

    Exit 3: there is no ledger to read, or a replica could not be asked any more (the others go on).
    """
    if "until" in search.asked.filters:
        raise click.UsageError("--until: what comes has no end")
    with search:
        asyncio.run(_follow(search, last, as_json=as_json))


async def _follow(search: Search, last: int, *, as_json: bool) -> None:
    told = 0
    async for event in search.fleet.tail(search.asked, last):
        for missing in search.fleet.missing[told:]:
            click.echo(f"no more of {missing.instance}", err=True)
        told = len(search.fleet.missing)
        shown = search.shown(event)
        text = msgspec.json.encode(shown).decode() if as_json else line(shown, instance=search.remote)
        click.echo(text, color=colour())
