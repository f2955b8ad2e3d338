"""What both listeners do alike: read a body within its bounds, turn errors into replies, replies into responses."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import web
from msgspec import Struct

from authz.core import REFUSALS, AccessRequest, AuthzError, BadRequestError, Decision, TooLargeError
from authz.gateways import Reply, RequestHead, refusal
from authz.http.errors import MethodNotSupportedError
from authz.http.written import WrittenResponse

_BODY_SECONDS: Final = 10.0
_TOO_LARGE: Final = "The body is larger than limits.body_bytes"
_GZIP: Final = 31
"""zlib's window bits for gzip's format alone (RFC 1952)."""


class Answer(Struct, frozen=True):
    """A reply, and the decision in it, if it came to exactly one.

    `upgraded`: the rest of a connection that speaks another protocol from here on; the reply has left then.
    """

    reply: Reply
    decision: Decision | None = None
    asked: AccessRequest | None = None
    upgraded: Callable[[], Awaitable[web.StreamResponse]] | None = None


Route = Callable[[RequestHead, web.BaseRequest], Awaitable[Answer]]
"""What answers at one path, by any method."""


def only_post(head: RequestHead) -> None:
    """Raises MethodNotSupportedError for any other method."""
    if head.method != "POST":
        raise MethodNotSupportedError(head.method, "POST")


def only_get(head: RequestHead) -> None:
    """Raises MethodNotSupportedError for any method but GET and HEAD."""
    if head.method not in ("GET", "HEAD"):
        raise MethodNotSupportedError(head.method, "GET", "HEAD")


def refused(head: RequestHead, error: Exception, count: Callable[[str], None]) -> Reply:
    """The reply to a request that came to nothing: a 4xx that names the field, or a 503 that tells nothing.

    `count` is told the code of a 4xx.
    """
    status = REFUSALS.get(error.code) if isinstance(error, AuthzError) else None
    if not isinstance(error, AuthzError) or status is None:
        structlog.get_logger("authz.http").error("internal_fault", exc_info=error)
        return refusal(head, 503, "internal", "The service could not decide.")
    count(error.code)
    reply = refusal(head, status, error.code, str(error))
    if status == 401:
        reply.headers["WWW-Authenticate"] = 'Bearer realm="authz-callers"'
    if isinstance(error, MethodNotSupportedError):
        reply.headers["Allow"] = ", ".join(error.allowed)
    return reply


async def read_body(request: web.BaseRequest) -> bytes:
    """The body, within its size and time; gzip is unpacked, no further than that size.

    Raises BadRequestError for another content type or encoding and for a body that does not arrive, TooLargeError.
    """
    if request.content_type != "application/json":
        raise BadRequestError("Content-Type: must be application/json")
    body = await _received(request)
    packed = request.headers.getall("Content-Encoding", [])
    return _unpacked(body, packed, request.client_max_size) if packed else body


async def _received(request: web.BaseRequest) -> bytes:
    try:
        if request.content.is_eof():  # all of it came with the head, as nearly always: no clock is needed
            return await request.read()
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLargeError(_TOO_LARGE) from None
    except TimeoutError:
        raise BadRequestError(f"The body did not arrive within {_BODY_SECONDS:.0f} seconds") from None
    except web.RequestPayloadError:
        raise BadRequestError("The body could not be read: its encoding or length is wrong") from None


def _unpacked(body: bytes, encodings: list[str], most_bytes: int) -> bytes:
    """The body without its one content coding. Raises BadRequestError, TooLargeError."""
    if len(encodings) != 1 or encodings[0].lower() not in ("gzip", "identity"):
        raise BadRequestError("Content-Encoding: must be gzip, or left out")
    if encodings[0].lower() == "identity":
        return body
    unpacking = zlib.decompressobj(_GZIP)
    try:
        plain = unpacking.decompress(body, most_bytes + 1)
    except zlib.error:
        raise BadRequestError("Content-Encoding: the body is not gzip") from None
    if len(plain) > most_bytes:
        raise TooLargeError(_TOO_LARGE)
    if not unpacking.eof or unpacking.unused_data:
        raise BadRequestError("Content-Encoding: the body is not one whole gzip member")
    return plain


def response(reply: Reply, head: RequestHead) -> WrittenResponse:
    """The reply with what every reply carries."""
    headers = reply.headers
    headers.setdefault("Cache-Control", "no-store")
    headers["Server"] = "authz"
    request_id = head.headers.getall("X-Request-ID", [])
    if request_id:
        headers["X-Request-ID"] = request_id[0]
    return WrittenResponse(reply)


def carried(head: RequestHead) -> dict[str, str]:
    """The same for an answer that aiohttp writes: a request id that is not ASCII it could not."""
    request_id = head.headers.getall("X-Request-ID", [])
    echoed = {"X-Request-ID": request_id[0]} if request_id and request_id[0].isascii() else {}
    return {"Cache-Control": "no-store", "Server": "authz", **echoed}


def shown(path: str) -> str:
    """A path as an error message may repeat it: its first segment, which is ours or nobody's."""
    first = path[1:].partition("/")[0][:32]
    return f"/{first}" if first.isascii() and first.isprintable() else "this path"
