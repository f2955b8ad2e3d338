"""Envoy's HTTP `ext_authz`: the client's own method and path behind the prefix, the client's Host and Authorization.

Istio's `envoyExtAuthzHttp` and the Gateway API's `ExternalAuth` filter speak the same wire. Only 200 allows.
"""

from authz.core import AccessRequest, BearerToken, Caller
from authz.gateways.original import Told, question
from authz.gateways.replies import write
from authz.gateways.wire import Dialect, RequestHead, once, provenance


def read(head: RequestHead, caller: Caller, token: BearerToken | None) -> AccessRequest:
    """The question in an `ext_authz` check. The body is never read: Envoy sends none."""
    told = Told(head.method, head.target, once(head.headers, "Host"))
    return question("envoy", told, caller, token, provenance(head.headers))


DIALECT = Dialect("envoy", read, write, path_follows=True)
