"""How a decision is written for a gateway: lean on an allow, a problem document on a denial, identity in headers."""

import re
from functools import lru_cache
from urllib.parse import quote

import msgspec

from authz.core import Decision, Kind, client_text
from authz.gateways.wire import Reply, RequestHead

_IDENTITY = ("X-Authz-Subject", "X-Authz-Roles", "X-Authz-Scopes")
_PLAIN = re.compile(r"[A-Za-z0-9_.:@-]*")
_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}
_TITLES |= {413: "Content Too Large", 429: "Too Many Requests", 503: "Service Unavailable"}


def write(head: RequestHead, decision: Decision) -> Reply:
    """200 and the identity headers, or a denial that the gateway passes on to the client."""
    status = status_of(decision)
    return _allowed(decision) if status == 200 else problem(head, decision, status)


def write_without_body(head: RequestHead, decision: Decision) -> Reply:
    """As `write`, with no body ever: nginx throws it away, and the connection with it."""
    return without_body(write(head, decision))


def without_body(reply: Reply) -> Reply:
    """The same reply, its status and headers alone."""
    headers = {name: value for name, value in reply.headers.items() if name != "Content-Type"}
    return Reply(reply.status, headers, refusal=reply.refusal)


def write_observed(decision: Decision) -> Reply:
    """For a caller that only observes: 200 whatever was decided, with an identity only where it was an allow."""
    if status_of(decision) == 200:
        return _allowed(decision)
    return Reply(200, {"X-Decision-Id": decision.id, **dict.fromkeys(_IDENTITY, "")})


def identity_headers(decision: Decision) -> dict[str, str]:
    """The headers meant for the upstream, on an allow: always all of them, so that a client's own never pass."""
    return {
        **decision.headers,
        "X-Authz-Subject": printable(decision.subject.id),
        "X-Authz-Roles": _listed(decision.subject.roles),
        "X-Authz-Scopes": _listed(decision.scopes),
    }


def printable(text: str) -> str:
    """A text fit for a header: visible ASCII as it is, all else, and `%` and `,`, percent-encoded as UTF-8."""
    if _PLAIN.fullmatch(text):
        return text
    return quote(text, safe="!\"#$&'()*+-./:;<=>?@[\\]^_`{|}~", errors="replace")


@lru_cache(4096)
def _listed(names: tuple[str, ...]) -> str:
    return ",".join(map(printable, names))


def problem(head: RequestHead, decision: Decision, status: int) -> Reply:
    """A denial as RFC 9457 problem+json with the decision's id and a reason that tells a client nothing internal."""
    headers = {"X-Decision-Id": decision.id}
    if status == 401:
        headers["WWW-Authenticate"] = _challenge(decision.reason)
    elif decision.reason == "scope_missing":
        headers["WWW-Authenticate"] = 'Bearer realm="authz", error="insufficient_scope"'
    if decision.over is not None and decision.over.retry_after_seconds is not None:
        headers["Retry-After"] = str(decision.over.retry_after_seconds)
    reply = refusal(head, status, decision.reason, client_text(decision.reason), decision_id=decision.id)
    return Reply(reply.status, {**headers, **reply.headers}, reply.body)


def refusal(head: RequestHead, status: int, code: str, detail: str, **members: str) -> Reply:
    """Any answer that is not a decision's yes or no, as problem+json; no body for HEAD."""
    document = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "reason": code,
        "detail": detail,
        **members,
    }
    body = b"" if head.method == "HEAD" else msgspec.json.encode(document)
    return Reply(status, {"Content-Type": "application/problem+json"} if body else {}, body, code)


def status_of(decision: Decision) -> int:
    """The HTTP status of a decision in a gateway dialect; anything but a clear allow is not 200."""
    kind = decision.kind
    if kind is Kind.ALLOW and not decision.allow:
        return Kind.UNDECIDED.value
    return kind.value


def _challenge(reason: str) -> str:
    """RFC 6750 section 3: no error code when there was no token at all."""
    return 'Bearer realm="authz"' if reason == "token_missing" else 'Bearer realm="authz", error="invalid_token"'


def _allowed(decision: Decision) -> Reply:
    return Reply(200, {"X-Decision-Id": decision.id, **identity_headers(decision)})
