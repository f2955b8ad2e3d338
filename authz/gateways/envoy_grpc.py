"""Envoy's gRPC `ext_authz`: `CheckRequest` in, `CheckResponse` out (envoy/service/auth/v3/external_auth.proto).

All of the client's headers arrive, so none of X-Authz-* is believed. A `CheckResponse` without a status allows: every
one of ours has one, and a 503 is none at all but an error of the call.
"""

from authz.core import AccessRequest, Caller
from authz.gateways.original import Told, question
from authz.gateways.protobuf import Message, bytes_field, number_field
from authz.gateways.wire import Provenance, Reply, correlation, single, user_token

METHOD = "/envoy.service.auth.v3.Authorization/Check"

# CheckRequest > AttributeContext > Peer source > Address > SocketAddress; Request > HttpRequest
_ATTRIBUTES, _SOURCE, _REQUEST, _HTTP = 1, 1, 4, 2
_ADDRESS, _SOCKET_ADDRESS, _SOCKET_HOST = 1, 1, 2
_METHOD, _HEADERS, _PATH, _HOST = 2, 3, 4, 5
# CheckResponse
_STATUS, _DENIED, _OK = 1, 2, 3
_OVERWRITE = 2
"""HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD."""

_CODES = {200: 0, 401: 16, 403: 7, 429: 8}
"""google.rpc.Code: OK, UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED."""


class _MapHeaders:
    """Implements wire.Headers on a map of lower-case names; Envoy has folded repeated ones with commas."""

    def __init__(self, entries: list[Message]) -> None:
        self._values: dict[str, list[str]] = {}
        for entry in entries:
            self._values.setdefault(entry.text(1), []).append(entry.text(2))

    def getall(self, name: str, default: list[str]) -> list[str]:
        """Every value of a field."""
        return self._values.get(name.lower(), default)


def read(check: bytes, caller: Caller, within_seconds: float | None = None) -> AccessRequest:
    """The question in a `CheckRequest`, and how long the call may take. Raises BadRequestError."""
    attributes = Message(check).message(_ATTRIBUTES)
    http = attributes.message(_REQUEST).message(_HTTP)
    headers = _MapHeaders(http.messages(_HEADERS))
    peer = attributes.message(_SOURCE).message(_ADDRESS).message(_SOCKET_ADDRESS).text(_SOCKET_HOST)
    whence: Provenance = {
        **correlation(headers),
        "ip": peer or None,
        "user_agent": single(headers, "user-agent"),
        "within_seconds": within_seconds,
    }
    told = Told(http.text(_METHOD), http.text(_PATH), http.text(_HOST))
    return question("envoy-grpc", told, caller, user_token(headers, caller), whence)


def wrap(reply: Reply) -> bytes | None:
    """The reply as a `CheckResponse`, its status always written; None for what must be an error of the call."""
    code = _CODES.get(reply.status)
    if code is None:
        return None
    status = bytes_field(_STATUS, number_field(1, code))
    if code == 0:
        shown = _header("X-Decision-Id", reply.headers["X-Decision-Id"], field=6)
        return status + bytes_field(_OK, _headers(reply) + shown)
    denied = bytes_field(1, number_field(1, reply.status)) + _headers(reply) + bytes_field(3, reply.body)
    return status + bytes_field(_DENIED, denied)


def _headers(reply: Reply) -> bytes:
    return b"".join(_header(name, value, field=2) for name, value in reply.headers.items())


def _header(name: str, value: str, *, field: int) -> bytes:
    """A `HeaderValueOption`: it takes the place of what is there, and is kept when it is empty."""
    pair = bytes_field(1, name.lower().encode()) + bytes_field(2, value.encode())
    return bytes_field(field, bytes_field(1, pair) + number_field(3, _OVERWRITE) + number_field(4, 1))
