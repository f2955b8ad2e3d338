"""A bundle that passed its examination, and the policy that was loaded from it."""

import asyncio
from typing import NamedTuple

from authz import bundle
from authz.activation.journal import Kept
from authz.bundle import Limits
from authz.engine import Engine, LoadedPolicy
from authz.examination import Examined


class Candidate(NamedTuple):
    """A bundle that may be put in force."""

    archive: bytes
    examined: Examined
    policy: LoadedPolicy
    source: str

    @property
    def kept(self) -> Kept:
        """The bundle as the journal has it."""
        found = self.examined
        return Kept(
            revision=found.revision,
            sha256=found.sha256,
            content=found.content,
            sequence=found.sequence,
            key_ids=found.key_ids,
            source=self.source,
        )


async def loaded(archive: bytes, examined: Examined, engine: Engine, source: str, max_bytes: int) -> Candidate:
    """Load what was examined. Raises an AuthzError."""
    found = await asyncio.to_thread(bundle.read_again, archive, Limits(archive_bytes=max_bytes))
    return Candidate(archive, examined, await engine.load(found), source)
