"""Why a decision came out as it did, in sentences that end with what would change it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from authz.core.model import Explanation, Limit
from authz.core.remedies import REMEDIES


class Outcome(Struct, frozen=True, kw_only=True):
    """What was decided, whether just now or long ago: all that the sentences speak of.

    `asked`: what was asked for, in words (`POST /memory`). `others`: methods that the path takes, where it does not
    take the one asked for.
    """

    allow: bool
    reason: str
    asked: str
    scopes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    granted_by: Mapping[str, tuple[str, ...]] = {}
    roles: tuple[str, ...] = ()
    token_scopes: tuple[str, ...] | None = None
    others: tuple[str, ...] = ()
    limit: Limit | None = None
    retry_after_seconds: int | None = None


def why(outcome: Outcome, explained: Explanation | None) -> tuple[str, ...]:
    """The sentences: what was needed and how it was held, or what stood in the way; then, of a denial, the remedy.

    `explained`: what the policy says of it; None when it says nothing.
    """
    known = explained or Explanation()
    if outcome.allow:
        return (f"Allowed: {_ground(outcome)}.", *_held(outcome, known))
    obstacle = _OBSTACLES.get(outcome.reason)
    if obstacle is not None:
        return (*_denial(outcome), *_held(outcome, known), *obstacle(outcome, known))
    remedy = REMEDIES.get(outcome.reason)
    if remedy is None:
        return (*_denial(outcome), f"The policy declares the reason {outcome.reason}: its authors say what helps.")
    return (f"Denied: {remedy.because}", remedy.fix)


def _ground(outcome: Outcome) -> str:
    if outcome.reason == "public_route":
        return f"{outcome.asked} is public; nobody needs a scope for it"
    return f"{outcome.asked} needs {_all(outcome.scopes)}, which the subject holds"


def _denial(outcome: Outcome) -> tuple[str, ...]:
    if not outcome.scopes:
        return (f"Denied: {outcome.asked}: {outcome.reason}.",)
    lacking = f"; {_all(outcome.missing)} is not held" if outcome.missing else ""
    return (f"Denied: {outcome.asked} needs {_all(outcome.scopes)}{lacking}.",)


def _held(outcome: Outcome, known: Explanation) -> tuple[str, ...]:
    """How each needed scope that is held was got."""
    said = []
    for scope in outcome.scopes:
        chains = known.held.get(scope) or outcome.granted_by.get(scope, ())
        if chains and scope not in outcome.missing:
            said.append(f"{scope} is held through {' and '.join(map(_chain, chains))}.")
    return tuple(said)


def _chain(chain: str) -> str:
    return "the token's scopes" if chain == "token" else chain


def _scope_missing(outcome: Outcome, known: Explanation) -> tuple[str, ...]:
    said = [
        f"The roles hold {scope}, but the token's scopes ({_list(outcome.token_scopes)}) leave it out: ask the issuer "
        f"for a token with {scope}."
        for scope in known.restricted
    ]
    said += [
        f"{_all(roles)} held {scope} until its `until`: move it in roles/data.yaml, or give the subject another role."
        for scope, roles in known.ended.items()
    ]
    return (*said, *_by_role(outcome, known, otherwise=not said))


def _by_role(outcome: Outcome, known: Explanation, *, otherwise: bool = True) -> tuple[str, ...]:
    if known.would_grant:
        return (f"Any one of these roles would allow it: {_list(known.would_grant)}. Give the subject one of them.",)
    if not otherwise:
        return ()
    wanted = _all(outcome.missing or outcome.scopes)
    return (f"No role alone would allow it: give one of the subject's roles ({_list(outcome.roles)}) {wanted}.",)


def _unknown_role(outcome: Outcome, known: Explanation) -> tuple[str, ...]:
    fix = "Correct it where the issuer assigns it, map it (the issuer's `role_map`), or declare it in roles/data.yaml."
    said = f"None of the subject's roles ({_list(outcome.roles)}) is declared."
    return (said, fix, *_by_role(outcome, known, otherwise=False))


def _not_owner(_outcome: Outcome, known: Explanation) -> tuple[str, ...]:
    names = _all(tuple(f"{{{name}}}" for name in known.foreign)) or "the route's parameter"
    roles = f" ({' or '.join(known.would_grant)})" if known.would_grant else ""
    return (
        f"{names} has to be the subject's own ID, and is somebody else's.",
        f"Ask for the subject's own, or use a role with a scope of the parameter's `or_any_of`{roles}.",
    )


def _condition_unmet(_outcome: Outcome, known: Explanation) -> tuple[str, ...]:
    said = [
        f"{scope} is held, but requires {_all(tuple(_condition(*each) for each in sorted(unmet.items())))}."
        for scope, unmet in known.unmet.items()
    ]
    return (*said, "Meet what the scope's `require` asks for, or change it in scopes/data.yaml.")


def _condition(kind: str, accepted: Any) -> str:
    values = [str(each) for each in accepted] if isinstance(accepted, list) else [str(accepted)]
    match kind:
        case "acr":
            return f"a sign-in with acr {' or '.join(values)}"
        case "amr":
            return f"a sign-in with amr {' and '.join(values)}"
        case "cidr":
            return f"a client address in {' or '.join(values)}"
        case _:
            return f"{kind} {' or '.join(values)}"


def _unmatched(outcome: Outcome, _known: Explanation) -> tuple[str, ...]:
    if outcome.others:
        said = f"The route is declared for {_list(outcome.others)} only."
        return (said, "Use one of these methods, or add the method in routes/data.yaml.")
    said = "No declared route matches the method, path and host."
    return (said, "Correct the request, or add the route in routes/data.yaml (`authz policy new route`).")


def _unknown_scope(_outcome: Outcome, _known: Explanation) -> tuple[str, ...]:
    return ("It is no declared scope, or the action is not `use`: correct it, or declare it in scopes/data.yaml.",)


def _unknown_type(_outcome: Outcome, _known: Explanation) -> tuple[str, ...]:
    return ("The policy knows the resource types route and scope: ask for one of these, or extend the policy's Rego.",)


def _rate_limited(outcome: Outcome, _known: Explanation) -> tuple[str, ...]:
    limit = outcome.limit
    spent = f"{limit.count} uses of {limit.scope} in {limit.per_seconds} s are spent" if limit else "too many requests"
    again = f"Ask again in {outcome.retry_after_seconds} s" if outcome.retry_after_seconds else "Ask again later"
    return (f"{spent[0].upper()}{spent[1:]}. {again}, or raise the limit (`limits` of the route or scope).",)


_OBSTACLES: Final[dict[str, Callable[[Outcome, Explanation], tuple[str, ...]]]] = {
    "scope_missing": _scope_missing,
    "unknown_role": _unknown_role,
    "not_owner": _not_owner,
    "condition_unmet": _condition_unmet,
    "unmatched_route": _unmatched,
    "method_not_allowed": _unmatched,
    "unknown_scope": _unknown_scope,
    "unknown_resource_type": _unknown_type,
    "rate_limited": _rate_limited,
}


def _all(names: tuple[str, ...]) -> str:
    return " and ".join(names)


def _list(names: tuple[str, ...] | None) -> str:
    return ", ".join(names) if names else "none"
