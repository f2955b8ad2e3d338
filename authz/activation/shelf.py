"""The bundles that are kept and the journal of what was in force, written off the event loop."""

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from authz.activation.candidate import kept_as
from authz.activation.journal import BundleStore, Journal
from authz.examination import Examined

_log = structlog.get_logger("authz.activation")


class Shelf:
    """What `<state>/bundles/` holds. `journal` is what stands there: one that could not be written is not believed."""

    def __init__(self, store: BundleStore, journal: Journal) -> None:
        self.journal = journal
        self._store = store

    async def archive(self, revision: str) -> bytes:
        """A kept archive. Raises NotKeptError."""
        return await asyncio.to_thread(self._store.archive, revision)

    async def keep(self, archive: bytes, found: Examined, source: str) -> None:
        """Keep a bundle that passed its examination, once. Raises OSError."""
        known = self.journal.find(found.revision)
        if known is not None and known.sha256 == found.sha256:
            return
        await asyncio.to_thread(self._store.keep, found.revision, archive)
        kept = kept_as(found, source)
        if known is not None:
            kept = msgspec.structs.replace(kept, activated_at=known.activated_at, left_at=known.left_at, by=known.by)
        await self.write(self.journal.with_kept(kept))

    async def write(self, journal: Journal) -> None:
        """Put another journal in its place. Raises OSError; then the one before it stands."""
        await asyncio.to_thread(self._store.write_journal, journal)
        self.journal = journal

    async def prune(self, oldest_record: Callable[[], float | None]) -> None:
        """Remove the kept bundles that no record can name any more. `oldest_record`: its time, read from files."""
        try:
            oldest = await asyncio.to_thread(oldest_record)
            self.journal = await asyncio.to_thread(self._store.prune, self.journal, oldest)
        except OSError as error:
            _log.warning("policy_not_pruned", error=type(error).__name__)
