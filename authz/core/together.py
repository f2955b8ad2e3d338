"""Questions of many that come up at the same time: what is left of each, and who brings them together."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from authz.core.model import AccessRequest, Decision, PolicyDecision, Subject, TokenRefusal
from authz.core.place import Place
from authz.core.ports import Policy, Pseudonyms


class Ready(NamedTuple):
    """A question that only the policy has still to answer. `check`: its input; `started`: when it was asked."""

    request: AccessRequest
    subject: Subject
    refusal: TokenRefusal | None
    place: Place
    pseudonyms: Pseudonyms
    check: bytes
    started: float


Answer = Decision | PolicyDecision
"""A decision that is recorded and counted, or the policy's ruling for a question that has to go on by itself."""

AnswerAll = Callable[[Policy, Sequence[Ready]], Awaitable[Sequence[Answer]]]
"""Answers many at once: an answer for each, in order."""


class Turns(Protocol):
    """Brings together what comes up in one turn of the event loop."""

    async def share(self, policy: Policy, ready: Ready, answer_all: AnswerAll) -> Answer:
        """The question's own answer, once `answer_all` was asked for it and others of this turn under this policy.

        Raises what `answer_all` raised.
        """
        ...
