"""Envoy's HTTP `ext_authz`: the client's own method and path behind the prefix, the client's Host and Authorization.

Istio's `envoyExtAuthzHttp` and the Gateway API's `ExternalAuth` filter speak the same wire. Only 200 allows.
"""

from authz.core import AccessRequest, BearerToken, Caller
from authz.gateways.original import Told, question
from authz.gateways.replies import write
from authz.gateways.wire import Dialect, RequestHead, once, provenance

_DIGITS = 10


def read(head: RequestHead, caller: Caller, token: BearerToken | None) -> AccessRequest:
    """The question in an `ext_authz` check. The body is never read: Envoy sends none."""
    told = Told(head.method, head.target, once(head.headers, "Host"))
    whence = provenance(head.headers)
    whence["within_seconds"] = _timeout(head)
    return question("envoy", told, caller, token, whence)


def _timeout(head: RequestHead) -> float | None:
    """How long Envoy waits for the answer, in a header that it sets itself on every check."""
    told = once(head.headers, "x-envoy-expected-rq-timeout-ms")
    return int(told) / 1000 if told and told.isdecimal() and len(told) < _DIGITS else None


DIALECT = Dialect("envoy", read, write, path_follows=True)
