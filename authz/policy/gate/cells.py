"""The cells role x scope x route of a policy, and which of them a question touches."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from msgspec import Struct

from authz.core import Catalogue, Route, RouteTable, normalise_host
from authz.examination import placed

_NAMED: Final = 3

NOBODY: Final = ""
"""The row of those without any role."""


class Cell(NamedTuple):
    """What one role gets by one scope on one route; `scope` is empty where the route asks for none."""

    role: str
    scope: str
    method: str
    path: str
    host: str | None = None


class Untouched(Struct, frozen=True):
    """The roles that nobody asks one route for."""

    method: str
    path: str
    host: str | None
    scopes: tuple[str, ...]
    roles: tuple[str, ...]

    def __str__(self) -> str:
        needs = f" ({', '.join(self.scopes)})" if self.scopes else ""
        named = ", ".join(role or "no role" for role in self.roles[:_NAMED])
        more = f" and {len(self.roles) - _NAMED} more" if len(self.roles) > _NAMED else ""
        return f"{self.method} {self.host or ''}{self.path}{needs}: {named}{more}"


def cells_of(catalogue: Catalogue) -> frozenset[Cell]:
    """Every role, and none at all, on every route, by each scope that can let a request through it."""
    rows = (NOBODY, *catalogue.roles)
    return frozenset(cell for route in catalogue.route_table() for role in rows for cell in _on(route, role))


def touched_by(question: Mapping[str, Any], routes: RouteTable) -> frozenset[Cell]:
    """The cells that the answer to an input document says something of.

    The role has to be the only one, and nothing of a token may narrow it: what several roles get together says nothing
    of each, and a refusal for the token's sake nothing of the role.
    """
    role, route = _role(question.get("subject")), _route(question, routes)
    return frozenset() if role is None or route is None else frozenset(_on(route, role))


def untouched(catalogue: Catalogue, touched: Iterable[Cell]) -> tuple[Untouched, ...]:
    """What is left, by route in the order of the catalogue."""
    left = cells_of(catalogue) - frozenset(touched)
    gaps = []
    for route in catalogue.route_table():
        roles = tuple(role for role in (NOBODY, *catalogue.roles) if not left.isdisjoint(_on(route, role)))
        if roles:
            gaps.append(Untouched(route.method, route.path, route.host, route.scopes, roles))
    return tuple(gaps)


def _on(route: Route, role: str) -> list[Cell]:
    return [Cell(role, scope, route.method, route.path, route.host) for scope in route.scopes or ("",)]


def _role(subject: Any) -> str | None:
    if not isinstance(subject, dict):
        return None
    properties, roles = subject.get("properties"), subject.get("roles", [])
    mode = properties.get("scope_mode") if isinstance(properties, dict) else None
    if ("scopes" in subject and mode != "ignore") or not isinstance(roles, list):
        return None
    if len(roles) > 1 or not all(isinstance(role, str) for role in roles):
        return None
    return roles[0] if roles else NOBODY


def _route(question: Mapping[str, Any], routes: RouteTable) -> Route | None:
    action = question.get("action")
    method = action.get("name") if isinstance(action, dict) else None
    if not isinstance(method, str):
        return None
    resource = placed(dict(question), routes).get("resource")
    if not isinstance(resource, dict) or resource.get("type") != "route":
        return None
    path, host = resource.get("route"), resource.get("host")
    if not isinstance(path, str):
        return None
    return routes.by_template(method, path, normalise_host(host) if isinstance(host, str) else None)
