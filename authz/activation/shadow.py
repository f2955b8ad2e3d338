"""The next policy beside the one in force: asked everything, answering nobody."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from authz.activation.candidate import Candidate
from authz.core import Candidates, Explanation, Kind, Policy, PolicyDecision, kind_of
from authz.examination import placed_anew
from authz.metrics import METHODS, OTHER, POLICY_SHADOW_TOTAL

MAX_DIFFERENCES: Final = 100
"""So many kinds of difference are told apart; the rest are counted only."""


class Difference(Struct, frozen=True):
    """One way in which the next policy decides otherwise, without anybody's ID."""

    what: str
    now: str
    next: str


class Tally:
    """What came of comparing."""

    def __init__(self) -> None:
        self.compared = 0
        self.different = 0
        self.kinds: Counter[Difference] = Counter()
        self._same = POLICY_SHADOW_TOTAL.labels("same").inc
        self._different = POLICY_SHADOW_TOTAL.labels("different").inc
        self._failed = POLICY_SHADOW_TOTAL.labels("failed").inc

    def add(self, document: bytes, now: PolicyDecision, following: PolicyDecision) -> None:
        """Compare two answers to one question."""
        self.compared += 1
        if (now.allow, now.reason) == (following.allow, following.reason):
            self._same()
            return
        self.different += 1
        (self._failed if kind_of(following.reason) is Kind.UNDECIDED else self._different)()
        found = Difference(_what(document), _said(now), _said(following))
        if found in self.kinds or len(self.kinds) < MAX_DIFFERENCES:
            self.kinds[found] += 1

    def rows(self) -> list[dict[str, Any]]:
        """The kinds of difference, the most frequent first."""
        return [{**msgspec.to_builtins(kind), "times": times} for kind, times in self.kinds.most_common()]


class Shadow(NamedTuple):
    """The next policy, until its time there ends (seconds since the epoch) and `ending` says what becomes of it."""

    candidate: Candidate
    tally: Tally
    until: float
    ending: asyncio.Task[None]


class ShadowedPolicy:
    """Implements core.Policy by the policy in force, and asks the next one the same.

    Every evaluation costs twice as long meanwhile. A failure of the next policy is a difference and nothing else.
    """

    def __init__(self, now: Policy, following: Policy, tally: Tally) -> None:
        self._now, self._next, self._tally = now, following, tally
        self._same_routes = now.routes.routes == following.routes.routes
        self.revision, self.engine = now.revision, now.engine
        self.catalogue, self.routes, self.searches = now.catalogue, now.routes, now.searches

    async def evaluate(self, check: bytes) -> PolicyDecision:
        """See core.Policy."""
        decision = await self._now.evaluate(check)
        self._tally.add(check, decision, await self._next.evaluate(self._as_next(check)))
        return decision

    async def evaluate_all(self, checks: Sequence[bytes]) -> list[PolicyDecision]:
        """See core.Policy."""
        decisions = await self._now.evaluate_all(checks)
        following = await self._next.evaluate_all([self._as_next(check) for check in checks])
        for check, decision, other in zip(checks, decisions, following, strict=True):
            self._tally.add(check, decision, other)
        return decisions

    async def candidates(self, check: bytes) -> Candidates | None:
        """See core.Policy."""
        return await self._now.candidates(check)

    async def explain(self, check: bytes) -> Explanation | None:
        """See core.Policy."""
        return await self._now.explain(check)

    def _as_next(self, check: bytes) -> bytes:
        """The question with the next policy's own route for it."""
        if self._same_routes:
            return check
        return msgspec.json.encode(placed_anew(msgspec.json.decode(check), self._next.routes))


def _what(document: bytes) -> str:
    """What was asked, in words that are the policy's or ours, never the caller's."""
    asked = msgspec.json.decode(document)
    resource, method = asked["resource"], asked["action"]["name"]
    if resource["type"] == "route":
        return f"{method if method in METHODS else OTHER} {resource.get('route', 'no route')}"
    return "scope" if resource["type"] == "scope" else OTHER


def _said(decision: PolicyDecision) -> str:
    return f"{'allow' if decision.allow else 'deny'} {decision.reason}"
