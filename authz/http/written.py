"""A reply whose bytes are put together once and written in one piece.

aiohttp's own Response keeps a multidict of headers, fills in defaults and serialises it: 8 us, a tenth of a decision.
Ours are short, whole and final.
"""

import time
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import ClientConnectionResetError, HttpVersion11, web

from authz.gateways import Reply

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_CLOSE = "Connection: close\r\n"
_KEEP_ALIVE = "Connection: keep-alive\r\n"


class _Date:
    """The Date field (RFC 9110 section 6.6.1), made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def __call__(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, f"Date: {formatdate(second, usegmt=True)}\r\n"
        return self._text


_date = _Date()


class WrittenResponse(web.StreamResponse):
    """What aiohttp's server needs of a response, and nothing else: it has no headers to look at or to change.

    The body is left out for HEAD, its length is not (RFC 9110 section 9.3.2).
    """

    def __init__(self, reply: Reply) -> None:  # super() is not called: it builds what is not used here
        self._reply = reply
        self._request: web.BaseRequest
        self._persistent = False

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._reply.status

    @property
    def keep_alive(self) -> bool:
        """Whether the connection can take another request."""
        return self._persistent

    async def prepare(self, request: web.BaseRequest) -> None:
        """Called by aiohttp when the handler has returned."""
        self._request = request
        self._persistent = request.keep_alive

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 - aiohttp's signature
        """Write all of it. Raises ClientConnectionResetError when the client has gone."""
        transport = self._request.transport
        if transport is None:
            raise ClientConnectionResetError("the client has gone")
        transport.write(self._bytes())

    def _bytes(self) -> bytes:
        reply = self._reply
        fields = "".join([f"{name}: {value}\r\n" for name, value in reply.headers.items()])
        if fields.count("\n") != len(reply.headers) or fields.count("\r") != len(reply.headers) or "\0" in fields:
            raise ValueError("a header of the reply holds a line break")
        connection = ""
        if not self._persistent:
            connection = _CLOSE
        elif self._request.version < HttpVersion11:
            connection = _KEEP_ALIVE
        length = len(reply.body)
        head = f"{_STATUS_LINES[reply.status]}{fields}{_date()}{connection}Content-Length: {length}\r\n\r\n".encode(
            errors="surrogateescape"
        )
        return head if self._request.method == "HEAD" else head + reply.body
