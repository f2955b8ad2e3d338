"""From a decision, just made or long recorded, to the sentences that say why."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET

from authz.core.contract import CatalogueRoute, ResourceDocument, check_document, subject_document
from authz.core.model import AccessRequest, Action, Decision, Explanation, Limit, PolicyDecision, Subject
from authz.core.paths import normalise_host, split_path
from authz.core.pipeline import DecisionPoint
from authz.core.ports import Policy
from authz.core.reasons import REASONS
from authz.core.routes import RouteTable
from authz.core.why import Outcome, why

_NOWHERE: Final = frozenset({"unmatched_route", "method_not_allowed"})
_SOMEBODY_ELSE: Final = "somebody else"
_PARTIAL: Final = (
    "The record does not hold all that was decided on (claims of the token, and what `audit` leaves out), so that "
    "its policy cannot be asked for more than the record says."
)


async def explained(decisions: DecisionPoint, request: AccessRequest, decision: Decision) -> tuple[str, ...]:
    """Why a question that was just decided came out so."""
    policy = decisions.policies.active
    told: Explanation | None = None
    if policy.revision == decision.revision and _of_policy(decision.reason):
        told = await policy.explain(await decisions.input_of(request, policy))
    outcome = Outcome(
        allow=decision.allow,
        reason=decision.reason,
        asked=_asked(request.action.name, request.resource.type, decision.route or request.resource.id),
        scopes=decision.scopes,
        missing=decision.missing,
        granted_by=decision.granted_by,
        roles=decision.subject.roles,
        token_scopes=decision.subject.scopes,
        others=_others(policy.routes, decision, request),
        limit=decision.over.limit if decision.over else None,
        retry_after_seconds=decision.over.retry_after_seconds if decision.over else None,
    )
    return why(outcome, told)


async def explained_record(event: Mapping[str, Any], policy: Policy | None, at: float) -> tuple[str, ...]:
    """Why a decision that was recorded `at` this time (seconds) came out so.

    `policy`: of the record's revision, None where it is no longer there.
    """
    told: Explanation | None = None
    partial: tuple[str, ...] = ()
    if policy is None:
        partial = (f"The bundle of revision {event.get('revision')} is not kept here: only the record speaks.",)
    elif _of_policy(event["reason"]):
        check = recorded_input(event, policy, at)
        again = await policy.evaluate(check)
        if event["reason"] == "rate_limited" or (again.allow, again.reason) == (_allowed(event), event["reason"]):
            told = await policy.explain(check)
        else:
            partial = (_PARTIAL,)
    resource = event.get("resource") or {}
    place = event.get("route") or event.get("path") or resource.get("id", "")
    outcome = Outcome(
        allow=_allowed(event),
        reason=event["reason"],
        asked=_asked(event.get("action", ""), resource.get("type", "route"), place),
        scopes=tuple(event.get("scopes", ())),
        missing=tuple(event.get("missing", ())),
        granted_by={scope: tuple(roles) for scope, roles in event.get("granted_by", {}).items()},
        roles=tuple(event.get("roles", ())),
        token_scopes=_names(event.get("token_scopes")),
        others=_methods(policy.routes, event.get("path"), event.get("host")) if policy is not None else (),
        limit=msgspec.convert(event["limit"], Limit) if event.get("limit") else None,
        retry_after_seconds=event.get("retry_after_seconds"),
    )
    return (*why(outcome, told), *partial)


async def explained_input(document: Mapping[str, Any], policy: Policy) -> tuple[PolicyDecision, tuple[str, ...]]:
    """What a policy decides of an input document as it stands, whatever is in it, and why."""
    check = msgspec.json.encode(document)
    decision = await policy.evaluate(check)
    told = await policy.explain(check) if _of_policy(decision.reason) else None
    subject, action, resource = (_object(document.get(name)) for name in ("subject", "action", "resource"))
    kind, place = str(resource.get("type", "")), str(resource.get("route") or resource.get("id") or "")
    off = kind == "route" and "route" not in resource
    outcome = Outcome(
        allow=decision.allow,
        reason=decision.reason,
        asked=_asked(str(action.get("name", "")), kind, place),
        scopes=decision.scopes,
        missing=decision.missing,
        granted_by=decision.granted_by,
        roles=_texts(subject.get("roles")) or (),
        token_scopes=_texts(subject.get("scopes")),
        others=_methods(policy.routes, place, resource.get("host")) if off else (),
    )
    return decision, why(outcome, told)


def recorded_input(event: Mapping[str, Any], policy: Policy, at: float) -> bytes:
    """The input document of a decision that was recorded `at` this time (seconds), as far as the record has it.

    IDs are pseudonyms, equal where they were equal. A parameter that is not kept as one is the subject's own unless
    it was refused as somebody else's: what was decided is true, and the rest of the explanation has to fit it.
    """
    subject = Subject(
        type=event.get("subject_type", "anonymous"),
        id=event.get("subject") or "",
        source="anonymous",
        pseudonym=None,
        roles=tuple(event.get("roles", ())),
        scopes=_names(event.get("token_scopes")),
        scope_mode=event.get("scope_mode", "restrict"),
        issuer=event.get("issuer"),
    )
    resource = event.get("resource") or {}
    route = event.get("route")
    document = ResourceDocument(
        type=resource.get("type", "route"),
        id=resource.get("id") or route or event.get("path") or "",
        host=UNSET if event.get("host") is None else event["host"],
        route=UNSET if route is None else route,
        params=UNSET if route is None else _params(event, policy),
        properties=resource.get("properties", {}),
    )
    context = {**event.get("context", {}), "now": at}
    if event.get("ip") is not None:
        context["ip"] = event["ip"]
    return check_document(subject_document(subject), Action(event.get("action", "")), document, context)


def _params(event: Mapping[str, Any], policy: Policy) -> dict[str, str]:
    rows = [row for row in policy.catalogue.routes if row.path == event["route"] and row.method == event.get("action")]
    recorded: dict[str, str] = event.get("params", {})
    stand_in = _SOMEBODY_ELSE if event["reason"] == "not_owner" else event.get("subject") or ""
    names = {*recorded, *(name for row in rows for name in row.params)}
    return {name: recorded[name] if _is_hashed(rows, name, recorded) else stand_in for name in names}


def _is_hashed(rows: list[CatalogueRoute], name: str, recorded: Mapping[str, str]) -> bool:
    return name in recorded and all(row.params[name].record == "hash" for row in rows if name in row.params)


def _of_policy(reason: str) -> bool:
    """Whether the policy can say more: its own reasons, and a limit on what it allowed."""
    row = REASONS.get(reason)
    return (row is None or row.by_policy or reason == "rate_limited") and reason not in _NOWHERE


def _asked(action: str, kind: str, place: str) -> str:
    return f"{action} {place}" if kind == "route" else f"{action} of the {kind} {place}"


def _others(routes: RouteTable, decision: Decision, request: AccessRequest) -> tuple[str, ...]:
    if decision.route is not None or request.resource.type != "route":
        return ()
    host = request.host if request.host is not None else request.resource.properties.get("host")
    return _methods(routes, request.resource.id, host)


def _methods(routes: RouteTable, path: str | None, host: Any) -> tuple[str, ...]:
    segments = split_path(path) if path else None
    if segments is None:
        return ()
    return tuple(sorted(routes.methods(segments, normalise_host(host) if isinstance(host, str) else None)))


def _allowed(event: Mapping[str, Any]) -> bool:
    return bool(event["decision"] == "allow")


def _object(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _texts(found: Any) -> tuple[str, ...] | None:
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else None


def _names(found: Any) -> tuple[str, ...] | None:
    return None if found is None else tuple(found)
