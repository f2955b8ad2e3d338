"""The policy in force, and the one way in which another one takes its place."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from authz.activation.apart import Passed, RefusedError, examined_apart
from authz.activation.candidate import Candidate, loaded
from authz.activation.errors import ChangedError, NotKeptError, ReplayError, ShadowError
from authz.activation.in_force import InForce
from authz.activation.journal import BundleStore, Journal, hold_to_journal
from authz.activation.rehearsal import Rehearsals, Replayed
from authz.activation.shadow import Shadow, Tally
from authz.activation.shelf import Shelf
from authz.activation.starting import Begun, begin
from authz.activation.status import PolicyStatus, Rejected, Shadowing
from authz.activation.turns import in_turns
from authz.config import Settings
from authz.core import AuditUnavailableError, AuthzError, Clock, ConfigurationError, OverloadedError, Policy
from authz.engine import ActivePolicy, Engine
from authz.examination import Examined, Trust, trust_in
from authz.metrics import (
    OTHER,
    POLICY_ACTIVATED_TIMESTAMP_SECONDS,
    POLICY_ACTIVATIONS_TOTAL,
    POLICY_PINNED,
    POLICY_REJECTED_TOTAL,
    POLICY_REJECTIONS,
    POLICY_SEQUENCE,
    DecisionMeter,
)

_NOTED_EVERY_SECONDS: Final = 60.0

_log = structlog.get_logger("authz.activation")

Record = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Make an event durable, by type and body. Raises as core.Ledger says."""


class Activation:
    """Holds the policy in force, and puts another one in its place: examined, loaded, recorded, then in one step.

    One change at a time. What is refused changes nothing, and is recorded.
    """

    def __init__(self, settings: Settings, state: Path, clock: Clock, engine: Engine) -> None:
        self.settings = settings
        self._store = BundleStore(state)
        self._clock = clock
        self._engine = engine
        self._engine_says = settings.engine == "opa" and settings.opa.url is not None
        self._rehearsals = Rehearsals(settings.policy, state)
        self._changing = asyncio.Lock()
        self._refused_last: tuple[str, str] | None = None
        self.rejected: Rejected | None = None
        self.replayed: Replayed | None = None
        self.changed = asyncio.Event()
        """Set, and replaced by another, when another policy is in force."""

    async def prepare(self) -> ActivePolicy:
        """Find and load the policy to start with.

        Raises ConfigurationError, or another AuthzError that says why there is none.
        """
        if self._engine_says and self.settings.policy.shadow_seconds:
            raise ConfigurationError("policy.shadow_seconds: an OPA server at opa.url has one policy, and no next one")
        self.begun: Begun = await begin(self.settings, self._store, self._engine)
        self._shelf = Shelf(self._store, self.begun.journal)
        self._in_force = InForce(
            self.begun.candidate, elsewhere=self._engine_says, refuse_stale=self.settings.policy.stale == "refuse"
        )
        return self.policies

    async def start(self, record: Record, meter: DecisionMeter, oldest_record: Callable[[], float | None]) -> None:
        """Take up the journal, now that there is a ledger: what was begun with is kept, and recorded if it is new."""
        self._record, self._meter, self._oldest_record = record, meter, oldest_record
        await self._engine.follow(self._followed)
        known = self.journal.find(self.journal.active)
        held = bool(self.journal.pinned) and self.begun.source is not None
        if not held and (known is None or known.sha256 != self.candidate.examined.sha256):
            await self._shelf.keep(self.candidate.archive, self.candidate.examined, self.source_name)
            await self._journalled(self.candidate, "start", "", self.journal.active)
        elif self.journal.pinned and not held:
            await self._shelf.write(msgspec.structs.replace(self.journal, pinned=""))
        self._show()
        if self.begun.refused is not None:
            error, archive = self.begun.refused
            await self.refuse(error, _digest(archive))

    async def offer(self, archive: bytes) -> bool:
        """Take a bundle that the source has, if it may be taken; whether it may.

        Raises AuditUnavailableError, OverloadedError, OSError: it could not be recorded or kept, and is not in force.
        """
        try:
            trust, passed = await self._examined(archive)
            while True:
                hold_to_journal(self.journal, passed.examined, ordered=bool(trust.keys))
                before, waits = self.candidate, bool(self.journal.pinned)
                # Not under the lock: a rollback has to wait for nothing.
                replayed = None if waits else await self._replay(archive, passed.examined)
                async with self._changing:
                    if self.candidate is before:
                        await self._offered(archive, passed, trust.max_bytes, replayed)
                        break
        except (AuditUnavailableError, OverloadedError):
            raise
        except AuthzError as error:
            await self.refuse(error, await asyncio.to_thread(_digest, archive))
            return False
        return True

    async def refuse(self, error: AuthzError, sha256: str) -> None:
        """Count and record that a bundle is not put in force; once, however often it is offered."""
        reason = error.reason if isinstance(error, RefusedError) else error.code
        if self._refused_last == (reason, sha256):
            return
        self._refused_last = (reason, sha256)
        detail = str(error)[:2000]
        self.rejected = Rejected(reason, detail, sha256, self._clock.now())
        POLICY_REJECTED_TOTAL.labels(reason if reason in POLICY_REJECTIONS else OTHER).inc()
        _log.error("policy_rejected", reason=reason, detail=detail, sha256=sha256)
        body = {"reason": reason, "detail": detail, "sha256": sha256, "policy_source": self.source_name}
        try:
            await self._record("policy.rejected", {**body, "active": self.candidate.examined.revision})
        except (AuditUnavailableError, OverloadedError) as failure:
            self._refused_last = None
            _log.error("policy_rejection_unrecorded", code=failure.code)

    async def activate(self, revision: str, by: str, reason: str, *, accept_flips: bool = False) -> None:
        """Put a kept revision in force, and follow the source again from what it has now.

        `accept_flips`: whatever a replay of the newest decisions says, which is recorded with who accepted it.
        Raises NotKeptError; ChangedError where another one, such as a rollback's, was put in force meanwhile; whatever
        refuses a bundle; AuditUnavailableError, OverloadedError.
        """
        before = self.candidate
        candidate = await self._rehearsed(await self._kept(revision), by if accept_flips else "")
        async with self._changing:
            if self.candidate is not before:
                candidate.policy.close()
                now = self.candidate.examined.revision
                raise ChangedError(f"revision: {now} was put in force meanwhile; look at it, and ask again")
            await self._commanded("policy.activate", candidate, by, reason, pinned="")
        if self.begun.source is not None:
            # What it has now may be newer than this, and counts again.
            self.begun.source.forget()

    async def rollback(self, revision: str | None, by: str, reason: str) -> None:
        """Put a revision that was in force before in force again, and hold it whatever the source has.

        Without a revision: the one before. Raises as `activate`.
        """
        async with self._changing:
            before = self.journal.previous
            target = revision or (before.revision if before is not None else "")
            known = self.journal.find(target)
            if known is None or known.activated_at is None:
                raise NotKeptError(f"revision: {target or 'none'} was not in force before; see `authz policy status`")
            candidate = await self._kept(target)
            await self._commanded("policy.rollback", candidate, by, reason, pinned=f"{by}: {reason}")

    def set_stale(self, *, stale: bool) -> None:
        """Whether the policy is too old; what follows from it is `policy.stale`."""
        if stale != self._in_force.stale:
            _log.warning("policy_stale" if stale else "policy_fresh", revision=self.candidate.examined.revision)
            self._in_force.set_stale(stale=stale)

    async def confirmed(self) -> None:
        """The source has what may be in force, as of now; noted now and then, for a start without it. OSError."""
        self._refused_last = None
        if self._clock.now() - self.journal.confirmed_at > _NOTED_EVERY_SECONDS:
            async with self._changing:
                await self._shelf.write(msgspec.structs.replace(self.journal, confirmed_at=self._clock.now()))

    async def close(self) -> None:
        """Let go of every policy."""
        self._end_shadow()
        self._in_force.close()
        if self.begun.source is not None:
            await self.begun.source.close()

    @property
    def policies(self) -> ActivePolicy:
        """Who answers questions."""
        return self._in_force.policies

    @property
    def journal(self) -> Journal:
        """What is known of all that was in force."""
        return self._shelf.journal

    @property
    def candidate(self) -> Candidate:
        """What is in force."""
        return self._in_force.candidate

    @property
    def source_name(self) -> str:
        """Where bundles come from, without anything secret."""
        return self.begun.source.name if self.begun.source is not None else self.candidate.source

    def status(self, age_seconds: float | None, trouble: str) -> PolicyStatus:
        """What is in force."""
        found = self.candidate.examined
        entry = self.journal.find(found.revision)
        held_back = bool(self.journal.pinned) or self._in_force.shadow is not None
        waiting = [each for each in self.journal.kept if each.activated_at is None] if held_back else []
        return PolicyStatus(
            revision=found.revision,
            engine=self.candidate.policy.engine,
            source=self.source_name,
            sha256=found.sha256,
            sequence=found.sequence,
            key_ids=found.key_ids,
            activated_at=entry.activated_at if entry else None,
            by=entry.by if entry else "",
            pinned=self.journal.pinned,
            age_seconds=age_seconds,
            stale=self._in_force.stale,
            waiting=waiting[-1].revision if waiting else None,
            shadow=self._shadowing(),
            rejected=self.rejected,
            replayed=self.replayed,
            source_trouble=trouble,
            kept=self.journal.kept,
        )

    async def _examined(self, archive: bytes) -> tuple[Trust, Passed]:
        trust = await asyncio.to_thread(trust_in, self.settings)
        return trust, await examined_apart(archive, trust)

    async def _loaded(self, archive: bytes, passed: Passed, max_bytes: int) -> Candidate:
        examined, compiled = passed
        return await loaded(archive, examined, self._engine, self.source_name, max_bytes, compiled=compiled)

    async def _kept(self, revision: str) -> Candidate:
        if self.begun.source is None:
            raise NotKeptError("revision: the configuration names exactly one bundle; there is nothing to choose from")
        if self.journal.find(revision) is None:
            raise NotKeptError(f"revision: {revision[:64]!r} is not kept; see `authz policy status`")
        archive = await self._shelf.archive(revision)
        trust, passed = await self._examined(archive)
        return await self._loaded(archive, passed, trust.max_bytes)

    async def _replay(self, archive: bytes, examined: Examined) -> Replayed | None:
        """What it makes of the newest decisions, if that is asked for and it is not what is in force."""
        if not self._rehearsals.wanted or examined.sha256 == self.candidate.examined.sha256:
            return None
        self.replayed = await self._rehearsals.of(examined.revision, archive, self.candidate.archive)
        _log.info("policy_replayed", revision=examined.revision, outcome=str(self.replayed))
        return self.replayed

    async def _rehearsed(self, candidate: Candidate, accepted: str) -> Candidate:
        """The candidate with its replay. Raises ReplayError unless somebody accepts what came of it; SequenceError."""
        try:
            hold_to_journal(self.journal, candidate.examined, ordered=bool(self.begun.trust.keys))
            replayed = await self._replay(candidate.archive, candidate.examined)
            if replayed is not None and accepted and replayed.too_many(self._rehearsals.most_flips):
                self.replayed = replayed = msgspec.structs.replace(replayed, accepted=accepted)
            elif replayed is not None:
                replayed.hold_to(self._rehearsals.most_flips)
        except AuthzError as error:
            candidate.policy.close()
            if isinstance(error, ReplayError):
                await self.refuse(error, candidate.examined.sha256)
            raise
        return candidate._replace(replayed=replayed)

    async def _offered(self, archive: bytes, passed: Passed, max_bytes: int, replayed: Replayed | None) -> None:
        examined = passed.examined
        if examined.sha256 == self.candidate.examined.sha256:
            return
        if replayed is not None and replayed.too_many(self._rehearsals.most_flips):
            # Kept, so that an operator can take it all the same.
            await self._shelf.keep(archive, examined, self.source_name)
            replayed.hold_to(self._rehearsals.most_flips)
        candidate = (await self._loaded(archive, passed, max_bytes))._replace(replayed=replayed)
        await self._shelf.keep(archive, examined, self.source_name)
        if self.journal.pinned:
            candidate.policy.close()
            _log.warning("policy_waiting", revision=examined.revision, pinned=self.journal.pinned)
        elif self.settings.policy.shadow_seconds:
            self._begin_shadow(candidate)
        else:
            await self._put_in_force(candidate, "source", "")

    async def _commanded(self, what: str, candidate: Candidate, by: str, reason: str, *, pinned: str) -> None:
        self._end_shadow()
        body = {"setting": what, "by": by, "reason": reason, "from": self.candidate.examined.revision}
        await self._record("admin.config_changed", {**body, "to": candidate.examined.revision})
        await self._put_in_force(candidate, by, pinned)

    async def _put_in_force(self, candidate: Candidate, by: str, pinned: str) -> None:
        """Journal, record, switch: after a crash in between, the start records what is in force."""
        before = self.journal
        try:
            await self._journalled(candidate, by, pinned, self.candidate.examined.revision)
        except (AuditUnavailableError, OverloadedError, OSError):
            candidate.policy.close()
            await self._shelf.write(before)
            raise
        policy = candidate.policy
        await in_turns(self._meter.binding(policy.catalogue, policy.revision, lambda: self._switch(candidate)))
        POLICY_ACTIVATIONS_TOTAL.inc()
        await self._shelf.prune(self._oldest_record)
        _log.info("policy_activated", revision=policy.revision, by=by, sequence=candidate.examined.sequence)

    def _switch(self, candidate: Candidate) -> None:
        """The one step."""
        self._in_force.switch(candidate)
        self._show()
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def _followed(self, policy: Policy) -> None:
        """An OPA server elsewhere speaks for this one now."""
        if self._in_force.followed(policy):
            self._binding = asyncio.create_task(in_turns(self._meter.binding(policy.catalogue, policy.revision)))

    def _show(self) -> None:
        found = self.candidate.examined
        entry = self.journal.find(found.revision)
        POLICY_SEQUENCE.set(found.sequence)
        POLICY_PINNED.set(bool(self.journal.pinned))
        POLICY_ACTIVATED_TIMESTAMP_SECONDS.set((entry.activated_at if entry else None) or 0.0)

    async def _journalled(self, candidate: Candidate, by: str, pinned: str, previous: str) -> None:
        found = candidate.examined
        await self._shelf.write(self.journal.activated(found.revision, self._clock.now(), by, pinned))
        body: dict[str, Any] = {
            "revision": found.revision,
            "sha256": found.sha256,
            "sequence": found.sequence,
            "key_ids": found.key_ids,
            "policy_source": self.source_name,
            "by": by,
            "previous": previous,
        }
        if candidate.replayed is not None:
            body["replayed"] = candidate.replayed.record
        await self._record("policy.activated", {**body, "pinned": bool(pinned)})

    def _begin_shadow(self, candidate: Candidate) -> None:
        self._end_shadow()
        until = time.time() + self.settings.policy.shadow_seconds
        ending = asyncio.create_task(self._concluded(), name="policy-shadow")
        self._in_force.set_shadow(Shadow(candidate, Tally(), until, ending))
        _log.info("policy_shadowed", revision=candidate.examined.revision, until=until)

    def _end_shadow(self) -> None:
        shadow = self._in_force.shadow
        if shadow is None:
            return
        self._in_force.set_shadow(None)
        if shadow.ending is not asyncio.current_task():
            shadow.ending.cancel()
            self._in_force.close_later(shadow.candidate)

    async def _concluded(self) -> None:
        """After its time in the shadow, the next policy is put in force, or rejected for what it did there."""
        await asyncio.sleep(self.settings.policy.shadow_seconds)
        async with self._changing:
            if self._in_force.shadow is None:
                return
            candidate, tally, _, _ = self._in_force.shadow
            self._end_shadow()
            allowed = self.settings.policy.shadow_differences
            body = {"revision": candidate.examined.revision, "compared": tally.compared, "different": tally.different}
            try:
                await self._record("policy.shadowed", {**body, "differences": tally.rows()})
                if allowed is None or tally.different <= allowed:
                    await self._put_in_force(candidate, "source", "")
                    return
            except (AuditUnavailableError, OverloadedError, OSError) as error:
                _log.error("policy_not_activated", error=type(error).__name__)
                if self.begun.source is not None:
                    self.begun.source.forget()
                return
        self._in_force.close_later(candidate)
        said = f"{tally.different} of {tally.compared} decisions differed, and {allowed} may"
        await self.refuse(ShadowError(said), candidate.examined.sha256)

    def _shadowing(self) -> Shadowing | None:
        if self._in_force.shadow is None:
            return None
        candidate, tally, until, _ = self._in_force.shadow
        return Shadowing(candidate.examined.revision, until, tally.compared, tally.different, tally.rows())


def _digest(archive: bytes) -> str:
    return hashlib.sha256(archive).hexdigest() if archive else ""
