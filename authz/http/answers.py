"""What both listeners do alike: read a body within its bounds, turn errors into replies, replies into responses."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from msgspec import Struct

from authz.core import REFUSALS, AccessRequest, AuthzError, BadRequestError, Decision, TooLargeError
from authz.gateways import Reply, RequestHead, refusal
from authz.http.errors import MethodNotSupportedError
from authz.http.written import WrittenResponse

_BODY_SECONDS = 10.0


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
        raise MethodNotSupportedError(f"{head.method} is not supported here; use POST")


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
    return reply


async def read_body(request: web.BaseRequest) -> bytes:
    """The body, within its size and time.

    Raises BadRequestError for another content type and for a body that does not arrive, TooLargeError.
    """
    if request.content_type != "application/json":
        raise BadRequestError("Content-Type: must be application/json")
    try:
        if request.content.is_eof():  # all of it came with the head, as nearly always: no clock is needed
            return await request.read()
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLargeError("The body is larger than limits.body_bytes") from None
    except TimeoutError:
        raise BadRequestError(f"The body did not arrive within {_BODY_SECONDS:.0f} seconds") from None
    except web.RequestPayloadError:
        raise BadRequestError("The body could not be read: its encoding or length is wrong") from None


def response(reply: Reply, head: RequestHead) -> WrittenResponse:
    """The reply with what every reply carries."""
    headers = reply.headers
    headers.setdefault("Cache-Control", "no-store")
    headers["Server"] = "authz"
    request_id = head.headers.getall("X-Request-ID", [])
    if request_id:
        headers["X-Request-ID"] = request_id[0]
    return WrittenResponse(reply)


def shown(path: str) -> str:
    """A path as an error message may repeat it: its first segment, which is ours or nobody's."""
    first = path[1:].partition("/")[0][:32]
    return f"/{first}" if first.isascii() and first.isprintable() else "this path"
