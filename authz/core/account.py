"""The account of a decision that goes into the ledger: everything to replay and explain it, nothing raw."""

from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from authz.core.events import DecisionBody, ShownClaims
from authz.core.model import AccessRequest, Decision, Subject, TokenRefusal
from authz.core.place import Place
from authz.core.ports import Policy, Pseudonyms
from authz.core.privacy import KEPT, Fields, shortened, treated_params, treated_path, treated_values
from authz.core.reasons import Kind

_MAX_FREE_FORM_BYTES = 8192
_MAX_TREATED_BYTES = 12_288
_SURE_TO_FIT_BYTES = 512
"""A digit and its comma become a pseudonym, 37 bytes: what is this short cannot grow beyond the other limits."""
_MAX_KIND_CHARACTERS = 64
_MAX_METHODS = 16

EVENT_TYPE_OF = {
    Kind.ALLOW: "auth.scope_granted",
    Kind.UNAUTHENTICATED: "security.failed_login",
    Kind.FORBIDDEN: "auth.scope_denied",
    Kind.LIMITED: "auth.rate_limited",
    Kind.UNDECIDED: "auth.error",
}


class Told(NamedTuple):
    """What a request tells beside its question, as it may be written down: the same for all items of a batch."""

    context: dict[str, Any]
    ip: str | None
    user_agent: str | None
    session_id: str | None
    request_id: str | None


def told_of(request: AccessRequest, subject: Subject, pseudonyms: Pseudonyms, fields: Fields = KEPT) -> Told:
    """What the request tells. A session id can be a credential, so it is written down as a pseudonym."""
    session = request.session_id or subject.session_id
    return Told(
        free_form(request.context, pseudonyms) if request.context else {},
        fields.ip(request.ip),
        fields.user_agent(request.user_agent),
        pseudonyms.pseudonym(session) if session and fields.session_id else None,
        shortened(request.request_id),
    )


class Own(Struct, frozen=True, omit_defaults=True):
    """What a question points at, as it may be written down: each item of a batch has its own."""

    params: dict[str, str] = {}
    path: str | None = None
    resource: dict[str, Any] | None = None


def own_of(request: AccessRequest, policy: Policy, place: Place, pseudonyms: Pseudonyms, fields: Fields = KEPT) -> Own:
    """Parameters of the route; where there is none, the path; where it is no route at all, the resource."""
    route = place.route
    if request.resource.type != "route":
        return Own(resource=_resource(request, policy, pseudonyms))
    if route is None:
        return Own(path=treated_path(request.resource.id, policy.routes.literals, pseudonyms))
    return Own(treated_params(route, place.params, pseudonyms, fields)) if place.params else _NOTHING


_NOTHING = Own()


def account_of(
    request: AccessRequest,
    decision: Decision,
    policy: Policy,
    place: Place,
    pseudonyms: Pseudonyms,
    refusal: TokenRefusal | None,
    fields: Fields = KEPT,
    told: Told | None = None,
    batch: str | None = None,
    own: Own | None = None,
) -> DecisionBody:
    """The body of the decision's record. `told` and `own`: what is known of it already."""
    subject, route = decision.subject, place.route
    if told is None:
        told = told_of(request, subject, pseudonyms, fields)
    if own is None:
        own = own_of(request, policy, place, pseudonyms, fields)
    return DecisionBody(
        decision=_outcome(decision),
        reason=decision.reason,
        operation=route.event if route else None,
        subject=subject.pseudonym,
        subject_type=subject.type[:_MAX_KIND_CHARACTERS],
        subject_source=subject.source,
        issuer=subject.issuer,
        roles=subject.roles,
        token_scopes=subject.scopes,
        scope_mode=None if subject.scopes is None else subject.scope_mode,
        claims=_claims(subject.properties) if subject.properties else None,
        scopes=decision.scopes,
        missing=decision.missing,
        granted_by=decision.granted_by,
        action=request.action.name[:_MAX_KIND_CHARACTERS],
        route=route.path if route else None,
        params=own.params,
        path=own.path,
        resource=own.resource,
        host=place.host,
        context=told.context,
        revision=policy.revision,
        engine=policy.engine,
        dialect=request.dialect,
        channel=request.channel,
        caller=request.caller.name,
        ip=told.ip,
        user_agent=told.user_agent,
        session_id=told.session_id,
        token_id=subject.token_id,
        request_id=told.request_id,
        trace_id=request.trace_id,
        batch=batch,
        limit=decision.over.limit if decision.over else None,
        retry_after_seconds=decision.over.retry_after_seconds if decision.over else None,
        enforced=not request.caller.observes,
        unverified=refusal.unverified if refusal else None,
    )


def _outcome(decision: Decision) -> Literal["allow", "deny", "error"]:
    if decision.allow:
        return "allow"
    return "error" if decision.kind is Kind.UNDECIDED else "deny"


def _claims(properties: dict[str, Any]) -> ShownClaims | None:
    """How somebody logged in, as far as the subject says so in a few short words."""
    stated = properties.get("claims")
    if not isinstance(stated, dict):
        return None
    acr, amr = stated.get("acr"), stated.get("amr")
    shown = ShownClaims(
        acr if _is_short(acr) else None,
        tuple(amr) if isinstance(amr, list) and len(amr) <= _MAX_METHODS and all(map(_is_short, amr)) else None,
    )
    return None if shown == _NOTHING_SHOWN else shown


_NOTHING_SHOWN = ShownClaims()


def _is_short(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_KIND_CHARACTERS


def _resource(request: AccessRequest, policy: Policy, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """A resource that is no route: a scope of the catalogue by name, anything else by pseudonym."""
    kind, name = request.resource.type, request.resource.id
    clear = kind == "scope" and name in policy.catalogue.scopes
    stated: dict[str, Any] = {
        "type": kind[:_MAX_KIND_CHARACTERS],
        "id": name if clear else pseudonyms.pseudonym(name),
    }
    if request.resource.properties:
        stated["properties"] = free_form(request.resource.properties, pseudonyms)
    return stated


def free_form(value: dict[str, Any], pseudonyms: Pseudonyms) -> dict[str, Any]:
    """Free-form JSON as it may be written down; of what is long, its length and a keyed digest."""
    encoded = msgspec.json.encode(value)
    if len(encoded) <= _MAX_FREE_FORM_BYTES:
        treated: dict[str, Any] = treated_values(value, pseudonyms)
        if len(encoded) <= _SURE_TO_FIT_BYTES or len(msgspec.json.encode(treated)) <= _MAX_TREATED_BYTES:
            return treated
    return {"omitted_bytes": len(encoded), "digest": pseudonyms.pseudonym(encoded.decode())}
