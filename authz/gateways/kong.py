"""Kong's `opa` plugin (Enterprise): `input.request.http` in, `{"result": {"allow", "status", "message", ...}}` out.

A missing or non-boolean answer is a 500 of Kong's, and so is any HTTP status but 200.
"""

import msgspec
from msgspec import Struct

from authz.core import AccessRequest, Caller
from authz.gateways.plugins import Plugin, PluginRequest, asked, decoded, document
from authz.gateways.wire import Reply


class _Http(Struct):
    http: PluginRequest


class _Input(Struct):
    request: _Http
    client_ip: str | None = None


class _Body(Struct):
    input: _Input


_decode = msgspec.json.Decoder(_Body).decode


def read(body: bytes, caller: Caller) -> AccessRequest:
    """The question in a plugin's request body. Raises BadRequestError."""
    sent = decoded(_decode, body).input
    return asked("kong", sent.request.http, sent.client_ip, caller)


def wrap(reply: Reply) -> Reply:
    """The reply as Kong obeys it."""
    return document(reply, "status", "message")


PLUGIN = Plugin("kong", read, wrap)
