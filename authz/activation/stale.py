"""The policy in force once it is too old to be believed."""

from collections.abc import Sequence
from typing import Final

from authz.core import Candidates, Explanation, Policy, PolicyDecision

_STALE: Final = PolicyDecision(allow=False, reason="policy_stale", scopes=())


class StalePolicy:
    """Implements core.Policy: every answer is "could not decide", whatever `before` would say."""

    def __init__(self, before: Policy) -> None:
        self.before = before
        self.revision, self.engine = before.revision, before.engine
        self.catalogue, self.routes, self.searches = before.catalogue, before.routes, before.searches

    async def evaluate(self, check: bytes) -> PolicyDecision:  # noqa: ARG002 - the port's signature
        """See core.Policy."""
        return _STALE

    async def evaluate_all(self, checks: Sequence[bytes]) -> list[PolicyDecision]:
        """See core.Policy."""
        return [_STALE] * len(checks)

    async def candidates(self, check: bytes) -> Candidates | None:  # noqa: ARG002
        """See core.Policy."""
        return None

    async def explain(self, check: bytes) -> Explanation | None:  # noqa: ARG002
        """See core.Policy."""
        return None
