"""Why a decision came out as it did: words for every reason there is."""

from typing import Any

import pytest

from authz.core import POLICY_ALLOWS, REASONS, Explanation, Limit, Outcome, why

POST: dict[str, Any] = {
    "allow": False,
    "asked": "POST /memory",
    "scopes": ("memory:write",),
    "missing": ("memory:write",),
}
NEEDED = "Denied: POST /memory needs memory:write; memory:write is not held."

SAID: dict[str, tuple[Outcome, Explanation, tuple[str, ...]]] = {
    "scope_granted": (
        Outcome(allow=True, reason="scope_granted", asked="GET /memory", scopes=("memory:read",)),
        Explanation(held={"memory:read": ("user_premium > user_basic > memory:read",)}),
        (
            "Allowed: GET /memory needs memory:read, which the subject holds.",
            "memory:read is held through user_premium > user_basic > memory:read.",
        ),
    ),
    "public_route": (
        Outcome(allow=True, reason="public_route", asked="GET /health"),
        Explanation(),
        ("Allowed: GET /health is public; nobody needs a scope for it.",),
    ),
    "scope_missing": (
        Outcome(reason="scope_missing", roles=("user_basic",), **POST),
        Explanation(would_grant=("caregiver_advanced", "user_premium")),
        (
            NEEDED,
            "Any one of these roles would allow it: caregiver_advanced, user_premium. Give the subject one of them.",
        ),
    ),
    "unknown_role": (
        Outcome(reason="unknown_role", roles=("usr",), **POST),
        Explanation(would_grant=("user_premium",)),
        (
            NEEDED,
            "None of the subject's roles (usr) is declared.",
            (
                "Correct it where the issuer assigns it, map it (the issuer's `role_map`), or declare it in "
                "roles/data.yaml."
            ),
            "Any one of these roles would allow it: user_premium. Give the subject one of them.",
        ),
    ),
    "not_owner": (
        Outcome(allow=False, reason="not_owner", asked="GET /users/{id}/profile", scopes=("admin:users:read",)),
        Explanation(foreign=("id",), would_grant=("admin", "admin_readonly")),
        (
            "Denied: GET /users/{id}/profile needs admin:users:read.",
            "{id} has to be the subject's own ID, and is somebody else's.",
            (
                "Ask for the subject's own, or use a role with a scope of the parameter's `or_any_of` (admin or "
                "admin_readonly)."
            ),
        ),
    ),
    "condition_unmet": (
        Outcome(reason="condition_unmet", roles=("signer",), **POST),
        Explanation(unmet={"memory:write": {"acr": ["gold", "silver"], "amr": ["pwd", "mfa"], "cidr": ["10.0.0.0/8"]}}),
        (
            NEEDED,
            (
                "memory:write is held, but requires a sign-in with acr gold or silver and a sign-in with amr pwd and "
                "mfa and a client address in 10.0.0.0/8."
            ),
            "Meet what the scope's `require` asks for, or change it in scopes/data.yaml.",
        ),
    ),
    "unmatched_route": (
        Outcome(allow=False, reason="unmatched_route", asked="GET /nowhere"),
        Explanation(),
        (
            "Denied: GET /nowhere: unmatched_route.",
            "No declared route matches the method, path and host.",
            "Correct the request, or add the route in routes/data.yaml (`authz policy new route`).",
        ),
    ),
    "method_not_allowed": (
        Outcome(allow=False, reason="method_not_allowed", asked="PUT /memory", others=("GET", "POST")),
        Explanation(),
        (
            "Denied: PUT /memory: method_not_allowed.",
            "The route is declared for GET, POST only.",
            "Use one of these methods, or add the method in routes/data.yaml.",
        ),
    ),
    "unknown_scope": (
        Outcome(allow=False, reason="unknown_scope", asked="use of the scope memory:eat"),
        Explanation(),
        (
            "Denied: use of the scope memory:eat: unknown_scope.",
            "It is no declared scope, or the action is not `use`: correct it, or declare it in scopes/data.yaml.",
        ),
    ),
    "unknown_resource_type": (
        Outcome(allow=False, reason="unknown_resource_type", asked="GET of the planet mars"),
        Explanation(),
        (
            "Denied: GET of the planet mars: unknown_resource_type.",
            "The policy knows the resource types route and scope: ask for one of these, or extend the policy's Rego.",
        ),
    ),
    "rate_limited": (
        Outcome(
            allow=False,
            reason="rate_limited",
            asked="POST /ai/chat",
            scopes=("ai:chat",),
            limit=Limit("ai:chat", 60, 60),
            retry_after_seconds=2,
        ),
        Explanation(),
        (
            "Denied: POST /ai/chat needs ai:chat.",
            (
                "60 uses of ai:chat in 60 s are spent. Ask again in 2 s, or raise the limit (`limits` of the route or "
                "scope)."
            ),
        ),
    ),
}

FIXES = {
    "token_missing": "`Authorization: Bearer TOKEN`",
    "token_malformed": "the whole access token",
    "token_signature": "the issuer's `keys`",
    "token_expired": "Get a new token",
    "token_not_yet_valid": "Set the clocks",
    "token_issuer": "`[[issuers]]`",
    "token_audience": "`audiences`",
    "token_type": "Send the access token",
    "token_revoked": "`authz revoke list`",
    "token_too_large": "leave out claims",
    "token_binding": "a token that is not bound",
    "ambiguous_path": "`accepts`",
    "subject_mismatch": "Leave the subject out",
    "policy_undefined": "a default",
    "policy_contract": "`data.authz.decision`",
    "policy_error": "`authz policy rollback`",
    "policy_stale": "`policy.source`",
    "engine_unavailable": "`opa.url`",
    "keys_unavailable": "/readyz names the issuer",
    "limits_unavailable": "the store of the limits",
    "audit_unavailable": "the state directory",
    "overloaded": "start more replicas",
}


@pytest.mark.parametrize("reason", SAID)
def test_what_the_policy_says_is_told_in_words(reason: str) -> None:
    """What was needed, how it was held or what stood in the way, and then what would change it."""
    outcome, explanation, said = SAID[reason]
    assert why(outcome, explanation) == said


@pytest.mark.parametrize("reason", FIXES)
def test_what_the_service_says_is_told_with_the_fix(reason: str) -> None:
    """Where the service itself refuses, the last sentence is what to do."""
    because, fix = why(Outcome(allow=False, reason=reason, asked="GET /memory"), None)
    assert because.startswith("Denied: ")
    assert FIXES[reason] in fix


def test_no_reason_is_left_out() -> None:
    """Every row of the table of reasons has its words and its test."""
    assert SAID.keys() | FIXES.keys() == REASONS.keys()
    assert {reason for reason, (outcome, _, _) in SAID.items() if outcome.allow} == POLICY_ALLOWS


def test_a_token_that_leaves_a_scope_out_is_named() -> None:
    """Where the roles would do, the sentence is about the token and not about roles."""
    outcome = Outcome(reason="scope_missing", roles=("user_premium",), token_scopes=("memory:read",), **POST)
    assert why(outcome, Explanation(restricted=("memory:write",)))[1:] == (
        (
            "The roles hold memory:write, but the token's scopes (memory:read) leave it out: ask the issuer for a "
            "token with memory:write."
        ),
    )


def test_a_role_that_has_ended_is_named() -> None:
    """A role with an `until` that is past is what stands in the way."""
    outcome = Outcome(reason="scope_missing", roles=("guest",), **POST)
    assert why(outcome, Explanation(ended={"memory:write": ("guest",)}))[1:] == (
        "guest held memory:write until its `until`: move it in roles/data.yaml, or give the subject another role.",
    )


def test_a_reason_of_the_policys_own_is_left_to_its_authors() -> None:
    """A reason that only the policy knows is said as it is."""
    outcome = Outcome(reason="full_moon", **POST)
    assert why(outcome, None) == (
        NEEDED,
        "The policy declares the reason full_moon: its authors say what helps.",
    )
