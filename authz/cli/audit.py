"""`authz audit`: is the ledger intact, and what does it hold."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from authz.audit import Issue, Verification, get_audit_events, stream_summaries, verify
from authz.cli.ledger_options import DIRECTORY, could_not_find_out, filter_options, progress_bar, state_option


@click.group()
def audit() -> None:
    """The ledger: verify it, search it."""


@audit.command("verify")
@click.argument("directory", required=False, type=DIRECTORY)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_command(directory: Path | None, as_json: bool) -> None:
    """Is the ledger in DIRECTORY intact? Exit 0: yes, 1: no, 3: could not find out.

    DIRECTORY is a state directory (by default AUTHZ_STATE, else .state), its audit directory, or one stream.
    """
    with could_not_find_out():
        size = sum(summary.size_bytes for summary in stream_summaries(directory))
        with progress_bar("Verifying", size) as progress:
            found = verify(directory, progress=progress)
    if as_json:
        click.echo(msgspec.json.encode({"intact": found.intact, **msgspec.to_builtins(found)}))
    else:
        _tell(found)
    sys.exit(_exit_code(found))


def _exit_code(found: Verification) -> int:
    if found.intact:
        return 0
    return 3 if all(issue.kind == "segment_unreadable" for issue in found.issues) else 1


def _tell(found: Verification) -> None:
    for report in found.streams:
        click.echo(f"{report.stream}: {report.records} records, {report.segments} segments, {report.size_bytes} bytes")
    for issue in found.issues:
        click.secho(f"  damage  {_place(issue)}  {issue.kind}: {issue.message}", fg="red")
    for note in found.notes:
        click.echo(f"  note    {_place(note)}  {note.kind}: {note.message}")
    click.secho("intact" if found.intact else f"NOT intact: {len(found.issues)} findings", bold=True)


def _place(issue: Issue) -> str:
    return f"{issue.stream}/{issue.segment}:{issue.line} (byte {issue.offset})"


@audit.command("events")
@state_option
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@click.option("--after", help="Go on after the event with this id.")
@filter_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def events_command(directory: Path | None, as_json: bool, **asked: Any) -> None:
    """Events, newest first. Exit 3 when there is no ledger to read."""
    with could_not_find_out():
        events = get_audit_events(path=directory, **asked)
    if as_json:
        click.echo(msgspec.json.encode(events))
        return
    for line in _table([_HEADINGS, *(_row(event) for event in events)]):
        click.echo(line)


_HEADINGS = ("TIME", "TYPE", "DECISION", "REASON", "SUBJECT", "METHOD", "ROUTE", "SCOPES")


def _row(event: dict[str, Any]) -> tuple[str, ...]:
    """The cells of one event. What callers sent may hold control characters: a terminal never sees them."""
    subject = event.get("subject") or "-"
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
    return tuple(
        "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cell) for cell in cells
    )


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
