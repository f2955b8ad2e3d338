"""What a witness must never forget: for each log the one checkpoint it cosigned last, and those it refused."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

from authz.tlog import Checkpoint
from authz.witness.errors import CannotCosignError

MAX_ORIGINS: Final = 4096
"""Most logs remembered. One key covers all streams below its name, and its holder could invent any number of them."""

MAX_REFUSALS: Final = 1000
"""Most refused checkpoints kept for one log and reason. The first ones are the evidence."""

_BUSY_SECONDS: Final = 5.0
# EXTRA: the directory is synced too when the rollback journal is removed. With FULL a power cut could bring the journal
# back, and with it the state before a cosignature that has already left the house.
_SCHEMA: Final = """
PRAGMA journal_mode = DELETE;
PRAGMA synchronous = EXTRA;
CREATE TABLE IF NOT EXISTS signer (vkey TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS cosigned (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, time INTEGER NOT NULL, note BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS refused (
    origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, reason TEXT NOT NULL,
    cosigned_size INTEGER NOT NULL, request BLOB NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (origin, size, root, reason)
) STRICT;
"""


class Cosigned(NamedTuple):
    """A checkpoint that was cosigned, when (seconds since the epoch), and the note with the cosignature."""

    checkpoint: Checkpoint
    time: int
    note: bytes


Reason = Literal["fork", "behind", "inconsistent"]


class Refusal(NamedTuple):
    """A checkpoint that its log did sign and that was not cosigned. `request`: what was sent, the proof included.

    `fork`: another tree of the size that was cosigned, which only the log's key can have made. `behind` and
    `inconsistent` are evidence only if the log cannot explain them: anybody can repeat an old checkpoint, or send a
    wrong proof with a good one.
    """

    checkpoint: Checkpoint
    reason: Reason
    cosigned_size: int
    request: bytes
    time: int


class Store:
    """A SQLite file. A change is on the device before the method returns; other processes may use the file as well.

    Every method raises CannotCosignError when the file cannot be used. Not safe across threads.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Give the file free; the next use opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def introduce(self, vkey: str) -> None:
        """From now on the signatures of this key are based on what is remembered here."""
        with self._changing() as connection:
            connection.execute("INSERT INTO signer VALUES (?) ON CONFLICT DO NOTHING", (vkey,))

    def knows(self, vkey: str) -> bool:
        """Whether a key was introduced. If not, this is not the memory that it signed with."""
        with self._in_use() as connection:
            return connection.execute("SELECT 1 FROM signer WHERE vkey = ?", (vkey,)).fetchone() is not None

    def last(self, origin: str) -> Cosigned | None:
        """What was cosigned last for a log."""
        with self._in_use() as connection:
            row = connection.execute(
                "SELECT size, root, time, note FROM cosigned WHERE origin = ?", (origin,)
            ).fetchone()
        return None if row is None else Cosigned(Checkpoint(origin, row[0], row[1]), row[2], row[3])

    def advance(self, before: Cosigned | None, after: Cosigned) -> bool:
        """Remember `after` if what is remembered is still `before`; False, and nothing changed, if it is not."""
        (origin, size, root, _), time, note = after.checkpoint, after.time, after.note
        with self._changing() as connection:
            if before is None:
                _check_room(connection)
                changed = connection.execute(
                    "INSERT INTO cosigned VALUES (?, ?, ?, ?, ?) ON CONFLICT (origin) DO NOTHING",
                    (origin, size, root, time, note),
                )
            else:
                changed = connection.execute(
                    "UPDATE cosigned SET size = ?, root = ?, time = ?, note = ?"
                    " WHERE origin = ? AND size = ? AND root = ? AND time = ?",
                    (size, root, time, note, origin, before.checkpoint.size, before.checkpoint.root, before.time),
                )
        return changed.rowcount == 1

    def keep(self, refusal: Refusal) -> bool:
        """Keep a refused checkpoint; False if it is known already, or its log has too many."""
        (origin, size, root, _), reason, cosigned_size, request, time = refusal
        with self._changing() as connection:
            kept = connection.execute(
                "INSERT INTO refused SELECT ?, ?, ?, ?, ?, ?, ?"
                " WHERE (SELECT count(*) FROM refused WHERE origin = ? AND reason = ?) < ? ON CONFLICT DO NOTHING",
                (origin, size, root, reason, cosigned_size, request, time, origin, reason, MAX_REFUSALS),
            )
        return kept.rowcount == 1

    def refusals(self, origin: str) -> list[Refusal]:
        """What was refused for a log and kept, in its order."""
        with self._in_use() as connection:
            rows = connection.execute(
                "SELECT size, root, reason, cosigned_size, request, time FROM refused WHERE origin = ? ORDER BY rowid",
                (origin,),
            ).fetchall()
        return [Refusal(Checkpoint(origin, size, root), *rest) for size, root, *rest in rows]

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction. What it holds counts only once this has ended without an error."""
        with self._in_use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _in_use(self) -> Iterator[sqlite3.Connection]:
        """The file, open. After any error it is closed: opening it again rolls back what was not committed."""
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
                )
                self._connection.executescript(_SCHEMA)
            yield self._connection
        except sqlite3.Error as error:
            self.close()
            raise CannotCosignError(f"{self._path}: the state cannot be read or written: {error}") from error
        except BaseException:
            self.close()
            raise


def _check_room(connection: sqlite3.Connection) -> None:
    (origins,) = connection.execute("SELECT count(*) FROM cosigned").fetchone()
    if origins >= MAX_ORIGINS:
        raise CannotCosignError(f"{MAX_ORIGINS} logs are remembered already; no further one is taken")
