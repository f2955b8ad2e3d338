"""Changes of the pseudonym key by command, each a record in the stream of commands."""

import os
import sqlite3
from pathlib import Path

from msgspec import Struct

from authz.audit import LedgerUnreadableError, audit_directory, ledger_event, record_offline
from authz.core import AuditUnavailableError, ConfigurationError
from authz.privacy.keyring import Rotated, destroy, rotate
from authz.privacy.store import erase_epoch


class PseudonymsRotated(Struct, frozen=True):
    """Body of `audit.pseudonyms_rotated`: the id of the key that records carry from the next start on, and the last."""

    key_id: str
    previous: str
    uid: int


class PseudonymKeyDestroyed(Struct, frozen=True):
    """Body of `audit.pseudonym_key_destroyed`; `identities`: rows of the table of identities that went with it."""

    key_id: str
    identities: int
    uid: int


def rotate_key(state: Path, file: Path) -> Rotated:
    """As `keyring.rotate`, recorded where there is a ledger. Raises AuditUnavailableError too."""
    rotated = rotate(file)
    _record(state, "audit.pseudonyms_rotated", PseudonymsRotated(rotated.new, rotated.old, os.getuid()))
    return rotated


def destroy_key(state: Path, file: Path, key_id: str, store: Path) -> int:
    """As `keyring.destroy`, with its rows in the table of identities and a record; how many rows there were.

    Raises AuditUnavailableError too, also when the table cannot be used: the key is gone then.
    """
    destroy(file, key_id)
    try:
        gone = erase_epoch(store, key_id)
    except (sqlite3.Error, ConfigurationError) as error:
        raise AuditUnavailableError(f"the key is destroyed, its rows are not erased: {error}") from None
    _record(state, "audit.pseudonym_key_destroyed", PseudonymKeyDestroyed(key_id, gone, os.getuid()))
    return gone


def _record(state: Path, event_type: str, body: Struct) -> None:
    """Keys may be made and changed before there is a ledger."""
    try:
        ledger = audit_directory(state)
    except LedgerUnreadableError:
        return
    record_offline(ledger, [ledger_event(event_type, body)])
