"""AuthZEN 1.0 JSON <-> model, for the single evaluation (sections 5 and 6)."""

from typing import Any

import msgspec
from msgspec import Struct

from authz.core.contract import MAX_NESTING, nesting_within
from authz.core.errors import BadRequestError
from authz.core.model import Action, Decision, Entity
from authz.core.reasons import Kind


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


def read_evaluation(body: bytes) -> Evaluation:
    """Read the body of an Evaluation request. Unknown members are ignored (section 10.1.1); null means absent.

    Raises BadRequestError, naming the field.
    """
    try:
        sent = _decode(body)
    except msgspec.ValidationError as error:
        raise BadRequestError(_worded(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"The body is not valid JSON: {error}") from None
    except RecursionError:
        raise BadRequestError(f"The body is nested more than {MAX_NESTING} deep") from None
    free_form = (sent.subject.properties, sent.action.properties, sent.resource.properties, sent.context)
    for name, value in zip(_FREE_FORM, free_form, strict=True):
        if value is not None and not nesting_within(value):
            raise BadRequestError(f"{name} is nested more than {MAX_NESTING} deep")
    return Evaluation(
        subject=Entity(sent.subject.type, sent.subject.id, sent.subject.properties or {}),
        action=Action(sent.action.name, sent.action.properties or {}),
        resource=Entity(sent.resource.type, sent.resource.id, sent.resource.properties or {}),
        context=sent.context or {},
    )


_FREE_FORM = ("subject.properties", "action.properties", "resource.properties", "context")

ALLOWED = b'{"decision":true}'
DENIED = b'{"decision":false}'


def write_decision(decision: Decision, *, explain: bool = False) -> bytes:
    """The body of an Evaluation response: bare, or with the explanation a permitted caller asked for.

    True only when the reason allows as well.
    """
    allow = decision.allow and decision.kind is Kind.ALLOW
    if not explain:
        return ALLOWED if allow else DENIED
    return msgspec.json.encode({"decision": allow, "context": explanation(decision)})


def explanation(decision: Decision) -> dict[str, Any]:
    """Why, for a caller that may know."""
    return {
        "id": decision.id,
        "reason": decision.reason,
        "scopes": decision.scopes,
        "missing": decision.missing,
        "granted_by": decision.granted_by,
        "revision": decision.revision,
    }


def _worded(message: str) -> str:
    """msgspec's message with the path written as callers write it: `subject.type`, not `$.subject.type`."""
    what, _, where = message.partition(" - at `$")
    field = where.rstrip("`").lstrip(".")
    return f"{field}: {what}" if field else what
