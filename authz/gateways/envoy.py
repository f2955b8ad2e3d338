"""Envoy's HTTP `ext_authz`: the client's own method and path behind the prefix, the client's Host and Authorization.

Istio's `envoyExtAuthzHttp` and the Gateway API's `ExternalAuth` filter speak the same wire. Only 200 allows.
"""

from authz.core import AccessRequest, Action, BearerToken, Caller, Decision, Entity
from authz.gateways.wire import (
    Dialect,
    Reply,
    RequestHead,
    identity_headers,
    problem,
    provenance,
    status_of,
)


def read(head: RequestHead, caller: Caller, token: BearerToken | None) -> AccessRequest:
    """The question in an `ext_authz` check. The body is never read: Envoy sends none."""
    hosts = head.headers.getall("Host", [])
    return AccessRequest(
        caller=caller,
        dialect="envoy",
        action=Action(head.method),
        resource=Entity("route", head.target),
        host=hosts[0] if len(hosts) == 1 else "",
        token=token,
        **provenance(head.headers),
    )


def write(head: RequestHead, decision: Decision) -> Reply:
    """200 and the identity headers, or a denial that Envoy passes on to the client."""
    status = status_of(decision)
    if status != 200:
        return problem(head, decision, status)
    return Reply(200, {"X-Decision-Id": decision.id, **identity_headers(decision)})


DIALECT = Dialect("envoy", read, write)
