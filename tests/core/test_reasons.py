"""One code = JSON field = log field = metric label: the tables of reasons and events are the published ones."""

import re
from typing import get_args

import msgspec
import pytest

from authz.core import (
    EVENT_TYPES,
    POLICY_ALLOWS,
    POLICY_DENIES,
    REASONS,
    REFUSALS,
    AuthzError,
    DecisionBody,
    Kind,
    client_text,
    errors,
    kind_of,
)
from authz.core.events import Category, Severity

PUBLISHED = {
    "scope_granted": 200,
    "public_route": 200,
    "token_missing": 401,
    "token_malformed": 401,
    "token_signature": 401,
    "token_expired": 401,
    "token_not_yet_valid": 401,
    "token_issuer": 401,
    "token_audience": 401,
    "token_type": 401,
    "token_revoked": 401,
    "token_too_large": 401,
    "token_binding": 401,
    "scope_missing": 403,
    "not_owner": 403,
    "unknown_role": 403,
    "unknown_scope": 403,
    "unknown_resource_type": 403,
    "unmatched_route": 403,
    "method_not_allowed": 403,
    "ambiguous_path": 403,
    "subject_mismatch": 403,
    "condition_unmet": 403,
    "policy_undefined": 403,
    "policy_contract": 403,
    "rate_limited": 429,
    "policy_error": 503,
    "policy_stale": 503,
    "engine_unavailable": 503,
    "keys_unavailable": 503,
    "limits_unavailable": 503,
    "audit_unavailable": 503,
    "overloaded": 503,
}

NEVER_A_QUESTION = {
    "bad_request": 400,
    "unparsed": 400,
    "caller_unauthenticated": 401,
    "caller_forbidden": 403,
    "not_found": 404,
    "method_not_supported": 405,
    "too_large": 413,
}

NAMED_BY_THE_MISSION = {
    "auth.login",
    "auth.scope_denied",
    "auth.scope_granted",
    "user.created",
    "user.profile_accessed",
    "user.settings_changed",
    "admin.access",
    "admin.config_changed",
    "admin.user_impersonated",
    "memory.accessed",
    "memory.modified",
    "memory.searched",
    "ws.connect",
    "ws.message_sent",
    "ws.error",
    "api.request",
    "api.error",
    "system.startup",
    "system.shutdown",
    "security.suspicious_activity",
    "security.failed_login",
}

FIELDS_OF_A_DECISION = {
    "decision",
    "reason",
    "operation",
    "subject",
    "roles",
    "token_scopes",
    "scopes",
    "missing",
    "granted_by",
    "action",
    "route",
    "params",
    "host",
    "context",
    "revision",
    "engine",
    "dialect",
    "channel",
    "caller",
    "ip",
    "user_agent",
    "session_id",
    "token_id",
    "request_id",
    "trace_id",
    "batch",
    "enforced",
    "unverified",
}


def test_the_reasons_are_the_published_ones() -> None:
    """Every reason of the contract is there with its status, and no other."""
    assert {code: row.kind.value for code, row in REASONS.items()} == PUBLISHED
    assert {code: kind_of(code).value for code in PUBLISHED} == PUBLISHED


def test_refusals_are_the_published_ones() -> None:
    """Every answer that is no decision has its status, and a code that no reason has."""
    assert REFUSALS == NEVER_A_QUESTION
    assert not REFUSALS.keys() & REASONS.keys()


def test_what_a_policy_may_say() -> None:
    """A policy allows with two reasons and denies with eight; tokens, limits and failures are not its to tell."""
    assert {"scope_granted", "public_route"} == POLICY_ALLOWS
    assert {
        "scope_missing",
        "not_owner",
        "unknown_role",
        "unknown_scope",
        "unknown_resource_type",
        "unmatched_route",
        "method_not_allowed",
        "condition_unmet",
    } == POLICY_DENIES


def test_a_reason_nobody_knows_is_a_denial() -> None:
    """A reason that only a policy knows is a 403, told to the client without its name."""
    assert kind_of("too_young") is Kind.FORBIDDEN
    assert client_text("too_young") == "The policy denies the request."


@pytest.mark.parametrize("reason", REASONS)
def test_a_client_gets_a_sentence(reason: str) -> None:
    """Every reason has a sentence that a client may be shown: short, plain, and not its code."""
    text = client_text(reason)
    assert re.fullmatch(r"[A-Z][A-Za-z' ]{10,60}\.", text)
    assert reason not in text


def test_error_codes_are_codes() -> None:
    """Each error has a code of its own, and those a client can get are in the tables."""
    codes = {
        kind.__name__: kind.code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AuthzError)
    }
    assert codes == {
        "AuthzError": "internal",
        "ConfigurationError": "configuration",
        "BadRequestError": "bad_request",
        "TooLargeError": "too_large",
        "AuditUnavailableError": "audit_unavailable",
        "OverloadedError": "overloaded",
    }
    assert codes.keys() - {"AuthzError", "ConfigurationError"} == {
        name for name, code in codes.items() if code in REASONS or code in REFUSALS
    }


def test_the_missions_events_are_all_there() -> None:
    """The 21 types of events that the mission names are in the catalogue, among 25 or more."""
    assert len(NAMED_BY_THE_MISSION) == 21
    assert NAMED_BY_THE_MISSION - EVENT_TYPES.keys() == set()
    assert len(EVENT_TYPES) >= 25


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_event_has_its_row(name: str) -> None:
    """A type is `category.what`, of a known category and severity, and what we assert ourselves is not reportable."""
    row = EVENT_TYPES[name]
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", name)
    assert row.category == name.partition(".")[0]
    assert row.category in get_args(Category)
    assert row.severity in get_args(Severity)
    assert len(set(row.required)) == len(row.required)
    if row.category in ("system", "policy", "audit") or "decision" in row.required:
        assert not row.reportable


def test_decisions_events_have_the_fields_they_require() -> None:
    """Every field that a decision's type requires is a field of its record."""
    fields = set(DecisionBody.__struct_fields__)
    for name in ("auth.scope_granted", "auth.scope_denied", "auth.rate_limited", "auth.error", "security.failed_login"):
        assert set(EVENT_TYPES[name].required) <= fields


def test_a_decisions_record_has_every_published_field() -> None:
    """The body of a decision's record has every field of the contract, what the ledger itself adds excepted."""
    fields = set(DecisionBody.__struct_fields__)
    assert FIELDS_OF_A_DECISION - fields == set()
    assert fields - FIELDS_OF_A_DECISION == {
        "subject_type",
        "subject_source",
        "issuer",
        "scope_mode",
        "path",
        "resource",
        "limit",
        "retry_after_seconds",
        "claims",
    }


def test_a_small_record_is_small() -> None:
    """Of a decision only what is known is written."""
    body = DecisionBody(
        decision="deny", reason="token_missing", revision="r", engine="embedded", dialect="envoy", caller="gateway"
    )
    assert msgspec.json.decode(msgspec.json.encode(body)) == {
        "decision": "deny",
        "reason": "token_missing",
        "revision": "r",
        "engine": "embedded",
        "dialect": "envoy",
        "caller": "gateway",
    }
