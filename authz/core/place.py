"""Where a question points: the route and its parameters, from the raw target."""

from msgspec import Struct

from authz.core.errors import BadRequestError
from authz.core.forms import read_formed
from authz.core.model import AccessRequest, Subject
from authz.core.paths import normalise_host, split_path
from authz.core.routes import Route, RouteTable, parameter_names


class Place(Struct, frozen=True):
    """The route of a question and its decoded parameters, or why there is none."""

    host: str | None = None
    route: Route | None = None
    params: dict[str, str] = {}
    ambiguous: bool = False
    other_methods: bool = False


def locate(request: AccessRequest, subject: Subject, routes: RouteTable) -> Place:
    """Find the route of a request. What a request says of its own route counts only from a trusted caller.

    Raises BadRequestError when a trusted caller states a route or parameters that cannot be read.
    """
    if request.resource.type != "route":
        return Place()
    host = request.host if request.host is not None else request.resource.properties.get("host")
    if host is not None:
        host = normalise_host(host) if isinstance(host, str) else None
        if host is None:
            return Place(ambiguous=True)
    if subject.source == "asserted" and "route" in request.resource.properties:
        return _stated(request, routes, host)
    segments = split_path(request.resource.id)
    if segments is None:
        return _formed(request, routes, host)
    match = routes.match(request.action.name, segments, host)
    if match is None:
        return Place(host, other_methods=bool(routes.methods(segments, host)))
    return Place(host, match.route, match.params)


def _formed(request: AccessRequest, routes: RouteTable, host: str | None) -> Place:
    """The route of a path whose ambiguous forms it accepts, if no reading of them leads to another route."""
    path, method = read_formed(request.resource.id), request.action.name
    match = routes.match(method, path.segments, host) if path is not None else None
    if path is None or match is None or not path.forms.issubset(match.route.accepts):
        return Place(host, ambiguous=True)
    others = [routes.match(method, segments, host) for segments in path.readings]
    if any(other is not None and other.route is not match.route for other in others):
        return Place(host, ambiguous=True)
    return Place(host, match.route, match.params)


def _stated(request: AccessRequest, routes: RouteTable, host: str | None) -> Place:
    """The route that a trusted caller names itself, by template and parameters."""
    template, params = request.resource.properties["route"], request.resource.properties.get("params", {})
    if not isinstance(template, str):
        raise BadRequestError("resource.properties.route: must be a route template such as /memory/{id}")
    if not isinstance(params, dict) or not all(isinstance(value, str) for value in params.values()):
        raise BadRequestError("resource.properties.params: must be an object of strings")
    route = routes.by_template(request.action.name, template, host)
    if route is None:
        return Place(host)
    if set(params) != set(parameter_names(template)):
        raise BadRequestError(f"resource.properties.params: must hold exactly {list(parameter_names(template))}")
    return Place(host, route, params)
