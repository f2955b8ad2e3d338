"""What of a policy is used, by the decisions of a ledger: least privilege from evidence."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from authz.core import AuthzError
from authz.history.folding import Tally
from authz.history.profile import SELF, UNKNOWN, Profile

_MISSING: Final = ("unmatched_route", "method_not_allowed")
_FAR_MORE: Final = 4
"""Who holds this many times what they use holds far more."""

Profiles = Mapping[Profile, Tally]


class NoRolesError(AuthzError):
    """The policy's data has no table of which role holds what."""

    code = "no_roles"


class Held(Struct, frozen=True):
    """Which scopes each role holds, and what each scope implies, as the build computed it."""

    roles: dict[str, frozenset[str]]
    implies: dict[str, frozenset[str]]


class _Scope(Struct, frozen=True):
    implies: dict[str, bool] = {}


class _Closure(Struct, frozen=True):
    roles: dict[str, dict[str, float]]
    scopes: dict[str, _Scope]


class _Tables(Struct, frozen=True):
    closure: _Closure


class _Data(Struct, frozen=True):
    authz: _Tables


def held_by(data_json: bytes) -> Held:
    """Read a bundle's data document. Raises NoRolesError."""
    try:
        closure = msgspec.json.decode(data_json, type=_Data).authz.closure
    except msgspec.ValidationError as error:
        raise NoRolesError(f"the policy does not say which role holds which scopes (authz.closure): {error}") from None
    return Held(
        {role: frozenset(scopes) for role, scopes in closure.roles.items()},
        {name: frozenset(scope.implies) for name, scope in closure.scopes.items()},
    )


class RoleUse(Struct, frozen=True):
    """One role. `subjects`: how many were seen with it; `used` and `unused`: of the scopes that it holds.

    `enough`: the scopes to list in a role that allows all that was used and nothing else.
    """

    role: str
    subjects: int
    used: tuple[str, ...]
    unused: tuple[str, ...]
    enough: tuple[str, ...]

    def yaml(self) -> str:
        """The smaller role, to paste into the roles' data."""
        listed = "".join(f"    - {scope}\n" for scope in self.enough)
        return f"{self.role}_used:\n  description: What was used of {self.role}\n  scopes:\n{listed}"


class SubjectUse(Struct, frozen=True):
    """One subject, by pseudonym, and how many scopes it holds and uses."""

    subject: str
    roles: tuple[str, ...]
    held: int
    used: tuple[str, ...]


class Unused(Struct, frozen=True):
    """Roles by name; `far_more`: subjects that hold four times what they use, most first."""

    roles: tuple[RoleUse, ...]
    far_more: tuple[SubjectUse, ...]


def unused(profiles: Profiles, held: Held) -> Unused:
    """What nobody used. A scope counts as used where an allow was granted by it; each role that granted it used it."""
    used: dict[str, set[str]] = {role: set() for role in held.roles}
    seen: dict[str, set[str]] = {role: set() for role in held.roles}
    people: dict[str, tuple[set[str], set[str]]] = {}
    for profile, tally in profiles.items():
        granted = dict(profile.granted_by) if profile.decision == "allow" else {}
        for scope, roles in granted.items():
            for role in roles:
                used.setdefault(role, set()).add(scope)
        known = {role for role in profile.roles if role in held.roles}
        for role in known:
            seen[role] |= tally.subjects or set()
        for subject in tally.subjects or ():
            own = people.setdefault(subject, (set(), set()))
            own[0].update(known)
            own[1].update(granted)
    rows = [_role(role, scopes, used[role], len(seen[role]), held) for role, scopes in sorted(held.roles.items())]
    return Unused(tuple(rows), tuple(_far_more(people, held)))


def _role(role: str, scopes: frozenset[str], used: set[str], subjects: int, held: Held) -> RoleUse:
    kept = scopes & used
    enough = {scope for scope in kept if not any(scope in held.implies[other] - {other} for other in kept)}
    return RoleUse(role, subjects, tuple(sorted(kept)), tuple(sorted(scopes - used)), tuple(sorted(enough)))


def _far_more(people: Mapping[str, tuple[set[str], set[str]]], held: Held) -> list[SubjectUse]:
    rows = []
    for subject, (roles, used) in people.items():
        count = len(frozenset().union(*(held.roles[role] for role in roles)))
        if count >= _FAR_MORE * max(1, len(used)):
            rows.append(SubjectUse(subject, tuple(sorted(roles)), count, tuple(sorted(used))))
    return sorted(rows, key=lambda row: (len(row.used) - row.held, row.subject))


class Holder(Struct, frozen=True):
    """A subject that was seen holding a scope, by which roles (or `token`), and whether it used it."""

    subject: str
    through: tuple[str, ...]
    used: bool


def holders(profiles: Profiles, held: Held, scope: str) -> list[Holder]:
    """Everybody who was seen with a role that holds the scope, or was granted it, by pseudonym."""
    found: dict[str, tuple[set[str], list[bool]]] = {}
    for profile, tally in profiles.items():
        granted = dict(profile.granted_by).get(scope, ()) if profile.decision == "allow" else ()
        through = {*granted, *(role for role in profile.roles if scope in held.roles.get(role, ()))}
        for subject in (tally.subjects or ()) if through else ():
            own = found.setdefault(subject, (set(), []))
            own[0].update(through)
            own[1].append(bool(granted))
    return [Holder(subject, tuple(sorted(by)), any(used)) for subject, (by, used) in sorted(found.items())]


class ScopeUse(Struct, frozen=True):
    """How many subjects were seen holding a scope, and how many of them used it."""

    held: int
    used: int


def scope_use(profiles: Profiles, held: Held) -> dict[str, ScopeUse]:
    """The numbers of `holders` for every scope of the policy, in one go."""
    holding: dict[str, set[str]] = {scope: set() for scope in held.implies}
    using: dict[str, set[str]] = {scope: set() for scope in held.implies}
    for profile, tally in profiles.items():
        granted = dict(profile.granted_by) if profile.decision == "allow" else {}
        subjects = tally.subjects or set()
        for scope in {*granted, *(scope for role in profile.roles for scope in held.roles.get(role, ()))}:
            holding.setdefault(scope, set()).update(subjects)
        for scope in granted:
            using.setdefault(scope, set()).update(subjects)
    return {scope: ScopeUse(len(subjects), len(using.get(scope, ()))) for scope, subjects in sorted(holding.items())}


class Missing(Struct, frozen=True):
    """A place that was asked for and that no route has. `path`: what is not known of it as parameters."""

    method: str
    path: str
    host: str | None
    reason: str
    decisions: int
    subjects: int
    first: str
    last: str

    def yaml(self) -> str:
        """A route to paste, which the build refuses until somebody says which scopes it needs."""
        host = f"    host: {self.host}\n" if self.host else ""
        return f"{self.path}:\n  - methods: [{self.method}]\n{host}    all_of: [WHICH_SCOPE]\n"


def missing_routes(profiles: Profiles) -> list[Missing]:
    """What matched no route, most asked for first."""
    places: dict[tuple[str, str, str | None, str], Tally] = {}
    for profile, tally in profiles.items():
        if profile.reason not in _MISSING or not profile.path:
            continue
        place = (profile.action or "", _template(profile.path), profile.host, profile.reason)
        if place in places:
            places[place].merge(tally)
        else:
            places[place] = tally.copy()
    rows = [Missing(*place, t.count, len(t.subjects or ()), t.first, t.last) for place, t in places.items()]
    return sorted(rows, key=lambda row: (-row.decisions, row.path, row.method))


def _template(path: str) -> str:
    return "/" + "/".join(_named(path[1:].split("/")))


def _named(segments: list[str]) -> Iterator[str]:
    number = 0
    for segment in segments:
        if segment in (SELF, UNKNOWN):
            number += 1
            yield "{id}" if number == 1 else f"{{id{number}}}"
        else:
            yield segment
