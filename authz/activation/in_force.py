"""Who answers questions: the policy in force, alone, beside the next one, or refusing because it is too old."""

import asyncio
from typing import Final

from authz.activation.candidate import Candidate
from authz.activation.shadow import Shadow, ShadowedPolicy
from authz.activation.stale import StalePolicy
from authz.core import Policy
from authz.engine import ActivePolicy

_GRACE_SECONDS: Final = 60.0
"""How long a policy that was replaced is there for the questions that it is still being asked."""


class InForce:
    """The candidate in force, who speaks for it in `policies`, and those that were in force and may still be asked.

    `elsewhere`: an OPA server that we do not start speaks, and says itself of which revision; until it has the new one
    the one before it is spoken for. `refuse_stale`: a policy that is too old decides nothing.
    """

    def __init__(self, candidate: Candidate, *, elsewhere: bool, refuse_stale: bool) -> None:
        self.candidate = candidate
        self.policies = ActivePolicy(candidate.policy)
        self.stale = False
        self.shadow: Shadow | None = None
        self._elsewhere = elsewhere
        self._refuse_stale = refuse_stale
        self._spoken_for: Policy = candidate.policy
        self._superseded: list[Candidate] = []
        self._closing: dict[asyncio.TimerHandle, Candidate] = {}

    def switch(self, candidate: Candidate) -> None:
        """The one step. Questions under way keep the policy that they began with."""
        before, self.candidate = self.candidate, candidate
        if self._elsewhere:
            self._superseded.append(before)
        else:
            self._spoken_for = candidate.policy
            self.close_later(before)
        self._install()

    def followed(self, policy: Policy) -> bool:
        """An OPA server elsewhere speaks for this one, of which it has the same bundle. Whether that is news."""
        if policy is self._spoken_for:
            return False
        self._spoken_for = policy
        self._install()
        if policy is self.candidate.policy:
            for before in self._superseded:
                self.close_later(before)
            self._superseded.clear()
        return True

    def set_stale(self, *, stale: bool) -> None:
        """Whether it is too old to be believed."""
        self.stale = stale
        self._install()

    def set_shadow(self, shadow: Shadow | None) -> None:
        """Which one is asked everything beside it."""
        self.shadow = shadow
        self._install()

    def close_later(self, candidate: Candidate) -> None:
        """Let go of it once nobody can be asking it any more."""

        def close() -> None:
            self._closing.pop(timer)
            candidate.policy.close()

        timer = asyncio.get_running_loop().call_later(_GRACE_SECONDS, close)
        self._closing[timer] = candidate

    def close(self) -> None:
        """Let go of every policy, now."""
        for timer, candidate in self._closing.items():
            timer.cancel()
            candidate.policy.close()
        self._closing.clear()
        for candidate in (*self._superseded, self.candidate):
            candidate.policy.close()
        self._superseded.clear()

    def _install(self) -> None:
        policy = self._spoken_for
        if self.stale and self._refuse_stale:
            self.policies.replace(StalePolicy(policy))
        elif self.shadow is not None:
            self.policies.replace(ShadowedPolicy(policy, self.shadow.candidate.policy, self.shadow.tally))
        else:
            self.policies.replace(policy)
