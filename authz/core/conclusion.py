"""From a policy's ruling to the decision: what no policy may overrule, and what follows from who asks and where."""

from collections.abc import Iterable, Sequence

import msgspec

from authz.core.batch import Answered, Question
from authz.core.errors import BadRequestError
from authz.core.model import AccessRequest, Decision, Over, PolicyDecision, Subject, TokenRefusal
from authz.core.place import Place
from authz.core.ports import Policy, Pseudonyms
from authz.core.reasons import Kind, kind_of

LATE = PolicyDecision(allow=False, reason="overloaded", scopes=())
"""For whoever does not wait any longer: no allow is recorded that nobody hears of."""


def unrecorded(decision: Decision, reason: str) -> Decision:
    """The same without an answer: what could not be recorded does not leave the house."""
    return msgspec.structs.replace(
        decision, allow=False, reason=reason, scopes=(), missing=(), granted_by={}, headers={}
    )


def concluded_all(
    batch: str, questions: Sequence[Question | BadRequestError], rulings: Iterable[PolicyDecision], policy: Policy
) -> list[Answered]:
    """The answer to each; `rulings` are the policy's, of those that the host has not ruled out."""
    remaining = iter(rulings)
    return [
        each
        if isinstance(each, BadRequestError)
        else decision_of(
            f"{batch}.{each.position}",
            next(remaining) if each.ruling is None else each.ruling,
            policy,
            each.subject,
            each.refusal,
            each.place,
            each.over,
        )
        for each in questions
    ]


def decided_of(
    questions: Sequence[Question | BadRequestError], answers: Sequence[Answered]
) -> list[tuple[Question, Decision]]:
    """What came to a decision, of what was answered at all."""
    return [
        (question, answer)
        for question, answer in zip(questions, answers, strict=False)
        if isinstance(question, Question) and isinstance(answer, Decision)
    ]


def decision_of(
    decision_id: str,
    ruling: PolicyDecision,
    policy: Policy,
    subject: Subject,
    refusal: TokenRefusal | None,
    place: Place,
    over: Over | None = None,
) -> Decision:
    """Conclusion and decision in one. `over`: why it was turned away at the door."""
    allow, reason = _concluded(ruling, refusal, place)
    return Decision(
        id=decision_id,
        allow=allow,
        reason=reason,
        revision=policy.revision,
        subject=subject,
        scopes=ruling.scopes,
        missing=() if allow else ruling.missing,
        granted_by=ruling.granted_by if allow else {},
        headers=ruling.headers if allow else {},
        route=place.route.path if place.route is not None else None,
        limits=ruling.limits if allow else (),
        over=over,
    )


def limited(decision: Decision, over: Over) -> Decision:
    """The same without a yes: the policy allows it, but not so often."""
    return msgspec.structs.replace(decision, allow=False, reason=over.reason, granted_by={}, headers={}, over=over)


def turned_away(over: Over) -> PolicyDecision:
    """What is said at the door, before anyone is asked who they are."""
    return PolicyDecision(allow=False, reason=over.reason, scopes=())


def under(pseudonyms: Pseudonyms, subject: Subject) -> Subject:
    """The subject with its pseudonym of this record."""
    return msgspec.structs.replace(subject, pseudonym=pseudonyms.pseudonym(subject.id)) if subject.id else subject


def ruled_out(request: AccessRequest, subject: Subject, place: Place) -> PolicyDecision | None:
    """What no policy may overrule."""
    if place.ambiguous:
        return PolicyDecision(allow=False, reason="ambiguous_path", scopes=())
    stated = request.subject
    if subject.source == "token" and stated is not None and stated.id and stated.id != subject.id:
        return PolicyDecision(allow=False, reason="subject_mismatch", scopes=())
    return None


def _concluded(ruling: PolicyDecision, refusal: TokenRefusal | None, place: Place) -> tuple[bool, str]:
    """Allow or not, and the reason, once it is known who asks and where."""
    if refusal is not None:
        if ruling.reason == "public_route":
            return ruling.allow, ruling.reason
        if place.ambiguous or kind_of(ruling.reason) is Kind.UNDECIDED:
            return False, ruling.reason
        return False, refusal.reason
    if ruling.reason == "unmatched_route" and place.other_methods:
        return False, "method_not_allowed"
    return ruling.allow, ruling.reason
