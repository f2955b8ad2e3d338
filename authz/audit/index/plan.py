"""How the rows that may match are found: chunk by chunk, newest first, and no further than somebody wants to see.

In a chunk the condition leads that the fewest of its rows meet, as far as that can be counted quickly; the others are
tested on what it gives. Nothing is sorted and nothing is skipped over: a chunk without a row for one of the conditions
costs a look into one index.
"""

import heapq
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec

from authz.audit.filters import PARAM, Filter, Test, read_filter
from authz.audit.index.row import VALUE_BYTES, VALUE_FIELDS, Row, param_text, shape_key, value_key
from authz.audit.index.shapes import PassingShapes

COUNTED: Final = 512
"""Rows of a chunk are counted up to here: what has fewer leads without further thought."""

MERGED: Final = 128
"""Shapes that are merged, one statement each; with more of them in a chunk all its rows are looked through."""

FIRST_LOOK: Final = 4
"""Chunks that are asked first whether they have a value; then four times as many, and so on."""

_COLUMNS: Final = ", ".join(f"e.{name}" for name in Row._fields)
_BY_SHAPE: Final = "events e INDEXED BY by_shape WHERE e.shape = ?"
_ALL: Final = "events e NOT INDEXED WHERE e.chunk = ?"

_passing: Final = PassingShapes()


class Bounds(NamedTuple):
    """Positions from `first` up to `end`."""

    first: int = 0
    end: int = 1 << 62

    def within(self, first: int, last: int) -> "Bounds":
        """Those that are in the chunk from `first` to `last` too."""
        return Bounds(max(self.first, first), min(self.end, last + 1))


class _Lead(NamedTuple):
    """A condition, in one chunk. `keys`: what the rows that meet it have, one of them each, in the index of `source`.

    `tested`: the same condition, tested on a row that another one gave, with what to bind. `pos`: what a source is in
    the order of.
    """

    source: str
    keys: list[int]
    tested: str
    bound: list[Any]
    pos: str = "e.pos"


class _Chunk(NamedTuple):
    """A chunk to look into: where its positions are within the bounds, and which of the wanted shapes it has."""

    number: int
    bounds: Bounds
    shapes: int | None


class _Condition(NamedTuple):
    """A value that is wanted: in the column `name`, or as a route parameter, one of `texts`."""

    name: str
    texts: tuple[str, ...]

    def lead(self, chunk: int) -> _Lead:
        keys = [value_key(chunk, text) for text in self.texts]
        marks = ", ".join("?" * len(keys))
        if self.name == PARAM:
            source = "params p CROSS JOIN events e ON e.pos = p.pos WHERE p.value = ?"
            tested = f"EXISTS (SELECT 1 FROM params t WHERE t.value IN ({marks}) AND t.pos = e.pos)"  # noqa: S608
            return _Lead(source, keys, tested, keys, "p.pos")
        source = f"events e INDEXED BY by_{self.name} WHERE e.{self.name} = ?"
        return _Lead(source, keys, f"+e.{self.name} IN ({marks})", keys)

    def there(self, database: sqlite3.Connection, chunks: Sequence[_Chunk]) -> list[_Chunk]:
        """Those of the chunks that have the value at all, with one look into the index for each."""
        keys = [value_key(chunk.number, text) for chunk in chunks for text in self.texts]
        table = "params t WHERE t.value" if self.name == PARAM else f"events t WHERE t.{self.name}"
        query = f"SELECT j.value FROM json_each(?) j WHERE EXISTS (SELECT 1 FROM {table} = j.value)"  # noqa: S608
        found = {key >> 8 * VALUE_BYTES for (key,) in database.execute(query, (_as_json(keys),))}
        return [chunk for chunk in chunks if chunk.number in found]


def rows(database: sqlite3.Connection, wanted: Filter, bounds: Bounds) -> Iterator[tuple[Any, ...]]:
    """The rows whose values match, newest first: a superset of the events that do. Raises sqlite3.Error."""
    conditions = [_condition(test) for test in wanted.tests if _is_of_values(test)]
    shaped = [test for test in wanted.tests if not _is_of_values(test)]
    shapes = _passing.of(database, shaped) if shaped else None
    streams = database.execute("SELECT number FROM streams").fetchall()
    found = (_of_stream(database, stream, conditions, shapes, bounds) for (stream,) in streams)
    return heapq.merge(*found, key=itemgetter(0), reverse=True)


def rows_by_id(database: sqlite3.Connection, event_id: str) -> Iterator[tuple[Any, ...]]:
    """The rows of events that may have this id, newest first. Raises sqlite3.Error."""
    return rows(database, read_filter({"id": event_id}), Bounds())


def _of_stream(
    database: sqlite3.Connection, stream: int, conditions: Sequence[_Condition], shapes: int | None, bounds: Bounds
) -> Iterator[tuple[Any, ...]]:
    query = (
        "SELECT number, first, last, shapes FROM chunks WHERE stream = ? AND last >= ? AND first < ?"
        " ORDER BY number DESC"
    )
    found = _chunks(database.execute(query, (stream, *bounds)), shapes, bounds)
    size = FIRST_LOOK
    while block := list(islice(found, size)):
        for condition in conditions:
            block = condition.there(database, block) if block else block
        for chunk in block:
            yield from _of_chunk(database, chunk, conditions)
        size *= 4


def _chunks(found: Iterable[tuple[int, int, int, bytes]], shapes: int | None, bounds: Bounds) -> Iterator[_Chunk]:
    """Those that have one of the shapes at all."""
    for number, first, last, present in found:
        there = None if shapes is None else shapes & int.from_bytes(present, "little")
        if there != 0:
            yield _Chunk(number, bounds.within(first, last), there)


def _of_chunk(
    database: sqlite3.Connection, chunk: _Chunk, conditions: Sequence[_Condition]
) -> Iterator[tuple[Any, ...]]:
    leads = [condition.lead(chunk.number) for condition in conditions]
    if chunk.shapes is not None:
        leads.append(_of_shapes(chunk.number, chunk.shapes))
    first = _first(database, leads, chunk.bounds)
    if first is None or len(first.keys) > MERGED:
        first = _Lead(_ALL, [chunk.number], "1", [])
    tests = [lead for lead in leads if lead is not first]
    conditions_text = " AND ".join([f"{first.pos} >= ? AND {first.pos} < ?", *(lead.tested for lead in tests)])
    statement = f"SELECT {_COLUMNS} FROM {first.source} AND {conditions_text} ORDER BY {first.pos} DESC"  # noqa: S608
    bound = [*chunk.bounds, *(value for lead in tests for value in lead.bound)]
    found = [database.execute(statement, [key, *bound]) for key in first.keys]
    return found[0] if len(found) == 1 else heapq.merge(*found, key=itemgetter(0), reverse=True)


def _first(database: sqlite3.Connection, leads: Sequence[_Lead], bounds: Bounds) -> _Lead | None:
    """The one that the fewest rows meet. That of shapes, the last one, is counted only where the others have many."""
    if len(leads) < 2:
        return leads[0] if leads else None
    best, fewest = leads[0], COUNTED + 1
    for lead in leads:
        if fewest < COUNTED and lead.source == _BY_SHAPE:
            break
        count = _count(database, lead, bounds)
        if count < fewest:
            best, fewest = lead, count
    return best


def _count(database: sqlite3.Connection, lead: _Lead, bounds: Bounds) -> int:
    """How many rows it gives, as far as COUNTED."""
    if len(lead.keys) > MERGED:
        return COUNTED
    # LIMIT keeps it from counting on where there are many.
    inside = f"SELECT 1 FROM {lead.source} AND {lead.pos} >= ? AND {lead.pos} < ? LIMIT ?"  # noqa: S608
    count = 0
    for key in lead.keys:
        limited = f"SELECT count(*) FROM ({inside})"  # noqa: S608
        count += database.execute(limited, (key, *bounds, COUNTED - count)).fetchone()[0]
        if count >= COUNTED:
            break
    return count


def _is_of_values(test: Test) -> bool:
    return test.name in VALUE_FIELDS or test.name.startswith(PARAM)


def _condition(test: Test) -> _Condition:
    if test.name.startswith(PARAM):
        name = test.name.removeprefix(PARAM)
        return _Condition(PARAM, tuple(dict.fromkeys(param_text(name, value) for value in test.values)))
    return _Condition(test.name, tuple(dict.fromkeys(test.values)))


def _of_shapes(chunk: int, shapes: int) -> _Lead:
    keys = [shape_key(chunk, number) for number in _members(shapes)]
    return _Lead(_BY_SHAPE, keys, "+e.shape IN (SELECT value FROM json_each(?))", [_as_json(keys)])


def _as_json(keys: Sequence[int]) -> str:
    return msgspec.json.encode(keys).decode()


def _members(shapes: int) -> Iterator[int]:
    while shapes:
        lowest = shapes & -shapes
        yield lowest.bit_length() - 1
        shapes ^= lowest
