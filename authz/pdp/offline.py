"""A decision that leaves no trace: what a policy in a bundle says, with no service running."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from authz import bundle
from authz.clock import SystemClock
from authz.core import (
    AccessRequest,
    Action,
    Caller,
    Decision,
    DecisionPoint,
    Entity,
    Event,
    Limit,
    Over,
    Subject,
    TokenRefusal,
    explained,
)
from authz.engine import ActivePolicy, Counts, EmbeddedEngine
from authz.ids import IdSource


async def decide_offline(
    source: Path, subject: Entity, method: str, resource: Entity
) -> tuple[Decision, tuple[str, ...]]:
    """What the policy in a bundle says of a subject on one's word, and why. Nothing is recorded: nobody acts on it.

    Raises an AuthzError when the bundle cannot be used.
    """
    policy = await EmbeddedEngine(1.0, Counts()).load(await asyncio.to_thread(bundle.read, source))
    offline = _Offline()
    decisions = DecisionPoint(
        verifier=offline,
        pseudonyms=offline,
        policies=ActivePolicy(policy),
        ledger=offline,
        limiter=offline,
        meter=offline,
        clock=SystemClock(),
        new_id=IdSource(),
    )
    asked = AccessRequest(
        caller=Caller("cli", trusted_to_assert=True),
        dialect="cli",
        subject=subject,
        action=Action(method),
        resource=resource,
    )
    decision = await decisions.decide(asked)
    return decision, await explained(decisions, asked, decision)


class _Offline:
    """The ports of a decision that leaves no trace."""

    def is_revoked(self, subject_id: str) -> bool:  # noqa: ARG002
        return False

    async def verify(self, token: object) -> TokenRefusal:  # noqa: ARG002
        return TokenRefusal("keys_unavailable")

    def pseudonym(self, value: str) -> str:
        return value

    def admit(self, request: AccessRequest) -> Over | None:  # noqa: ARG002
        return None

    async def spend(
        self,
        request: AccessRequest,
        subject: Subject,
        limits: Sequence[Limit],
        position: int | None = None,
    ) -> Over | None:
        """Nothing is spent: nobody acts on it."""

    async def record(self, event: Event) -> None:
        """Kept nowhere."""

    async def record_all(self, events: Sequence[Event]) -> None:
        """Kept nowhere."""

    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        """Counted nowhere."""

    def decided_all(self, decided: Sequence[tuple[AccessRequest, Decision]], seconds: float) -> None:
        """Counted nowhere."""
