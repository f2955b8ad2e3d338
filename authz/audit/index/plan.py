"""How the rows that may match are found: which condition leads, and which are tested on what it gives.

The condition that leads is the one that the fewest rows meet, as far as that can be counted quickly. Its rows come
newest first, one statement for each value, to be merged; nothing is sorted and nothing is skipped over.
"""

import heapq
import sqlite3
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec

from authz.audit.filters import PARAM, Filter, Test
from authz.audit.index.row import VALUE_FIELDS, id_key, param_key, value_key
from authz.audit.index.shapes import PassingShapes

COUNTED: Final = 4096
"""Rows are counted up to here: what has fewer leads without further thought."""

MERGED: Final = 64
"""Shapes that are merged, one statement each; with more of them all rows are looked through."""

_ROW: Final = (
    "SELECT e.pos, e.seq, e.offset, e.length, e.digest, e.id, e.subject, e.session_id, e.request_id, e.ip, e.params,"
    " e.shape, e.segment FROM"
)

_passing: Final = PassingShapes()

_Statement = tuple[str, list[Any]]


class Bounds(NamedTuple):
    """Positions from `first` up to `end`."""

    first: int = 0
    end: int = 1 << 62


class _Lead(NamedTuple):
    """A condition that could lead. `sources`: table and condition for each of its values, with what to bind.

    `test`: the same condition, tested on a row that another one gave. `pos`: the column that a source is in order of.
    """

    sources: tuple[_Statement, ...]
    test: _Statement
    pos: str = "e.pos"


def rows(database: sqlite3.Connection, wanted: Filter, bounds: Bounds) -> Iterator[tuple[Any, ...]]:
    """The rows whose values match, newest first: a superset of the events that do. Raises sqlite3.Error."""
    leads = [_of_values(test) for test in wanted.tests if _is_of_values(test)]
    shaped = [test for test in wanted.tests if not _is_of_values(test)]
    if shaped:
        leads.append(_of_shapes(_passing.of(database, shaped)))
    first = min(leads, key=lambda lead: _count(database, lead, bounds), default=None)
    if first is None or len(first.sources) > MERGED:
        first = _Lead((("events e NOT INDEXED WHERE 1", []),), ("", []))
    tests = [lead.test for lead in leads if lead is not first]
    found = [database.execute(*_statement(source, first.pos, tests, bounds)) for source in first.sources]
    return heapq.merge(*found, key=itemgetter(0), reverse=True)


def row_by_id(database: sqlite3.Connection, event_id: str) -> Iterator[tuple[Any, ...]]:
    """The rows of events that may have this id, newest first. Raises sqlite3.Error."""
    return database.execute(f"{_ROW} events e INDEXED BY by_id WHERE e.id = ? ORDER BY e.pos DESC", (id_key(event_id),))


def _statement(source: _Statement, pos: str, tests: Sequence[_Statement], bounds: Bounds) -> _Statement:
    conditions = [source[0], f"{pos} >= ? AND {pos} < ?", *(text for text, _ in tests)]
    bound = [*source[1], *bounds, *(value for _, values in tests for value in values)]
    return f"{_ROW} {' AND '.join(conditions)} ORDER BY {pos} DESC", bound


def _count(database: sqlite3.Connection, lead: _Lead, bounds: Bounds) -> int:
    """How many rows it gives, as far as COUNTED."""
    if len(lead.sources) > MERGED:
        return COUNTED
    count = 0
    for text, values in lead.sources:
        # LIMIT keeps it from counting on where there are many.
        inside = f"{text} AND {lead.pos} >= ? AND {lead.pos} < ?"
        limited = f"SELECT count(*) FROM (SELECT 1 FROM {inside} LIMIT {COUNTED - count})"  # noqa: S608
        count += database.execute(limited, [*values, *bounds]).fetchone()[0]
        if count >= COUNTED:
            break
    return count


def _is_of_values(test: Test) -> bool:
    return test.name in VALUE_FIELDS or test.name.startswith(PARAM)


def _of_values(test: Test) -> _Lead:
    if test.name.startswith(PARAM):
        keys = [param_key(test.name.removeprefix(PARAM), value) for value in test.values]
        source = "params p CROSS JOIN events e ON e.pos = p.pos WHERE p.value = ?"
        marks = ", ".join("?" * len(keys))
        tested = f"EXISTS (SELECT 1 FROM params t WHERE t.value IN ({marks}) AND t.pos = e.pos)"  # noqa: S608
        return _Lead(tuple((source, [key]) for key in dict.fromkeys(keys)), (tested, keys), "p.pos")
    key = id_key if test.name == "request_id" else value_key
    keys = [key(value) for value in test.values]
    source = f"events e INDEXED BY by_{test.name} WHERE e.{test.name} = ?"
    tested = f"+e.{test.name} IN ({', '.join('?' * len(keys))})"
    return _Lead(tuple((source, [key]) for key in dict.fromkeys(keys)), (tested, keys))


def _of_shapes(shapes: list[int]) -> _Lead:
    source = "events e INDEXED BY by_shape WHERE e.shape = ?"
    tested = "+e.shape IN (SELECT value FROM json_each(?))"
    return _Lead(tuple((source, [shape]) for shape in shapes), (tested, [msgspec.json.encode(shapes).decode()]))
