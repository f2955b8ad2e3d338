"""Which policy a start begins with: the source's, the one that a rollback holds, or the last good one."""

import asyncio
from pathlib import Path
from typing import NamedTuple

import structlog

from authz import bundle
from authz.activation.candidate import Candidate, loaded
from authz.activation.errors import SourceError
from authz.activation.journal import BundleStore, Journal, hold_to_journal
from authz.activation.sources import BundleSource, source_in
from authz.config import Settings
from authz.core import AuthzError, ConfigurationError
from authz.engine import Engine
from authz.examination import DEFAULT, Trust, examine, trust_in

_log = structlog.get_logger("authz.activation")


class Begun(NamedTuple):
    """What a start begins with. `source` is None where nothing is followed; `refused`: why not the source's bundle."""

    candidate: Candidate
    trust: Trust
    journal: Journal
    source: BundleSource | None
    confirmed: bool
    refused: tuple[AuthzError, bytes] | None = None


async def begin(settings: Settings, store: BundleStore, engine: Engine) -> Begun:
    """Find and load the policy to start with.

    Raises ConfigurationError, or another AuthzError that says why there is none.
    """
    trust = await asyncio.to_thread(trust_in, settings)
    journal = await asyncio.to_thread(store.read_journal)
    stated = settings.policy.source or DEFAULT
    if trust.sha256 is not None:
        if journal.pinned:
            _log.warning("policy_pin_passed_over", pinned=journal.pinned, source=stated)
        candidate = await _exactly_one(stated, trust, engine)
        return Begun(candidate, trust, journal, None, confirmed=True)
    source = source_in(settings.policy)
    if journal.pinned:
        candidate = await _held(store, journal, trust, engine)
        return Begun(candidate, trust, journal, source, confirmed=False)
    begun = await _followed(source, trust, journal, store, engine)
    return await _replayed_first(begun, store, engine) if settings.policy.replay_sample else begun


async def _replayed_first(begun: Begun, store: BundleStore, engine: Engine) -> Begun:
    """What the source has now is replayed before it is put in force: the start does not wait for it, and goes on with
    the last good one, if that can be used."""
    known = begun.journal.find(begun.journal.active)
    if not begun.confirmed or known is None or known.sha256 == begun.candidate.examined.sha256:
        return begun
    try:
        last_good = await _kept(store, known.revision, begun.trust, engine)
    except AuthzError as error:
        _log.warning("policy_not_replayed", revision=begun.candidate.examined.revision, detail=str(error))
        return begun
    begun.candidate.policy.close()
    if begun.source is not None:
        begun.source.forget()
    return begun._replace(candidate=last_good, confirmed=False)


async def _followed(source: BundleSource, trust: Trust, journal: Journal, store: BundleStore, engine: Engine) -> Begun:
    refused: tuple[AuthzError, bytes] | None = None
    archive = b""
    try:
        archive = await _once(source)
        candidate = await _offered(archive, source.name, trust, journal, engine)
    except AuthzError as error:
        if not journal.active:
            raise ConfigurationError(f"policy.source: there is no policy to start with: {error}") from error
        refused = (error, archive)
    else:
        return Begun(candidate, trust, journal, source, confirmed=True)
    try:
        candidate = await _kept(store, journal.active, trust, engine)
    except AuthzError as error:
        raise ConfigurationError(
            f"policy.source: {refused[0]}; and the last good one cannot be used either: {error}"
        ) from error
    _log.warning("policy_last_good", revision=journal.active, code=refused[0].code, detail=str(refused[0]))
    return Begun(candidate, trust, journal, source, False, None if isinstance(refused[0], SourceError) else refused)


async def _once(source: BundleSource) -> bytes:
    """What the source has. No connection stays open: the start may yet fail."""
    try:
        return (await source.look()).archive or b""
    finally:
        await source.close()


async def _exactly_one(stated: str, trust: Trust, engine: Engine) -> Candidate:
    try:
        archive = await asyncio.to_thread(_named, stated, trust.max_bytes)
        examined = await asyncio.to_thread(examine, archive, trust)
        return await loaded(archive, examined, engine, stated, trust.max_bytes)
    except bundle.BundleError as error:
        raise ConfigurationError(f"policy.sha256: {stated}: {error}") from error


async def _offered(archive: bytes, source: str, trust: Trust, journal: Journal, engine: Engine) -> Candidate:
    examined = await asyncio.to_thread(examine, archive, trust)
    hold_to_journal(journal, examined, ordered=bool(trust.keys))
    return await loaded(archive, examined, engine, source, trust.max_bytes)


async def _held(store: BundleStore, journal: Journal, trust: Trust, engine: Engine) -> Candidate:
    try:
        return await _kept(store, journal.active, trust, engine)
    except AuthzError as error:
        raise ConfigurationError(
            f"policy.source: a rollback holds {journal.active}, and what is kept of it cannot be used: {error}. "
            f"Put its signed bundle back as <state>/bundles/{journal.active}.tar.gz"
        ) from error


async def _kept(store: BundleStore, revision: str, trust: Trust, engine: Engine) -> Candidate:
    archive = await asyncio.to_thread(store.archive, revision)
    examined = await asyncio.to_thread(examine, archive, trust)
    return await loaded(archive, examined, engine, f"kept {revision}", trust.max_bytes)


def _named(stated: str, max_bytes: int) -> bytes:
    if stated == DEFAULT:
        return bundle.shipped_archive()
    path = Path(stated)
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise ConfigurationError(f"policy.source: {path}: {error.strerror}") from None
