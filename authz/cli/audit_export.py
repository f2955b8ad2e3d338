"""`authz audit export`: the records of a ledger for other tools."""

import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click
import msgspec

from authz.audit import LedgerDamagedError, Recorded, records, stream_summaries
from authz.cli.bearer import bearer
from authz.cli.ledger_options import could_not_find_out, filter_options, progress_bar, state_option
from authz.cli.privacy_options import places, privacy_options
from authz.export import FORMATS, PARQUET, Cursor, Exported, export, fetched, read_cursor

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("export")
@click.option("--format", "form", type=click.Choice([*FORMATS, "parquet"]), default="jsonl", show_default=True)
@click.option("-o", "--output", type=_FILE, required=True, help="A new file; it is whole or not there.")
@click.option("--cursor", "cursor_file", type=_FILE, help="Go on behind what this file says, and say so in it.")
@click.option("--limit", type=click.IntRange(1), help="At most so many records; with --cursor the next run goes on.")
@state_option
@privacy_options
@click.option("--url", "urls", multiple=True, help="Admin listener of a replica; repeatable; instead of --state.")
@click.option("--token-file", type=_FILE, help="File with the bearer token to show.")
@filter_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def export_command(
    form: str,
    output: Path,
    cursor_file: Path | None,
    limit: int | None,
    directory: Path | None,
    key: Path | None,
    identities: Path | None,
    urls: tuple[str, ...],
    token_file: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Write the records that match to a file, as jsonl (the records themselves), csv or ocsf (API Activity).

    From a directory it reads the segments, not the index, oldest record first; from --url the newest comes first. Exit
    1: the ledger is damaged; 3: it cannot be read.
    """
    if form == "parquet":
        raise click.UsageError(PARQUET)
    if urls and limit is not None and cursor_file is not None:
        raise click.UsageError("--limit: from --url the newest come first, so that a cursor would leave out the rest")
    try:
        with could_not_find_out():
            cursor = read_cursor(cursor_file)
            if urls:
                found = _from_urls(urls, token_file, asked, cursor)
                done = export(found, FORMATS[form], output, cursor, cursor_file, limit)
            else:
                size = sum(summary.size_bytes for summary in stream_summaries(directory))
                where = places(directory, key, identities)
                with progress_bar("Exporting", size) as progress:
                    local = _here(directory, asked, cursor, where.pseudonyms(), progress)
                    done = export(local, FORMATS[form], output, cursor, cursor_file, limit)
    except LedgerDamagedError as error:
        click.echo(f"damaged: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"could not be done: {error.filename}: {error.strerror}", err=True)
        sys.exit(3)
    _tell(output, done, as_json=as_json)


def _here(
    directory: Path | None,
    asked: dict[str, Any],
    cursor: Cursor,
    pseudonyms: Callable[[str], Any] | None,
    progress: Callable[[int], None],
) -> Iterator[tuple[str, Recorded]]:
    found = records(directory, after=cursor.after("here"), pseudonyms=pseudonyms, progress=progress, **asked)
    return (("here", record) for record in found)


def _from_urls(
    urls: tuple[str, ...], token_file: Path | None, asked: dict[str, Any], cursor: Cursor
) -> Iterator[tuple[str, Recorded]]:
    token = bearer(token_file)
    params = asked.pop("params")
    filters = {name: value for name, value in asked.items() if value is not None}
    filters |= {f"param.{name}": value for name, value in params.items()}
    return chain.from_iterable([fetched(url, token, filters, cursor) for url in urls])


def _tell(output: Path, done: Exported, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode({"output": str(output), "records": done.records, "bytes": done.size_bytes}))
        return
    click.echo(f"{output}: {done.records} records")
