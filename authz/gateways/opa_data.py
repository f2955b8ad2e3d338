"""OPA's Data API: `POST /v1/data/authz/decision` and `/v1/data/authz/allow`, asked and answered as OPA does.

The input is the Rego contract's own, so that a client that asks an OPA about this policy asks us in the same words, and
gains tokens, the ledger and metrics. What it says of roles, scopes, route and parameters counts from trusted callers
only, as everywhere.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from authz.core import (
    MAX_NESTING,
    AccessRequest,
    Action,
    BadRequestError,
    BearerToken,
    Caller,
    Decision,
    Entity,
    Kind,
    client_text,
    nesting_within,
)
from authz.gateways.plugins import decoded
from authz.gateways.wire import Headers, Reply, provenance

DECISION: Final = "/v1/data/authz/decision"
ALLOW: Final = "/v1/data/authz/allow"
OPA_DATA: Final = (DECISION, ALLOW)

_CODES: Final = {400: "invalid_parameter", 401: "unauthorized", 403: "unauthorized", 404: "undefined_document"}
_Object = dict[str, Any]


class _Subject(Struct):
    type: str
    id: str
    roles: list[str] | None = None
    scopes: list[str] | None = None
    properties: _Object | None = None


class _Action(Struct):
    name: str
    properties: _Object | None = None


class _Resource(Struct):
    type: str
    id: str
    host: str | None = None
    route: str | None = None
    params: dict[str, str] | None = None
    properties: _Object | None = None


class _Input(Struct):
    subject: _Subject
    action: _Action
    resource: _Resource
    context: _Object | None = None


class _Body(Struct):
    input: _Input


_decode = msgspec.json.Decoder(_Body).decode


def read(body: bytes, headers: Headers, caller: Caller, token: BearerToken | None) -> AccessRequest:
    """The question in `input`. Raises BadRequestError, naming the field."""
    sent = decoded(_decode, body).input
    subject = _bounded(sent.subject.properties, "input.subject.properties")
    stated = subject.pop("token", None)
    if stated is not None:
        if not isinstance(stated, str):
            raise BadRequestError("input.subject.properties.token: must be a string")
        if token is not None and token.reveal() != stated:
            raise BadRequestError("input.subject.properties.token: differs from the one in Authorization; send one")
        token = BearerToken(stated)
    resource = _bounded(sent.resource.properties, "input.resource.properties")
    return AccessRequest(
        caller=caller,
        dialect="opa-data",
        subject=Entity(sent.subject.type, sent.subject.id, subject | _stated(sent.subject, "roles", "scopes")),
        action=Action(sent.action.name, _bounded(sent.action.properties, "input.action.properties")),
        resource=Entity(
            sent.resource.type, sent.resource.id, resource | _stated(sent.resource, "host", "route", "params")
        ),
        context=_bounded(sent.context, "input.context"),
        token=token,
        **provenance(headers),
    )


def write(decision: Decision, path: str, *, explain: bool) -> Reply:
    """`{"result": ..., "decision_id": ...}`; where we could not decide, OPA's own way of failing, as a 503.

    `granted_by` tells of roles: only callers that may ask for explanations get it.
    """
    headers = {"Content-Type": "application/json", "X-Decision-Id": decision.id}
    if decision.kind is Kind.UNDECIDED:
        body = failure(503, client_text(decision.reason), decision.reason, decision_id=decision.id)
        return Reply(503, headers, body)
    allow = decision.allow and decision.kind is Kind.ALLOW
    result: Any = allow
    if path == DECISION:
        result = {"allow": allow, "reason": decision.reason, "scopes": decision.scopes, "missing": decision.missing}
        if explain:
            result["granted_by"] = decision.granted_by
    return Reply(200, headers, msgspec.json.encode({"result": result, "decision_id": decision.id}))


def failure(status: int, message: str, reason: str, **members: str) -> bytes:
    """The body of an error as OPA writes it; `reason` is our own code beside OPA's."""
    code = _CODES.get(status, "internal_error" if status >= 500 else "invalid_parameter")
    return msgspec.json.encode({"code": code, "message": message, "reason": reason, **members})


def _stated(entity: Struct, *names: str) -> _Object:
    return {name: getattr(entity, name) for name in names if getattr(entity, name) is not None}


def _bounded(value: _Object | None, name: str) -> _Object:
    if value is not None and not nesting_within(value):
        raise BadRequestError(f"{name} is nested more than {MAX_NESTING} deep")
    return value or {}
