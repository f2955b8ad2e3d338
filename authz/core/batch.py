"""Many questions that are one: what they have in common is done once, and where they stop."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from authz.core.contract import subject_document
from authz.core.errors import BadRequestError
from authz.core.model import AccessRequest, Decision, Over, PolicyDecision, Subject, TokenRefusal
from authz.core.place import Place
from authz.core.ports import Pseudonyms

Asked = AccessRequest | BadRequestError
"""One question of a batch, or why there is none."""

Answered = Decision | BadRequestError
"""The answer to one question of a batch. What cannot be read is no decision: it is an error of its own item."""


class Until(NamedTuple):
    """Where a batch stops: at its `times`-th allow or denial. What comes after is neither answered nor recorded.

    An error counts as a denial (AuthZEN 1.0 section 7.1.2.1).
    """

    allow: bool
    times: int = 1


class Batch(NamedTuple):
    """The answers in the order of the questions. Each decision's id, and its record's, is `<id>.<position>`."""

    id: str
    answers: list[Answered]


class Question(NamedTuple):
    """A question that was read: who asks, where it points, and `ruling` if the host itself has refused it.

    `document`: the subject as the policy sees it; `pseudonyms`: of this one record.
    """

    position: int
    request: AccessRequest
    subject: Subject
    refusal: TokenRefusal | None
    place: Place
    ruling: PolicyDecision | None
    document: msgspec.Raw
    pseudonyms: Pseudonyms
    over: Over | None = None


Identify = Callable[[AccessRequest], Awaitable[tuple[Subject, TokenRefusal | None]]]


class Common:
    """What questions of one batch share. Only the very same object is shared."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify
        self._subjects: dict[tuple[int, int, int], tuple[Subject, TokenRefusal | None]] = {}
        self._documents: dict[int, msgspec.Raw] = {}

    def known(self, request: AccessRequest) -> tuple[Subject, TokenRefusal | None] | None:
        """Who is asked about, if another item has asked about the same."""
        return self._subjects.get((id(request.token), id(request.subject), id(request.caller)))

    async def identify(self, request: AccessRequest) -> tuple[Subject, TokenRefusal | None]:
        """Who is asked about. Raises BadRequestError."""
        key = (id(request.token), id(request.subject), id(request.caller))
        known = self._subjects.get(key)
        if known is None:
            known = self._subjects[key] = await self._identify(request)
        return known

    def document(self, subject: Subject) -> msgspec.Raw:
        """`input.subject`."""
        document = self._documents.get(id(subject))
        if document is None:
            document = self._documents[id(subject)] = subject_document(subject)
        return document


class Countdown:
    """Counts answers down to where the batch stops."""

    def __init__(self, until: Until | None) -> None:
        self._allow = None if until is None else until.allow
        self._left = 0 if until is None else until.times

    def ends_with(self, answer: Answered) -> bool:
        """Whether this answer is the last one."""
        if self._allow is None:
            return False
        self._left -= (isinstance(answer, Decision) and answer.allow) is self._allow
        return self._left == 0
