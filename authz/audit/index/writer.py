"""The index as a consumer of the trail: rows and the place they reach are committed together."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

import structlog

from authz.audit.index.places import places_fit, read_places
from authz.audit.index.row import OTHER, STREAM_BITS, Row, param_keys, row_of, shape_of
from authz.audit.index.schema import index_path, open_to_write, remove
from authz.audit.trail import Batch, Place, Record
from authz.core import AuthzError

MOST_SHAPES: Final = 20_000

_INSERT: Final = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_log = structlog.get_logger("authz.auditor.index")


class IndexFullError(AuthzError):
    """More streams than a position can tell apart."""

    code = "audit_index_full"


class IndexWriter:
    """Keeps the index of one state directory. For one thread; see `Consumer` for what its methods promise."""

    name: Final = "index"
    begins: Final[Literal["beginning", "end"]] = "beginning"

    def __init__(self, state: Path) -> None:
        self._path = index_path(state)
        self._audit = state / "audit"
        self._database: sqlite3.Connection | None = None
        self._unsound = False
        self._streams: dict[str, int] = {}
        self._segments: dict[tuple[int, str], int] = {}
        self._shapes: dict[bytes, int] = {}
        self._newest: dict[int, int] = {}

    def open(self) -> Mapping[str, Place]:
        """An index that is damaged, or of another ledger than the one here, is built again from the beginning."""
        if self._unsound or not self._fits():
            _log.warning("index_rebuilt", path=str(self._path))
            remove(self._path)
        self._unsound = False
        self._database = database = open_to_write(self._path)
        self._streams = dict(database.execute("SELECT name, number FROM streams"))
        self._segments = {(s, name): n for n, s, name in database.execute("SELECT number, stream, name FROM segments")}
        self._shapes = dict(database.execute("SELECT fields, number FROM shapes"))
        self._newest = dict(database.execute("SELECT stream, max(last) FROM segments GROUP BY stream"))
        return {name: taken.place for name, taken in read_places(database).items()}

    def take(self, batch: Batch) -> None:
        """Rows and place, or nothing of it."""
        self._transact(partial(self._take, batch))

    def kept(self, stream: str, segments: Sequence[str]) -> None:
        """Remove the rows of segments that were pruned."""
        number = self._streams.get(stream)
        gone = [key for key in self._segments if key[0] == number and key[1] not in segments]
        for key in sorted(gone):
            self._transact(partial(_remove_rows, self._segments[key]))
            del self._segments[key]

    def close(self) -> None:
        """Let go of the file."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _take(self, batch: Batch, database: sqlite3.Connection) -> None:
        stream = self._stream(database, batch.stream)
        rows = list(self._rows(stream, batch))
        if rows:
            segment = self._segment(database, stream, batch.segment, [row for row, _ in rows])
            shaped = ((row, self._shape(database, shape_of(record.fields))) for row, record in rows)
            database.executemany(_INSERT, ((r[0], segment, *r[1:6], shape, *r[6:]) for r, shape in shaped))
            keys = ((key, row.pos) for row, _ in rows for key in set(param_keys(row.params)))
            database.executemany("INSERT INTO params VALUES (?, ?)", keys)
        after, last = batch.after, batch.records[-1] if batch.records else None
        kept = (last.offset, bytes.fromhex(last.sha256.decode())) if last else (None, None)
        database.execute(
            "UPDATE streams SET segment = ?, offset = ?, seq = ?, last = ?, sha256 = ? WHERE number = ?",
            (after.segment, after.offset, after.seq, *kept, stream),
        )

    def _rows(self, stream: int, batch: Batch) -> Iterator[tuple[Row, Record]]:
        """All but those that no writer of ours made, which verification names: without a time later than the last."""
        newest = self._newest.get(stream, -1)
        for record in batch.records:
            try:
                row = row_of(record.fields, stream, record.offset, record.line, record.sha256)
            except (ValueError, OverflowError):
                row = None
            if row is None or row.pos <= newest:
                _log.error("index_left_out", stream=batch.stream, seq=record.seq, why="its time is not after the last")
                continue
            newest = row.pos
            yield row, record
        self._newest[stream] = newest

    def _stream(self, database: sqlite3.Connection, name: str) -> int:
        if name not in self._streams:
            number = max(self._streams.values(), default=-1) + 1
            if number >> STREAM_BITS:
                raise IndexFullError(f"there are more than {1 << STREAM_BITS} streams")
            database.execute("INSERT INTO streams VALUES (?, ?, '', 0, 0, NULL, NULL)", (number, name))
            self._streams[name] = number
        return self._streams[name]

    def _segment(self, database: sqlite3.Connection, stream: int, name: str, rows: Sequence[Row]) -> int:
        last = max(row.pos for row in rows)
        number = self._segments.get((stream, name))
        if number is None:
            values = (stream, name, min(row.pos for row in rows), last)
            done = database.execute("INSERT INTO segments (stream, name, first, last) VALUES (?, ?, ?, ?)", values)
            self._segments[stream, name] = number = done.lastrowid or 0
        else:
            database.execute("UPDATE segments SET last = max(last, ?) WHERE number = ?", (last, number))
        return number

    def _shape(self, database: sqlite3.Connection, shape: bytes | None) -> int:
        if shape is None:
            return OTHER
        number = self._shapes.get(shape)
        if number is None:
            if len(self._shapes) >= MOST_SHAPES:
                return OTHER
            number = len(self._shapes) + 1
            database.execute("INSERT INTO shapes VALUES (?, ?)", (number, shape))
            self._shapes[shape] = number
        return number

    def _transact(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """After an error the caches may know more than the file: the trail closes this and opens it again."""
        database = self._database
        if database is None:
            raise sqlite3.ProgrammingError("the index is not open")
        try:
            database.execute("BEGIN IMMEDIATE")
            work(database)
            database.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            self._unsound = type(error) is not sqlite3.OperationalError
            raise

    def _fits(self) -> bool:
        """Whether what was taken last is what lies in the ledger, so that what comes next goes on from it."""
        if not self._path.exists():
            return True
        try:
            database = open_to_write(self._path)
        except sqlite3.OperationalError:  # no room, locked, a disk that is away: it may be sound
            raise
        except sqlite3.DatabaseError:
            return False
        try:
            return places_fit(read_places(database), self._audit)
        except sqlite3.DatabaseError:
            return False
        finally:
            database.close()


def _remove_rows(segment: int, database: sqlite3.Connection) -> None:
    """Remove the rows of one segment, and then the segment."""
    range_of = (
        "pos BETWEEN (SELECT first FROM segments WHERE number = :s) AND (SELECT last FROM segments WHERE number = :s)"
    )
    found = database.execute(f"SELECT pos, params FROM events WHERE {range_of} AND segment = :s", {"s": segment})  # noqa: S608
    keys = [(key, pos) for pos, params in found for key in param_keys(params)]
    database.executemany("DELETE FROM params WHERE value = ? AND pos = ?", keys)
    database.execute(f"DELETE FROM events WHERE {range_of} AND segment = :s", {"s": segment})  # noqa: S608
    database.execute("DELETE FROM segments WHERE number = ?", (segment,))
