"""What dialects share: the head of a request, a reply, and how identity and refusals are put into headers."""

import re
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypedDict
from urllib.parse import quote

import msgspec

from authz.core import AccessRequest, BearerToken, Caller, Decision, Kind, client_text


class Headers(Protocol):
    """Header fields by case-insensitive name, in the order sent. `_` is never `-`."""

    def getall(self, name: str, default: list[str]) -> list[str]:
        """Every value of a field."""
        ...


class RequestHead(NamedTuple):
    """The head of an HTTP request: `target` is the raw request target, exactly as it was sent."""

    method: str
    target: str
    headers: Headers


class Reply(NamedTuple):
    """What goes back to the gateway."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


class Dialect(NamedTuple):
    """How one gateway asks and is answered.

    `read` gets the target after the dialect's own prefix, and the user's token: `Authorization` may hold the caller's
    own secret instead.
    """

    name: str
    read: Callable[[RequestHead, Caller, BearerToken | None], AccessRequest]
    write: Callable[[RequestHead, Decision], Reply]


class Provenance(TypedDict, total=False):
    """The fields of an AccessRequest that say where a question comes from."""

    request_id: str | None
    trace_id: str | None
    session_id: str | None
    ip: str | None
    user_agent: str | None


_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, version 00; IDs of zeros only are invalid."""

_PLAIN = re.compile(r"[A-Za-z0-9_.:@-]*")
_BEARER = "bearer "
_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}
_TITLES |= {413: "Content Too Large", 429: "Too Many Requests", 503: "Service Unavailable"}


def provenance(headers: Headers) -> Provenance:
    """Request id, trace and what the gateway says of the client, which its shipped configuration always sets."""
    trace = _TRACEPARENT.fullmatch(_single(headers, "traceparent") or "")
    return {
        "request_id": _single(headers, "X-Request-ID"),
        "trace_id": trace.group(1) if trace else None,
        "session_id": _single(headers, "X-Authz-Session-ID"),
        "ip": _single(headers, "X-Authz-Client-IP"),
        "user_agent": _single(headers, "X-Authz-User-Agent"),
    }


def bearer_token(headers: Headers) -> BearerToken | None:
    """The token of an `Authorization: Bearer` header (RFC 6750 section 2.1).

    A repeated header is joined as a proxy would fold it; the comma makes the verifier refuse it. Another scheme is
    no token.
    """
    values = headers.getall("Authorization", [])
    if not values:
        return None
    value = ",".join(values)
    return BearerToken(value[len(_BEARER) :].strip()) if value[: len(_BEARER)].lower() == _BEARER else None


def identity_headers(decision: Decision) -> dict[str, str]:
    """The headers meant for the upstream, on an allow: always all of them, so that a client's own never pass."""
    return {
        **decision.headers,
        "X-Authz-Subject": printable(decision.subject.id),
        "X-Authz-Roles": ",".join(map(printable, decision.subject.roles)),
        "X-Authz-Scopes": ",".join(map(printable, decision.scopes)),
    }


def printable(text: str) -> str:
    """A text fit for a header: visible ASCII as it is, all else, and `%` and `,`, percent-encoded as UTF-8."""
    if _PLAIN.fullmatch(text):
        return text
    return quote(text, safe="!\"#$&'()*+-./:;<=>?@[\\]^_`{|}~", errors="replace")


def problem(head: RequestHead, decision: Decision, status: int) -> Reply:
    """A denial as RFC 9457 problem+json with the decision's id and a reason that tells a client nothing internal."""
    headers = {"X-Decision-Id": decision.id}
    if status == 401:
        headers["WWW-Authenticate"] = _challenge(decision.reason)
    elif decision.reason == "scope_missing":
        headers["WWW-Authenticate"] = 'Bearer realm="authz", error="insufficient_scope"'
    reply = refusal(head, status, decision.reason, client_text(decision.reason), decision_id=decision.id)
    return reply._replace(headers={**headers, **reply.headers})


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
    return Reply(status, {"Content-Type": "application/problem+json"} if body else {}, body)


def status_of(decision: Decision) -> int:
    """The HTTP status of a decision in a gateway dialect; anything but a clear allow is not 200."""
    kind = decision.kind
    if kind is Kind.ALLOW and not decision.allow:
        return Kind.UNDECIDED.value
    return kind.value


def _challenge(reason: str) -> str:
    """RFC 6750 section 3: no error code when there was no token at all."""
    return 'Bearer realm="authz"' if reason == "token_missing" else 'Bearer realm="authz", error="invalid_token"'


def _single(headers: Headers, name: str) -> str | None:
    """The value of a field that may be there once; a repeated or empty one counts as absent."""
    values = headers.getall(name, [])
    return values[0].encode("utf-8", "replace").decode() if len(values) == 1 and values[0] else None
