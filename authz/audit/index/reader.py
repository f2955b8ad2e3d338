"""The index as searches use it: one snapshot, rows newest first, each held against the ledger before it is shown."""

import sqlite3
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from authz.audit.filters import Filter
from authz.audit.index.lines import NotTheRecordError, SegmentLines
from authz.audit.index.places import Taken, places_fit, read_places
from authz.audit.index.plan import Bounds, rows, rows_by_id
from authz.audit.index.row import OTHER, SHAPE_BITS, STREAM_BITS, Row
from authz.audit.index.schema import index_path, open_to_read
from authz.audit.record import microseconds
from authz.core import AuthzError

Position = tuple[str, str, int]
"""Where an event stands among all: `ts`, stream, `seq`."""


class IndexUnusableError(AuthzError):
    """The index cannot be used now: the segments have to be read."""

    code = "audit_index_unusable"


class Refused(NamedTuple):
    """A row that is not what lies in the ledger: nothing of it was answered."""

    stream: str
    segment: str
    offset: int
    why: str

    def __str__(self) -> str:
        return f"{self.stream}/{self.segment}, byte {self.offset}: {self.why}"


class Index:
    """One snapshot of the index. A context manager; for one thread at a time.

    `places`: how far it has come in each stream. `refused`: the rows that were refused so far.
    """

    def __init__(self, state: Path, database: sqlite3.Connection) -> None:
        """Raises IndexUnusableError, also when it is the index of another ledger, or of another state of this one."""
        self.refused: list[Refused] = []
        self._audit = state / "audit"
        self._database = database
        self._chunks: dict[int, SegmentLines] = {}
        self._segments: dict[tuple[str, str], SegmentLines] = {}
        self._shapes: dict[int, bytes] = {}
        try:
            database.execute("BEGIN")
            taken = read_places(database)
            fits = places_fit(taken, self._audit)
            self._streams: dict[int, str] = dict(database.execute("SELECT number, name FROM streams"))
        except (sqlite3.Error, OSError) as error:
            raise IndexUnusableError(str(error)) from None
        if not fits:
            raise IndexUnusableError("it is not the index of the ledger that lies here")
        self.places: Mapping[str, Taken] = taken

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        for segment in self._segments.values():
            segment.close()
        self._database.close()

    def events(self, wanted: Filter, before: Position | None) -> Iterator[dict[str, Any]]:
        """The events that match, newest first, those before a position only. Raises IndexUnusableError, OSError."""
        try:
            for _, same_time in groupby(rows(self._database, wanted, _bounds(wanted, before)), _time):
                events = [event for event in map(self._event, same_time) if event is not None]
                for event in sorted(events, key=lambda event: event["stream"], reverse=True):
                    if wanted.passes(event) and (before is None or _position(event) < before):
                        yield event
        except sqlite3.Error as error:
            raise IndexUnusableError(str(error)) from None

    def by_id(self, event_id: str) -> dict[str, Any] | None:
        """The event with this id, the newest one if there are several. Raises IndexUnusableError, OSError."""
        try:
            found = (self._event(row) for row in rows_by_id(self._database, event_id))
            return next((event for event in found if event is not None and event.get("id") == event_id), None)
        except sqlite3.Error as error:
            raise IndexUnusableError(str(error)) from None

    def _event(self, found: tuple[Any, ...]) -> dict[str, Any] | None:
        """The event of a row; None for one that was pruned, or refused."""
        row, segment = Row(*found), None
        try:
            segment = self._segment(row.chunk)
            return segment.event(row, self._shape(row.shape & (1 << SHAPE_BITS) - 1))
        except NotTheRecordError as error:
            place = (segment.stream, segment.segment) if segment is not None else ("", "")
            self.refused.append(Refused(*place, row.offset, str(error)))
            return None

    def _segment(self, chunk: int) -> SegmentLines:
        if chunk not in self._chunks:
            found = self._database.execute("SELECT stream, segment FROM chunks WHERE number = ?", (chunk,)).fetchone()
            if found is None or found[0] not in self._streams:
                raise NotTheRecordError("it names no segment")
            key = self._streams[found[0]], found[1]
            if key not in self._segments:
                self._segments[key] = SegmentLines(self._audit, key[0], found[0], key[1])
            self._chunks[chunk] = self._segments[key]
        return self._chunks[chunk]

    def _shape(self, number: int) -> bytes | None:
        if number == OTHER:
            return None
        if number not in self._shapes:
            found = self._database.execute("SELECT fields FROM shapes WHERE number = ?", (number,)).fetchone()
            if found is None:
                raise NotTheRecordError("it names no shape")
            self._shapes[number] = found[0]
        return self._shapes[number]


def open_index(state: Path) -> Index | None:
    """The index of a state directory; None where there is none. Raises IndexUnusableError."""
    path = index_path(state)
    if not path.exists():
        return None
    try:
        database = open_to_read(path)
    except sqlite3.Error as error:
        raise IndexUnusableError(str(error)) from None
    try:
        return Index(state, database)
    except BaseException:
        database.close()
        raise


def _time(row: tuple[Any, ...]) -> int:
    return int(row[0]) >> STREAM_BITS


def _position(event: dict[str, Any]) -> Position:
    return event["ts"], event["stream"], event["seq"]


def _bounds(wanted: Filter, before: Position | None) -> Bounds:
    """What lies between `since` and `until` and before the position; a little more where times are no times."""
    first = _at(wanted.since) if wanted.since else 0
    ends = [_at(wanted.until)] if wanted.until != "~" else []
    if before is not None:
        ends.append(_at(before[0]) + 1)
    return Bounds(first << STREAM_BITS, min(ends) << STREAM_BITS) if ends else Bounds(first << STREAM_BITS)


def _at(ts: str) -> int:
    """Microseconds; times before 1970 are all the same to a ledger."""
    return max(0, microseconds(ts))
