"""Small fakes of the core's ports: each does what its port promises, and remembers what it was asked."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count

from authz.core import (
    AccessRequest,
    BearerToken,
    Candidates,
    Catalogue,
    Decision,
    DecisionPoint,
    Event,
    Explanation,
    Limit,
    Over,
    PolicyDecision,
    RouteTable,
    Subject,
    TokenRefusal,
    offered,
)

NOW = 1_700_000_000.75


def pseudonym(value: str) -> str:
    """The pseudonym that FakePseudonyms gives."""
    return f"h1:test:{hashlib.sha256(value.encode(errors='surrogatepass')).hexdigest()[:22]}"


class FakePseudonyms:
    """Implements core.Pseudonyms without a key."""

    def pseudonym(self, value: str) -> str:
        return pseudonym(value)


class FakeVerifier:
    """Implements core.TokenVerifier: knows these tokens, all others are malformed."""

    def __init__(self, known: Mapping[str, Subject | TokenRefusal] | None = None) -> None:
        self.known = dict(known or {})
        self.asked: list[str] = []
        self.revoked: set[str] = set()

    def is_revoked(self, subject_id: str) -> bool:
        return subject_id in self.revoked

    async def verify(self, token: BearerToken) -> Subject | TokenRefusal:
        self.asked.append(token.reveal())
        return self.known.get(token.reveal(), TokenRefusal("token_malformed"))


class FakePolicy:
    """Implements core.Policy: says the same of everything, or what a function says; `asked` holds what it was given."""

    engine = "embedded"

    def __init__(
        self,
        answer: PolicyDecision | Callable[[bytes], PolicyDecision],
        catalogue: Catalogue,
        revision: str = "0123456789abcdef",
    ) -> None:
        self.answer = answer
        self.catalogue = catalogue
        self.revision = revision
        self.routes = RouteTable(catalogue.route_table())
        self.asked: list[bytes] = []
        self.found: Candidates | None = None
        self.searched: list[bytes] = []

    async def evaluate(self, check: bytes) -> PolicyDecision:
        self.asked.append(check)
        return self.answer(check) if callable(self.answer) else self.answer

    async def evaluate_all(self, checks: Sequence[bytes]) -> list[PolicyDecision]:
        return [await self.evaluate(check) for check in checks]

    async def explain(self, check: bytes) -> Explanation | None:
        return None

    @property
    def searches(self) -> frozenset[str]:
        return offered(self.found) if self.found is not None else frozenset()

    async def candidates(self, check: bytes) -> Candidates | None:
        self.searched.append(check)
        return self.found


class FakePolicies:
    """Implements core.Policies: `in_force` may be changed at any time; `taken` counts how often it was asked for."""

    def __init__(self, in_force: FakePolicy) -> None:
        self.in_force = in_force
        self.taken = 0

    @property
    def active(self) -> FakePolicy:
        self.taken += 1
        return self.in_force


class FakeLedger:
    """Implements core.Ledger in memory: `durable` is shut to hold records up, `failure` is raised instead."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.asked = 0
        self.groups: list[int] = []
        self.durable = asyncio.Event()
        self.durable.set()
        self.failure: Exception | None = None

    async def record(self, event: Event) -> None:
        self.asked += 1
        await self.durable.wait()
        if self.failure is not None:
            raise self.failure
        self.events.append(event)

    async def record_all(self, events: Sequence[Event]) -> None:
        self.asked += 1
        self.groups.append(len(events))
        await self.durable.wait()
        if self.failure is not None:
            raise self.failure
        self.events += events


class FakeLimiter:
    """Implements core.Limiter: `door` and `over` are said of everything; `spent` holds what was asked for."""

    def __init__(self) -> None:
        self.door: Over | None = None
        self.over: Over | None = None
        self.spent: list[tuple[str, tuple[Limit, ...], int | None]] = []

    def admit(self, request: AccessRequest) -> Over | None:
        return self.door

    async def spend(
        self, request: AccessRequest, subject: Subject, limits: Sequence[Limit], position: int | None = None
    ) -> Over | None:
        self.spent.append((subject.id, tuple(limits), position))
        return self.over


class FakeMeter:
    """Implements core.Meter: keeps what it counted."""

    def __init__(self) -> None:
        self.counted: list[tuple[AccessRequest, Decision, float]] = []

    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        self.counted.append((request, decision, seconds))

    def decided_all(self, decided: Sequence[tuple[AccessRequest, Decision]], seconds: float) -> None:
        self.counted += [(request, decision, seconds) for request, decision in decided]


class FakeClock:
    """Implements core.Clock: stands still at NOW, and each look at the stopwatch is a quarter of a second later."""

    def __init__(self) -> None:
        self._looks = count()

    def now(self) -> float:
        return NOW

    def elapsed(self) -> float:
        return next(self._looks) / 4


class House:
    """A DecisionPoint on fakes, and the fakes."""

    def __init__(self, policy: FakePolicy, tokens: Mapping[str, Subject | TokenRefusal] | None = None) -> None:
        self.policy = policy
        self.policies = FakePolicies(policy)
        self.verifier = FakeVerifier(tokens)
        self.ledger = FakeLedger()
        self.limiter = FakeLimiter()
        self.meter = FakeMeter()
        ids: Iterator[int] = count(1)
        self.decisions = DecisionPoint(
            verifier=self.verifier,
            pseudonyms=FakePseudonyms(),
            policies=self.policies,
            ledger=self.ledger,
            limiter=self.limiter,
            meter=self.meter,
            clock=FakeClock(),
            new_id=lambda: f"id-{next(ids)}",
        )
