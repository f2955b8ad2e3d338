"""What dialects share: the head of a request, what is read of it, and the shape of a reply."""

import re
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypedDict

from msgspec import Struct

from authz.core import AccessRequest, BearerToken, Caller, Decision


class Headers(Protocol):
    """Header fields by case-insensitive name, in the order sent. `_` is never `-`."""

    def getall(self, name: str, default: list[str]) -> list[str]:
        """Every value of a field."""
        ...


class RequestHead(Struct, frozen=True):
    """The head of an HTTP request: `target` is the raw request target, exactly as it was sent."""

    method: str
    target: str
    headers: Headers


class Reply(Struct, frozen=True):
    """What goes back to the gateway. `refusal`: the code of what was no question, or had no answer."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    refusal: str | None = None


class Dialect(NamedTuple):
    """How one gateway asks and is answered.

    `read` gets the user's token beside the head: `Authorization` may hold the caller's own secret instead.
    `path_follows`: the client's own target stands behind the dialect's prefix, and `read` gets it without that.
    `bodiless`: no reply may have a body.
    """

    name: str
    read: Callable[[RequestHead, Caller, BearerToken | None], AccessRequest]
    write: Callable[[RequestHead, Decision], Reply]
    path_follows: bool = False
    bodiless: bool = False


class Provenance(TypedDict, total=False):
    """The fields of an AccessRequest that say where a question comes from, and how long it waits."""

    request_id: str | None
    trace_id: str | None
    trace_sampled: bool
    session_id: str | None
    ip: str | None
    user_agent: str | None
    within_seconds: float | None


_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]([0-9a-f])")
"""W3C Trace Context, version 00; IDs of zeros only are invalid. The last digit's lowest bit: sampled."""
_SAMPLED = frozenset("13579bdf")

_BEARER = "bearer "

_ABSENT: list[str] = []


def provenance(headers: Headers) -> Provenance:
    """Request id, trace and what the gateway says of the client, which its shipped configuration always sets."""
    whence = correlation(headers)
    whence["session_id"] = single(headers, "X-Authz-Session-ID")
    whence["ip"] = single(headers, "X-Authz-Client-IP")
    whence["user_agent"] = single(headers, "X-Authz-User-Agent")
    return whence


def correlation(headers: Headers) -> Provenance:
    """Request id and trace: whoever sent them, they only help to find the record again."""
    told = single(headers, "traceparent")
    trace = _TRACEPARENT.fullmatch(told) if told else None
    return {
        "request_id": single(headers, "X-Request-ID"),
        "trace_id": trace[1] if trace else None,
        "trace_sampled": trace is not None and trace[2] in _SAMPLED,
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


def user_token(headers: Headers, caller: Caller) -> BearerToken | None:
    """The token of a gateway's client: that in `Authorization`, else where else this gateway's clients have theirs."""
    return bearer_token(headers) or token_elsewhere(headers, caller)


def token_elsewhere(headers: Headers, caller: Caller) -> BearerToken | None:
    """A token in the caller's cookie or WebSocket subprotocol; several are joined, which the verifier refuses."""
    if caller.token_cookie is None and caller.token_subprotocol is None:
        return None
    found: list[str] = []
    if caller.token_cookie is not None:
        found += _after(f"{caller.token_cookie}=", headers.getall("Cookie", _ABSENT), ";")
    if caller.token_subprotocol is not None:
        found += _after(caller.token_subprotocol, headers.getall("Sec-WebSocket-Protocol", _ABSENT), ",")
    return BearerToken(",".join(found)) if found else None


def _after(beginning: str, values: list[str], separator: str) -> list[str]:
    """What follows the beginning in each part that has it; an empty one is none."""
    parts = [part.strip() for value in values for part in value.split(separator)]
    return [part[len(beginning) :] for part in parts if part.startswith(beginning) and part != beginning]


def single(headers: Headers, name: str) -> str | None:
    """As `once`, as text."""
    value = once(headers, name)
    return value if value is None else readable(value)


def readable(value: str) -> str:
    """A field as text: what a client sent as raw bytes is readable afterwards, and no longer what it was."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def once(headers: Headers, name: str) -> str | None:
    """The value of a field that may be there once, exactly as sent; a repeated or empty one counts as absent."""
    values = headers.getall(name, _ABSENT)
    return values[0] or None if len(values) == 1 else None
