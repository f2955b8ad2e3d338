"""The index's file: its name, its tables, and how it is opened.

The number of the schema is in the name and in the file. Whoever changes a table, or what is put into a column, adds
one to it: the next auditor builds the new file from the segments and removes the old one.
"""

import sqlite3
from pathlib import Path
from secrets import randbelow
from typing import Final

SCHEMA: Final = 1
INDEX_NAME: Final = "index"

_TABLES: Final = f"""
BEGIN;
CREATE TABLE streams (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    -- The place after the last record taken, where that record begins, and its hash.
    segment TEXT NOT NULL, offset INTEGER NOT NULL, seq INTEGER NOT NULL, last INTEGER, sha256 BLOB
) STRICT;
CREATE TABLE chunks (
    number INTEGER PRIMARY KEY, stream INTEGER NOT NULL, segment TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, events INTEGER NOT NULL, shapes BLOB NOT NULL
) STRICT;
CREATE TABLE shapes (number INTEGER PRIMARY KEY, fields BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE events (
    pos INTEGER PRIMARY KEY, chunk INTEGER NOT NULL, seq INTEGER NOT NULL,
    offset INTEGER NOT NULL, length INTEGER NOT NULL, digest BLOB NOT NULL, shape INTEGER NOT NULL,
    id INTEGER, subject INTEGER, session_id INTEGER, request_id INTEGER, ip INTEGER, params BLOB
) STRICT;
CREATE TABLE params (value INTEGER NOT NULL, pos INTEGER NOT NULL, PRIMARY KEY (value, pos)) STRICT, WITHOUT ROWID;
CREATE INDEX by_shape ON events (shape);
CREATE INDEX by_id ON events (id);
CREATE INDEX by_subject ON events (subject) WHERE subject IS NOT NULL;
CREATE INDEX by_session_id ON events (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX by_request_id ON events (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX by_ip ON events (ip) WHERE ip IS NOT NULL;
PRAGMA user_version = {SCHEMA};
COMMIT;
"""


def index_path(state: Path) -> Path:
    """Where the index of a state directory lies."""
    return state / INDEX_NAME / f"events.{SCHEMA}.db"


def open_to_write(path: Path) -> sqlite3.Connection:
    """The index, made if there is none. Raises sqlite3.Error, OSError."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    for other in path.parent.glob("events.*"):
        if not other.name.startswith(path.name):
            other.unlink(missing_ok=True)
    database = sqlite3.connect(path, isolation_level=None)
    try:
        path.chmod(0o600)
        database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000;"
            "PRAGMA cache_size = -65536; PRAGMA secure_delete = FAST; PRAGMA temp_store = MEMORY;"
        )
        if not _is_made(database):
            database.execute(f"PRAGMA application_id = {1 + randbelow(1 << 30)}")
            database.executescript(_TABLES)
    except BaseException:
        database.close()
        raise
    return database


def open_to_read(path: Path) -> sqlite3.Connection:
    """The index as it is, for one thread at a time. Raises sqlite3.Error when there is none that can be read."""
    where = f"{path.absolute().as_uri()}?mode=ro"
    database = sqlite3.connect(where, uri=True, isolation_level=None, timeout=1.0, check_same_thread=False)
    try:
        database.execute("PRAGMA mmap_size = 1073741824")
        made = _is_made(database)
    except BaseException:
        database.close()
        raise
    if not made:
        database.close()
        raise sqlite3.DatabaseError("it is not made yet")
    return database


def build_of(database: sqlite3.Connection) -> int:
    """The number of this build: an index that was made anew has another one. Raises sqlite3.Error."""
    return int(database.execute("PRAGMA application_id").fetchone()[0])


def remove(path: Path) -> None:
    """Remove the index: it is built again. Raises OSError."""
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink(missing_ok=True)


def _is_made(database: sqlite3.Connection) -> bool:
    return bool(database.execute("PRAGMA user_version").fetchone()[0] == SCHEMA)
