"""A bundle that passed its examination, and the policy that was loaded from it."""

import asyncio
from typing import NamedTuple

from authz import bundle
from authz.activation.journal import Kept
from authz.activation.rehearsal import Replayed
from authz.bundle import Limits
from authz.engine import Engine, LoadedPolicy
from authz.examination import Examined


class Candidate(NamedTuple):
    """A bundle that may be put in force. `replayed`: what it makes of the newest decisions, where that was asked."""

    archive: bytes
    examined: Examined
    policy: LoadedPolicy
    source: str
    replayed: Replayed | None = None


def kept_as(found: Examined, source: str) -> Kept:
    """The bundle as the journal has it."""
    return Kept(
        revision=found.revision,
        sha256=found.sha256,
        content=found.content,
        sequence=found.sequence,
        key_ids=found.key_ids,
        source=source,
    )


async def loaded(
    archive: bytes, examined: Examined, engine: Engine, source: str, max_bytes: int, *, compiled: bytes = b""
) -> Candidate:
    """Load what was examined; `compiled` is what its examination worked out already. Raises an AuthzError."""
    found = await asyncio.to_thread(bundle.read_again, archive, Limits(archive_bytes=max_bytes))
    return Candidate(archive, examined, await engine.load(found, compiled), source)
