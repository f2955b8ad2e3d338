"""`authz audit`: is the ledger intact, and what does it hold."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from authz.audit import (
    Issue,
    LedgerUnreadableError,
    Verification,
    get_audit_events,
    stream_summaries,
    verify,
)
from authz.core import BadRequestError

_DIRECTORY = click.Path(path_type=Path)


@click.group()
def audit() -> None:
    """The ledger: verify it, search it."""


@audit.command("verify")
@click.argument("directory", required=False, type=_DIRECTORY)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify_command(directory: Path | None, as_json: bool) -> None:
    """Is the ledger in DIRECTORY intact? Exit 0: yes, 1: no, 3: could not find out.

    DIRECTORY is a state directory (by default AUTHZ_STATE, else .state), its audit directory, or one stream.
    """
    with _could_not_find_out():
        size = sum(summary.size_bytes for summary in stream_summaries(directory))
        with _progress(size) as progress:
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


@contextmanager
def _could_not_find_out() -> Iterator[None]:
    try:
        yield
    except LedgerUnreadableError as error:
        click.echo(f"could not find out: {error}", err=True)
        sys.exit(3)
    except BadRequestError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def _progress(size_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr when that is a terminal, else nothing."""
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=size_bytes, label="Verifying", file=sys.stderr, hidden=hidden) as bar:
        yield bar.update


def _parameters(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs = [item.partition("=") for item in given]
    for name, equals, _value in pairs:
        if not name or not equals:
            raise click.BadParameter(f"{name!r} is not NAME=VALUE")
    return {name: value for name, _equals, value in pairs}


@audit.command("events")
@click.option("--state", "directory", type=_DIRECTORY, help="State directory; by default AUTHZ_STATE, else .state.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@click.option("--after", help="Go on after the event with this id.")
@click.option("--type", "type", help="Type of event, or a decision's operation.")
@click.option("--decision", type=click.Choice(["allow", "deny", "error"]), help="What was decided.")
@click.option("--reason", help="Reason of a decision.")
@click.option("--subject", help="A subject's pseudonym, h1:...")
@click.option("--scope", help="A scope that was needed, granted or missing.")
@click.option("--role", help="A role the subject had.")
@click.option("--route", help="Route template, such as /users/{id}/profile.")
@click.option("--method", help="HTTP method.")
@click.option("--param", "params", multiple=True, callback=_parameters, metavar="NAME=VALUE", help="Route parameter.")
@click.option("--request-id", help="The gateway's request id.")
@click.option("--session-id", help="Session id.")
@click.option("--ip", help="Address of the client.")
@click.option("--since", help="Not before: 2026-11-23T08:00:00Z, 2026-11-23, or 90s, 15m, 2h, 7d, 4w ago.")
@click.option("--until", help="Before; like --since.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def events_command(directory: Path | None, as_json: bool, **asked: Any) -> None:
    """Events, newest first. Exit 3 when there is no ledger to read."""
    with _could_not_find_out():
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
