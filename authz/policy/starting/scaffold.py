"""A new role, scope or route, with the case that holds it."""

from pathlib import Path
from typing import Any

import msgspec

from authz.policy.starting.document import Operation
from authz.policy.starting.files import PolicyFiles
from authz.policy.starting.requirement import Requirement

_HEADING = "# Decisions that this policy has to give.\ncases:\n"


def new_role(files: PolicyFiles, name: str, scopes: tuple[str, ...], description: str) -> Path:
    """Declare a role; the case file that got its cases."""
    files.append("roles", f"\n{_json(name)}:\n  description: {_json(description)}\n  scopes: {_json(scopes)}\n")
    asked = [_asked([name], "use", {"type": "scope", "id": scope}) for scope in scopes]
    texts = [_case(f"{name} holds {s}", a, allow=True) for s, a in zip(scopes, asked, strict=True)]
    return _append(files, "roles", texts)


def new_scope(files: PolicyFiles, name: str, description: str) -> Path:
    """Declare a scope; the case file that got its case."""
    files.add_scopes([name], {name: description})
    asked = _asked([], "use", {"type": "scope", "id": name})
    return _append(files, "scopes", [_case(f"without a role nobody holds {name}", asked, allow=False)])


def new_route(files: PolicyFiles, path: str, methods: tuple[str, ...], scopes: tuple[str, ...]) -> Path:
    """Declare a route that needs all the scopes; the case file that got its cases."""
    files.add_routes(Operation(method, path, Requirement(all_of=scopes)) for method in methods)
    target = path.replace("{", "").replace("...}", "").replace("}", "")
    asked = [_asked([], method, {"type": "route", "id": target}) for method in methods]
    texts = [_case(f"{m} {path} is closed without a role", a, allow=False) for m, a in zip(methods, asked, strict=True)]
    return _append(files, "routes", texts)


def _asked(roles: list[str], action: str, resource: dict[str, str]) -> dict[str, Any]:
    return {
        "subject": {"type": "user", "id": "u1", "roles": roles},
        "action": {"name": action},
        "resource": resource,
        "context": {"now": 1800000000},
    }


def _case(name: str, asked: dict[str, Any], *, allow: bool) -> str:
    reason = "scope_granted" if allow else "scope_missing"
    return f"  - name: {_json(name)}\n    input: {_json(asked)}\n    allow: {_json(allow)}\n    reason: {reason}\n"


def _append(files: PolicyFiles, kind: str, texts: list[str]) -> Path:
    path = files.directory / "cases" / f"{kind}.yaml"
    path.parent.mkdir(exist_ok=True)
    there = path.read_text(encoding="utf-8") if path.exists() else _HEADING
    path.write_text(there.rstrip("\n") + "\n" + "".join(texts), encoding="utf-8")
    return path


def _json(value: object) -> str:
    """JSON is YAML too: no text can be mistaken for anything else."""
    return msgspec.json.encode(value).decode()
