"""AuthZEN 1.0 JSON <-> model, for many evaluations in one request (section 7)."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Raw, Struct

from authz.core.authzen import (
    ALLOWED,
    DENIED,
    Evaluation,
    decoded,
    explanation,
    read_action,
    read_entity,
    read_evaluation,
    read_object,
)
from authz.core.batch import Answered, Until
from authz.core.contract import nesting_within
from authz.core.errors import BadRequestError, TooLargeError
from authz.core.model import Action, Decision, Entity
from authz.core.reasons import REFUSALS, Kind, client_text

SEMANTICS: Final[dict[str, Until | None]] = {
    "execute_all": None,
    "deny_on_first_deny": Until(allow=False),
    "permit_on_first_permit": Until(allow=True),
}
"""`options.evaluations_semantic` (section 7.1.2.1) -> where the batch stops."""

_Value = TypeVar("_Value")
_ABSENT = Raw(b"null")


class _Item(Struct):
    subject: Raw = _ABSENT
    action: Raw = _ABSENT
    resource: Raw = _ABSENT
    context: Raw = _ABSENT


class _Options(Struct):
    evaluations_semantic: str | None = None


class _Evaluations(Struct):
    subject: Raw = _ABSENT
    action: Raw = _ABSENT
    resource: Raw = _ABSENT
    context: Raw = _ABSENT
    evaluations: list[_Item] | None = None
    options: _Options | None = None


class _TypedItem(Struct):
    subject: Entity | None = None
    action: Action | None = None
    resource: Entity | None = None
    context: dict[str, Any] | None = None


class _Typed(Struct):
    evaluations: list[_TypedItem]
    subject: Entity | None = None
    action: Action | None = None
    resource: Entity | None = None
    context: dict[str, Any] | None = None
    options: _Options | None = None


class Evaluations(NamedTuple):
    """A batch as it was sent: each evaluation with its defaults, or why there is none."""

    items: list[Evaluation | BadRequestError]
    until: Until | None


_decode = msgspec.json.Decoder(_Evaluations).decode
_decode_typed = msgspec.json.Decoder(_Typed).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode


def read_evaluations(body: bytes, most_items: int) -> Evaluation | Evaluations:
    """Read the body of an Evaluations request; without `evaluations`, or with none, it is a single Evaluation.

    What an element has replaces the default whole, what it lacks (or has as null) is the default (section 7.1.1). An
    element that is incomplete or wrongly typed after that is an error of its own; a request that is no batch at all
    is refused. Raises BadRequestError, naming the field, or TooLargeError.
    """
    return _without_fault(body, most_items) or _one_by_one(body, most_items)


def _without_fault(body: bytes, most_items: int) -> Evaluations | None:
    """What nearly every batch is: nothing in it is wrong. Read in one go; None when anything is not as simple."""
    try:
        sent = _decode_typed(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not 0 < len(sent.evaluations) <= most_items:
        return None
    shared: dict[str, Any] = sent.context or {}
    if not _shallow(sent.subject, sent.action, sent.resource, shared):
        return None
    items: list[Evaluation | BadRequestError] = []
    for item in sent.evaluations:
        subject, action, resource = (
            item.subject or sent.subject,
            item.action or sent.action,
            item.resource or sent.resource,
        )
        if subject is None or action is None or resource is None:
            return None
        if not _shallow(item.subject, item.action, item.resource, item.context):
            return None
        items.append(Evaluation(subject, action, resource, shared if item.context is None else item.context))
    return Evaluations(items, _until(sent.options))


def _shallow(
    subject: Entity | None, action: Action | None, resource: Entity | None, context: dict[str, Any] | None
) -> bool:
    """Whether nothing free-form in these is nested too deep."""
    return (
        (subject is None or not subject.properties or nesting_within(subject.properties))
        and (action is None or not action.properties or nesting_within(action.properties))
        and (resource is None or not resource.properties or nesting_within(resource.properties))
        and (not context or nesting_within(context))
    )


def _one_by_one(body: bytes, most_items: int) -> Evaluation | Evaluations:
    """Each element on its own, so that what is wrong with it stays with it."""
    sent = decoded(_decode, body)
    until = _until(sent.options)
    if not sent.evaluations:
        return read_evaluation(body)
    if len(sent.evaluations) > most_items:
        raise TooLargeError(f"evaluations: {len(sent.evaluations)} are more than limits.batch_items ({most_items})")
    subject = _Default("subject", sent.subject, read_entity)
    action = _Default("action", sent.action, read_action)
    resource = _Default("resource", sent.resource, read_entity)
    context: _Default[dict[str, Any]] = _Default("context", sent.context, read_object, absent={})

    def completed(item: _Item) -> Evaluation | BadRequestError:
        try:
            return Evaluation(
                subject=subject.unless(item.subject),
                action=action.unless(item.action),
                resource=resource.unless(item.resource),
                context=context.unless(item.context),
            )
        except BadRequestError as error:
            return error

    return Evaluations([completed(item) for item in sent.evaluations], until)


class _Default(Generic[_Value]):
    """One top-level member: read once, and judged only where an element falls back on it.

    Raises BadRequestError when it is no object at all.
    """

    def __init__(
        self, name: str, given: Raw, read: Callable[[bytes, str], _Value], absent: _Value | None = None
    ) -> None:
        self._name, self._read = name, read
        self._value = absent
        self._error = BadRequestError(f"{name}: required, and there is no default")
        if given == _ABSENT:
            return
        text = bytes(given)
        decoded(_decode_members, text, name)
        try:
            self._value = read(text, name)
        except BadRequestError as error:
            self._value, self._error = None, error

    def unless(self, given: Raw) -> _Value:
        """What an element has, else the default. Raises BadRequestError."""
        if given != _ABSENT:
            return self._read(bytes(given), self._name)
        if self._value is None:
            raise self._error
        return self._value


def _until(options: _Options | None) -> Until | None:
    semantic = options.evaluations_semantic if options is not None else None
    if semantic is None:
        return None
    if semantic not in SEMANTICS:
        raise BadRequestError(f"options.evaluations_semantic: must be one of {', '.join(SEMANTICS)}")
    return SEMANTICS[semantic]


def write_evaluations(
    answers: list[Answered], *, explain: bool = False, why: Sequence[tuple[str, ...]] | None = None
) -> bytes:
    """The body of an Evaluations response: bare decisions, errors in their items (section 7.2.1).

    `why`: of each, the explanation in sentences.
    """
    said = why if why is not None else [()] * len(answers)
    written = [write_item(each, why, explain=explain) for each, why in zip(answers, said, strict=True)]
    return b'{"evaluations":[%b]}' % b",".join(written)


def write_item(answer: Answered, why: tuple[str, ...] = (), *, explain: bool = False) -> bytes:
    """One answer where it is an item among others: an error is a denial that says why (section 7.2.1)."""
    if not isinstance(answer, Decision):
        return write_error(REFUSALS[answer.code], answer.code, str(answer))
    kind = answer.kind
    if kind is Kind.UNDECIDED:
        return write_error(kind.value, answer.reason, client_text(answer.reason))
    allow = answer.allow and kind is Kind.ALLOW
    if not explain:
        return ALLOWED if allow else DENIED
    return msgspec.json.encode({"decision": allow, "context": explanation(answer, why)})


def write_error(status: int, code: str, message: str) -> bytes:
    """The item in place of an answer."""
    return msgspec.json.encode(
        {"decision": False, "context": {"error": {"status": status, "code": code, "message": message}}}
    )
