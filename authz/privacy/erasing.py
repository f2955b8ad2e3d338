"""Erasing a person: what is kept of her beside the ledger goes, and the ledger stays as it is.

With a salt of her own (`audit.privacy = "salts"`) her pseudonyms then lead to nobody, by any key that is left. What was
recorded under a key alone (`"pseudonyms"`, or before salts were chosen) leads to her for whoever holds that key and
tries her id, until the key is destroyed; this is counted and said, never passed over.
"""

import os
import re
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from authz.audit import audit_directory, ledger_event, mentions, record_offline
from authz.core import AuditUnavailableError, BadRequestError, ConfigurationError, Event
from authz.privacy.keyring import Keyring
from authz.privacy.store import erase_rows, find_salted

RECEIPT: Final = "audit.erased"
_MAX_REFERENCE: Final = 128


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Body of `audit.erased`. It says that somebody was erased, and nothing that says who.

    `identities`, `owned`, `names`: rows of the table of identities that went; `linked_by`: ids of the keys under which
    records of hers still stand. `by`: who asked, of an admin route; `uid`: the operating system's number of the user
    who gave the command.
    """

    erasure: str
    identities: int
    owned: int
    names: int
    linked_by: tuple[str, ...] = ()
    reference: str | None = None
    by: str | None = None
    uid: int | None = None


class Erasure(Struct, frozen=True, kw_only=True):
    """What was erased, or would be.

    `unlinked`: records that named her under salted pseudonyms, which lead to nobody now. `linked`: for each key id, the
    records that name her under that key alone; while the key is held they can be linked. `receipt`: the event's id.
    """

    dry_run: bool
    identities: int
    owned: int
    names: int
    unlinked: int
    linked: dict[str, int]
    receipt: str | None = None

    @property
    def complete(self) -> bool:
        """Whether no record leads to her by any key that is held here."""
        return not self.linked

    def document(self) -> dict[str, Any]:
        """It as JSON, with `complete`."""
        return {**msgspec.to_builtins(self), "complete": self.complete}

    def receipted(self, event_id: str) -> "Erasure":
        """The same, with the id of the event that says so."""
        return msgspec.structs.replace(self, receipt=event_id)


def check_request(subject: str, reference: str | None) -> None:
    """Raises BadRequestError for an empty subject, or a reference that is no reference or names her."""
    if not subject:
        raise BadRequestError("subject: must not be empty")
    if subject.startswith("h1:"):
        raise BadRequestError("subject: give the clear id; rows of the table are not found by a pseudonym")
    if reference is None:
        return
    if not reference.isprintable() or not 0 < len(reference) <= _MAX_REFERENCE:
        raise BadRequestError(f"reference: must be 1 to {_MAX_REFERENCE} printable characters")
    if re.search(rf"(?<!\w){re.escape(subject)}(?!\w)", reference, re.IGNORECASE):
        raise BadRequestError("reference: names the subject; it stands in the ledger for ever")


def erase_here(
    state: Path,
    keyring: Keyring,
    store: Path,
    subject: str,
    *,
    dry_run: bool,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Erasure:
    """Erase her from the table; what is recorded of it is up to the caller. Reads the whole ledger.

    Raises AuditUnavailableError when the table cannot be used, LedgerUnreadableError.
    """
    try:
        salted = find_salted(store, keyring.all, subject)
        keyed = {key.pseudonym(subject): key.key_id for key in keyring.all}
        counted = mentions((*keyed, *salted), state, progress)
        rows = erase_rows(store, keyring.all, subject, dry_run=dry_run)
    except (sqlite3.Error, ConfigurationError) as error:
        raise AuditUnavailableError(f"the table of identities: {error}") from None
    return Erasure(
        dry_run=dry_run,
        identities=rows.identities,
        owned=rows.owned,
        names=rows.names,
        unlinked=sum(counted[pseudonym] for pseudonym in salted),
        linked={key_id: counted[pseudonym] for pseudonym, key_id in keyed.items() if counted[pseudonym]},
    )


def erase_offline(
    state: Path,
    keyring: Keyring,
    store: Path,
    subject: str,
    reference: str | None,
    *,
    dry_run: bool,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Erasure:
    """The same by command, with the receipt in the stream of commands. A service that runs here forgets her too.

    Raises BadRequestError, LedgerUnreadableError, ConfigurationError, and AuditUnavailableError: what was erased stays
    so, so give the command again for the receipt.
    """
    check_request(subject, reference)
    erasure = erase_here(state, keyring, store, subject, dry_run=dry_run, progress=progress)
    if dry_run:
        return erasure
    event = receipt(erasure, reference)
    record_offline(audit_directory(state), [event])
    return erasure.receipted(event.id)


def receipt(erasure: Erasure, reference: str | None, by: str | None = None) -> Event:
    """The event that says so. Without `by` it is the command of a user of this machine."""
    body = Receipt(
        erasure=secrets.token_hex(8),
        identities=erasure.identities,
        owned=erasure.owned,
        names=erasure.names,
        linked_by=tuple(sorted(erasure.linked)),
        reference=reference,
        by=by,
        uid=os.getuid() if by is None else None,
    )
    return ledger_event(RECEIPT, body)
