"""Events as people read them: a line each, aligned, with colour where that is wanted."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from authz.cli.table import printable

HEADINGS: Final = ("TIME", "TYPE", "DECISION", "REASON", "SUBJECT", "METHOD", "ROUTE", "SCOPES")
INSTANCE: Final = "INSTANCE"

_WIDTHS: Final = (24, 19, 8, 15, 16, 6, 30)
"""Of a live tail, which cannot know what comes; a longer cell pushes its own line only."""

_COLOURS: Final = {"allow": "green", "deny": "red", "error": "yellow"}
_GAP: Final = "  "


def row(event: dict[str, Any], *, instance: bool = False) -> tuple[str, ...]:
    """The cells of one event. A field that has another type than it should have is shown all the same."""
    subject = _first(event, "subject_name", "subject")
    scopes = event.get("scopes") or event.get("missing")
    cells = (
        *([event["instance"]] if instance else []),
        f"{_first(event, 'ts')[:23]}Z",
        _first(event, "type"),
        _first(event, "decision"),
        _first(event, "reason"),
        subject if len(subject) <= 16 else f"{subject[:15]}…",
        _first(event, "action", "method"),
        _first(event, "route", "path", "operation"),
        " ".join(map(str, scopes)) if isinstance(scopes, list) and scopes else str(scopes or "-"),
    )
    return tuple(printable(str(cell)) for cell in cells)


def _first(event: dict[str, Any], *names: str) -> str:
    """The first of these fields that says something."""
    return str(next(filter(None, map(event.get, names)), "-"))


def table(events: Sequence[dict[str, Any]], *, instance: bool = False) -> Iterator[str]:
    """All of them under their headings."""
    headings = (INSTANCE, *HEADINGS) if instance else HEADINGS
    rows = [row(event, instance=instance) for event in events]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    yield click.style(_aligned(headings, widths), bold=True)
    for cells, event in zip(rows, events, strict=True):
        yield _coloured(_aligned(cells, widths), event)


def line(event: dict[str, Any], *, instance: bool = False) -> str:
    """One of a live tail."""
    widths = (22, *_WIDTHS) if instance else _WIDTHS
    return _coloured(_aligned(row(event, instance=instance), (*widths, 0)), event)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _coloured(text: str, event: dict[str, Any]) -> str:
    return click.style(text, fg=_COLOURS.get(_first(event, "decision")))
