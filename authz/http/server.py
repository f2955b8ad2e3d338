"""The HTTP server under both listeners: aiohttp's, with every request counted, even those its parser refuses."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_UNPARSED_BODY = (
    b'{"type":"about:blank","title":"Bad Request","status":400,"reason":"unparsed",'
    b'"detail":"The request is not HTTP that this service reads: method, target, headers or their size."}'
)


class _Connection(web.RequestHandler):
    """One connection; a request that aiohttp could not parse is answered and counted here."""

    __slots__ = ("_on_unparsed",)

    def __init__(self, manager: web.Server, *, on_unparsed: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._on_unparsed = on_unparsed

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,  # noqa: ARG002
        exc: BaseException | None = None,  # noqa: ARG002 - it quotes the request, which may hold a token
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """400 without a word of what was sent, and the connection is closed: its framing cannot be trusted."""
        self._on_unparsed()
        response = web.Response(status=400, body=_UNPARSED_BODY, content_type="application/problem+json")
        response.headers["Cache-Control"] = "no-store"
        response.force_close()
        return response


class Server(web.Server):
    """aiohttp's low-level server: no router, no middleware, one handler, stated limits.

    `idle_seconds`: a connection on which no request was completed for so long is closed. Gateways keep theirs open.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        on_unparsed: Callable[[], None],
        body_bytes: int,
        header_bytes: int,
        idle_seconds: float = 3630.0,
    ) -> None:
        super().__init__(
            handler,
            request_factory=self._request,
            max_line_size=header_bytes,
            max_field_size=header_bytes,
            access_log=None,
            # aiohttp would unpack on the event loop, before anyone is asked who they are: a few bytes into gigabytes.
            auto_decompress=False,
            keepalive_timeout=idle_seconds,
        )
        self._on_unparsed = on_unparsed
        self._body_bytes = body_bytes

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, on_unparsed=self._on_unparsed, loop=self._loop, **self._kwargs)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop, client_max_size=self._body_bytes)
