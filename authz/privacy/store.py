"""The table of identities: what can be erased of a person, kept outside the ledger because the ledger forgets nothing.

One row for one value under one key: its salt (`audit.privacy = "salts"`), and its clear form, sealed to the security
team (`audit.names`). Rows are found by a keyed handle that is in no record. Without the row, whoever holds every key
that is left can neither compute the value's salted pseudonym nor read its name.
"""

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from authz.core import ConfigurationError
from authz.identity import Pseudonymiser

DEFAULT_STORE: Final = Path("identities") / "identities.db"
"""Below the state directory, where `audit.identities` names no other."""

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE identity (
    handle BLOB PRIMARY KEY,
    key_id TEXT NOT NULL,
    salt BLOB,
    owner BLOB,
    pseudonym TEXT,
    name BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX identity_owner ON identity (owner) WHERE owner IS NOT NULL;
CREATE INDEX identity_pseudonym ON identity (pseudonym) WHERE pseudonym IS NOT NULL;
"""
_BUSY_SECONDS: Final = 10.0

SealName = Callable[[str, str], bytes]
"""(clear id, its pseudonym) -> what only the security team can open."""


class Wanted(NamedTuple):
    """One value to look up. `make`: give it a salt if it has none. `named`: keep its clear form, sealed.

    `owner`: the value it belongs to, with which it is erased; of a session, its subject.
    """

    value: str
    make: bool
    named: bool = False
    owner: str | None = None


class Erased(NamedTuple):
    """How many rows went, or would go: the subject's own, those of sessions and the like, and how many had names."""

    identities: int
    owned: int
    names: int


class IdentityStore:
    """The table in its file. One thread at a time; other processes may use the file too.

    `salting`: new values get a random salt. `seal`: how names are sealed; None keeps none. Raises ConfigurationError
    when the file cannot be used. All else raises sqlite3.Error.
    """

    def __init__(self, file: Path, key: Pseudonymiser, *, salting: bool, seal: SealName | None = None) -> None:
        self._key = key
        self._salting = salting
        self._seal = seal
        self._connection = open_store(file)
        self._version = self._data_version()

    def settle(self, wanted: Sequence[Wanted]) -> list[str | None]:
        """The pseudonym of each value; None where it has no salt and was not to get one. Durable when it returns."""
        with _transaction(self._connection):
            return [self._one(each) for each in wanted]

    def changed_elsewhere(self) -> bool:
        """Whether another process has changed the file since this was asked last."""
        before, self._version = self._version, self._data_version()
        return before != self._version

    def close(self) -> None:
        """Give the file free."""
        self._connection.close()

    def _one(self, wanted: Wanted) -> str | None:
        handle = self._handle(wanted.value)
        row = self._connection.execute("SELECT salt, name FROM identity WHERE handle = ?", (handle,)).fetchone()
        if row is None:
            return self._insert(handle, wanted) if wanted.make else None
        salt, name = row
        pseudonym = self._pseudonym(salt, wanted.value)
        if name is None and wanted.named and self._seal is not None:
            self._connection.execute(
                "UPDATE identity SET pseudonym = ?, name = ? WHERE handle = ?",
                (pseudonym, self._seal(wanted.value, pseudonym), handle),
            )
        return pseudonym

    def _insert(self, handle: bytes, wanted: Wanted) -> str:
        salt = secrets.token_bytes(16) if self._salting else None
        pseudonym = self._pseudonym(salt, wanted.value)
        sealed = self._seal(wanted.value, pseudonym) if wanted.named and self._seal is not None else None
        owner = None if wanted.owner is None else self._handle(wanted.owner)
        self._connection.execute(
            "INSERT INTO identity VALUES (?, ?, ?, ?, ?, ?)",
            (handle, self._key.key_id, salt, owner, pseudonym if sealed is not None else None, sealed),
        )
        return pseudonym

    def _pseudonym(self, salt: bytes | None, value: str) -> str:
        return self._key.pseudonym(value) if salt is None else self._key.salted(salt, value)

    def _handle(self, value: str) -> bytes:
        return self._key.handle(value, salted=self._salting)

    def _data_version(self) -> int:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)


def open_store(file: Path) -> sqlite3.Connection:
    """The file, made first when there is none (0600, in a directory of its own). Raises ConfigurationError."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(file, _BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise ConfigurationError(f"audit.identities: {file} cannot be used: {error}") from None
    try:
        _prepare(connection, file)
    except sqlite3.Error as error:
        connection.close()
        raise ConfigurationError(f"audit.identities: {file} cannot be used: {error}") from None
    except ConfigurationError:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, file: Path) -> None:
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    with _transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
    if version not in (0, _VERSION):
        raise ConfigurationError(f"audit.identities: {file} is of version {version}, not {_VERSION}")


def erase_rows(file: Path, keys: Iterable[Pseudonymiser], value: str, *, dry_run: bool) -> Erased:
    """Remove the rows of a value under these keys and what they own, and their bytes from the file and its log.

    With `dry_run` only count them. Raises ConfigurationError, sqlite3.Error.
    """
    if not file.exists():
        return Erased(0, 0, 0)
    found = [key.handle(value, salted=salted) for key in keys for salted in (True, False)]
    with closing(open_store(file)) as connection:
        with _transaction(connection):
            counts = [_erase_one(connection, handle, dry_run=dry_run) for handle in found]
        if not dry_run:
            _scrub(connection)
    return Erased(*map(sum, zip(*counts, strict=True)))


def erase_epoch(file: Path, key_id: str) -> int:
    """Remove every row of a key that is destroyed; how many there were. Raises as `erase_rows`."""
    if not file.exists():
        return 0
    with closing(open_store(file)) as connection:
        with _transaction(connection):
            gone = connection.execute("DELETE FROM identity WHERE key_id = ?", (key_id,)).rowcount
        _scrub(connection)
    return gone


def _erase_one(connection: sqlite3.Connection, handle: bytes, *, dry_run: bool) -> Erased:
    own, named = connection.execute("SELECT count(*), count(name) FROM identity WHERE handle = ?", (handle,)).fetchone()
    (owned,) = connection.execute("SELECT count(*) FROM identity WHERE owner = ?", (handle,)).fetchone()
    if not dry_run:
        connection.execute("DELETE FROM identity WHERE handle = ?1 OR owner = ?1", (handle,))
    return Erased(own, owned, named)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing, and durable at the end."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _scrub(connection: sqlite3.Connection) -> None:
    """Deleted cells are zeroed already (secure_delete); what older pages and the log still hold goes here.

    Raises sqlite3.OperationalError when a reader keeps the log in use for too long.
    """
    connection.execute("VACUUM")
    busy, _log, _done = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("the log is in use, so what was erased may still stand in it: run it again")


def find_salted(file: Path, keys: Sequence[Pseudonymiser], value: str) -> tuple[str, ...]:
    """The salted pseudonyms of a value, for each key under which it has a salt. Raises sqlite3.Error."""
    if not file.exists():
        return ()
    with closing(_read_only(file)) as connection:
        rows = ((key, connection.execute(_SALT, (key.handle(value, salted=True),)).fetchone()) for key in keys)
        return tuple(key.salted(row[0], value) for key, row in rows if row is not None and row[0] is not None)


def read_names(file: Path, pseudonyms: Iterable[str]) -> dict[str, bytes]:
    """The sealed names of those of these pseudonyms that have one. Raises sqlite3.Error."""
    if not file.exists():
        return {}
    with closing(_read_only(file)) as connection:
        rows = ((each, connection.execute(_NAME, (each,)).fetchone()) for each in pseudonyms)
        return {each: row[0] for each, row in rows if row is not None}


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", _BUSY_SECONDS, uri=True)


_SALT: Final = "SELECT salt FROM identity WHERE handle = ?"
_NAME: Final = "SELECT name FROM identity WHERE pseudonym = ? AND name IS NOT NULL"
