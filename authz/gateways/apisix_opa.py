"""APISIX's `opa` plugin: `input.request` and `input.var` in, `{"result": {"allow", "status_code", "reason", ...}}` out.

Only the JSON counts, not the HTTP status; an answer without `result` is a 503 of APISIX's. Headers go upstream when
`send_headers_upstream` lists them.
"""

import msgspec
from msgspec import Struct

from authz.core import AccessRequest, Caller
from authz.gateways.plugins import Plugin, PluginRequest, asked, decoded, document
from authz.gateways.wire import Reply


class _Var(Struct):
    remote_addr: str | None = None


class _Input(Struct):
    request: PluginRequest
    var: _Var | None = None


class _Body(Struct):
    input: _Input


_decode = msgspec.json.Decoder(_Body).decode


def read(body: bytes, caller: Caller) -> AccessRequest:
    """The question in a plugin's request body. Raises BadRequestError."""
    sent = decoded(_decode, body).input
    return asked("apisix-opa", sent.request, sent.var.remote_addr if sent.var else None, caller)


def wrap(reply: Reply) -> Reply:
    """The reply as APISIX obeys it."""
    return document(reply, "status_code", "reason")


PLUGIN = Plugin("apisix-opa", read, wrap)
