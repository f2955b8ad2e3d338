"""Every reason a decision can have: one code = JSON field = log field = metric label = documentation row."""

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """What a reason amounts to. The value is the HTTP status in gateway dialects."""

    ALLOW = 200
    UNAUTHENTICATED = 401
    FORBIDDEN = 403
    LIMITED = 429
    UNDECIDED = 503


class ReasonRow(NamedTuple):
    """One row of the table: whether a policy may say it, and a sentence a client may be shown."""

    kind: Kind
    by_policy: bool
    client_text: str


REASONS: dict[str, ReasonRow] = {
    "scope_granted": ReasonRow(Kind.ALLOW, True, "The required scopes are held."),
    "public_route": ReasonRow(Kind.ALLOW, True, "The route is public."),
    "token_missing": ReasonRow(Kind.UNAUTHENTICATED, False, "A bearer token is required."),
    "token_malformed": ReasonRow(Kind.UNAUTHENTICATED, False, "The token cannot be read."),
    "token_signature": ReasonRow(Kind.UNAUTHENTICATED, False, "The token's signature does not verify."),
    "token_expired": ReasonRow(Kind.UNAUTHENTICATED, False, "The token has expired."),
    "token_not_yet_valid": ReasonRow(Kind.UNAUTHENTICATED, False, "The token is not valid yet."),
    "token_issuer": ReasonRow(Kind.UNAUTHENTICATED, False, "The token's issuer is not accepted."),
    "token_audience": ReasonRow(Kind.UNAUTHENTICATED, False, "The token is for another audience."),
    "token_type": ReasonRow(Kind.UNAUTHENTICATED, False, "The token is not an access token."),
    "token_revoked": ReasonRow(Kind.UNAUTHENTICATED, False, "The token has been revoked."),
    "token_too_large": ReasonRow(Kind.UNAUTHENTICATED, False, "The token is too large."),
    "token_binding": ReasonRow(Kind.UNAUTHENTICATED, False, "The token is bound to another client."),
    "scope_missing": ReasonRow(Kind.FORBIDDEN, True, "A required scope is missing."),
    "not_owner": ReasonRow(Kind.FORBIDDEN, True, "The resource belongs to someone else."),
    "unknown_role": ReasonRow(Kind.FORBIDDEN, True, "None of the subject's roles is known."),
    "unknown_scope": ReasonRow(Kind.FORBIDDEN, True, "The scope is not known."),
    "unknown_resource_type": ReasonRow(Kind.FORBIDDEN, True, "The type of resource is not known."),
    "unmatched_route": ReasonRow(Kind.FORBIDDEN, True, "No route matches the request."),
    "method_not_allowed": ReasonRow(Kind.FORBIDDEN, True, "The route does not take this method."),
    "ambiguous_path": ReasonRow(Kind.FORBIDDEN, False, "The path can be read in more than one way."),
    "subject_mismatch": ReasonRow(Kind.FORBIDDEN, False, "The token belongs to another subject."),
    "condition_unmet": ReasonRow(Kind.FORBIDDEN, True, "A condition of the policy is not met."),
    "policy_undefined": ReasonRow(Kind.FORBIDDEN, False, "The policy gives no answer."),
    "policy_contract": ReasonRow(Kind.FORBIDDEN, False, "The policy's answer cannot be used."),
    "rate_limited": ReasonRow(Kind.LIMITED, False, "Too many requests."),
    "policy_error": ReasonRow(Kind.UNDECIDED, False, "The policy could not be evaluated."),
    "policy_stale": ReasonRow(Kind.UNDECIDED, False, "The policy is too old."),
    "engine_unavailable": ReasonRow(Kind.UNDECIDED, False, "The policy engine does not answer."),
    "keys_unavailable": ReasonRow(Kind.UNDECIDED, False, "The issuer's keys are not available."),
    "limits_unavailable": ReasonRow(Kind.UNDECIDED, False, "The rate limits cannot be checked."),
    "audit_unavailable": ReasonRow(Kind.UNDECIDED, False, "The decision could not be recorded."),
    "overloaded": ReasonRow(Kind.UNDECIDED, False, "Too many decisions are waiting."),
}

POLICY_ALLOWS = frozenset(code for code, row in REASONS.items() if row.by_policy and row.kind is Kind.ALLOW)
POLICY_DENIES = frozenset(code for code, row in REASONS.items() if row.by_policy and row.kind is not Kind.ALLOW)

REFUSALS: dict[str, int] = {
    "bad_request": 400,
    "unparsed": 400,
    "caller_unauthenticated": 401,
    "caller_forbidden": 403,
    "not_found": 404,
    "method_not_supported": 405,
    "too_large": 413,
}
"""Answers to calls that never became a question: counted, not recorded. Code -> HTTP status."""


_KINDS = {code: row.kind for code, row in REASONS.items()}


def kind_of(reason: str) -> Kind:
    """The kind of a reason; a reason that only a policy knows is a refusal of permission."""
    return _KINDS.get(reason, Kind.FORBIDDEN)


def client_text(reason: str) -> str:
    """A sentence for the client: never more than the code itself says."""
    row = REASONS.get(reason)
    return row.client_text if row else "The policy denies the request."
