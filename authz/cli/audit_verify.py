"""`authz audit verify`: is the ledger intact, how far is that known, and by which key."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import msgspec

from authz.audit import (
    Coverage,
    Issue,
    StreamReport,
    TrustedKeys,
    Verification,
    default_memory,
    stream_summaries,
    verify,
)
from authz.cli.ledger_options import DIRECTORY, could_not_find_out, progress_bar

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_KEYS: Final = {
    "given": "as given: {where}",
    "beside": "beside the ledger, where whoever can write to it may be able to replace them: {where}",
    "self_declared": "self-declared, in the ledger itself, which says nothing about who wrote it: {where}",
    "none": "none, so nobody knows who signed what {where}",
}


@click.command("verify")
@click.argument("directory", required=False, type=DIRECTORY)
@click.option(
    "--public-key", "public_keys", multiple=True, type=_FILE, help="File with a key of the node; may be given again."
)
@click.option(
    "--since",
    multiple=True,
    type=_FILE,
    metavar="CHECKPOINT",
    help="Checkpoint that was kept elsewhere; the ledger must be what it was then, and more.",
)
@click.option("--no-remember", is_flag=True, help="Neither use nor keep what earlier runs saw.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_command(
    directory: Path | None, public_keys: tuple[Path, ...], since: tuple[Path, ...], no_remember: bool, as_json: bool
) -> None:
    """Is the ledger in DIRECTORY intact? Exit 0: yes, 1: no, 3: could not find out.

    DIRECTORY is a state directory (by default AUTHZ_STATE, else .state), its audit directory, or one stream. The keys
    are those beside the ledger, if none is given. The checkpoints that are seen are remembered under XDG_STATE_HOME,
    and the next run holds the ledger to them.
    """
    memory = None if no_remember else default_memory()
    with could_not_find_out():
        size = sum(summary.size_bytes for summary in stream_summaries(directory))
        with progress_bar("Verifying", size) as progress:
            found = verify(directory, progress=progress, public_keys=public_keys, since=since, memory=memory)
    if as_json:
        click.echo(msgspec.json.encode({"intact": found.intact, **msgspec.to_builtins(found)}))
    else:
        _tell(found)
    sys.exit(0 if found.intact else 3 if found.undecided else 1)


def _tell(found: Verification) -> None:
    reports = {report.stream: report for report in found.streams}
    names = dict.fromkeys([*reports, *(each.stream for each in (*found.issues, *found.notes))])
    for stream in names:
        _tell_stream(stream, reports.get(stream), found)
    for line in _keys(found.keys):
        click.echo(line)
    click.secho("intact" if found.intact else f"NOT intact: {len(found.issues)} findings", bold=True)


def _tell_stream(stream: str, report: StreamReport | None, found: Verification) -> None:
    issues = [issue for issue in found.issues if issue.stream == stream]
    notes = [note for note in found.notes if note.stream == stream]
    if report is not None:
        click.echo(f"{stream}: {report.records} records, {report.segments} segments, {report.size_bytes} bytes")
        click.echo(f"  integrity     {'what is there is as it was recorded' if report.intact else 'DAMAGED'}")
        click.echo(f"  completeness  {'' if report.complete else 'RECORDS ARE MISSING; '}{_covered(report.coverage)}")
    for issue in issues:
        click.secho(f"  damage  {_told(issue)}", fg="red")
    for note in notes:
        click.echo(f"  note    {_told(note)}")


def _covered(coverage: Coverage | None) -> str:
    if coverage is None:
        return "no checkpoint under a known key covers any of it"
    name, key_id, _ = coverage.key.split("+", 2)
    return f"records up to {coverage.seq} are covered ({coverage.source} {coverage.where}, key {name}+{key_id})"


def _keys(keys: TrustedKeys) -> Iterator[str]:
    yield f"keys: {_KEYS[keys.source].format(where=keys.where)}".rstrip()
    for vkey in keys.vkeys:
        yield f"  {vkey}"


def _told(issue: Issue) -> str:
    """What lies on the disk may hold control characters: a terminal never sees them."""
    place = f"{issue.stream}/{issue.segment}:{issue.line} (byte {issue.offset})"
    text = f"{place}  {issue.kind}: {issue.message}"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
