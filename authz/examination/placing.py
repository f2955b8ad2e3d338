"""A question to a policy, with the route that this very policy has for it."""

from typing import Any

from authz.core import RouteTable, split_path


def placed(document: dict[str, Any], routes: RouteTable) -> dict[str, Any]:
    """The input document with `route` and `params` as these routes have them. What is no route stays as it is."""
    resource = document.get("resource")
    if not isinstance(resource, dict) or resource.get("type") != "route" or "route" in resource:
        return document
    segments = split_path(str(resource.get("id", "")))
    method = str((document.get("action") or {}).get("name", ""))
    match = routes.match(method, segments, resource.get("host")) if segments is not None else None
    if match is None:
        return document
    return {**document, "resource": {**resource, "route": match.route.path, "params": match.params}}


def placed_anew(document: dict[str, Any], routes: RouteTable) -> dict[str, Any]:
    """The same for a document that was placed by another revision's routes."""
    resource = document.get("resource")
    if not isinstance(resource, dict) or resource.get("type") != "route":
        return document
    bare = {name: value for name, value in resource.items() if name not in ("route", "params")}
    return placed({**document, "resource": bare}, routes)
