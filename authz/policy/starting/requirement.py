"""What an OpenAPI `security` asks for, in the words of a route (OpenAPI 3.0 and 3.1, security requirement object)."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from authz.core import AuthzError

_SCOPED: Final = frozenset({"oauth2", "openIdConnect"})
"""The types of security scheme whose requirement lists scopes; others may list roles, which are not scopes."""

_OPENID: Final = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})
"""OpenID Connect's own scopes choose claims; they say nothing about access."""


class Undecided(AuthzError):  # noqa: N818 - a finding about one operation, which is listed and not raised further
    """The document does not say which scopes an operation takes: it stays closed until somebody does."""

    code = "undecided"


class Requirement(Struct, frozen=True):
    """Exactly one of the three, as on a route."""

    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    public: bool = False


def requirement_of(security: Any, schemes: Mapping[str, Any], only: frozenset[str] = frozenset()) -> Requirement:
    """What a list of alternatives asks for; `schemes` are the document's security schemes.

    `only`: alternatives by any other scheme are for another way in, and left out; empty for none.

    Raises Undecided, saying why.
    """
    if security is None:
        raise Undecided("it has no `security`, and neither has the document")
    if not isinstance(security, list) or not all(isinstance(each, dict) for each in security):
        raise Undecided("its `security` is not a list of objects")
    if not security or {} in security:
        return Requirement(public=True)
    if only:
        security = [each for each in security if only.issuperset(each)]
        if not security:
            raise Undecided("none of its alternatives is by the schemes that count")
    alternatives = list(dict.fromkeys(_scopes(each, schemes) for each in security))
    if () in alternatives:
        raise Undecided("an alternative of its `security` names no scope")
    if len(alternatives) == 1:
        return Requirement(all_of=alternatives[0])
    if all(len(each) == 1 for each in alternatives):
        return Requirement(any_of=tuple(scope for (scope,) in alternatives))
    raise Undecided("its alternatives are of several scopes each, which one route cannot hold")


def _scopes(alternative: Mapping[str, Any], schemes: Mapping[str, Any]) -> tuple[str, ...]:
    """All scopes of one alternative, sorted."""
    found: set[str] = set()
    for name, listed in alternative.items():
        scheme = schemes.get(name)
        if not isinstance(scheme, dict):
            raise Undecided(f"its `security` names a scheme that is not declared: {name}")
        if scheme.get("type") in _SCOPED and isinstance(listed, list):
            found.update(scope for scope in listed if isinstance(scope, str))
    return tuple(sorted(found - _OPENID))
