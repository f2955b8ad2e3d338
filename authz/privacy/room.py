"""The privacy of one running service: which pseudonyms its records carry, who can be found, and who is erased."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog

from authz.config import AuditSettings, check_privacy
from authz.core import Event, Fields, Identities, Pseudonyms
from authz.privacy.erasing import Erasure, check_request, erase_here, receipt
from authz.privacy.fields import read_fields
from authz.privacy.finding import known_pseudonyms
from authz.privacy.kept import NamedIdentities, SaltedIdentities, Throwaway
from authz.privacy.keyring import DEFAULT_KEY, load_keyring, load_or_create_keyring
from authz.privacy.sealing import Sealer, load_team_key
from authz.privacy.settling import Settling
from authz.privacy.store import DEFAULT_STORE, IdentityStore

_LOOK_SECONDS: Final = 1.0
_log = structlog.get_logger("authz.privacy")


class Privacy:
    """What `[audit]` says of privacy, at work.

    `pseudonyms`, `identities` and `fields` are for core.DecisionPoint. In salts mode whatever was not identified first
    gets a pseudonym that nobody can link. Raises ConfigurationError that names the key. Made off the event loop.
    """

    def __init__(self, settings: AuditSettings, state: Path) -> None:
        check_privacy(settings)
        salting = settings.privacy == "salts"
        sealer = Sealer(load_team_key(Path(settings.security_key))) if settings.security_key else None
        self.fields: Fields = read_fields(settings.fields, sealer)
        self.keyring = (
            load_keyring(Path(settings.pseudonym_key))
            if settings.pseudonym_key
            else load_or_create_keyring(state / DEFAULT_KEY)
        )
        self.pseudonyms: Pseudonyms = Throwaway() if salting else self.keyring.current
        self.identities: Identities | None = None
        self._state = state
        self._file = Path(settings.identities) if settings.identities else state / DEFAULT_STORE
        self._kept: _Kept | None = None
        if salting or settings.names:
            seal = sealer.name if sealer is not None and settings.names else None
            store = IdentityStore(self._file, self.keyring.current, salting=salting, seal=seal)
            self._kept = _Kept(store, settings, self.keyring.current if not salting else None)
            self.identities = self._kept.identities

    @property
    def key_id(self) -> str:
        """The id of the key in force."""
        return self.keyring.current.key_id

    def start(self) -> None:
        """Keep an eye on the table: whom another process erases is forgotten here within about a second."""
        if self._kept is not None:
            self._kept.start()

    async def close(self) -> None:
        """Give the table free."""
        if self._kept is not None:
            await self._kept.close()

    def known(self, value: str) -> tuple[str, ...]:
        """Every pseudonym that a clear value may have been recorded under here. Reads a file: not on the loop.

        Raises LedgerUnreadableError when the table cannot be read: a search that misses somebody is no answer.
        """
        return known_pseudonyms(self.keyring, self._file, value)

    async def erase(
        self, subject: str, reference: str | None, by: str, *, dry_run: bool, record: Callable[[Event], Awaitable[None]]
    ) -> Erasure:
        """Erase a person on this node and record the receipt; with `dry_run` say what that would do.

        Raises BadRequestError, and AuditUnavailableError: what was erased stays so, so ask again for the receipt.
        """
        check_request(subject, reference)
        erasure = await asyncio.to_thread(erase_here, self._state, self.keyring, self._file, subject, dry_run=dry_run)
        if dry_run:
            return erasure
        if self._kept is not None:
            self._kept.identities.forget()
        event = receipt(erasure, reference, by)
        await record(event)
        return erasure.receipted(event.id)


class _Kept:
    """The table in use: its thread, the identities it gives, and an eye on what others do to it."""

    def __init__(self, store: IdentityStore, settings: AuditSettings, keyed: Pseudonyms | None) -> None:
        self._store = store
        self._settling = Settling(store, settings.queue_records)
        self.identities: SaltedIdentities | NamedIdentities = (
            NamedIdentities(keyed, self._settling)
            if keyed is not None
            else SaltedIdentities(self._settling, strict=settings.mode == "strict", naming=settings.names)
        )
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._looking = asyncio.create_task(self._look(), name="identities-look")

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        if isinstance(self.identities, NamedIdentities):
            await self.identities.finish()
        await self._settling.close()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                changed = await self._settling.run(self._store.changed_elsewhere)
            except sqlite3.Error as error:
                _log.error("identities_unreadable", reason=str(error))
                continue
            if changed:
                self.identities.forget()
