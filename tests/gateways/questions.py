"""What the tests of dialects ask with: heads, decisions, and questions that can be compared."""

from typing import Any

from multidict import CIMultiDict

from authz.core import ANONYMOUS, AccessRequest, Action, Caller, Decision, Entity, Subject
from authz.gateways import RequestHead

CALLER = Caller("gateway")
ALICE = Subject(type="user", id="alice", source="token", pseudonym="h1:k:x", roles=("user_basic", "carer"))
TRACE = "0af7651916cd43dd8448eb211c80319c"
IDENTITY = {"X-Authz-Subject", "X-Authz-Roles", "X-Authz-Scopes"}


Fields = dict[str, str]

OWN: dict[str, Fields] = {
    "nginx": {
        "X-Original-Method": "DELETE",
        "X-Original-URI": "/memory/42?full=1",
        "X-Original-Host": "API.test:443",
        "X-Authz-Client-IP": "192.0.2.1",
        "X-Authz-User-Agent": "curl/8",
        "X-Authz-Session-ID": "s-1",
    },
    "ingress-nginx": {
        "X-Original-Method": "DELETE",
        "X-Original-URL": "https://API.test:443/memory/42?full=1",
        "X-Real-IP": "192.0.2.1",
        "User-Agent": "curl/8",
    },
    "traefik": {
        "X-Forwarded-Method": "DELETE",
        "X-Forwarded-Uri": "/memory/42?full=1",
        "X-Forwarded-Host": "API.test:443",
        "X-Forwarded-For": "6.6.6.6, 192.0.2.1",
        "User-Agent": "curl/8",
    },
}
OWN |= {"haproxy": OWN["nginx"], "caddy": OWN["traefik"], "apisix": OWN["traefik"]}
"""The headers in which each gateway tells a `DELETE /memory/42?full=1` on api.test."""

EVIL: Fields = {
    "Host": "evil.test",
    "X-Original-Method": "GET",
    "X-Original-URI": "/health",
    "X-Original-Host": "evil.test",
    "X-Original-URL": "http://evil.test/health",
    "X-Forwarded-Method": "GET",
    "X-Forwarded-Uri": "/health",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Prefix": "/health",
    "X-Forwarded-Path": "/health",
    "X-Rewrite-URL": "/health",
    "X-Auth-Request-Redirect": "/health",
    "X-Envoy-Original-Path": "/health",
    "X-HTTP-Method-Override": "GET",
    "Forwarded": "for=6.6.6.6;host=evil.test",
    "X-Authz-Client-IP": "6.6.6.6",
    "X-Authz-User-Agent": "forged",
    "X-Authz-Session-ID": "forged",
    "X-Real-IP": "6.6.6.6",
    "X-Forwarded-For": "6.6.6.6",
    "CF-Connecting-IP": "6.6.6.6",
    "User-Agent": "forged",
}
"""Everything by which some gateway, proxy or framework tells where a request went or came from."""


def head(*fields: tuple[str, str], method: str = "GET", target: str = "/memory/42") -> RequestHead:
    """The head of a request."""
    return RequestHead(method, target, CIMultiDict(fields))


def decision(reason: str, *, allow: bool = False, **members: Any) -> Decision:
    """A decision, about nobody unless said otherwise."""
    stated: dict[str, Any] = {"subject": ANONYMOUS, "revision": "0123456789abcdef", "id": "id-1"}
    return Decision(allow=allow, reason=reason, **stated | members)


def question(dialect: str, method: str, target: str, host: str, **members: Any) -> dict[str, Any]:
    """The members of a question without a token."""
    return members_of(
        AccessRequest(
            caller=CALLER,
            dialect=dialect,
            action=Action(method),
            resource=Entity("route", target),
            host=host,
            **members,
        )
    )


def members_of(request: AccessRequest) -> dict[str, Any]:
    """The members of a question, the token as its text: a token cannot be compared."""
    members: dict[str, Any] = {name: getattr(request, name) for name in request.__struct_fields__}
    return {**members, "token": request.token.reveal() if request.token else None}
