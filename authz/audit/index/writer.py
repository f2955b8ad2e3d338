"""The index as a consumer of the trail: rows and the place they reach are committed together."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

import structlog

from authz.audit.index.places import places_fit, read_places
from authz.audit.index.row import CHUNK, OTHER, STREAM_BITS, param_keys, position, row_of, shape_of
from authz.audit.index.schema import index_path, open_to_write, remove
from authz.audit.index.shapes import shape_set
from authz.audit.trail import Batch, Place, Record
from authz.core import AuthzError

MOST_SHAPES: Final = 20_000

_INSERT: Final = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_log = structlog.get_logger("authz.auditor.index")


class IndexFullError(AuthzError):
    """More streams than a position can tell apart."""

    code = "audit_index_full"


class IndexLostError(AuthzError):
    """Somebody has removed the file: it is built again."""

    code = "audit_index_lost"


class _Chunk:
    """The chunk of a stream that is being filled."""

    def __init__(self, number: int, segment: str, events: int = 0, last: int = -1, shapes: int = 0) -> None:
        self.number = number
        self.segment = segment
        self.events = events
        self.last = last
        self.shapes = shapes


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
        self._shapes: dict[bytes, int] = {}
        self._chunks: dict[int, _Chunk] = {}
        self._newest: dict[int, int] = {}

    def open(self) -> Mapping[str, Place]:
        """An index that is damaged, or of another ledger than the one here, is built again from the beginning."""
        if self._unsound or not self._fits():
            _log.warning("index_rebuilt", path=str(self._path))
            remove(self._path)
        self._unsound = False
        self._database = database = open_to_write(self._path)
        self._streams = dict(database.execute("SELECT name, number FROM streams"))
        self._shapes = dict(database.execute("SELECT fields, number FROM shapes"))
        self._newest = dict(database.execute("SELECT stream, max(last) FROM chunks GROUP BY stream"))
        newest = "SELECT stream, max(number), segment, events, last, shapes FROM chunks GROUP BY stream"
        self._chunks = {
            stream: _Chunk(number, segment, events, last, int.from_bytes(shapes, "little"))
            for stream, number, segment, events, last, shapes in database.execute(newest)
        }
        return {name: taken.place for name, taken in read_places(database).items()}

    def take(self, batch: Batch) -> None:
        """Rows and place, or nothing of it."""
        self._transact(partial(self._take, batch))

    def kept(self, stream: str, segments: Sequence[str]) -> None:
        """Remove the rows of segments that were pruned."""
        number = self._streams.get(stream)
        if number is None or not segments:
            return
        query = "SELECT number FROM chunks WHERE stream = ? AND segment < ? ORDER BY number"
        for (chunk,) in self._opened().execute(query, (number, segments[0])).fetchall():
            self._transact(partial(_remove_rows, chunk))
        newest = self._chunks.get(number)
        if newest is not None and newest.segment < segments[0]:
            del self._chunks[number]

    def close(self) -> None:
        """Let go of the file."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _take(self, batch: Batch, database: sqlite3.Connection) -> None:
        stream = self._stream(database, batch.stream)
        found = list(self._timed(stream, batch))
        while found:
            chunk = self._chunk(database, stream, batch.segment, found[0][0])
            room = CHUNK - chunk.events
            self._fill(database, chunk, found[:room])
            found = found[room:]
        after, last = batch.after, batch.records[-1] if batch.records else None
        kept = (last.offset, bytes.fromhex(last.sha256.decode())) if last else (None, None)
        database.execute(
            "UPDATE streams SET segment = ?, offset = ?, seq = ?, last = ?, sha256 = ? WHERE number = ?",
            (after.segment, after.offset, after.seq, *kept, stream),
        )

    def _fill(self, database: sqlite3.Connection, chunk: _Chunk, found: Sequence[tuple[int, Record]]) -> None:
        shapes = [self._shape(database, shape_of(record.fields)) for _, record in found]
        rows = [
            row_of(each.fields, pos, chunk.number, shape, each.offset, each.line, each.sha256)
            for (pos, each), shape in zip(found, shapes, strict=True)
        ]
        database.executemany(_INSERT, rows)
        keys = [(key, row.pos) for row in rows if row.params for key in param_keys(chunk.number, row.params)]
        database.executemany("INSERT INTO params VALUES (?, ?)", keys)
        for shape in set(shapes):
            chunk.shapes |= 1 << shape
        chunk.events += len(rows)
        chunk.last = rows[-1].pos
        database.execute(
            "UPDATE chunks SET last = ?, events = ?, shapes = ? WHERE number = ?",
            (chunk.last, chunk.events, shape_set(chunk.shapes), chunk.number),
        )

    def _timed(self, stream: int, batch: Batch) -> Iterator[tuple[int, Record]]:
        """With their positions, all but those that no writer of ours made: without a time later than the last one's.

        Verification names them.
        """
        newest = self._newest.get(stream, -1)
        for record in batch.records:
            try:
                pos = position(record.fields["ts"], stream)
            except (ValueError, OverflowError):
                pos = -1
            if pos <= newest:
                _log.error("index_left_out", stream=batch.stream, seq=record.seq, why="its time is not after the last")
                continue
            newest = pos
            yield pos, record
        self._newest[stream] = newest

    def _stream(self, database: sqlite3.Connection, name: str) -> int:
        if name not in self._streams:
            number = max(self._streams.values(), default=-1) + 1
            if number >> STREAM_BITS:
                raise IndexFullError(f"there are more than {1 << STREAM_BITS} streams")
            database.execute("INSERT INTO streams VALUES (?, ?, '', 0, 0, NULL, NULL)", (number, name))
            self._streams[name] = number
        return self._streams[name]

    def _chunk(self, database: sqlite3.Connection, stream: int, segment: str, first: int) -> _Chunk:
        """The one to fill; another one when it is full, or of another segment."""
        chunk = self._chunks.get(stream)
        if chunk is None or chunk.segment != segment or chunk.events >= CHUNK:
            values = (stream, segment, first, first)
            insert = "INSERT INTO chunks (stream, segment, first, last, events, shapes) VALUES (?, ?, ?, ?, 0, x'')"
            self._chunks[stream] = chunk = _Chunk(database.execute(insert, values).lastrowid or 0, segment)
        return chunk

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
        database = self._opened()
        if not self._path.exists():
            raise IndexLostError(f"{self._path} is gone")
        try:
            database.execute("BEGIN IMMEDIATE")
            work(database)
            database.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            self._unsound = type(error) is not sqlite3.OperationalError
            raise

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise sqlite3.ProgrammingError("the index is not open")
        return self._database

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


def _remove_rows(chunk: int, database: sqlite3.Connection) -> None:
    """Remove the rows of one chunk, and then the chunk."""
    first, last = database.execute("SELECT first, last FROM chunks WHERE number = ?", (chunk,)).fetchone()
    values = (first, last, chunk)
    found = database.execute("SELECT pos, params FROM events WHERE pos BETWEEN ? AND ? AND chunk = ?", values)
    keys = [(key, pos) for pos, params in found for key in param_keys(chunk, params)]
    database.executemany("DELETE FROM params WHERE value = ? AND pos = ?", keys)
    database.execute("DELETE FROM events WHERE pos BETWEEN ? AND ? AND chunk = ?", values)
    database.execute("DELETE FROM chunks WHERE number = ?", (chunk,))
