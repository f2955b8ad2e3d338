"""The composition root: Settings -> a running Pdp. The only file that picks implementations."""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from authz import __version__, audit, bundle, identity, log
from authz.client import Answer
from authz.config import Settings
from authz.core import (
    AccessRequest,
    Action,
    BearerToken,
    Caller,
    ConfigurationError,
    DecisionPoint,
    Entity,
    Event,
    Subject,
    TokenRefusal,
)
from authz.engine import ActivePolicy, EmbeddedPolicy
from authz.ids import IdSource
from authz.metrics import DecisionMeter

DEV_STATE = ".state"
_STREAM = "node-0"


class SystemClock:
    """Implements core.Clock on the machine's clocks."""

    now = staticmethod(time.time)
    elapsed = staticmethod(time.perf_counter)


class Check(NamedTuple):
    """One line of `/readyz`: what was looked at, and what to do if it is not well."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


class Pdp:
    """A running decision point: policy, keys, ledger and metrics behind one DecisionPoint."""

    def __init__(
        self,
        settings: Settings,
        decisions: DecisionPoint,
        policies: ActivePolicy,
        ledger: audit.LedgerWriter,
        verifier: identity.Verifier,
        meter: DecisionMeter,
        policy_source: str,
    ) -> None:
        self.settings = settings
        self.decisions = decisions
        self.policies = policies
        self.meter = meter
        self.policy_source = policy_source
        self.scrape_digest = _scrape_digest(settings)
        self.new_id: Callable[[], str] = decisions.new_id
        self._ledger = ledger
        self._verifier = verifier
        self._log = structlog.get_logger("authz.pdp").bind()

    @classmethod
    async def start(cls, settings: Settings) -> "Pdp":
        """Load the policy, open the ledger, start fetching keys, and record `system.startup`.

        Raises ConfigurationError or another AuthzError that says what to do; nothing is left running then.
        """
        log.configure(settings.log.level)
        state = await asyncio.to_thread(_state_directory, settings)
        clock = SystemClock()
        pseudonyms = await asyncio.to_thread(_pseudonyms, settings, state)
        policy, source = await asyncio.to_thread(_policy, settings)
        meter = DecisionMeter()
        meter.bind(policy.catalogue)
        ledger = audit.LedgerWriter(state / "audit", _STREAM, clock=clock)
        await ledger.open()
        verifier = identity.Verifier(_issuers(settings, state), pseudonyms, clock, state / "jwks")
        await verifier.start()
        policies = ActivePolicy(policy)
        decisions = DecisionPoint(
            verifier=verifier,
            pseudonyms=pseudonyms,
            policies=policies,
            ledger=ledger,
            meter=meter,
            clock=clock,
            new_id=IdSource(),
        )
        pdp = cls(settings, decisions, policies, ledger, verifier, meter, source)
        await pdp.record(Event(pdp.new_id(), "system.startup", _startup(settings, policy)))
        return pdp

    async def record(self, event: Event) -> None:
        """Make an event durable; raises as core.Ledger says."""
        await self._ledger.record(event)
        self.meter.audited(event.type)

    async def close(self, reason: str) -> None:
        """Record `system.shutdown`, seal the ledger and stop everything."""
        await self.record(Event(self.new_id(), "system.shutdown", {"reason": reason}))
        await self._ledger.close(reason)
        await self._verifier.close()
        log.flush()
