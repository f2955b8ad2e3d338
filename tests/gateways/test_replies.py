"""What every dialect shares in writing: how identity goes upstream, how a denial reaches the client."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authz.core import REASONS, Kind, Subject
from authz.gateways import DIALECTS, Reply, printable, problem, refusal, write_observed
from authz.gateways.replies import identity_headers, status_of, write, write_without_body
from tests.gateways.questions import ALICE, IDENTITY, decision, head
from tests.properties import many


def test_identity_goes_upstream_in_three_headers() -> None:
    """On an allow all three identity headers are there: who, in which roles, by which scopes that granted."""
    allow = decision("scope_granted", allow=True, subject=ALICE, scopes=("memory:read", "memory:write"))
    assert identity_headers(allow) == {
        "X-Authz-Subject": "alice",
        "X-Authz-Roles": "user_basic,carer",
        "X-Authz-Scopes": "memory:read,memory:write",
    }


def test_identity_headers_are_there_when_empty() -> None:
    """For nobody the three headers are there and empty, so that a client's own never pass."""
    assert identity_headers(decision("public_route", allow=True)) == {
        "X-Authz-Subject": "",
        "X-Authz-Roles": "",
        "X-Authz-Scopes": "",
    }


def test_a_policys_headers_go_beside_ours() -> None:
    """The policy's own headers go upstream; they cannot take the place of ours."""
    allow = decision("public_route", allow=True, subject=ALICE, headers={"X-Tenant": "acme", "X-Authz-Subject": "root"})
    assert identity_headers(allow) == {
        "X-Tenant": "acme",
        "X-Authz-Subject": "alice",
        "X-Authz-Roles": "user_basic,carer",
        "X-Authz-Scopes": "",
    }


TEXTS = st.text(st.characters() | st.sampled_from("\r\n\x00,% "))


@many
@given(TEXTS, st.lists(TEXTS), st.lists(TEXTS))
def test_no_name_can_inject_a_header(subject: str, roles: list[str], scopes: list[str]) -> None:
    """Whatever a subject, role or scope is called, its header is visible ASCII and the list keeps its length."""
    who = Subject(type="user", id=subject, source="token", pseudonym=None, roles=tuple(roles))
    written = identity_headers(decision("scope_granted", allow=True, subject=who, scopes=tuple(scopes)))
    assert list(written) == ["X-Authz-Subject", "X-Authz-Roles", "X-Authz-Scopes"]
    for value in written.values():
        assert all("\x21" <= character <= "\x7e" for character in value)
    for value, names in (("X-Authz-Roles", roles), ("X-Authz-Scopes", scopes)):
        assert written[value].count(",") == max(len(names) - 1, 0)


@many
@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\r\n\x00,% ")))
@example("100%41")
def test_a_header_can_be_read_back(text: str) -> None:
    """Percent-decoding a header's value gives the text again, so that no two IDs look alike upstream."""
    assert unquote(printable(text)) == text


def test_a_plain_name_is_written_as_it_is() -> None:
    """An ordinary ID is not encoded at all."""
    for plain in ("alice", "auth0|64f1", "alice@example.com", "8f14e45f-ceea-467f-9f4b-1d2c3b4a5e6f", "a:b/c=d"):
        assert printable(plain) == plain


def test_a_denial_is_problem_json() -> None:
    """A denial tells the client its ID, its reason and a sentence, and nothing internal."""
    denied = decision("not_owner", subject=ALICE, scopes=("memory:read",), missing=("memory:read",))
    reply = problem(head(), denied, 403)
    assert (reply.status, reply.headers) == (
        403,
        {"X-Decision-Id": "id-1", "Content-Type": "application/problem+json"},
    )
    assert json.loads(reply.body) == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "reason": "not_owner",
        "detail": "The resource belongs to someone else.",
        "decision_id": "id-1",
    }


@pytest.mark.parametrize(("reason", "row"), REASONS.items(), ids=REASONS)
def test_challenges_are_those_of_rfc_6750(reason: str, row: Any) -> None:
    """401 has a challenge, without error where there was no token; a missing scope says so; others have none."""
    reply = problem(head(), decision(reason), row.kind.value)
    expected = None
    if reason == "token_missing":
        expected = 'Bearer realm="authz"'
    elif row.kind is Kind.UNAUTHENTICATED:
        expected = 'Bearer realm="authz", error="invalid_token"'
    elif reason == "scope_missing":
        expected = 'Bearer realm="authz", error="insufficient_scope"'
    assert reply.headers.get("WWW-Authenticate") == expected


def test_head_has_no_body() -> None:
    """A denial of HEAD has its status and headers, and neither body nor content type."""
    assert problem(head(method="HEAD"), decision("token_expired"), 401) == Reply(
        401, {"X-Decision-Id": "id-1", "WWW-Authenticate": 'Bearer realm="authz", error="invalid_token"'}
    )
    assert refusal(head(method="HEAD"), 400, "bad_request", "no") == Reply(400, {}, refusal="bad_request")


def test_a_refusal_is_problem_json() -> None:
    """An answer that is no decision has the same shape, without a decision's ID."""
    reply = refusal(head(), 413, "too_large", "The body is larger than limits.body_bytes")
    assert reply == Reply(413, {"Content-Type": "application/problem+json"}, reply.body, "too_large")
    assert json.loads(reply.body) == {
        "type": "about:blank",
        "title": "Content Too Large",
        "status": 413,
        "reason": "too_large",
        "detail": "The body is larger than limits.body_bytes",
    }


@pytest.mark.parametrize("reason", [*REASONS, "a_policys_own"])
def test_a_status_is_the_reasons(reason: str) -> None:
    """The status is the reason's; 200 needs the flag as well, and a flag that the reason contradicts is none."""
    row = REASONS.get(reason)
    kind = row.kind if row else Kind.FORBIDDEN
    assert status_of(decision(reason, allow=True)) == kind.value
    assert status_of(decision(reason, allow=False)) == (503 if kind is Kind.ALLOW else kind.value)


def test_an_allow_is_200_and_identity() -> None:
    """An allow is 200 without a body, the decision's ID, the policy's headers and all three identity headers."""
    allow = decision("scope_granted", allow=True, subject=ALICE, scopes=("memory:read",), headers={"X-Tenant": "acme"})
    assert write(head(), allow) == Reply(
        200,
        {
            "X-Decision-Id": "id-1",
            "X-Tenant": "acme",
            "X-Authz-Subject": "alice",
            "X-Authz-Roles": "user_basic,carer",
            "X-Authz-Scopes": "memory:read",
        },
    )


def test_an_allow_for_nobody_has_empty_identity() -> None:
    """On a public route the identity headers are there and empty: the gateway overwrites the client's with them."""
    reply = write(head(), decision("public_route", allow=True))
    assert reply == Reply(200, {"X-Decision-Id": "id-1", **dict.fromkeys(IDENTITY, "")})


WRITERS = {prefix: dialect.write for prefix, dialect in DIALECTS.items()}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("reason", [*REASONS, "a_policys_own"])
@pytest.mark.parametrize("allow", [True, False])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_in_every_dialect_only_a_clear_allow_is_200(writer: Any, reason: str, allow: bool, method: str) -> None:
    """200 needs the flag and a reason that allows; undecided is 503; nothing but an allow carries identity."""
    reply = writer(head(method=method), decision(reason, allow=allow, subject=ALICE, headers={"X-Tenant": "acme"}))
    kind = REASONS[reason].kind if reason in REASONS else Kind.FORBIDDEN
    assert (reply.status == 200) is (allow and kind is Kind.ALLOW)
    assert reply.status in (200, 401, 403, 429, 503)
    if reply.status != 200:
        assert not {"X-Tenant", *IDENTITY} & reply.headers.keys()


def test_nginx_gets_no_body() -> None:
    """Where a body would cost nginx the connection, a denial has its status, ID and challenge, and nothing else."""
    denied = decision("token_expired")
    challenge = 'Bearer realm="authz", error="invalid_token"'
    assert write_without_body(head(), denied) == Reply(401, {"X-Decision-Id": "id-1", "WWW-Authenticate": challenge})
    assert {
        prefix: bool(dialect.write(head(), denied).body) for prefix, dialect in DIALECTS.items()
    } == {
        "/check/envoy": True,
        "/check/nginx": False,
        "/check/ingress-nginx": False,
        "/check/traefik": True,
        "/check/caddy": True,
        "/check/haproxy": True,
        "/check/apisix": True,
    }  # fmt: skip


@pytest.mark.parametrize("reason", [*REASONS, "a_policys_own"])
@pytest.mark.parametrize("allow", [True, False])
def test_who_only_observes_is_never_blocked_and_never_told_an_identity_that_was_denied(
    reason: str, allow: bool
) -> None:
    """An observing gateway gets 200 for everything, and the identity of those alone whom it would have let pass."""
    allowed = allow and reason in REASONS and REASONS[reason].kind is Kind.ALLOW
    reply = write_observed(decision(reason, allow=allow, subject=ALICE, scopes=("memory:read",)))
    identity = {
        "X-Authz-Subject": "alice",
        "X-Authz-Roles": "user_basic,carer",
        "X-Authz-Scopes": "memory:read",
    }
    assert reply == Reply(200, {"X-Decision-Id": "id-1", **(identity if allowed else dict.fromkeys(identity, ""))})
