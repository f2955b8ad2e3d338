"""What the default policy's data allow, worked out point by point in plain Python, by other means than Rego."""

from ipaddress import ip_address, ip_network
from typing import Any

from authz.core import Route, RouteTable
from authz.policy.access.grid import Point
from authz.policy.access.table import SUBJECT_ID, Holder, Request

Data = dict[str, Any]
"""`roles`, `scopes` and `routes`, as in the data files."""

_FOREVER = 253402300799


def allows(data: Data, holder: Holder, request: Request, point: Point) -> bool:
    """Whether a request passes under these data in these circumstances."""
    if request.kind == "scope":
        return request.path in data["scopes"] and _granted(data, holder, request.path, point)
    match = _table(data).match(request.method, _segments(request, point), request.host)
    if match is None:
        return False
    entry = _entry(data, match.route.path, request)
    return entry is not None and (entry.get("public", False) or _opens(data, holder, entry, match.params, point))


def _table(data: Data) -> RouteTable:
    return RouteTable(
        tuple(
            Route(method=method, path=path, host=entry.get("host"))
            for path, entries in data["routes"].items()
            for entry in entries
            for method in (*entry["methods"], *(["OPTIONS"] if entry.get("preflight") else []))
        )
    )


def _segments(request: Request, point: Point) -> tuple[str, ...]:
    return tuple(
        part if not part.startswith("{") else SUBJECT_ID if part.strip("{}.") in point.own else "somebody-else"
        for part in request.path[1:].split("/")
    )


def _entry(data: Data, template: str, request: Request) -> dict[str, Any] | None:
    found: dict[str | None, dict[str, Any]] = {}
    for entry in data["routes"][template]:
        if request.method in entry["methods"]:
            found[entry.get("host")] = entry
        elif entry.get("preflight") and request.method == "OPTIONS":
            found[entry.get("host")] = {"public": True}
    return found.get(request.host) or found.get(None)


def _opens(data: Data, holder: Holder, entry: dict[str, Any], params: dict[str, str], point: Point) -> bool:
    declared = entry.get("params", {})
    owned = all(params[name] == SUBJECT_ID for name, each in declared.items() if each.get("owner"))
    needed = entry.get("all_of") or entry["any_of"]
    held = [scope for scope in dict.fromkeys(needed) if _granted(data, holder, scope, point)]
    enough = len(held) == len(set(needed)) if "all_of" in entry else bool(held)
    exceptions = [scope for each in declared.values() for scope in each.get("or_any_of", ())]
    return (owned and enough and holder.kind != "anyone") or any(_granted(data, holder, s, point) for s in exceptions)


def _granted(data: Data, holder: Holder, scope: str, point: Point) -> bool:
    if holder.kind == "anyone":
        return False
    held = (
        _implied(data, [holder.name])
        if holder.kind == "token"
        else _implied(
            data, [s for role in _roles(data, holder.name, point) for s in data["roles"][role].get("scopes", [])]
        )
    )
    return scope in held and _met(data["scopes"][scope].get("require", {}), point)


def _roles(data: Data, role: str, point: Point) -> set[str]:
    found: set[str] = set()
    waiting = [role]
    while waiting:
        name = waiting.pop()
        here = data["roles"].get(name)
        if name not in found and here is not None and here.get("until", _FOREVER) >= point.context["now"]:
            found.add(name)
            waiting += here.get("includes", [])
    return found


def _implied(data: Data, scopes: list[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(scopes)
    while waiting:
        name = waiting.pop()
        here = data["scopes"].get(name)
        if name not in found and here is not None and not here.get("disabled"):
            found.add(name)
            waiting += here.get("implies", [])
    return found


def _met(require: dict[str, Any], point: Point) -> bool:
    address = point.context.get("ip")
    return (
        ("acr" not in require or point.claims.get("acr") in require["acr"])
        and ("amr" not in require or set(require["amr"]) <= set(point.claims.get("amr", ())))
        and (
            "cidr" not in require
            or (address is not None and any(ip_address(address) in ip_network(block) for block in require["cidr"]))
        )
    )
