"""The route table of one policy revision: (method, host, path) -> template and parameters."""

from functools import lru_cache
from typing import Literal

from msgspec import Struct

from authz.core.forms import PathForm

Treatment = Literal["hash", "clear", "drop"]
"""How a route parameter is written down: as a keyed pseudonym, as it is, or not at all."""


class Parameter(Struct, frozen=True):
    """What the catalogue says of one path parameter; holders of a scope in `or_any_of` need not be its owner."""

    record: Treatment = "hash"
    or_any_of: tuple[str, ...] = ()


class Route(Struct, frozen=True, kw_only=True):
    """One route as the policy's catalogue declares it.

    `path` is the template; `{id}` stands for one segment, `{rest...}`, last, for one or more. `event` is what an
    access through it is called in the ledger. `accepts`: forms that make a path ambiguous elsewhere.
    """

    method: str
    path: str
    host: str | None = None
    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    public: bool = False
    event: str | None = None
    params: dict[str, Parameter] = {}
    accepts: tuple[PathForm, ...] = ()

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that can let a request through it."""
        return self.all_of + self.any_of + tuple(s for each in self.params.values() for s in each.or_any_of)


class RouteMatch(Struct, frozen=True):
    """A route and the decoded values of its parameters."""

    route: Route
    params: dict[str, str]


class _Node:
    """One position in a template; literals are looked up before the parameter, the parameter before the rest.

    `routes`: those that end here, by host (None: any) and method.
    """

    __slots__ = ("literals", "parameter", "rest", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.rest: _Node | None = None
        self.routes: dict[str | None, dict[str, Route]] = {}

    def declared(self, host: str | None) -> dict[str, Route] | None:
        """The routes that end here, by method: those for this very host before those for any."""
        anywhere = self.routes.get(None)
        if host is None or host not in self.routes:
            return anywhere
        return {**(anywhere or {}), **self.routes[host]}


class RouteTable:
    """Finds the route of a request. Built once per revision, read only."""

    def __init__(self, routes: tuple[Route, ...] = ()) -> None:
        self.routes = routes
        self.literals = frozenset(s for r in routes for s in _segments(r.path) if not _name(s))
        self._by_template = {(r.method, r.path, r.host): r for r in routes}
        self._root = _Node()
        for route in routes:
            _insert(self._root, route)

    def match(self, method: str, segments: tuple[str, ...], host: str | None = None) -> RouteMatch | None:
        """The route of a request: the most literal template that fits the path decides, whatever the method.

        Falling through to a less literal one would hand a method that nobody declared there to the wrong rule. HEAD
        is judged as GET where no HEAD route is declared.
        """
        declared = self._declared(segments, host)
        route = declared.get(method) or (declared.get("GET") if method == "HEAD" else None)
        return None if route is None else RouteMatch(route, _parameters(route.path, segments))

    def methods(self, segments: tuple[str, ...], host: str | None = None) -> frozenset[str]:
        """The methods under which the path is known."""
        return frozenset(self._declared(segments, host))

    def by_template(self, method: str, path: str, host: str | None = None) -> Route | None:
        """The route declared with exactly this template, for this host or for any; HEAD as in `match`."""
        found = self._by_template.get((method, path, host)) or self._by_template.get((method, path, None))
        return self.by_template("GET", path, host) if found is None and method == "HEAD" else found

    def _declared(self, segments: tuple[str, ...], host: str | None) -> dict[str, Route]:
        """The routes of the most literal template that fits, by method; one for this very host before one for any."""
        return _most_literal(self._root, segments, 0, host) or {}


def parameter_names(path: str) -> tuple[str, ...]:
    """The parameters of a template in the order of the path."""
    return tuple(name for name in map(_name, _segments(path)) if name)


def _segments(path: str) -> list[str]:
    return path[1:].split("/")


def _name(segment: str) -> str | None:
    """The parameter's name without `...`, or None for a literal."""
    if segment.startswith("{") and segment.endswith("}"):
        return segment[1:-1].removesuffix("...")
    return None


def _insert(root: _Node, route: Route) -> None:
    node = root
    for segment in _segments(route.path):
        if segment.endswith("...}"):
            node.rest = node.rest or _Node()
            node = node.rest
        elif _name(segment):
            node.parameter = node.parameter or _Node()
            node = node.parameter
        else:
            node = node.literals.setdefault(segment, _Node())
    node.routes.setdefault(route.host, {})[route.method] = route


def _most_literal(node: _Node, segments: tuple[str, ...], at: int, host: str | None) -> dict[str, Route] | None:
    """The routes at the most literal end of a path that has any for this host."""
    if at == len(segments):
        return node.declared(host)
    segment = segments[at]
    literal = node.literals.get(segment)
    found = _most_literal(literal, segments, at + 1, host) if literal is not None else None
    if not found and node.parameter is not None and segment:
        found = _most_literal(node.parameter, segments, at + 1, host)
    if not found and node.rest is not None and segment:
        found = node.rest.declared(host)
    return found


@lru_cache(4096)
def _parameter_places(path: str) -> tuple[tuple[int, str, bool], ...]:
    """Where each parameter of a template stands, its name, and whether it takes the rest of the path."""
    return tuple(
        (at, name, segment.endswith("...}"))
        for at, segment in enumerate(_segments(path))
        if (name := _name(segment)) is not None
    )


def _parameters(path: str, segments: tuple[str, ...]) -> dict[str, str]:
    return {name: "/".join(segments[at:]) if rest else segments[at] for at, name, rest in _parameter_places(path)}
