"""AuthZEN 1.0 JSON <-> model: entities and the single evaluation (sections 5 and 6)."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from authz.core.contract import MAX_NESTING, nesting_within
from authz.core.errors import BadRequestError
from authz.core.model import Action, Decision, Entity
from authz.core.reasons import Kind

EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
AUTHZEN_PATHS = (EVALUATION, EVALUATIONS)
"""The default paths of section 10.1."""

METADATA = "/.well-known/authzen-configuration"
"""Where the metadata document is, for an identifier without a path (section 9.2.1)."""


class _Entity(Struct):
    type: str
    id: str
    properties: dict[str, Any] | None = None


class _Action(Struct):
    name: str
    properties: dict[str, Any] | None = None


class _Evaluation(Struct):
    subject: _Entity
    action: _Action
    resource: _Entity
    context: dict[str, Any] | None = None


class Evaluation(Struct, frozen=True):
    """One evaluation request as it was sent: nothing in it is believed yet."""

    subject: Entity
    action: Action
    resource: Entity
    context: dict[str, Any]


_decode = msgspec.json.Decoder(_Evaluation).decode
_decode_entity = msgspec.json.Decoder(_Entity).decode
_decode_action = msgspec.json.Decoder(_Action).decode
_decode_object = msgspec.json.Decoder(dict[str, Any] | None).decode

_Read = TypeVar("_Read")


def read_evaluation(body: bytes) -> Evaluation:
    """Read the body of an Evaluation request. Unknown members are ignored (section 10.1.1); null means absent.

    Raises BadRequestError, naming the field.
    """
    sent = decoded(_decode, body)
    return Evaluation(
        subject=Entity(sent.subject.type, sent.subject.id, bounded(sent.subject.properties, "subject.properties")),
        action=Action(sent.action.name, bounded(sent.action.properties, "action.properties")),
        resource=Entity(sent.resource.type, sent.resource.id, bounded(sent.resource.properties, "resource.properties")),
        context=bounded(sent.context, "context"),
    )


def read_entity(text: bytes, name: str) -> Entity:
    """A subject or resource; `name` says which. Raises BadRequestError, naming the field."""
    sent = decoded(_decode_entity, text, name)
    return Entity(sent.type, sent.id, bounded(sent.properties, f"{name}.properties"))


def read_action(text: bytes, name: str = "action") -> Action:
    """An action. Raises BadRequestError, naming the field."""
    sent = decoded(_decode_action, text, name)
    return Action(sent.name, bounded(sent.properties, f"{name}.properties"))


def read_object(text: bytes, name: str) -> dict[str, Any]:
    """A free-form object, or null. Raises BadRequestError, naming the field."""
    return bounded(decoded(_decode_object, text, name), name)


def decoded(decode: Callable[[bytes], _Read], text: bytes, name: str = "") -> _Read:
    """A JSON text in its type; `name`: the field it is the value of. Raises BadRequestError, naming the field."""
    try:
        return decode(text)
    except msgspec.ValidationError as error:
        raise BadRequestError(_worded(str(error), name)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"{name or 'The body'} is not valid JSON: {error}") from None
    except RecursionError:
        raise BadRequestError(f"{name or 'The body'} is nested more than {MAX_NESTING} deep") from None


def bounded(value: dict[str, Any] | None, name: str) -> dict[str, Any]:
    """A free-form object that is not nested too deep; an absent one is empty. Raises BadRequestError."""
    if not value:
        return {}
    if not nesting_within(value):
        raise BadRequestError(f"{name} is nested more than {MAX_NESTING} deep")
    return value


ALLOWED = b'{"decision":true}'
DENIED = b'{"decision":false}'


def write_decision(decision: Decision, *, explain: bool = False, why: tuple[str, ...] = ()) -> bytes:
    """The body of an Evaluation response: bare, or with the explanation a permitted caller asked for.

    True only when the reason allows as well. `why`: the explanation in sentences.
    """
    allow = decision.allow and decision.kind is Kind.ALLOW
    if not explain:
        return ALLOWED if allow else DENIED
    return msgspec.json.encode({"decision": allow, "context": explanation(decision, why)})


def explanation(decision: Decision, why: tuple[str, ...] = ()) -> dict[str, Any]:
    """Why, for a caller that may know."""
    return {
        "id": decision.id,
        "reason": decision.reason,
        "scopes": decision.scopes,
        "missing": decision.missing,
        "granted_by": decision.granted_by,
        "revision": decision.revision,
        **({"why": why} if why else {}),
    }


def _worded(message: str, name: str) -> str:
    """msgspec's message with the path written as callers write it: `subject.type`, not `$.subject.type`."""
    what, _, where = message.partition(" - at `$")
    field = f"{name}{where.rstrip('`')}".lstrip(".")
    return f"{field}: {what}" if field else what
