"""From a clear id to what stands in records, and back for whoever holds the security team's private key."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from authz.audit import LedgerUnreadableError
from authz.privacy.keyring import Keyring
from authz.privacy.sealing import NotOpenedError, Opener
from authz.privacy.store import find_salted, read_names

_SEALED_FIELDS: Final = ("ip", "user_agent")


def known_pseudonyms(keyring: Keyring, store: Path, value: str) -> tuple[str, ...]:
    """Every pseudonym a clear value may have been recorded under: under each key, and with the salt it has now.

    Raises LedgerUnreadableError when the table of salts cannot be read.
    """
    try:
        return (*keyring.pseudonyms(value), *find_salted(store, keyring.all, value))
    except sqlite3.Error as error:
        raise LedgerUnreadableError(f"the table of identities: {error}") from None


def with_names(events: Iterable[dict[str, Any]], store: Path, opener: Opener) -> Iterator[dict[str, Any]]:
    """The events with `subject_name` where the table holds it, and with sealed fields opened. They are copies.

    What is sealed to another key stays as it is. Raises NotOpenedError for a name that does not open,
    LedgerUnreadableError.
    """
    found = list(events)
    pseudonyms = {event["subject"] for event in found if isinstance(event.get("subject"), str)}
    names = _names(store, pseudonyms, opener)
    for event in found:
        shown = {name: _opened(value, opener) if name in _SEALED_FIELDS else value for name, value in event.items()}
        if isinstance(params := event.get("params"), dict):
            shown["params"] = {name: _opened(value, opener) for name, value in params.items()}
        if event.get("subject") in names:
            shown["subject_name"] = names[event["subject"]]
        yield shown


def _names(store: Path, pseudonyms: Iterable[str], opener: Opener) -> dict[str, str]:
    try:
        sealed = read_names(store, pseudonyms)
    except sqlite3.Error as error:
        raise LedgerUnreadableError(f"the table of identities: {error}") from None
    return {each: opener.name(name, each) for each, name in sealed.items()}


def _opened(value: Any, opener: Opener) -> Any:
    if not isinstance(value, str) or not value.startswith(f"s1:{opener.key_id}:"):
        return value
    try:
        return opener.field(value)
    except NotOpenedError:
        return value
