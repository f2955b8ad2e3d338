"""ingress-nginx's `auth-url`: a GET with the client's own headers, X-Original-URL and -Method, and X-Real-IP.

The URL is `scheme://host target`, with host and target as the client wrote them. Replies as for nginx.
"""

import re

from authz.core import AccessRequest, BearerToken, Caller
from authz.gateways.original import Told, question
from authz.gateways.replies import write_without_body
from authz.gateways.wire import Dialect, Headers, Provenance, RequestHead, correlation, once, single

_URL = re.compile(r"https?://([^/]*)(/.*)", re.DOTALL)
"""The host ends at the first `/`: whatever else a client hides in its Host is no host and is refused."""


def read(head: RequestHead, caller: Caller, token: BearerToken | None) -> AccessRequest:
    """The question in an `auth-url` check."""
    url = _URL.fullmatch(once(head.headers, "X-Original-URL") or "")
    host, target = url.groups() if url else (None, None)
    told = Told(single(head.headers, "X-Original-Method"), target, host)
    return question("ingress-nginx", told, caller, token, _whence(head.headers))


def _whence(headers: Headers) -> Provenance:
    """X-Authz-* may be a client's here, X-Real-IP is the controller's."""
    ip, agent = single(headers, "X-Real-IP"), single(headers, "User-Agent")
    return {**correlation(headers), "ip": ip, "user_agent": agent}


DIALECT = Dialect("ingress-nginx", read, write_without_body, bodiless=True)
