"""What one policy says to profiles."""

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple

from authz.core import Kind, Policy, PolicyDecision, kind_of
from authz.history.asking import Asking, CannotTellError, Known
from authz.history.folding import Tally
from authz.history.profile import Profile
from authz.history.reads import Reads

_BESIDE: Final = ("ambiguous_path", "subject_mismatch", "rate_limited", "break_glass")
_DENIED: Final = "deny"


class Verdict(NamedTuple):
    """How a decision comes out under the policy."""

    allow: bool
    reason: str
    scopes: tuple[str, ...]


Judged = Verdict | str | None
"""A text: why it cannot be told. None: no policy decides it."""


class Judge:
    """Asks one policy what came of profiles, all that are there in one batch."""

    def __init__(self, policy: Policy, reads: Reads, known: Known) -> None:
        self.policy = policy
        self._asking = Asking(policy, reads, known)

    def verdicts(self, profiles: Iterable[tuple[Profile, Tally]]) -> dict[Profile, Judged]:
        """Each with what is known of when it came. Not from within an event loop."""
        asked = {profile: self._questions(profile, tally) for profile, tally in profiles}
        checks = [check for questions in asked.values() if not isinstance(questions, str) for check in questions or ()]
        answers = iter(asyncio.run(self._answers(checks)))
        found: dict[Profile, Judged] = {}
        for profile, questions in asked.items():
            if questions is None or isinstance(questions, str):
                found[profile] = questions
            else:
                found[profile] = _one({_concluded(profile, next(answers)) for _ in questions})
        return found

    async def _answers(self, checks: list[bytes]) -> list[PolicyDecision]:
        return await self.policy.evaluate_all(checks)

    def _questions(self, profile: Profile, tally: Tally) -> list[bytes] | str | None:
        if profile.reason in _BESIDE or (profile.decision == "error" and kind_of(profile.reason) is Kind.UNDECIDED):
            return None
        try:
            return self._asking.questions(profile, tally.first, tally.last)
        except CannotTellError as error:
            return str(error)


def _concluded(profile: Profile, answer: PolicyDecision) -> Verdict | str:
    """As the pipeline concludes: whoever is not identified gets a public route and nothing else."""
    if kind_of(answer.reason) is Kind.UNDECIDED:
        return f"the policy fails on it ({answer.reason})"
    if profile.subject_source not in ("token", "asserted"):
        if answer.reason != "public_route":
            reason = profile.reason if profile.decision == _DENIED else "token_missing"
            return Verdict(allow=False, reason=reason, scopes=answer.scopes)
        return Verdict(answer.allow, answer.reason, answer.scopes)
    reason = (
        profile.reason
        if (profile.reason, answer.reason) == ("method_not_allowed", "unmatched_route")
        else answer.reason
    )
    return Verdict(answer.allow, reason, answer.scopes)


def _one(verdicts: set[Verdict | str]) -> Verdict | str:
    """The verdict, if they agree on yes or no."""
    failures = [each for each in verdicts if isinstance(each, str)]
    if failures:
        return min(failures)
    told = sorted(each for each in verdicts if isinstance(each, Verdict))
    if not told or len({each.allow for each in told}) > 1:
        return "it depends on what the record lacks"
    return told[0]
