"""A running decision point: from Settings to an orderly end."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import structlog

from authz import __version__, audit, bundle, log
from authz.activation import Activation, kept_bundle
from authz.anchoring import check_outward
from authz.config import Settings
from authz.core import (
    AuditUnavailableError,
    ConfigurationError,
    DecisionPoint,
    Event,
    OverloadedError,
)
from authz.engine import Counts, start_engine
from authz.metrics import (
    AUDIT_INTEGRITY_FAILURES_TOTAL,
    AUDIT_PENDING,
    ENGINE_REBUILDS_TOTAL,
    JWKS_AGE_SECONDS,
    LIMITS_BUDGETS,
    LIMITS_FORGOTTEN_TOTAL,
    LOG_DROPPED_TOTAL,
    REPORTED_FORGOTTEN_TOTAL,
    REVOCATIONS,
    TOKEN_CACHE_TOTAL,
    watch_event_loop,
)
from authz.pdp.parts import Parts, assembled, issuers_of
from authz.privacy import Erasure
from authz.readiness import Check
from authz.recording import Degrading, ledger_checks

_DEV_STATE = ".state"


class _Followed:
    """A counter that follows a total which is kept elsewhere."""

    def __init__(self, increase: Callable[[float], None], total: Callable[[], int]) -> None:
        self._increase, self._total, self._seen = increase, total, 0

    def catch_up(self) -> None:
        """Count what has come since the last time."""
        seen, self._seen = self._seen, self._total()
        self._increase(self._seen - seen)


class Pdp:
    """A running decision point: policy, keys, ledger and metrics behind one DecisionPoint."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self.settings = settings
        self.decisions = parts.decisions
        self.activation, self.following = parts.activation, parts.following
        self.policies = parts.activation.policies
        self.meter = parts.meter
        self.reporter = parts.reporter
        self.revocations = parts.revocations
        self.issuers = frozenset(each.issuer for each in issuers_of(settings, parts.state))
        self.new_id: Callable[[], str] = parts.decisions.new_id
        self.scrape_digest = _scrape_digest(settings)
        self._parts = parts
        self._followed = (
            _Followed(TOKEN_CACHE_TOTAL.labels("hit").inc, lambda: parts.verifier.hits),
            _Followed(TOKEN_CACHE_TOTAL.labels("miss").inc, lambda: parts.verifier.misses),
            _Followed(REPORTED_FORGOTTEN_TOTAL.inc, lambda: parts.reporter.forgotten_early),
            _Followed(AUDIT_INTEGRITY_FAILURES_TOTAL.labels("missing_record").inc, lambda: parts.meter.most_missing),
            _Followed(LIMITS_FORGOTTEN_TOTAL.inc, lambda: parts.limiter.forgotten),
            _Followed(ENGINE_REBUILDS_TOTAL.inc, lambda: parts.engine_counts.rebuilds),
        )
        self._tasks = (
            asyncio.create_task(watch_event_loop(), name="event-loop-lag"),
            asyncio.create_task(parts.disk.watch(), name="audit-disk"),
            asyncio.create_task(parts.ledger.watch(), name="audit-mode"),
            asyncio.create_task(parts.auditor.watch(), name="audit-status"),
        )

    @classmethod
    async def start(cls, settings: Settings) -> "Pdp":
        """Load the policy, open the ledger, start fetching keys, and record `system.startup`.

        Raises ConfigurationError or another AuthzError that says what to do; nothing is left running then.
        """
        log.configure(settings.log.level, on_drop=LOG_DROPPED_TOTAL.inc)
        check_outward(settings.audit)
        state = await asyncio.to_thread(_state_directory, settings)
        counts = Counts()
        async with AsyncExitStack() as opened:
            engine = await start_engine(settings, state, counts)
            opened.push_async_callback(engine.close)
            parts = await assembled(settings, state, engine, counts, opened)
            pdp = cls(settings, parts)
            opened.pop_all()
            opened.push_async_callback(pdp.close, "failed")
            await pdp._begin()
            opened.pop_all()
        return pdp

    async def _begin(self) -> None:
        """Record that it begins, then let everything that works beside decisions begin."""
        parts = self._parts
        await self.record("system.startup", _startup(self.settings, parts.activation, parts.privacy.key_id))
        await parts.activation.start(self.record, parts.meter, lambda: audit.oldest_record_at(parts.state))
        parts.following.start()
        if parts.child is not None:
            parts.child.start()
        parts.privacy.start()

    async def record(self, event_type: str, body: dict[str, Any]) -> None:
        """Make an event durable; raises as core.Ledger says."""
        await self.decisions.ledger.record(Event(self.new_id(), event_type, body))

    async def close(self, reason: str) -> None:
        """Record `system.shutdown`, seal the ledger and stop everything. A ledger in trouble does not hold it up."""
        for task in self._tasks:
            task.cancel()
        self.reporter.close()
        await self.following.close()
        last = Event(self.new_id(), "system.shutdown", {"reason": reason})
        try:
            await self._parts.ledger.close(last, reason)
        except (AuditUnavailableError, OverloadedError) as error:
            structlog.get_logger("authz.pdp").error("shutdown_unrecorded", code=error.code)
        if self._parts.child is not None:
            await self._parts.child.stop()
        await self._parts.verifier.close()
        await self._parts.revocations.close()
        await self._parts.privacy.close()
        await self.activation.close()
        await self._parts.engine.close()
        await self._parts.limiter.close()
        await asyncio.to_thread(log.close)

    @property
    def emergency(self) -> DecisionPoint:
        """Decides about what an operator does to a ledger that fails: an allow that cannot be recorded now is owed."""
        return msgspec.structs.replace(self.decisions, ledger=self._parts.ledger.owing)

    async def degrade(self, seconds: float, reason: str, by: str) -> str:
        """See `GuardedLedger.degrade`."""
        return await self._parts.ledger.degrade(Degrading(seconds, reason, by))

    async def erase(self, subject: str, reference: str | None, by: str, *, dry_run: bool) -> Erasure:
        """See `Privacy.erase`."""
        return await self._parts.privacy.erase(
            subject, reference, by, dry_run=dry_run, record=self.decisions.ledger.record
        )

    def damage_found(self, findings: Mapping[str, Sequence[str]], *, by: str = "auditor") -> None:
        """Damage in sealed segments, all that `by` knows of now: stream -> a sentence each. See `audit.on_damage`."""
        self._parts.damage.found(findings, by=by)

    def readiness(self) -> tuple[Check, ...]:
        """Whether decisions can be made, check by check."""
        checks = [
            self.following.check(),
            *self._parts.engine.checks(),
            *ledger_checks(self._parts.ledger, self._parts.disk, self._parts.damage),
            self._parts.auditor.check(),
        ]
        checks += [
            Check(
                f"keys:{status.issuer}",
                ok=status.keys > 0,
                detail=f"{status.keys} keys",
                fix="" if status.keys else "Check issuers.keys and the way to the identity provider",
            )
            for status in self._parts.verifier.status()
        ]
        return tuple(checks)

    def refresh_gauges(self) -> None:
        """Bring the metrics that others keep count of up to date, before a scrape."""
        for followed in self._followed:
            followed.catch_up()
        REVOCATIONS.set(len(self._parts.revocations))
        LIMITS_BUDGETS.set(self._parts.limiter.live)
        AUDIT_PENDING.set(self._parts.writer.pending)
        for status in self._parts.verifier.status():
            if status.age_seconds is not None:
                JWKS_AGE_SECONDS.labels(status.issuer).set(status.age_seconds)

    def audit_events(self, **filters: Any) -> list[dict[str, Any]]:
        """Events of this node's ledger, newest first, as `audit.get_audit_events`. Reads files: not on the loop."""
        return audit.get_audit_events(path=self._parts.state, pseudonyms=self._parts.privacy.known, **filters)

    def audit_page(self, **asked: Any) -> audit.Page:
        """`audit.get_audit_page` of this node's ledger. Reads files: not on the loop."""
        return audit.get_audit_page(path=self._parts.state, pseudonyms=self._parts.privacy.known, **asked)

    def audit_tail(self, params: Mapping[str, str] | None = None, **filters: Any) -> audit.LiveTail:
        """What is recorded on this node from now on. Reads files, and so does what is done with it: not on the loop."""
        return audit.LiveTail(self._parts.state, audit.read_filter(filters, params, self._parts.privacy.known))

    def audit_integrity(self) -> tuple[bool, list[audit.Issue]]:
        """`audit.verify_audit_integrity` of this node's ledger. Reads it all: not on the loop."""
        return audit.verify_audit_integrity(self._parts.state)

    def audit_event(self, event_id: str) -> dict[str, Any]:
        """`audit.find_event` in this node's ledger. Reads files: not on the loop."""
        return audit.find_event(event_id, self._parts.state)

    def kept_bundle(self, revision: str) -> bundle.Bundle:
        """See `activation.kept_bundle`. Reads files: not on the loop."""
        return kept_bundle(self._parts.state, revision)

    def audit_log(self, stream: str, path: str) -> bytes:
        """`audit.served` of this node's ledger. Reads files: not on the loop."""
        return audit.served(self._parts.state / "audit", stream, path)

    def audit_proof(self, event: str) -> audit.Proven:
        """`audit.prove` for this node's ledger. Reads files: not on the loop."""
        return audit.prove(self._parts.state, event)


def _state_directory(settings: Settings) -> Path:
    state = Path(settings.state or _DEV_STATE)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"state: {state} cannot be made: {error.strerror}") from None
    if not os.access(state, os.W_OK | os.X_OK):
        raise ConfigurationError(f"state: {state} cannot be written to by this user")
    return state


def _startup(settings: Settings, activation: Activation, key_id: str) -> dict[str, Any]:
    policy = activation.candidate.policy
    return {
        "version": __version__,
        "revision": policy.revision,
        "policy_source": activation.source_name,
        "policy_sha256": activation.candidate.examined.sha256,
        "engine": policy.engine,
        "pid": os.getpid(),
        "dev": settings.dev,
        "privacy": settings.audit.privacy or "pseudonyms",
        "pseudonym_key_id": key_id,
        "settings_sha256": hashlib.sha256(msgspec.json.encode(settings, order="sorted")).hexdigest(),
    }


def _scrape_digest(settings: Settings) -> str | None:
    if settings.metrics.token_file is None:
        return None
    try:
        token = Path(settings.metrics.token_file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"metrics.token_file: cannot be read: {error}") from None
    return hashlib.sha256(token.encode()).hexdigest()
