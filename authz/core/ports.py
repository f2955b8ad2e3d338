"""What the pipeline awaits. Each port says in words what it promises; the composition root picks who keeps it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from authz.core.contract import Candidates, Catalogue
from authz.core.events import Event
from authz.core.model import (
    AccessRequest,
    BearerToken,
    Decision,
    Explanation,
    Limit,
    Over,
    PolicyDecision,
    Subject,
    TokenRefusal,
)
from authz.core.routes import RouteTable


class TokenVerifier(Protocol):
    """Turns a token into a subject, or says why it does not count."""

    async def verify(self, token: BearerToken) -> Subject | TokenRefusal:
        """Verify signature, issuer, audience, type and times, and that it is not revoked.

        Every way in which a token can be bad is a TokenRefusal, and so is a key that cannot be had
        (`keys_unavailable`). Nothing of a refused token is believed.
        """
        ...

    def is_revoked(self, subject_id: str) -> bool:
        """Whether everything of a subject is revoked: on a caller's word it does not come back."""
        ...


class Pseudonyms(Protocol):
    """Keyed pseudonyms: the same value gives the same pseudonym under one key, whatever it stands for."""

    def pseudonym(self, value: str) -> str:
        """`h1:<key id>:<base64url of 16 bytes>`; never reversible without the key."""
        ...


class Identified(NamedTuple):
    """The values of one request that say who or what it is about. `subject` is None when nobody was identified."""

    subject: str | None = None
    session: str | None = None
    others: tuple[str, ...] = ()


class Identities(Protocol):
    """Pseudonyms that take more than a key: something that is kept for each identity, and can be erased."""

    async def disguise(self, identified: Identified) -> Pseudonyms:
        """The pseudonyms for the record of this one request; what they rest on is durable when this returns.

        A value that is none of those identified may get a pseudonym for this record alone, which nobody can make again.
        Raises AuditUnavailableError or OverloadedError when the identities cannot be kept.
        """
        ...


class Policy(Protocol):
    """One policy revision, ready to evaluate. It never changes; a new revision is another Policy.

    Its answers are data, failures too: `policy_undefined`, `policy_contract`, `policy_error` and
    `engine_unavailable` are denials or "could not decide", never an exception and never an allow. SUPERSEDED is an
    `engine_unavailable` of an engine that speaks for another revision by now, which `Policies.active` then is.
    """

    @property
    def revision(self) -> str:
        """The bundle's revision, written into every decision."""
        ...

    @property
    def engine(self) -> str:
        """`embedded` or `opa`."""
        ...

    @property
    def catalogue(self) -> Catalogue:
        """What the policy knows."""
        ...

    @property
    def routes(self) -> RouteTable:
        """The route table of this revision."""
        ...

    async def evaluate(self, check: bytes) -> PolicyDecision:
        """`data.authz.decision` of one input document."""
        ...

    async def evaluate_all(self, checks: Sequence[bytes]) -> list[PolicyDecision]:
        """One decision for each check, in order, as if each had been evaluated alone.

        Nobody gets a neighbour's answer or error: an answer of the wrong length is thrown away whole, and a batch
        that errors is evaluated item by item.
        """
        ...

    @property
    def searches(self) -> frozenset[str]:
        """The searches that it offers: the keys of `data.authz.candidates`."""
        ...

    async def candidates(self, check: bytes) -> Candidates | None:
        """`data.authz.candidates` of a search's own input; None when the policy has none or it fails."""
        ...

    async def explain(self, check: bytes) -> Explanation | None:
        """`data.authz.explain` of one input document; None when the policy has none or it fails."""
        ...


class Policies(Protocol):
    """Knows the policy in force."""

    @property
    def active(self) -> Policy:
        """The policy in force now. Take it once per decision: it may be another one at the next call."""
        ...


class Ledger(Protocol):
    """The append-only record. What it acknowledged survives kill -9 and power loss."""

    async def record(self, event: Event) -> None:
        """Return when the event is durable on disk, chained to the one before it.

        Raises AuditUnavailableError when it is not or may not be, OverloadedError when the queue is full; in both
        cases the caller must not act as if it were recorded.

        Where the operator has chosen that what cannot be recorded goes out all the same (degraded mode), it returns
        instead of raising once the loss was counted for a record of its own.
        """
        ...

    async def record_all(self, events: Sequence[Event]) -> None:
        """`record` for a batch: return when all of them are durable, in this order and with none between them.

        Raises as `record` does; then the caller must not act as if any of them were recorded.
        """
        ...


class Limiter(Protocol):
    """Knows how often somebody may. Only decisions spend; a search, an explanation or a replay does not."""

    def admit(self, request: AccessRequest) -> Over | None:
        """Spend one request of the client's address, before anything is known of the client; it must not wait.

        None where there is no such limit, or no address.
        """
        ...

    async def spend(
        self, request: AccessRequest, subject: Subject, limits: Sequence[Limit], position: int | None = None
    ) -> Over | None:
        """Spend one use under each of the limits, or none at all when one of them is spent.

        Called after an allow, and only when there are limits. A retry that the gateway itself vouches for
        (`Caller.sets_request_id`) is spent once within a short window; `position` tells the items of a batch apart.
        What is spent stays spent, also where the decision could not be recorded. Callers that only observe have
        budgets of their own. Where it cannot be told it is Over with `limits_unavailable`, never an allow.
        """
        ...


class Meter(Protocol):
    """Counts decisions. It must not fail and must not wait."""

    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        """Count one decision that took `seconds`."""
        ...

    def decided_all(self, decided: Sequence[tuple[AccessRequest, Decision]], seconds: float) -> None:
        """Count the decisions of a batch that took `seconds`: each of them took as long."""
        ...


class Clock(Protocol):
    """The time, from outside the core."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def elapsed(self) -> float:
        """Seconds on a clock that never goes back."""
        ...
