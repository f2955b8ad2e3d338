"""Identities that are kept in a table (core.Identities): salted pseudonyms, and names for the security team."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Final

import structlog

from authz.core import AuditUnavailableError, Identified, OverloadedError, Pseudonyms
from authz.identity import Pseudonymiser
from authz.privacy.settling import Settling
from authz.privacy.store import Wanted

_REMEMBERED: Final = 65_536
_EVERY_SECONDS: Final = 1.0
_log = structlog.get_logger("authz.privacy")


class Throwaway:
    """Implements core.Pseudonyms under a key that nobody keeps: the same for the same as long as this object lives."""

    def __init__(self) -> None:
        self._key = Pseudonymiser(secrets.token_bytes(32), "-")

    def pseudonym(self, value: str) -> str:
        """`h1:-:<22 characters of base64url>`."""
        return self._key.pseudonym(value)


class OneRecord:
    """Implements core.Pseudonyms for one record: what was identified has its own, all else one for this record."""

    __slots__ = ("_known", "_others")

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known
        self._others: Throwaway | None = None

    def pseudonym(self, value: str) -> str:
        """See the class."""
        known = self._known.get(value)
        if known is not None:
            return known
        if self._others is None:
            self._others = Throwaway()
        return self._others.pseudonym(value)


class _Remembered:
    """The pseudonyms last made, by value; the oldest give way."""

    def __init__(self) -> None:
        self._found: dict[Wanted, str] = {}

    def get(self, wanted: Wanted) -> str | None:
        return self._found.get(wanted)

    def put(self, wanted: Wanted, pseudonym: str) -> None:
        if len(self._found) >= _REMEMBERED:
            del self._found[next(iter(self._found))]
        self._found[wanted] = pseudonym

    def drop(self, wanted: Wanted) -> None:
        self._found.pop(wanted, None)

    def clear(self) -> None:
        self._found.clear()


class SaltedIdentities:
    """Every identity has a salt of its own, durable before the first record under it (`audit.privacy = "salts"`).

    Nobody who was not identified makes salts: what a stranger names is found if it is known, else it gets a
    pseudonym for that record alone. `strict`: without a durable salt there is no record, and so no answer; otherwise
    the record is made under pseudonyms that nobody can link.
    """

    def __init__(self, settling: Settling, *, strict: bool, naming: bool) -> None:
        self._settling = settling
        self._strict = strict
        self._naming = naming
        self._remembered = _Remembered()

    async def disguise(self, identified: Identified) -> Pseudonyms:
        """See core.Identities."""
        known: dict[str, str] = {}
        missing: list[Wanted] = []
        for wanted in self._wanted(identified):
            pseudonym = self._remembered.get(wanted)
            if pseudonym is None:
                missing.append(wanted)
            else:
                known[wanted.value] = pseudonym
        if missing:
            known.update(await self._settled(missing))
        return OneRecord(known)

    def forget(self) -> None:
        """Look everybody up anew."""
        self._remembered.clear()

    def _wanted(self, identified: Identified) -> list[Wanted]:
        subject, session, others = identified
        if subject is None:
            return [Wanted(value, make=False) for value in (*others, *((session,) if session else ()))]
        wanted = [Wanted(value, make=True) for value in others if value != subject]
        if session is not None and session != subject:
            wanted.append(Wanted(session, make=True, owner=subject))
        return [Wanted(subject, make=True, named=self._naming), *wanted]

    async def _settled(self, missing: Sequence[Wanted]) -> dict[str, str]:
        try:
            pseudonyms = await self._settling.settle(missing)
        except (AuditUnavailableError, OverloadedError) as error:
            if self._strict:
                raise
            _log.error("identities_unavailable", code=error.code, reason=str(error))
            return {}
        found: dict[str, str] = {}
        for wanted, pseudonym in zip(missing, pseudonyms, strict=True):
            if pseudonym is not None:
                self._remembered.put(wanted, pseudonym)
                found[wanted.value] = pseudonym
        return found


class NamedIdentities:
    """Keyed pseudonyms, and beside them a table of names (`audit.names`). No record waits for a name.

    A name that could not be kept is tried again when its subject is next seen.
    """

    def __init__(self, keyed: Pseudonyms, settling: Settling) -> None:
        self._keyed = keyed
        self._settling = settling
        self._remembered = _Remembered()
        self._tasks: set[asyncio.Task[None]] = set()

    async def disguise(self, identified: Identified) -> Pseudonyms:
        """See core.Identities."""
        if identified.subject is not None:
            wanted = Wanted(identified.subject, make=True, named=True)
            if self._remembered.get(wanted) is None:
                self._remembered.put(wanted, "")
                task = asyncio.create_task(self._name(wanted), name="identity-name")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return self._keyed

    def forget(self) -> None:
        """Look everybody up anew."""
        self._remembered.clear()

    async def finish(self) -> None:
        """Keep the names that are under way."""
        await asyncio.gather(*self._tasks)

    async def _name(self, wanted: Wanted) -> None:
        try:
            await self._settling.settle([wanted])
        except (AuditUnavailableError, OverloadedError) as error:
            self._remembered.drop(wanted)
            _log.error("name_not_kept", code=error.code, reason=str(error))
