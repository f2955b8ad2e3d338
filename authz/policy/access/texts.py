"""A table as people and programs read it: text for a terminal, rows for JSON and CSV."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from authz.policy.access.table import Holder, Questions, Request, Table
from authz.policy.access.words import in_words

_YES = "yes"


class Cell(Struct, frozen=True):
    """One thing that a holder may do; `when` is empty for always."""

    holder: str
    kind: str
    method: str
    path: str
    host: str
    when: str


class Narrowed(Struct, frozen=True):
    """Which part of a table to show; empty for all of it."""

    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()

    def holders(self, asked: Questions) -> list[Holder]:
        """Roles always; tokens by their scope only where scopes are asked for."""
        return [each for each in asked.holders if self._shows(each)]

    def _shows(self, holder: Holder) -> bool:
        if holder.kind == "role":
            return not self.roles or holder.name in self.roles
        if holder.kind == "token":
            return holder.name in self.scopes
        return not self.roles

    def requests(self, asked: Questions) -> list[Request]:
        """Scopes and routes; asking for some of one kind leaves out the other."""
        return [each for each in asked.requests if self._wanted(each)]

    def _wanted(self, request: Request) -> bool:
        if not self.scopes and not self.routes:
            return True
        return request.path in (self.scopes if request.kind == "scope" else self.routes)


def cells(asked: Questions, table: Table, part: Narrowed) -> Iterator[Cell]:
    """Everything that is allowed in that part of the table."""
    for holder in part.holders(asked):
        for request in part.requests(asked):
            chosen = table.cells[holder, request]
            if chosen:
                when = in_words(asked.grid(request), chosen)
                yield Cell(str(holder), request.kind, request.method, request.path, request.host or "", when)


def as_csv(rows: Iterable[Cell]) -> str:
    """The cells as CSV (RFC 4180) with a header line."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(Cell.__struct_fields__)
    writer.writerows([getattr(row, name) for name in Cell.__struct_fields__] for row in rows)
    return text.getvalue()


def as_text(asked: Questions, table: Table, part: Narrowed) -> str:
    """A table with a line for each scope and route and a column for each holder; conditions are notes below."""
    holders = part.holders(asked)
    notes: dict[str, int] = {}
    lines = [
        [str(request), *(_mark(asked, table, holder, request, notes) for holder in holders)]
        for request in part.requests(asked)
    ]
    said = [f"[{number}] {note}" for note, number in notes.items()]
    return "\n".join((*_aligned([["", *map(str, holders)], *lines]), *([""] if said else []), *said))


def _mark(asked: Questions, table: Table, holder: Holder, request: Request, notes: dict[str, int]) -> str:
    chosen = table.cells[holder, request]
    if not chosen:
        return "."
    when = in_words(asked.grid(request), chosen)
    return f"[{notes.setdefault(when, len(notes) + 1)}]" if when else _YES


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
