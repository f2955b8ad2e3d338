"""The original request, for gateways that tell it in headers of a sub-request: one fixed set of names for each."""

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from authz.core import AccessRequest, Action, BearerToken, Caller, Entity
from authz.gateways.wire import Headers, Provenance, RequestHead, correlation, once, provenance, readable, single

Read = Callable[[RequestHead, Caller, BearerToken | None], AccessRequest]


class HeaderSet(NamedTuple):
    """The headers in which a gateway tells method, raw target and Host. Each is required, exactly once."""

    method: str
    target: str
    host: str


class Told(Struct, frozen=True):
    """An original request as it was told, raw; None for what was not told exactly once."""

    method: str | None
    target: str | None
    host: str | None


ORIGINAL = HeaderSet("X-Original-Method", "X-Original-URI", "X-Original-Host")
FORWARDED = HeaderSet("X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host")


def reads(dialect: str, names: HeaderSet, whence: Callable[[Headers, Caller], Provenance]) -> Read:
    """How a dialect reads a check that tells the original request in these headers, and in no others."""

    def read(head: RequestHead, caller: Caller, token: BearerToken | None) -> AccessRequest:
        told = Told(single(head.headers, names.method), *(once(head.headers, name) for name in names[1:]))
        return question(dialect, told, caller, token, whence(head.headers, caller))

    return read


def question(dialect: str, told: Told, caller: Caller, token: BearerToken | None, whence: Provenance) -> AccessRequest:
    """The question about an original request.

    Where a part of it is not told, or told twice, the host is empty: the core refuses that as ambiguous, and it is
    recorded.
    """
    return AccessRequest(
        caller=caller,
        dialect=dialect,
        action=Action(told.method or ""),
        resource=Entity("route", told.target or ""),
        host=told.host if told.host and told.method and told.target else "",
        token=token,
        **whence,
    )


def stated(headers: Headers, caller: Caller) -> Provenance:  # noqa: ARG001 - the other kind needs it
    """Where a question comes from, by the X-Authz-* of gateways that let no client's own pass."""
    return provenance(headers)


def forwarded(headers: Headers, caller: Caller) -> Provenance:
    """Where a question comes from, for gateways that pass the client's own headers on: X-Authz-* may be a client's.

    The address is the last but `trusted_hops` of X-Forwarded-For: what stands before it, a client can have written.
    """
    return {
        **correlation(headers),
        "ip": forwarded_for(headers, caller.trusted_hops),
        "user_agent": single(headers, "User-Agent"),
    }


def forwarded_for(headers: Headers, trusted_hops: int) -> str | None:
    """The address that the outermost of our own proxies saw; None when fewer of them are named than there are."""
    told = readable(",".join(headers.getall("X-Forwarded-For", [])))
    addresses = [each.strip() for each in told.split(",")]
    return addresses[-trusted_hops] or None if len(addresses) >= trusted_hops else None
