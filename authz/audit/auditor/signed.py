"""What was signed last, of each stream: the one memory of the auditor that must never go back.

`<state>/auditor/signed.db`, SQLite with synchronous=FULL. The head of a tree is put here, against the one that was
there before, and is on the device before a checkpoint of it leaves. Who loses this file loses the protection against
an older copy of the ledger, as far as the published checkpoints and the roll-up do not give it back.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from authz.audit.status import Alarm
from authz.core import AuthzError

SIGNED_NAME: Final = "signed.db"

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS signed (
    stream TEXT PRIMARY KEY, size INTEGER NOT NULL CHECK (size > 0), root BLOB NOT NULL CHECK (length(root) = 32)
) STRICT;
CREATE TRIGGER IF NOT EXISTS signed_only_grows BEFORE UPDATE ON signed WHEN NEW.size <= OLD.size
BEGIN SELECT RAISE(ABORT, 'a signed tree only grows'); END;
CREATE TABLE IF NOT EXISTS alarms (
    stream TEXT NOT NULL, kind TEXT NOT NULL, segment TEXT NOT NULL, line INTEGER NOT NULL, message TEXT NOT NULL,
    found_at TEXT NOT NULL, refused INTEGER NOT NULL, PRIMARY KEY (stream, kind, segment, line, refused)
) STRICT;
"""


class Head(NamedTuple):
    """A tree: how many leaves, and its root."""

    size: int
    root: bytes


class SigningUnsafeError(AuthzError):
    """What was signed last is not known, or not what it was thought to be: nothing may be signed now."""

    code = "audit_signing_unsafe"


class SignedStore:
    """The last signed heads and the alarms that were raised. A change is on the device before the method returns.

    Every method raises SigningUnsafeError when the file cannot be used. It belongs to the thread that made it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            path.chmod(0o600)
            self._database.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise self._unsafe(error) from None

    def heads(self) -> dict[str, Head]:
        """The last signed head of every stream."""
        return {stream: Head(size, root) for stream, size, root in self._all("SELECT stream, size, root FROM signed")}

    def advance(self, steps: Mapping[str, tuple[Head | None, Head]]) -> None:
        """Compare and set: each stream from the head that was signed last (None: nothing yet) to the new one.

        All of them or none. Raises SigningUnsafeError when one is not as it was thought to be, or does not grow.
        """
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                for stream, (old, new) in steps.items():
                    self._step(stream, old, new)
        except sqlite3.Error as error:
            raise self._unsafe(error) from None

    def alarms(self) -> tuple[Alarm, ...]:
        """The alarms that stand."""
        rows = self._all("SELECT * FROM alarms ORDER BY found_at, stream, segment")
        return tuple(msgspec.convert(row, Alarm, strict=False) for row in map(_named, rows))

    def raise_alarms(self, alarms: Iterable[Alarm]) -> None:
        """Remember alarms, so that each is raised once."""
        rows = [msgspec.structs.astuple(one) for one in alarms]
        self._change("INSERT OR IGNORE INTO alarms VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def lift_alarms(self, alarms: Iterable[Alarm]) -> None:
        """Forget alarms whose reason is gone."""
        statement = "DELETE FROM alarms WHERE stream = ? AND kind = ? AND segment = ? AND line = ? AND refused = ?"
        self._change(statement, [one.place for one in alarms])

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _step(self, stream: str, old: Head | None, new: Head) -> None:
        if old is None:
            done = self._database.execute("INSERT OR IGNORE INTO signed VALUES (?, ?, ?)", (stream, *new))
        else:
            changed = "UPDATE signed SET size = ?, root = ? WHERE stream = ? AND size = ? AND root = ?"
            done = self._database.execute(changed, (*new, stream, *old))
        if done.rowcount != 1:
            raise SigningUnsafeError(f"{self._path}: of {stream} something else was signed than was thought")

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(query).fetchall()
        except sqlite3.Error as error:
            raise self._unsafe(error) from None

    def _change(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany(statement, rows)
        except sqlite3.Error as error:
            raise self._unsafe(error) from None

    def _unsafe(self, error: Exception) -> SigningUnsafeError:
        return SigningUnsafeError(f"{self._path}: {error}")


def _named(row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(Alarm.__struct_fields__, row, strict=True))
