"""The Rego contract: input document out, result set in. Anything unexpected in an answer is not an allow.

Pure and independent of the engine: the embedded engine and an OPA server are both read through here.
"""

import re
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from authz.core.forms import PathForm
from authz.core.model import Action, Explanation, Limit, PolicyDecision, ScopeMode, Subject
from authz.core.reasons import POLICY_ALLOWS, POLICY_DENIES, REASONS
from authz.core.routes import Parameter, Route

MAX_NESTING = 32
"""Deepest JSON nesting of what a caller adds; deeper input exhausts the Wasm guest's stack."""


MAX_ANSWER_BYTES = 10_240
"""Longest answer to one check: with all else that a record may hold it has to fit into one."""


class CatalogueRoute(Struct, frozen=True, forbid_unknown_fields=True):
    """One route in the catalogue document."""

    method: str
    path: str
    host: str | None = None
    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    public: bool = False
    event: str | None = None
    params: dict[str, Parameter] = {}
    accepts: tuple[PathForm, ...] = ()


class Catalogue(Struct, frozen=True):
    """What the active policy knows: the only source of metric label values and of the route table."""

    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    routes: tuple[CatalogueRoute, ...] = ()
    events: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def route_table(self) -> tuple[Route, ...]:
        """The routes as the route table takes them."""
        return tuple(Route(**{name: getattr(row, name) for name in row.__struct_fields__}) for row in self.routes)


class Candidate(Struct, frozen=True):
    """A subject or resource that a search may find; `name` in place of both for an action."""

    type: str = ""
    id: str = ""
    name: str = ""


class Candidates(Struct, frozen=True):
    """What searches choose from. A key that is not there: the policy offers no search of that kind."""

    subjects: tuple[Candidate, ...] | None = None
    resources: tuple[Candidate, ...] | None = None
    actions: tuple[Candidate, ...] | None = None


class ContractBreach(Exception):  # noqa: N818 - read as data at once, never shown to a caller as an error
    """The policy's answer is outside the contract. The text says where; it holds no input."""


class _SubjectDocument(Struct, omit_defaults=True):
    type: str
    id: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...] | UnsetType = UNSET
    issuer: str | UnsetType = UNSET
    properties: dict[str, Any] = {}


class ResourceDocument(Struct, omit_defaults=True):
    """The resource as the policy sees it: `route` and `params` are derived, never taken from a request."""

    type: str
    id: str
    host: str | UnsetType = UNSET
    route: str | UnsetType = UNSET
    params: dict[str, str] | UnsetType = UNSET
    properties: dict[str, Any] = {}


class _CheckDocument(Struct):
    subject: msgspec.Raw
    action: Action
    resource: ResourceDocument
    context: dict[str, Any]


_encode = msgspec.json.Encoder().encode


def subject_document(subject: Subject) -> msgspec.Raw:
    """`input.subject`, encoded. The same for every question about one verified token, so it can be kept with it."""
    properties = dict(subject.properties)
    properties["scope_mode"] = subject.scope_mode
    return msgspec.Raw(
        _encode(
            _SubjectDocument(
                type=subject.type,
                id=subject.id,
                roles=subject.roles,
                scopes=UNSET if subject.scopes is None else subject.scopes,
                issuer=UNSET if subject.issuer is None else subject.issuer,
                properties=properties,
            )
        )
    )


def check_document(subject: msgspec.Raw, action: Action, resource: ResourceDocument, context: dict[str, Any]) -> bytes:
    """The whole `input` document of one check, as JSON."""
    return _encode(_CheckDocument(subject, action, resource, context))


def batch_document(checks: "list[bytes]") -> bytes:
    """The `input` document of `data.authz.decisions`."""
    return b'{"checks":[' + b",".join(checks) + b"]}"


class _One(Struct):
    result: PolicyDecision


class _Many(Struct):
    result: tuple[PolicyDecision, ...]


class _Explained(Struct):
    result: Explanation


class _Proposed(Struct):
    result: Candidates


class _Catalogued(Struct):
    result: Catalogue


_decode_one = msgspec.json.Decoder(tuple[_One, ...]).decode
_decode_many = msgspec.json.Decoder(tuple[_Many, ...]).decode
_decode_explained = msgspec.json.Decoder(tuple[_Explained, ...]).decode
_decode_proposed = msgspec.json.Decoder(tuple[_Proposed, ...]).decode
_decode_catalogued = msgspec.json.Decoder(tuple[_Catalogued, ...]).decode

UNDEFINED = PolicyDecision(allow=False, reason="policy_undefined", scopes=())
BREACH = PolicyDecision(allow=False, reason="policy_contract", scopes=())
ERROR = PolicyDecision(allow=False, reason="policy_error", scopes=())
UNAVAILABLE = PolicyDecision(allow=False, reason="engine_unavailable", scopes=())
SUPERSEDED = PolicyDecision(allow=False, reason="engine_unavailable", scopes=())
"""`UNAVAILABLE`, because the engine speaks for another revision now: asked once more, with that one's routes."""


def read_decision(result_set: bytes, declared_reasons: frozenset[str] = frozenset()) -> PolicyDecision:
    """The decision in an engine's result set, `[{"result": {...}}]`.

    Undefined (`[]`) and every breach of the contract come back as denials with a reason of their own.
    """
    try:
        results = _decode_one(result_set)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return BREACH
    if not results:
        return UNDEFINED
    if len(results) != 1:
        return BREACH
    decision = results[0].result
    return _held_to_contract(fitting(decision) if len(result_set) > MAX_ANSWER_BYTES else decision, declared_reasons)


def fitting(decision: PolicyDecision) -> PolicyDecision:
    """As much of an answer as fits into a record: one that is too long tells no `granted_by`, or is a breach.

    Somebody may have hundreds of roles that all grant; that is no reason to deny, and the roles are recorded anyway.
    """
    if len(_encode(decision)) <= MAX_ANSWER_BYTES:
        return decision
    short = msgspec.structs.replace(decision, granted_by={})
    return short if len(_encode(short)) <= MAX_ANSWER_BYTES else BREACH


def read_decisions(
    result_set: bytes, count: int, declared_reasons: frozenset[str] = frozenset()
) -> tuple[PolicyDecision, ...] | None:
    """The decisions of a batch, in order; None when the answer as a whole cannot be used.

    A wrong length means that an undefined item vanished and its neighbours moved up; a malformed item makes the
    whole answer unreadable. In both cases the batch has to be evaluated item by item.
    """
    try:
        results = _decode_many(result_set)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if len(results) != 1 or len(results[0].result) != count:
        return None
    decisions = results[0].result
    if len(result_set) > MAX_ANSWER_BYTES:
        decisions = tuple(map(fitting, decisions))
    return tuple(_held_to_contract(decision, declared_reasons) for decision in decisions)


def read_explanation(result_set: bytes) -> Explanation | None:
    """The explanation in an engine's result set; None when there is none that can be read."""
    try:
        results = _decode_explained(result_set)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return results[0].result if len(results) == 1 else None


def offered(candidates: Candidates) -> frozenset[str]:
    """The kinds of search for which there are candidates: `subjects`, `resources`, `actions`."""
    return frozenset(name for name in candidates.__struct_fields__ if getattr(candidates, name) is not None)


def read_candidates(result_set: bytes) -> Candidates | None:
    """The candidates in an engine's result set; None when there are none that can be read."""
    try:
        results = _decode_proposed(result_set)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return results[0].result if len(results) == 1 else None


def read_catalogue(result_set: bytes) -> Catalogue:
    """The policy's catalogue.

    Raises ContractBreach, naming what is wrong: without a catalogue there is no policy to activate.
    """
    try:
        results = _decode_catalogued(result_set)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ContractBreach(f"data.authz.catalogue: {error}") from None
    if len(results) != 1:
        raise ContractBreach("data.authz.catalogue is undefined")
    catalogue = results[0].result
    clash = sorted(set(catalogue.reasons) & set(REASONS))
    if clash:
        raise ContractBreach(f"data.authz.catalogue: reasons {clash} are already taken")
    return catalogue


_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,1024}")
_OWNED_HEADERS = frozenset(
    {
        "x-authz-subject",
        "x-authz-roles",
        "x-authz-scopes",
        "x-decision-id",
        "x-request-id",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "cache-control",
        "www-authenticate",
        "x-envoy-auth-headers-to-remove",
    }
)


def _held_to_contract(decision: PolicyDecision, declared_reasons: frozenset[str]) -> PolicyDecision:
    known = POLICY_ALLOWS if decision.allow else POLICY_DENIES | declared_reasons
    if decision.reason not in known or (decision.allow and decision.missing):
        return BREACH
    if (decision.limits and not _sound(decision.limits)) or (decision.headers and not _sendable(decision.headers)):
        return BREACH
    return decision


MAX_LIMITS = 16
"""Most limits of one decision."""
MAX_LIMIT_SECONDS = 31_622_400
"""A leap year: the longest that an empty budget may take to be full again."""


def is_sound(count: int, per_seconds: int, burst: int | None) -> bool:
    """Whether a limit can be kept: each number at least 1, a million at most at once, full again within a year."""
    at_once = count if burst is None else burst
    return (
        1 <= count <= _MILLION
        and 1 <= at_once <= _MILLION
        and per_seconds >= 1
        and at_once * per_seconds <= count * MAX_LIMIT_SECONDS
    )


_MILLION = 1_000_000
_MAX_SCOPE = 256


def _sound(limits: tuple[Limit, ...]) -> bool:
    return len(limits) <= MAX_LIMITS and all(
        is_sound(limit.count, limit.per_seconds, limit.burst) and len(limit.scope) <= _MAX_SCOPE for limit in limits
    )


def _sendable(headers: dict[str, str]) -> bool:
    """Whether each is a header of its own: a name sent twice would be read differently by different gateways."""
    return len({name.lower() for name in headers}) == len(headers) and all(
        _HEADER_NAME.fullmatch(name) and name.lower() not in _OWNED_HEADERS and _HEADER_VALUE.fullmatch(value)
        for name, value in headers.items()
    )


def nesting_within(value: object, limit: int = MAX_NESTING) -> bool:
    """Whether a JSON value holds at most `limit` objects and arrays inside one another."""
    if not isinstance(value, (dict, list)):
        return True
    if limit == 0:
        return False
    for member in value.values() if isinstance(value, dict) else value:
        # Most members are neither: they are passed by without a call.
        if isinstance(member, (dict, list)) and not nesting_within(member, limit - 1):
            return False
    return True


__all__ = [
    "BREACH",
    "ERROR",
    "MAX_ANSWER_BYTES",
    "MAX_NESTING",
    "SUPERSEDED",
    "UNAVAILABLE",
    "UNDEFINED",
    "Candidate",
    "Candidates",
    "Catalogue",
    "CatalogueRoute",
    "ContractBreach",
    "ResourceDocument",
    "ScopeMode",
    "batch_document",
    "check_document",
    "fitting",
    "is_sound",
    "nesting_within",
    "offered",
    "read_candidates",
    "read_catalogue",
    "read_decision",
    "read_decisions",
    "read_explanation",
    "subject_document",
]
