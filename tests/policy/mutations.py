"""Small random changes to a policy's data, such as a person would make in one commit."""

import copy
import random
from collections.abc import Callable
from typing import Any

from authz.policy.tables import check_tables

Data = dict[str, Any]
_Change = Callable[[random.Random, Data], None]

NOW = 1_790_000_000


def mutated(dice: random.Random, data: Data, changes: int) -> Data:
    """The data after so many changes, each of them one that the build would take."""
    result = data
    done = 0
    while done < changes:
        candidate = copy.deepcopy(result)
        dice.choice(_CHANGES)(dice, candidate)
        if candidate != result and not check_tables({"authz": candidate}):
            result, done = candidate, done + 1
    return result


def _role(dice: random.Random, data: Data) -> Any:
    return data["roles"][dice.choice(sorted(data["roles"]))]


def _scope(dice: random.Random, data: Data) -> Any:
    return data["scopes"][dice.choice(sorted(data["scopes"]))]


def _entry(dice: random.Random, data: Data) -> Any:
    return dice.choice(data["routes"][dice.choice(sorted(data["routes"]))])


def _toggle(dice: random.Random, names: list[str], candidates: Any) -> list[str]:
    name = dice.choice(sorted(candidates))
    return [each for each in names if each != name] if name in names else [*names, name]


def _role_scope(dice: random.Random, data: Data) -> None:
    role = _role(dice, data)
    role["scopes"] = _toggle(dice, role.get("scopes", []), data["scopes"])


def _role_includes(dice: random.Random, data: Data) -> None:
    role = _role(dice, data)
    role["includes"] = _toggle(dice, role.get("includes", []), data["roles"])


def _role_until(dice: random.Random, data: Data) -> None:
    _role(dice, data)["until"] = NOW + dice.choice((-5, 0, 3600, 86_400))


def _role_removed(dice: random.Random, data: Data) -> None:
    del data["roles"][dice.choice(sorted(data["roles"]))]


def _role_added(dice: random.Random, data: Data) -> None:
    data["roles"][f"role_{dice.randrange(5)}"] = {"scopes": dice.sample(sorted(data["scopes"]), 3)}


def _scope_implies(dice: random.Random, data: Data) -> None:
    scope = _scope(dice, data)
    scope["implies"] = _toggle(dice, scope.get("implies", []), data["scopes"])


def _scope_disabled(dice: random.Random, data: Data) -> None:
    scope = _scope(dice, data)
    scope["disabled"] = not scope.get("disabled", False)


def _scope_requires(dice: random.Random, data: Data) -> None:
    _scope(dice, data)["require"] = dice.choice(
        (
            {},
            {"acr": ["gold"]},
            {"acr": ["gold", "silver"]},
            {"amr": ["otp"]},
            {"amr": ["otp", "pwd"]},
            {"cidr": ["10.0.0.0/8"]},
            {"cidr": ["10.1.0.0/16", "2001:db8::/32"]},
            {"acr": ["silver"], "cidr": ["10.0.0.0/8"]},
        )
    )


def _route_scopes(dice: random.Random, data: Data) -> None:
    entry = _entry(dice, data)
    for match in ("all_of", "any_of", "public"):
        entry.pop(match, None)
    kind = dice.choice(("all_of", "any_of", "public"))
    entry[kind] = True if kind == "public" else dice.sample(sorted(data["scopes"]), dice.randint(1, 3))
    if kind == "public":
        entry.pop("params", None)


def _route_owner(dice: random.Random, data: Data) -> None:
    entry = _entry(dice, data)
    entry["params"] = dice.choice(
        (
            {},
            {"id": {"owner": "subject"}},
            {"id": {"owner": "subject", "or_any_of": dice.sample(sorted(data["scopes"]), 2)}},
        )
    )


def _route_removed(dice: random.Random, data: Data) -> None:
    del data["routes"][dice.choice(sorted(data["routes"]))]


def _route_added(dice: random.Random, data: Data) -> None:
    path = dice.choice(("/reports/{id}", "/memory/shared", "/reports/{id}/pages/{rest...}", "/memory/{id}"))
    entry: dict[str, Any] = {"methods": [dice.choice(("GET", "POST", "PATCH"))], "event": "resource.accessed"}
    entry["any_of"] = dice.sample(sorted(data["scopes"]), 2)
    if dice.random() < 0.5:
        entry["host"] = "api.example.com"
    data["routes"].setdefault(path, []).append(entry)


def _route_preflight(dice: random.Random, data: Data) -> None:
    entry = _entry(dice, data)
    entry["preflight"] = not entry.get("preflight", False)


_CHANGES: tuple[_Change, ...] = (
    _role_scope,
    _role_scope,
    _role_includes,
    _role_until,
    _role_removed,
    _role_added,
    _scope_implies,
    _scope_disabled,
    _scope_requires,
    _scope_requires,
    _route_scopes,
    _route_owner,
    _route_removed,
    _route_added,
    _route_preflight,
)
