"""Revocations on disk: what is revoked stands there as keyed digests, never as an ID.

Whoever can write here can lift a revocation, so the directory is as trusted as the state directory it is in. Its loss
would forget every revocation, so a key without a file, a file without its key, or a damaged file is no start at all.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from authz.core import AuthzError, ConfigurationError

FOREVER: Final = 2**62
"""Whenever it was issued."""
_KEY_BYTES: Final = 32
_LEEWAY_SECONDS: Final = 300
"""The longest that an issuer's `leeway_seconds` lets a token live beyond its end."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS revocation (
    id TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    kind TEXT NOT NULL,
    issuer TEXT NOT NULL,
    pseudonym TEXT,
    before INTEGER NOT NULL,
    expires_at INTEGER,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS revocation_digest ON revocation (digest, before);
"""


class RevocationsUnavailableError(AuthzError):
    """The store of revocations failed: what it was asked for is not known to be durable."""

    code = "revocations_unavailable"


class Revocation(NamedTuple):
    """One revocation. `before`: it holds for tokens issued before this second. Times in seconds since the epoch.

    `digest`: of kind, issuer and value, under the store's own key. `pseudonym`: of the value, as records have it.
    `expires_at`: when the token that it is about ends by itself, if that is known.
    """

    id: str
    digest: bytes
    kind: str
    issuer: str
    pseudonym: str | None
    before: int
    expires_at: int | None
    at: int
    by: str
    reason: str


class RevocationStore:
    """One SQLite file and its key. One thread at a time. Raises RevocationsUnavailableError."""

    def __init__(self, directory: Path) -> None:
        """Open, or make. Raises ConfigurationError when it cannot be used as it is."""
        file, key = directory / "revocations.db", directory / "digest.key"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if file.exists() != key.exists():
                gone = key if file.exists() else file
                raise ConfigurationError(f"revocations: {gone} is gone; restore it, or move {directory} away")
            if not key.exists():
                _make_key(key)
            self.key = key.read_bytes()
            self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            # EXTRA: durable when a transaction has returned, also where the journal's directory entry is the proof.
            self._connection.executescript(f"PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA; {_SCHEMA}")
            fault = self._connection.execute("PRAGMA quick_check").fetchone()[0]
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"revocations: {directory} cannot be used: {error}") from None
        if fault != "ok" or len(self.key) != _KEY_BYTES:
            raise ConfigurationError(f"revocations: {directory} is damaged; restore it from a copy")

    def held(self, now: int) -> dict[bytes, int]:
        """What is revoked now, and up to which second of issue. What has ended by itself is removed."""
        with self._transaction():
            self._connection.execute("DELETE FROM revocation WHERE expires_at <= ?", (now - _LEEWAY_SECONDS,))
            rows = self._connection.execute("SELECT digest, max(before) FROM revocation GROUP BY digest")
            # One integer for all that hold for ever: a million of them would take as much again.
            return {digest: FOREVER if before == FOREVER else before for digest, before in rows}

    def kinds(self) -> list[tuple[str, str]]:
        """Kind and issuer of all that are held."""
        with self._transaction():
            return self._connection.execute("SELECT DISTINCT kind, issuer FROM revocation").fetchall()

    def add(self, revocation: Revocation) -> None:
        """Durable when it returns."""
        with self._transaction():
            self._connection.execute("INSERT INTO revocation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", revocation)

    def remove(self, revocation_id: str) -> tuple[Revocation, int | None] | None:
        """The revocation that was removed, and up to when its like still holds; None if there is none of that ID."""
        with self._transaction():
            row = self._connection.execute("SELECT * FROM revocation WHERE id = ?", (revocation_id,)).fetchone()
            if row is None:
                return None
            removed = Revocation(*row)
            self._connection.execute("DELETE FROM revocation WHERE id = ?", (revocation_id,))
            left = self._connection.execute("SELECT max(before) FROM revocation WHERE digest = ?", (removed.digest,))
            return removed, left.fetchone()[0]

    def listed(self, limit: int, after: str, now: int) -> list[Revocation]:
        """The newest first; `after`: the last ID of the page before."""
        with self._transaction():
            rows = self._connection.execute(
                "SELECT * FROM revocation WHERE (? = '' OR id < ?) AND (expires_at IS NULL OR expires_at > ?) "
                "ORDER BY id DESC LIMIT ?",
                (after, after, now - _LEEWAY_SECONDS, limit),
            )
            return [Revocation(*row) for row in rows.fetchall()]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise RevocationsUnavailableError(f"revocations: {error}") from None


def _make_key(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_bytes(_KEY_BYTES))
        os.fsync(handle)
    finally:
        os.close(handle)
