"""What callers report: strictly read, and written down as privately as a decision.

A caller states what happened and never what we decided: it cannot name a field of ours, and nothing it says is
verified. Each record says so by `source`, the caller's name.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from authz.core.account import free_form
from authz.core.contract import MAX_NESTING, nesting_within
from authz.core.events import EVENT_TYPES
from authz.core.model import ANONYMOUS, AccessRequest, Action, Caller, Entity
from authz.core.place import Place, locate
from authz.core.ports import Identified, Policy, Pseudonyms
from authz.core.privacy import KEPT, Fields, hashed_params, shortened, treated_params, treated_path

MOST_REPORTED: Final = 256
"""Events in one call."""

MOST_REPORTED_BYTES: Final = 16_384
"""One event, as it was sent."""

OUTCOMES_REPORTED: Final = ("api.request", "api.error")
"""Types that tell how a request ended: they feed the metrics `authz_reported_*`."""

REFUSED_EVENTS: Final[dict[str, str]] = {
    "unknown_type": "There is no such type.",
    "not_reportable": "The type is one that this service alone asserts.",
    "field_missing": "A field that the type requires is not there.",
    "field_unknown": "A field that an event does not have, or that is not the caller's to set.",
    "field_invalid": "A field has the wrong form, or the event is no JSON object.",
    "event_too_large": f"The event is longer than {MOST_REPORTED_BYTES} bytes.",
}
"""Why one event of a call is refused: code -> meaning."""

_RFC_3339 = r"^\Z|^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z"
_FORMS: Final = {
    "id": "1 to 128 visible ASCII characters",
    "time": "RFC 3339, such as 2026-11-23T08:00:00Z",
    "decision_id": "the X-Decision-Id of an answer",
    "trace_id": "32 lower-case hex digits",
}
_Text = Annotated[str, Meta(max_length=1024)]
_Name = Annotated[str, Meta(max_length=64)]


class Refused(Struct, frozen=True):
    """Why one event is not recorded: a code of REFUSED_EVENTS, the field, and what to do."""

    code: str
    field: str
    message: str


class Resource(Struct, frozen=True, forbid_unknown_fields=True):
    """What was acted on, by type and ID; the ID is recorded as a pseudonym."""

    type: Annotated[str, Meta(min_length=1, max_length=64)]
    id: Annotated[str, Meta(min_length=1, max_length=1024)]


class Reported(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event as a caller sends it.

    `id`: the caller's own, the same whenever it sends the event again. `time`: when it happened, by the caller's
    clock. `subject` and `session_id` are clear, and recorded as pseudonyms. `route`: a template of the policy, or the
    raw request target. `decision_id`: of the decision that let the request pass. An empty text counts as absent:
    gateways log one where there is nothing.
    """

    id: Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,128}\Z")]
    type: str
    time: Annotated[str, Meta(pattern=_RFC_3339)] | None = None
    subject: _Text | None = None
    subject_type: _Name | None = None
    route: Annotated[str, Meta(max_length=8192)] | None = None
    host: Annotated[str, Meta(max_length=256)] | None = None
    method: _Name | None = None
    status: Annotated[int, Meta(ge=100, le=599)] | None = None
    duration_seconds: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    decision_id: Annotated[str, Meta(pattern=r"^\Z|^[0-9a-f-]{36}(\.[0-9]{1,6})?\Z")] | None = None
    resource: Resource | None = None
    ip: _Text | None = None
    user_agent: Annotated[str, Meta(max_length=8192)] | None = None
    session_id: _Text | None = None
    request_id: _Text | None = None
    trace_id: Annotated[str, Meta(pattern=r"^\Z|^[0-9a-f]{32}\Z")] | None = None
    context: dict[str, Any] | None = None


class _Head(Struct):
    id: Any = None
    type: Any = None


_decode_head = msgspec.json.Decoder(_Head).decode
_decode = msgspec.json.Decoder(Reported).decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read_reported(sent: bytes) -> Reported | Refused:
    """One event of a call, or why it is refused. Never raises for what was sent."""
    if len(sent) > MOST_REPORTED_BYTES:
        return Refused("event_too_large", "", f"The event is {len(sent)} bytes; send at most {MOST_REPORTED_BYTES}")
    try:
        return _wrong_type(_decode_head(sent).type) or _judged(_decode(sent))
    except msgspec.ValidationError as error:
        return _worded(str(error))
    except _UNREADABLE as error:
        return Refused("field_invalid", "", f"The event cannot be read: {error}")


def reported_head(sent: bytes) -> tuple[str | None, str | None]:
    """The caller's ID and the type of an event that was refused, as far as they can be told."""
    try:
        head = _decode_head(sent)
    except _UNREADABLE:
        return None, None
    stated = head.id[:128] if isinstance(head.id, str) else None
    return stated, head.type if isinstance(head.type, str) else None


def account_of_reported(
    event: Reported,
    caller: Caller,
    policy: Policy,
    place: Place,
    pseudonyms: Pseudonyms,
    fields: Fields = KEPT,
) -> dict[str, Any]:
    """The body of an event's record: the same treatment as a decision's account."""
    body: dict[str, Any] = {"source": caller.name}
    if "caller" in EVENT_TYPES[event.type].required:
        body["caller"] = caller.name
    route = place.route
    told: Mapping[str, Any] = {
        "occurred_at": event.time,
        "subject": pseudonyms.pseudonym(event.subject) if event.subject else None,
        "subject_type": event.subject_type,
        "method": event.method,
        "status": event.status,
        "duration_seconds": event.duration_seconds,
        "decision_id": event.decision_id,
        "params": treated_params(route, place.params, pseudonyms, fields) if route and place.params else None,
        "path": treated_path(event.route, policy.routes.literals, pseudonyms) if event.route and not route else None,
        "host": place.host,
        "resource": event.resource and {"type": event.resource.type, "id": pseudonyms.pseudonym(event.resource.id)},
        "ip": fields.ip(event.ip),
        "user_agent": fields.user_agent(event.user_agent),
        "session_id": pseudonyms.pseudonym(event.session_id) if event.session_id and fields.session_id else None,
        "request_id": shortened(event.request_id),
        "trace_id": event.trace_id,
        "context": free_form(event.context, pseudonyms) if event.context else None,
    }
    if event.route:
        body["route"] = route.path if route else None
    body.update((name, value) for name, value in told.items() if value not in (None, ""))
    return body


def place_of_reported(event: Reported, caller: Caller, policy: Policy) -> Place:
    """Where the request went: by template if the route is one of the policy's, else as for a decision."""
    if not event.route:
        return Place()
    method, target = event.method or "", event.route
    declared = policy.routes.by_template(method, target)
    if declared is not None:
        return Place(None, declared)
    resource = Entity("route", target)
    asked = AccessRequest(
        caller=caller, dialect="report", action=Action(method), resource=resource, host=event.host or None
    )
    return locate(asked, ANONYMOUS, policy.routes)


def identified_by_reported(event: Reported, place: Place) -> Identified:
    """The values of an event that its record names somebody or something by."""
    others = hashed_params(place)
    return Identified(
        event.subject or None, event.session_id or None, (*others, event.resource.id) if event.resource else others
    )


def _wrong_type(stated: object) -> Refused | None:
    if not isinstance(stated, str):
        return Refused("field_missing", "type", "type: must be one of the reportable event types")
    row = EVENT_TYPES.get(stated)
    if row is None:
        return Refused("unknown_type", "type", "type: there is no such event type; see docs/events.md")
    if not row.reportable:
        return Refused("not_reportable", "type", f"type: {stated} is asserted by this service alone")
    return None


def _judged(event: Reported) -> Reported | Refused:
    """What holds beyond the form of each field."""
    for name in EVENT_TYPES[event.type].required:
        if name != "caller" and getattr(event, name) in (None, ""):
            return Refused("field_missing", name, f"{name}: {event.type} requires it")
    if event.context is not None and not nesting_within(event.context):
        return Refused("field_invalid", "context", f"context: is nested more than {MAX_NESTING} deep")
    return event


def _worded(message: str) -> Refused:
    """msgspec's message, with the field named as callers write it."""
    what, _, where = message.partition(" - at `$")
    field = where.rstrip("`").lstrip(".")
    named = ".".join(filter(None, (field, what.partition("`")[2].rstrip("`")[:64])))
    if what.startswith("Object contains unknown field"):
        return Refused("field_unknown", named, f"{named}: is no field of a reported event; leave it out")
    if what.startswith("Object missing required field"):
        return Refused("field_missing", named, f"{named}: has to be there")
    if "regex" in what and field in _FORMS:
        what = f"must be {_FORMS[field]}"
    return Refused("field_invalid", field, f"{field or 'The event'}: {what}")
