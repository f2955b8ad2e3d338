"""The OpenAPI documents of both listeners: made of the route tables, served at `/openapi.json`, held true by a test."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from authz import __version__
from authz.core import EVALUATION, EVALUATIONS, METADATA, SEARCH_PATHS, SEMANTICS
from authz.gateways import DIALECTS, OPA_DATA, PLUGINS
from authz.http.bundles import BUNDLE, BUNDLE_TYPE
from authz.http.events import EVENTS
from authz.http.stream import STREAM

PATH: Final = "/openapi.json"

_Schema = dict[str, Any]
_PROBLEM: Final = "application/problem+json"
_JSON: Final = "application/json"
_WORDS: Final = {
    101: "A decision stream (docs/stream.md).",
    200: "The answer.",
    400: "The request cannot be read; the body names the field.",
    401: "No known caller, or no token that counts.",
    403: "The caller may not, or the decision is a deny.",
    404: "There is nothing here.",
    405: "The path does not take this method.",
    409: "The bundle cannot be put in force; `reason` says why.",
    413: "Larger than a stated limit.",
    429: "Over a rate limit.",
    503: "Could not decide. Never an allow.",
}


class Operation(NamedTuple):
    """One method of one path. `answer`: the schema of a 200, None where it has no JSON body."""

    path: str
    method: str
    summary: str
    statuses: tuple[int, ...]
    answer: _Schema | None = None
    body: _Schema | None = None
    query: Mapping[str, _Schema] = {}
    refusal: str = _PROBLEM
    scope: str | None = None
    media: str = _JSON


def decision_document() -> bytes:
    """Of the decision listener."""
    return _document("authz: decisions", list(_decision_operations()))


def admin_document(operations: Iterable[Operation]) -> bytes:
    """Of the admin listener, whose table tells its own operations."""
    return _document("authz: administration", [*operations, _own()])


def _own() -> Operation:
    return Operation(PATH, "get", "This document", (200, 405), {"type": "object"})


_BODILESS: Final = frozenset({"/check/nginx", "/check/ingress-nginx"})
"""nginx throws a body away, and the connection with it."""

_HEADERS: Final = {"X-Request-ID": {"schema": {"type": "string"}, "description": "The request's own, if it had one."}}

_ASKED: Final = (200, 400, 401, 403, 405, 413, 503)
_CHECKED: Final = (200, 400, 401, 403, 429, 503)


def _object(required: Iterable[str] = (), **properties: _Schema) -> _Schema:
    return {"type": "object", "required": list(required), "properties": properties}


_TEXT: Final[_Schema] = {"type": "string"}
_FREE: Final[_Schema] = {"type": ["object", "null"]}
_ENTITY: Final = _object(("type", "id"), type=_TEXT, id=_TEXT, properties=_FREE)
_SOUGHT: Final = _object(("type",), type=_TEXT, properties=_FREE)
_ACTION: Final = _object(("name",), name=_TEXT, properties=_FREE)
_PAGE: Final[_Schema] = {
    "type": ["object", "null"],
    "properties": {
        "token": {"type": ["string", "null"]},
        "limit": {"type": ["integer", "null"], "minimum": 0},
        "properties": _FREE,
    },
}
_DECISION: Final = _object(("decision",), decision={"type": "boolean"}, context={"type": "object"})
_BATCH: Final = _object(("evaluations",), evaluations={"type": "array", "items": _DECISION})
_FOUND: Final = _object(
    ("results",),
    page=_object(("next_token",), next_token=_TEXT, count={"type": "integer", "minimum": 0}),
    context={"type": "object"},
    results={"type": "array", "items": {"type": "object"}},
)
_EVALUATION: Final = _object(
    ("subject", "action", "resource"), subject=_ENTITY, action=_ACTION, resource=_ENTITY, context=_FREE
)
_LOOSE: Final[_Schema] = {"type": ["object", "null"]}
_EVALUATIONS: Final = _object(
    (),
    subject=_LOOSE,
    action=_LOOSE,
    resource=_LOOSE,
    context=_FREE,
    evaluations={"type": ["array", "null"], "items": {"type": "object"}},
    options={
        "type": ["object", "null"],
        "properties": {"evaluations_semantic": {"enum": [*SEMANTICS, None]}},
    },
)
_SEARCHES: Final = {
    "subject": _object(
        ("subject", "action", "resource"),
        subject=_SOUGHT, action=_ACTION, resource=_ENTITY, context=_FREE, page=_PAGE,
    ),
    "resource": _object(
        ("subject", "action", "resource"),
        subject=_ENTITY, action=_ACTION, resource=_SOUGHT, context=_FREE, page=_PAGE,
    ),
    "action": _object(
        ("subject", "resource"), subject=_ENTITY, resource=_ENTITY, context=_FREE, page=_PAGE
    ),
}  # fmt: skip
_OPA_BODY: Final = _object(("input",), input=_EVALUATION)
_EXPLAIN: Final = {"explain": {"enum": ["true", "false"]}}


def _decision_operations() -> Iterable[Operation]:
    yield Operation(EVALUATION, "post", "AuthZEN: one evaluation", _ASKED, _DECISION, _EVALUATION, _EXPLAIN)
    either = {"anyOf": [_BATCH, _DECISION]}
    yield Operation(EVALUATIONS, "post", "AuthZEN: many evaluations", _ASKED, either, _EVALUATIONS, _EXPLAIN)
    for kind, path in SEARCH_PATHS.items():
        statuses = tuple(sorted({*_ASKED, 404}))
        yield Operation(path, "post", f"AuthZEN: {kind} search", statuses, _FOUND, _SEARCHES[kind], _EXPLAIN)
    yield Operation(METADATA, "get", "AuthZEN: metadata", (200, 404, 405), {"type": "object"})
    for path in OPA_DATA:
        result = {"type": "boolean"} if path.endswith("/allow") else {"type": "object"}
        answer = _object(("result", "decision_id"), result=result, decision_id=_TEXT)
        yield Operation(path, "post", "OPA's Data API", _ASKED, answer, _OPA_BODY, refusal=_JSON)
    for path, plugin in PLUGINS.items():
        yield Operation(path, "post", f"The OPA plugin {plugin.name}", _ASKED, _object(("result",)), {"type": "object"})
    events: _Schema = {"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]}
    yield Operation(EVENTS, "post", "Reported events", _ASKED, {"type": "object"}, events)
    yield Operation(STREAM, "get", "Decisions over WebSocket, authz.v1", (101, 400, 401, 403, 405, 503))
    archive: _Schema = {"type": "string", "format": "binary"}
    told = (200, 304, 401, 403, 405)
    yield Operation(BUNDLE, "get", "The policy in force, for an OPA server", told, archive, media=BUNDLE_TYPE)
    for prefix, dialect in DIALECTS.items():
        methods = ("get", "post", "put", "patch", "delete") if dialect.path_follows else ("get",)
        path = f"{prefix}/{{path}}" if dialect.path_follows else prefix
        for method in methods:
            yield Operation(path, method, f"A check by {dialect.name}", _CHECKED)
    yield _own()


def _document(title: str, operations: list[Operation]) -> bytes:
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method] = _operation(each)
    document = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__, "license": {"name": "Apache-2.0"}},
        "security": [{"bearer": []}, {}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _object(("status", "reason"), status={"type": "integer"}, reason=_TEXT)},
            "responses": _refusals(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _operation(each: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": each.summary,
        "operationId": f"{each.method}_{each.path.strip('/').replace('/', '_').replace('{', '').replace('}', '')}",
        "parameters": list(_parameters(each)),
        "responses": {str(status): _response(each, status) for status in each.statuses},
    }
    if each.scope is not None:
        described["x-scope"] = each.scope
    if each.body is not None:
        described["requestBody"] = {"required": True, "content": {_JSON: {"schema": each.body}}}
    return described


def _parameters(each: Operation) -> Iterable[dict[str, Any]]:
    if "{path}" in each.path:
        yield {"name": "path", "in": "path", "required": True, "schema": _TEXT}
    for name, schema in each.query.items():
        yield {"name": name, "in": "query", "required": False, "schema": schema}


def _response(each: Operation, status: int) -> dict[str, Any]:
    if status == 101:
        return {"description": _WORDS[101], "headers": _HEADERS}
    if status == 304:
        return {"description": "The caller has it.", "headers": _HEADERS}
    if status != 200:
        return {"$ref": f"#/components/responses/{_refusal_name(each)}{status}"}
    described: dict[str, Any] = {"description": _WORDS[200], "headers": _HEADERS}
    if each.answer is not None:
        described["content"] = {each.media: {"schema": each.answer}}
    return described


def _refusal_name(each: Operation) -> str:
    if each.path in _BODILESS:
        return "Bare"
    return "Either" if each.refusal != _PROBLEM or each.path in {EVENTS, *PLUGINS} else "Problem"


def _refusals() -> dict[str, Any]:
    """Refusals by form and status. Anything may come from aiohttp's parser, and that is a problem document."""
    problem = {_PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    either = {**problem, _JSON: {"schema": {"type": "object"}}}
    forms: dict[str, dict[str, Any]] = {"Problem": {"content": problem}, "Either": {"content": either}, "Bare": {}}
    return {
        f"{name}{status}": {"description": _WORDS[status], "headers": _HEADERS, **form}
        for name, form in forms.items()
        for status in _WORDS
        if status >= 400
    }
