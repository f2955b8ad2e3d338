"""The default policy's data, checked: a slip of the pen must not open a door, or quietly close one."""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from authz.core import is_sound, normalise_host
from authz.policy.marks import DataPath

OPENID_SCOPES = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})

_Positive = Annotated[int, Meta(gt=0)]
_Names = Annotated[list[str], Meta(min_length=1)]
_Method = Annotated[str, Meta(pattern=r"^[A-Z]+$")]
_Event = Annotated[str, Meta(pattern=r"^[a-z_]+(\.[a-z_]+)+$")]
_T = TypeVar("_T")

_ROOT: DataPath = ("authz",)
_SECTIONS = ("scopes", "roles", "routes")
_NAME = re.compile(r"[!#-\[\]-~]+")  # RFC 6749's scope-token
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}")
_MSGSPEC_PLACE = re.compile(r" - at `\$(.*)`$")


class Finding(NamedTuple):
    """Something wrong in the data document, and where."""

    path: DataPath
    message: str


class _Require(Struct, frozen=True, forbid_unknown_fields=True):
    acr: _Names | None = None
    amr: _Names | None = None
    cidr: _Names | None = None


class _ScopeLimit(Struct, forbid_unknown_fields=True):
    count: _Positive
    per_seconds: _Positive
    burst: _Positive | None = None


class _RouteLimit(_ScopeLimit, forbid_unknown_fields=True, kw_only=True):
    scope: str


class _Scope(Struct, forbid_unknown_fields=True):
    description: str = ""
    implies: list[str] = []
    disabled: bool = False
    require: _Require = _Require()
    limits: list[_ScopeLimit] = []


class _Role(Struct, forbid_unknown_fields=True):
    description: str = ""
    includes: list[str] = []
    scopes: list[str] = []
    until: int = 0


class _Param(Struct, forbid_unknown_fields=True):
    record: Literal["hash", "clear", "drop"] = "hash"
    owner: Literal["subject"] | None = None
    or_any_of: _Names | None = None


class _Route(Struct, forbid_unknown_fields=True):
    methods: Annotated[list[_Method], Meta(min_length=1)]
    event: _Event
    host: str | None = None
    all_of: _Names | None = None
    any_of: _Names | None = None
    public: bool = False
    preflight: bool = False
    limits: list[_RouteLimit] = []
    params: dict[str, _Param] = {}
    accepts: list[Literal["encoded_slash", "semicolon"]] = []

    @property
    def scopes(self) -> list[str]:
        return (self.all_of or []) + (self.any_of or [])

    @property
    def answered(self) -> list[tuple[str, bool]]:
        """The methods, and whether it is only a preflight."""
        return [(method, False) for method in self.methods] + [("OPTIONS", True)] * self.preflight


class _Tables(NamedTuple):
    """What could be read, and the names that are declared, readable or not."""

    scopes: dict[str, _Scope]
    roles: dict[str, _Role]
    routes: list[tuple[DataPath, str, _Route]]
    scope_names: frozenset[str]
    role_names: frozenset[str]


def check_tables(data: dict[str, Any]) -> list[Finding]:
    """Everything wrong with the roles, scopes and routes in a data document; nothing when it has none of them."""
    root = data.get("authz")
    if not isinstance(root, dict):
        return []
    findings = [Finding((*_ROOT, "closure"), "the build writes this itself (remove it)")] if "closure" in root else []
    tables = _read(root, findings)
    findings += _check_scopes(tables)
    findings += _check_roles(tables)
    for path, template, route in tables.routes:
        findings += _check_template(path[:3], template)
        findings += _check_route(path, template, route, tables.scope_names)
    findings += _ambiguous(tables.routes)
    return findings


def _read(root: dict[str, Any], findings: list[Finding]) -> _Tables:
    scopes, roles, routes = (_section(root, name, findings) for name in _SECTIONS)
    listed = {
        template: _entry(list[Any], entries, (*_ROOT, "routes", template), findings)
        for template, entries in routes.items()
    }
    placed = [
        (path, template, route)
        for template, entries in listed.items()
        for index, entry in enumerate(entries or [])
        if (route := _entry(_Route, entry, path := (*_ROOT, "routes", template, index), findings)) is not None
    ]
    return _Tables(
        _entries(_Scope, scopes, (*_ROOT, "scopes"), findings),
        _entries(_Role, roles, (*_ROOT, "roles"), findings),
        placed,
        frozenset(scopes),
        frozenset(roles),
    )


def _section(root: dict[str, Any], name: str, findings: list[Finding]) -> dict[str, Any]:
    section = root.get(name, {})
    if isinstance(section, dict):
        return section
    findings.append(Finding((*_ROOT, name), f"{name} are keyed by name (write a mapping)"))
    return {}


def _entries(kind: type[_T], section: dict[str, Any], path: DataPath, findings: list[Finding]) -> dict[str, _T]:
    """Those entries that can be read; the others are findings, and nothing else is said of them."""
    read = {name: _entry(kind, value, (*path, name), findings) for name, value in section.items()}
    return {name: entry for name, entry in read.items() if entry is not None}


def _entry(kind: type[_T], value: object, path: DataPath, findings: list[Finding]) -> _T | None:
    try:
        return msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        findings.append(_as_finding(kind, path, str(error)))
        return None


def _as_finding(kind: type, path: DataPath, text: str) -> Finding:
    place = _MSGSPEC_PLACE.search(text)
    message = _MSGSPEC_PLACE.sub("", text)
    inside: DataPath = tuple(
        int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", place.group(1) if place else "")
    )
    unknown = re.search(r"unknown field `(.*)`", message)
    if unknown and not inside:
        known = ", ".join(field.name for field in msgspec.structs.fields(kind))
        return Finding((*path, unknown.group(1)), f"unknown key {unknown.group(1)} (known: {known})")
    where = f"{'.'.join(map(str, inside))}: " if inside else ""
    fix = " (write seconds since 1970)" if inside == ("until",) else ""
    return Finding((*path, *inside), where + message[0].lower() + message[1:] + fix)


def _check_scopes(tables: _Tables) -> Iterator[Finding]:
    for name, scope in tables.scopes.items():
        path: DataPath = (*_ROOT, "scopes", name)
        if not _NAME.fullmatch(name):
            yield Finding(path, f"{name!r} cannot be a scope (no spaces, quotes, backslashes or control characters)")
        if name in OPENID_SCOPES:
            yield Finding(path, f"{name} is OpenID Connect's own and grants nothing (choose another name)")
        yield from _check_limits(path, scope.limits)
        yield from _known("scope", scope.implies, tables.scope_names, (*path, "implies"))
        for index, block in enumerate(scope.require.cidr or []):
            if not _is_network(block):
                yield Finding((*path, "require", "cidr", index), f"{block} is not a network (write 10.0.0.0/8)")


def _check_limits(path: DataPath, limits: Sequence[_ScopeLimit]) -> Iterator[Finding]:
    for index, limit in enumerate(limits):
        if not is_sound(limit.count, limit.per_seconds, limit.burst):
            yield Finding(
                (*path, "limits", index),
                "cannot be kept (count and burst are at most 1000000, and burst uses are full again within a year)",
            )


def _check_roles(tables: _Tables) -> Iterator[Finding]:
    for name, role in tables.roles.items():
        path: DataPath = (*_ROOT, "roles", name)
        yield from _known("role", role.includes, tables.role_names, (*path, "includes"))
        yield from _known("scope", role.scopes, tables.scope_names, (*path, "scopes"))


def _check_template(path: DataPath, template: str) -> Iterator[Finding]:
    segments = template.split("/")[1:]
    names = [match.group(1) for segment in segments if (match := _PARAMETER.fullmatch(segment))]
    if not template.startswith("/"):
        yield Finding(path, f"{template} does not start with / (write /{template})")
    if any(segment in ("", ".", "..") for segment in segments) and template != "/":
        yield Finding(path, f"{template} has an empty or dotted segment, which no canonical path has")
    if any(set(segment) & set("{}?#%\\") and not _PARAMETER.fullmatch(segment) for segment in segments):
        yield Finding(
            path, f"{template}: a parameter is a whole segment, {{name}} or {{name...}}, and nothing is escaped"
        )
    if any(segment.endswith("...}") for segment in segments[:-1]):
        yield Finding(path, f"{template}: {{rest...}} can only be the last segment")
    if len(set(names)) != len(names):
        yield Finding(path, f"{template} names two parameters alike")


def _check_route(path: DataPath, template: str, route: _Route, scopes: frozenset[str]) -> Iterator[Finding]:
    stated = [route.all_of is not None, route.any_of is not None, route.public]
    if sum(stated) != 1:
        yield Finding(path, "state exactly one of all_of, any_of and public: true")
    yield from _known("scope", route.all_of or [], scopes, (*path, "all_of"))
    yield from _known("scope", route.any_of or [], scopes, (*path, "any_of"))
    yield from _check_limits(path, route.limits)
    for index, limit in enumerate(route.limits):
        if limit.scope not in route.scopes:
            yield Finding((*path, "limits", index), f"limits {limit.scope}, which this route does not ask for")
    if route.host is not None and normalise_host(route.host) != route.host:
        yield Finding((*path, "host"), f"{route.host} is not a plain host name (lower case, no port)")
    yield from _check_params(path, template, route, scopes)


def _check_params(path: DataPath, template: str, route: _Route, scopes: frozenset[str]) -> Iterator[Finding]:
    names = {match.group(1) for match in _PARAMETER.finditer(template)}
    for name, param in route.params.items():
        here: DataPath = (*path, "params", name)
        if name not in names:
            yield Finding(here, f"{template} has no parameter {{{name}}}")
        if param.owner and route.public:
            yield Finding(here, "a public route is for everyone: it has no owner")
        if param.or_any_of and not param.owner:
            yield Finding(here, "or_any_of is the exception to owner (add owner: subject)")
        yield from _known("scope", param.or_any_of or [], scopes, (*here, "or_any_of"))
    if sum(param.owner is not None for param in route.params.values()) > 1:
        yield Finding((*path, "params"), "only one parameter can be the subject's own ID")
    if route.accepts and not names:
        yield Finding((*path, "accepts"), f"{template} has no parameter whose value could hold these")


def _ambiguous(routes: list[tuple[DataPath, str, _Route]]) -> Iterator[Finding]:
    """Segment by segment a literal beats a parameter, so only templates of one shape can match one path equally."""
    taken: dict[tuple[str, str, str], tuple[DataPath, str, bool]] = {}
    for path, template, route in routes:
        shape = _PARAMETER.sub(r"{\2}", template)
        for method, is_preflight in route.answered:
            here = (path, template, is_preflight)
            first = taken.setdefault((method, route.host or "", shape), here)
            # Several entries of one template may each ask for the preflight: it is one and the same.
            is_same = first == here or (first[1:] == here[1:] and is_preflight)
            if not is_same:
                yield Finding(path, f"{method} {template} and {method} {first[1]} match the same requests (keep one)")


def _known(kind: str, names: list[str], known: frozenset[str], path: DataPath) -> Iterator[Finding]:
    for index, name in enumerate(names):
        if name not in known:
            yield Finding((*path, index), f"{kind} {name} is not declared (declare it, or mend the name)")


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
