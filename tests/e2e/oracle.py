"""Who may do what by the default policy's data, worked out once more, in plain Python and by other means than Rego."""

from functools import cache
from itertools import product
from typing import Any, NamedTuple

import yaml

from tests.conftest import ROOT

_DATA = ROOT / "policies" / "authz"


class Cell(NamedTuple):
    """One role on one route, with the subject's own id in the path or another's; and the scopes that let it in."""

    role: str
    method: str
    template: str
    own: bool
    granting: frozenset[str] | None

    @property
    def path(self) -> str:
        """A request path for alice."""
        return self.template.replace("{id}", "alice" if self.own else "bob")


@cache
def data(name: str) -> dict[str, Any]:
    """One data file."""
    loaded: dict[str, Any] = yaml.safe_load((_DATA / name / "data.yaml").read_text())
    return loaded


def held(role: str) -> set[str]:
    """Every scope that a role holds, through the roles it includes and the scopes that imply others."""
    roles, scopes = data("roles"), data("scopes")
    names, waiting = set(), [role]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting += roles[name].get("includes", [])
    found, waiting = set(), [scope for name in names for scope in roles[name].get("scopes", [])]
    while waiting:
        scope = waiting.pop()
        if scope not in found:
            found.add(scope)
            waiting += scopes[scope].get("implies", [])
    return {scope for scope in found if not scopes[scope].get("disabled")}


def cells() -> list[Cell]:
    """Every role on every route, own and foreign."""
    routes = [
        (template, entry, method)
        for template, entries in data("routes").items()
        for entry in entries
        for method in entry["methods"]
    ]
    roles = {role: held(role) for role in data("roles")}
    return [
        Cell(role, method, template, own, _granting(roles[role], entry, own=own))
        for role, (template, entry, method), own in product(roles, routes, (True, False))
        if own or "{id}" in template
    ]


def _granting(scopes: set[str], entry: dict[str, Any], *, own: bool) -> frozenset[str] | None:
    if entry.get("public"):
        return frozenset()
    needed, needs_all = entry.get("all_of") or entry["any_of"], "all_of" in entry
    matched = scopes.intersection(needed)
    owner = entry.get("params", {}).get("id", {})
    owns = own or owner.get("owner") != "subject"
    if owns and matched and (len(matched) == len(needed) or not needs_all):
        return frozenset(matched)
    return frozenset(scopes.intersection(owner.get("or_any_of", []))) or None


def may(role: str, method: str, path: str) -> bool:
    """Whether alice, in one role, may use a decoded path: by the most literal template that fits it, or not at all."""
    fitting = [template for template in data("routes") if _fits(template, path)]
    if not fitting:
        return False
    template = min(fitting, key=lambda each: [segment.startswith("{") for segment in each.split("/")])
    own = "alice" in path.split("/")
    entries = [
        entry for entry in data("routes")[template] if ("GET" if method == "HEAD" else method) in entry["methods"]
    ]
    return any(_granting(held(role), entry, own=own) is not None for entry in entries)


def _fits(template: str, path: str) -> bool:
    wanted, given = template.split("/"), path.split("/")
    return len(wanted) == len(given) and all(
        bool(there) if segment.startswith("{") else segment == there
        for segment, there in zip(wanted, given, strict=True)
    )
