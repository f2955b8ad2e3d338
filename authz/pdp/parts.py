"""What a decision point is made of, and how its parts are put together."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from authz import audit, identity, limits
from authz.activation import Activation, Following
from authz.clock import SystemClock
from authz.config import Settings
from authz.core import AUTHZEN_PATHS, METADATA, SEARCH_PATHS, AuditUnavailableError, DecisionPoint
from authz.engine import Counts, Engine
from authz.gateways import OPA_DATA, PLUGINS
from authz.ids import IdSource
from authz.metrics import AUDIT_COMMIT_DURATION_SECONDS, DecisionMeter
from authz.pdp.turns import LoopTurns
from authz.privacy import Privacy
from authz.recording import AuditorChild, AuditorWatch, Damage, DiskWatch, GuardedLedger, Mode
from authz.reporting import Reporter, open_reporter

_STREAM = "worker-0"

_ENDPOINTS = {
    METADATA: ("GET",),
    "/openapi.json": ("GET",),
    "/v1/stream": ("GET",),
    **dict.fromkeys((*AUTHZEN_PATHS, *SEARCH_PATHS.values(), "/v1/events", *OPA_DATA, *PLUGINS), ("POST",)),
    "/v1/policy/bundle": ("GET",),
}
"""What is counted under its own name, beside the routes of gateways and of the policy."""


class Parts(NamedTuple):
    """What a Pdp is made of: `decisions`, and what stands behind it."""

    decisions: DecisionPoint
    activation: Activation
    following: Following
    engine: Engine
    engine_counts: Counts
    writer: audit.LedgerWriter
    ledger: GuardedLedger
    damage: Damage
    disk: DiskWatch
    auditor: AuditorWatch
    child: AuditorChild | None
    verifier: identity.Verifier
    revocations: identity.Revocations
    privacy: Privacy
    limiter: limits.OpenLimiter
    meter: DecisionMeter
    state: Path
    reporter: Reporter


async def assembled(settings: Settings, state: Path, engine: Engine, counts: Counts, opened: AsyncExitStack) -> Parts:
    """Load the policy, open the ledger, start fetching keys. Raises an AuthzError that says what to do.

    `opened` is told how to close what was opened, for as long as nobody else does.
    """
    clock = SystemClock()
    # 1. What decides.
    activation = Activation(settings, state, clock, engine)
    policies = await activation.prepare()
    opened.push_async_callback(activation.close)
    # 2. What is counted, and under which names people are written down.
    meter = DecisionMeter(_ENDPOINTS)
    meter.bind(policies.active.catalogue, policies.active.revision)
    privacy = await asyncio.to_thread(Privacy, settings.audit, state)
    opened.push_async_callback(privacy.close)
    # 3. Who asks, and how often.
    revocations = await identity.Revocations.open(state / "revocations", clock)
    opened.push_async_callback(revocations.close)
    verifier = identity.Verifier(
        issuers_of(settings, state), privacy.pseudonyms, clock, state / "jwks", revocations=revocations
    )
    limiter = await asyncio.to_thread(limits.open_limiter, settings.limits, identity.load_key)
    opened.push_async_callback(limiter.close)
    # 4. Where it is recorded.
    writer = await _writer(settings, state, clock)
    damage = Damage(writer.stream, settings.audit.on_damage)
    ledger = GuardedLedger(writer, meter, clock, Mode(clock, degraded=settings.audit.mode == "degraded"), damage)
    await ledger.open()
    opened.push_async_callback(_given_free, writer)
    opened.push_async_callback(verifier.close)
    await verifier.start()
    disk = _disk(settings, state, writer, clock)
    await disk.look()
    # 5. All of it behind one point, for gateways and for those who report to it.
    decisions = DecisionPoint(
        verifier=verifier,
        pseudonyms=privacy.pseudonyms,
        identities=privacy.identities,
        fields=privacy.fields,
        policies=policies,
        ledger=ledger,
        limiter=limiter,
        meter=meter,
        clock=clock,
        new_id=IdSource(),
        # An OPA server is asked by its engine for all who wait, whatever turn they came in.
        turns=LoopTurns() if settings.engine == "embedded" else None,
    )
    reporter = await open_reporter(settings.reporting, state, clock, ledger=ledger, decisions=decisions, meter=meter)
    opened.callback(reporter.close)
    return Parts(
        decisions=decisions,
        activation=activation,
        following=Following(activation, clock),
        engine=engine,
        engine_counts=counts,
        writer=writer,
        ledger=ledger,
        damage=damage,
        disk=disk,
        auditor=AuditorWatch(state, settings.audit, clock, damage),
        child=AuditorChild(state, settings.audit) if settings.audit.auditor == "child" else None,
        verifier=verifier,
        revocations=revocations,
        privacy=privacy,
        limiter=limiter,
        meter=meter,
        state=state,
        reporter=reporter,
    )


def issuers_of(settings: Settings, state: Path) -> tuple[identity.IssuerSettings, ...]:
    """Whose tokens count: the configured issuers', and in development its own."""
    return (*settings.issuers, *((identity.dev_issuer(state),) if settings.dev else ()))


async def _writer(settings: Settings, state: Path, clock: SystemClock) -> audit.LedgerWriter:
    stream = await asyncio.to_thread(audit.newest_successor, state / "audit", _STREAM)
    bounds = audit.WriterLimits(
        segment_bytes=settings.audit.segment_bytes,
        segment_seconds=settings.audit.segment_seconds,
        pending_records=settings.audit.queue_records,
        ballast_bytes=audit.BALLAST_BYTES,
    )
    return audit.LedgerWriter(
        state / "audit", stream, clock=clock, limits=bounds, on_commit=AUDIT_COMMIT_DURATION_SECONDS.observe
    )


async def _given_free(writer: audit.LedgerWriter) -> None:
    """End the stream of a start that failed. That this fails too must not hide why."""
    with suppress(AuditUnavailableError):
        await writer.close("failed")


def _disk(settings: Settings, state: Path, writer: audit.LedgerWriter, clock: SystemClock) -> DiskWatch:
    return DiskWatch(
        state / "audit",
        settings.audit.disk_reserve_bytes,
        clock,
        free_bytes=audit.Files().free_bytes,
        written_bytes=lambda: writer.written_bytes,
    )
