"""What the alarms must not forget: first uses, what was raised, and where in each stream they stand.

`<state>/auditor/alarms.db`, SQLite. It is derived: who loses it has the ledger read again for first uses, and learns
from it without raising what is long past. Nothing in it but pseudonyms.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from authz.audit.alarms.watch import Suspicion, Watch
from authz.audit.alarms.windows import Firsts, Seen, Windows
from authz.audit.trail import Place

_SCHEMA: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS begun (at REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS firsts (rule TEXT, key TEXT, PRIMARY KEY (rule, key)) STRICT;
CREATE TABLE IF NOT EXISTS quiet (rule TEXT, key TEXT, at REAL NOT NULL, PRIMARY KEY (rule, key)) STRICT;
CREATE TABLE IF NOT EXISTS owed (id TEXT PRIMARY KEY, suspicion BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS snapshot (one INTEGER PRIMARY KEY CHECK (one = 1), state BLOB NOT NULL) STRICT;
"""

_decode_suspicion: Final = msgspec.json.Decoder(Suspicion).decode


class _Snapshot(msgspec.Struct):
    """Windows by rule, and the place of each stream up to which they hold everything."""

    places: dict[str, tuple[str, int, int, str | None]]
    windows: dict[str, dict[str, dict[str, Seen]]]


_decode_snapshot: Final = msgspec.msgpack.Decoder(_Snapshot).decode


class AlarmStore:
    """One SQLite file. For one thread at a time. Raises sqlite3.Error, OSError."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def begun(self, now: float) -> float:
        """When this store was made, which is now if it is new."""
        self._database.execute("INSERT INTO begun SELECT ? WHERE NOT EXISTS (SELECT 1 FROM begun)", (now,))
        return float(self._database.execute("SELECT at FROM begun").fetchone()[0])

    def owed(self) -> list[Suspicion]:
        """What was raised and is not known to be recorded, the oldest first."""
        rows = self._database.execute("SELECT suspicion FROM owed ORDER BY rowid").fetchall()
        return [_decode_suspicion(row[0]) for row in rows]

    def paid(self, ids: list[str]) -> None:
        """These are recorded."""
        self._database.executemany("DELETE FROM owed WHERE id = ?", [(each,) for each in ids])

    def raise_all(self, suspicions: list[Suspicion], watch: Watch) -> None:
        """Keep these and all that the watch has learned, in one transaction."""
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            for each in suspicions:
                database.execute("INSERT INTO owed VALUES (?, ?)", (each.id, msgspec.json.encode(each)))
                database.execute("INSERT OR REPLACE INTO quiet VALUES (?, ?, ?)", (each.rule, each.key, each.at))
            for rule, firsts in _firsts(watch).items():
                for key, learned in firsts.news().items():
                    statement = "INSERT OR IGNORE INTO firsts" if learned else "DELETE FROM firsts"
                    tail = " VALUES (?, ?)" if learned else " WHERE rule = ? AND key = ?"
                    database.execute(statement + tail, (rule, key))
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def keep(self, watch: Watch, places: Mapping[str, Place], quiet_since: float) -> None:
        """Keep the windows together with the places that they belong to."""
        windows = {rule: memory.rows() for rule, memory in _windows(watch).items()}
        at = {name: (*place[:3], None if place.prev is None else place.prev.decode()) for name, place in places.items()}
        state = msgspec.msgpack.encode(_Snapshot(at, windows))
        self._database.execute("DELETE FROM quiet WHERE at < ?", (quiet_since,))
        self._database.execute("INSERT OR REPLACE INTO snapshot VALUES (1, ?)", (state,))

    def restore(self, watch: Watch) -> dict[str, Place]:
        """Give the watch back what was kept; returns the places it stands at."""
        for rule, key, at in self._database.execute("SELECT rule, key, at FROM quiet ORDER BY at"):
            watch.quiet[rule, key] = at
        for rule, firsts in _firsts(watch).items():
            rows = self._database.execute("SELECT key FROM firsts WHERE rule = ? ORDER BY rowid", (rule,))
            firsts.restore([row[0] for row in rows])
        row = self._database.execute("SELECT state FROM snapshot").fetchone()
        if row is None:
            return {}
        snapshot = _decode_snapshot(row[0])
        for rule, windows in _windows(watch).items():
            windows.restore(snapshot.windows.get(rule, {}))
        return {name: Place(*at[:3], None if at[3] is None else at[3].encode()) for name, at in snapshot.places.items()}


def _firsts(watch: Watch) -> dict[str, Firsts]:
    return {rule.name: rule.memory for rule in watch.rules if isinstance(rule.memory, Firsts)}


def _windows(watch: Watch) -> dict[str, Windows]:
    return {rule.name: rule.memory for rule in watch.rules if isinstance(rule.memory, Windows)}


def forgotten(watch: Watch) -> dict[str, int]:
    """How much each rule forgot too early, because it follows as many as it may."""
    memories: dict[str, Any] = {**_firsts(watch), **_windows(watch)}
    return {rule: memory.forgotten for rule, memory in memories.items()}
