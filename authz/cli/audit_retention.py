"""`authz audit archive` and `authz audit prune`: where the ledger's past goes, and when."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from authz import config
from authz.audit import (
    ArchivedStream,
    CheckedStream,
    PrunedStream,
    PruneRequest,
    archive,
    audit_directory,
    check_archive,
    prune,
    public_keys,
    read_node_keys,
    retention_limit,
    stream_summaries,
)
from authz.cli.ledger_options import DIRECTORY, changing_the_ledger, progress_bar, state_option

_FILE = click.Path(dir_okay=False, path_type=Path)
_STREAMS = click.option("--stream", "streams", multiple=True, help="Only this stream; may be given more than once.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("archive")
@state_option
@click.option("--to", required=True, type=DIRECTORY, help="Directory of the archive; made if it is not there.")
@_STREAMS
@click.option("--check", is_flag=True, help="Change nothing: read the archive back and check all of it.")
@click.option(
    "--public-key", "keys", multiple=True, metavar="KEY|FILE", help="Check with this; by default the state's."
)
@_JSON
def archive_command(
    directory: Path | None, to: Path, streams: tuple[str, ...], check: bool, keys: tuple[str, ...], as_json: bool
) -> None:
    """Copy to an archive what is sealed and under a signed checkpoint, with all it takes to check it there.

    Nothing in an archive is ever replaced; a run that was cut short is taken up by the next one. Exit 1: something
    could not be archived, or, with --check, is not what was archived.
    """
    if keys and not check:
        raise click.UsageError("--public-key: is for --check")
    with changing_the_ledger():
        if check:
            trusted = read_node_keys(keys) if keys else public_keys(audit_directory(directory))
            with progress_bar("Checking", _size(to)) as progress:
                checked = check_archive(to, trusted, progress)
            _tell(checked, [_checked(one) for one in checked], as_json=as_json)
            sys.exit(1 if any(one.damage for one in checked) else 0)
        audit = audit_directory(directory)
        with progress_bar("Archiving", _size(audit)) as progress:
            done = archive(audit, to, streams, progress=progress)
    _tell(done, [_archived(one) for one in done], as_json=as_json)
    sys.exit(1 if any(one.refused for one in done) else 0)


@click.command("prune")
@state_option
@click.option("--before", help="Drop what was recorded before: 2026-11-23T08:00:00Z, 2026-11-23, or 400d ago.")
@click.option("--keep", help="Drop what is older than: 400d, 52w.")
@click.option("--archive", "to", type=DIRECTORY, help="Drop only what this archive holds.")
@click.option("--without-archive", is_flag=True, help="Drop it for good, archived or not.")
@_STREAMS
@click.option("--reason", default="retention", show_default=True, help="Why; it is part of the record.")
@click.option("--dry-run", is_flag=True, help="Say what would be dropped; change nothing.")
@click.option("--config", "file", type=_FILE, help="TOML configuration with audit.retention_days.")
@_JSON
def prune_command(
    directory: Path | None,
    before: str | None,
    keep: str | None,
    to: Path | None,
    without_archive: bool,
    streams: tuple[str, ...],
    reason: str,
    dry_run: bool,
    file: Path | None,
    as_json: bool,
) -> None:
    """Drop the oldest segments of the ledger; without --before and --keep, what is older than audit.retention_days.

    Only whole segments go, which a signed checkpoint covers, no hold keeps and the archive holds; the newest two of a
    stream always stay. The ledger records it first. What stays can be proved as before. Exit 1: something that is old
    enough had to stay.
    """
    if (to is None) is not without_archive:
        raise click.UsageError("say --archive DIR, or --without-archive to drop what no archive holds")
    settings = config.read(file)
    with changing_the_ledger():
        state = directory or (Path(settings.state) if settings.state else None)
        limit = retention_limit(before, keep, settings.audit.retention_days, datetime.now(UTC))
        if limit is None:
            _tell((), ["audit.retention_days is 0: everything is kept, nothing was dropped"], as_json=as_json)
            return
        audit = audit_directory(state)
        request = PruneRequest(limit, to, reason, streams, dry_run)
        with progress_bar("Pruning", _size(audit)) as progress:
            done = prune(audit, request, progress=progress)
    _tell(done, [f"what was recorded before {limit}:", *(_pruned(one, dry_run) for one in done)], as_json=as_json)
    sys.exit(1 if any(one.refused for one in done) else 0)


def _size(path: Path) -> int:
    return sum(summary.size_bytes for summary in stream_summaries(path))


def _tell(done: Any, sentences: list[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(done))
        return
    for sentence in sentences:
        click.echo(sentence)


def _archived(one: ArchivedStream) -> str:
    if one.refused is not None:
        return f"{one.stream}: NOT archived: {one.refused}"
    if not one.segments:
        return f"{one.stream}: nothing {f'new; archived up to record {one.end}' if one.end else 'to archive yet'}"
    sizes = f"{_megabytes(one.size_bytes)} in {_megabytes(one.stored_bytes)}"
    return f"{one.stream}: {len(one.segments)} segments archived, {sizes}, up to record {one.end}"


def _checked(one: CheckedStream) -> str:
    if one.damage is not None:
        return f"{one.stream}: NOT whole: {one.damage}"
    return f"{one.stream}: records {one.begin + 1} to {one.end} in {one.segments} segments are what was signed"


def _pruned(one: PrunedStream, dry_run: bool) -> str:
    parts = []
    if one.finished:
        parts.append(f"{len(one.finished)} segments went that an earlier prune had left")
    if one.segments:
        went = "would go" if dry_run else "went"
        parts.append(f"{len(one.segments)} segments {went}; it begins after record {one.minimum_index}")
    if one.freed_bytes:
        parts.append(f"{_megabytes(one.freed_bytes)} {'would be freed' if dry_run else 'freed'}")
    if one.refused is not None:
        parts.append(f"NOT all of it: {one.refused}")
    return f"{one.stream}: {', '.join(parts) or 'there is none'}"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
