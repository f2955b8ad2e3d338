"""Envoy's `ext_authz` over HTTP: what is read of a check, and the only reply that lets a request pass."""

import json
from typing import Any

import pytest
from multidict import CIMultiDict

from authz.core import (
    ANONYMOUS,
    REASONS,
    AccessRequest,
    Action,
    BearerToken,
    Caller,
    Decision,
    Entity,
    Kind,
    Subject,
)
from authz.gateways import DIALECTS, Reply, RequestHead

CALLER = Caller("gateway")
ENVOY = DIALECTS["/check/envoy"]
IDENTITY = {"X-Authz-Subject", "X-Authz-Roles", "X-Authz-Scopes"}
ALICE = Subject(type="user", id="alice", source="token", pseudonym="h1:k:x", roles=("user_basic",))


def head(*fields: tuple[str, str], method: str = "GET", target: str = "/memory/42?full=1") -> RequestHead:
    return RequestHead(method, target, CIMultiDict(fields))


def decision(reason: str, *, allow: bool, **members: Any) -> Decision:
    stated: dict[str, Any] = {"subject": ALICE, "revision": "0123456789abcdef", "id": "id-1"}
    return Decision(allow=allow, reason=reason, **stated | members)


def without_token(request: AccessRequest) -> dict[str, Any]:
    """The members of a question, its token apart: a token cannot be compared."""
    return {name: getattr(request, name) for name in request.__struct_fields__ if name != "token"}


def test_a_check_is_read_whole() -> None:
    """The client's method, raw target, Host and token make the question, with what the gateway says of the client."""
    request = ENVOY.read(
        head(
            ("Host", "API.test:443"),
            ("Authorization", "Bearer abc"),
            ("X-Request-ID", "r-1"),
            ("X-Authz-Client-IP", "192.0.2.1"),
            ("X-Authz-User-Agent", "curl/8"),
            ("X-Authz-Session-ID", "s-1"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            method="DELETE",
        ),
        CALLER,
        BearerToken("abc"),
    )
    assert without_token(request) == without_token(
        AccessRequest(
            caller=CALLER,
            dialect="envoy",
            action=Action("DELETE"),
            resource=Entity("route", "/memory/42?full=1"),
            host="API.test:443",
            request_id="r-1",
            trace_id="0af7651916cd43dd8448eb211c80319c",
            session_id="s-1",
            ip="192.0.2.1",
            user_agent="curl/8",
        )
    )
    assert isinstance(request.token, BearerToken)
    assert request.token.reveal() == "abc"


def test_the_target_stays_raw() -> None:
    """Nothing of the target is decoded or cut: that is the core's to judge."""
    target = "//a/%2e%2e/b;x?y#z"
    assert ENVOY.read(head(("Host", "h"), target=target), CALLER, None).resource == Entity("route", target)


def test_a_client_asserts_nothing() -> None:
    """Headers of ours or of other gateways that a client sends make no subject, path, method or host."""
    sent = [
        ("Host", "api.test"),
        ("X-Authz-Subject", "root"),
        ("X-Authz-Roles", "admin"),
        ("X-Forwarded-Uri", "/public"),
        ("X-Forwarded-Method", "HEAD"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Original-URI", "/public"),
        ("X-Original-Method", "HEAD"),
        ("X-HTTP-Method-Override", "HEAD"),
    ]
    assert without_token(ENVOY.read(head(*sent), CALLER, None)) == without_token(
        AccessRequest(
            caller=CALLER,
            dialect="envoy",
            action=Action("GET"),
            resource=Entity("route", "/memory/42?full=1"),
            host="api.test",
        )
    )


@pytest.mark.parametrize("hosts", [[], [""], ["a.test", "b.test"], ["a.test", "a.test"]])
def test_no_host_or_two_is_an_empty_one(hosts: list[str]) -> None:
    """Without exactly one Host the question has an empty host, which the core refuses."""
    assert ENVOY.read(head(*(("Host", host) for host in hosts)), CALLER, None).host == ""


def test_the_token_is_the_listeners_to_give() -> None:
    """`Authorization` may be the caller's own secret: without a token from the listener the question has none."""
    assert ENVOY.read(head(("Host", "h"), ("Authorization", "Bearer secret")), CALLER, None).token is None


def test_an_allow_is_200_and_identity() -> None:
    """An allow is 200 without a body, the decision's ID, the policy's headers and all three identity headers."""
    allow = decision("scope_granted", allow=True, scopes=("memory:read",), headers={"X-Tenant": "acme"})
    assert ENVOY.write(head(), allow) == Reply(
        200,
        {
            "X-Decision-Id": "id-1",
            "X-Tenant": "acme",
            "X-Authz-Subject": "alice",
            "X-Authz-Roles": "user_basic",
            "X-Authz-Scopes": "memory:read",
        },
    )


def test_an_allow_for_nobody_has_empty_identity() -> None:
    """On a public route the identity headers are there and empty: Envoy overwrites the client's own with them."""
    reply = ENVOY.write(head(), decision("public_route", allow=True, subject=ANONYMOUS))
    assert reply == Reply(200, {"X-Decision-Id": "id-1", **dict.fromkeys(sorted(IDENTITY), "")})


def test_a_denial_is_told_whole() -> None:
    """A denial has its status, the decision's ID, a challenge and a small problem document; no identity."""
    reply = ENVOY.write(head(), decision("token_expired", allow=False, subject=ANONYMOUS))
    assert (reply.status, reply.headers) == (
        401,
        {
            "X-Decision-Id": "id-1",
            "WWW-Authenticate": 'Bearer realm="authz", error="invalid_token"',
            "Content-Type": "application/problem+json",
        },
    )
    assert json.loads(reply.body) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "reason": "token_expired",
        "detail": "The token has expired.",
        "decision_id": "id-1",
    }


@pytest.mark.parametrize("reason", [*REASONS, "a_policys_own"])
@pytest.mark.parametrize("allow", [True, False])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_only_a_clear_allow_is_200(reason: str, allow: bool, method: str) -> None:
    """200 needs the flag and a reason that allows; undecided is 503; nothing but an allow carries identity."""
    reply = ENVOY.write(head(method=method), decision(reason, allow=allow, headers={"X-Tenant": "acme"}))
    kind = REASONS[reason].kind if reason in REASONS else Kind.FORBIDDEN
    assert (reply.status == 200) is (allow and kind is Kind.ALLOW)
    assert reply.status in (200, 401, 403, 429, 503)
    if reply.status != 200:
        assert not {"X-Tenant", *IDENTITY} & reply.headers.keys()
    assert bool(reply.body) is (reply.status != 200 and method != "HEAD")


def test_one_route_speaks_one_dialect() -> None:
    """Each route prefix has its dialect, under the name that is written into the record."""
    assert {prefix: dialect.name for prefix, dialect in DIALECTS.items()} == {"/check/envoy": "envoy"}
