"""One WebSocket connection: what is read of it, what is written to it, and its end."""

import asyncio
import socket
from typing import Final

from aiohttp import ClientError, WebSocketError, WSCloseCode, WSMsgType, web

from authz.config import StreamSettings
from authz.http.stream.messages import SUBPROTOCOL

_WRITE_BYTES: Final = 16 * 1024
_KERNEL_BYTES: Final = 128 * 1024
_GOODBYE_SECONDS: Final = 2.0
_NO_CODE: Final = 1005
_FAULTS: Final = {
    WSCloseCode.MESSAGE_TOO_BIG: "message_too_large",
    WSCloseCode.INVALID_TEXT: "not_utf8",
    WSCloseCode.PROTOCOL_ERROR: "protocol",
}


class Connection:
    """Text in and text out, within bounds. `fault`: why it had to end, if it did not just end."""

    def __init__(self, settings: StreamSettings, message_bytes: int) -> None:
        self.fault = ""
        self._slow_seconds = settings.slow_seconds
        self._code: int | None = None
        self._ending: asyncio.Task[None] | None = None
        # Compression is off: it takes some 300 KiB for each connection, and short answers do not get shorter.
        self._socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            heartbeat=settings.ping_seconds,
            max_msg_size=message_bytes,
            compress=False,
            writer_limit=_WRITE_BYTES,
            timeout=_GOODBYE_SECONDS,
        )

    def can_open(self, request: web.BaseRequest) -> bool:
        """Whether the request is a handshake (RFC 6455 section 4.2.1)."""
        return self._socket.can_prepare(request).ok

    async def open(self, request: web.BaseRequest, headers: dict[str, str]) -> None:
        """Write the handshake's reply, with these headers."""
        self._socket.headers.update(headers)
        await self._socket.prepare(request)
        self._transport = request.transport
        underlying = self._socket.get_extra_info("socket")
        if underlying is not None:
            # What a client does not read waits here, and not by the megabyte in the kernel.
            underlying.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)

    @property
    def response(self) -> web.StreamResponse:
        """What aiohttp wants back when all is over."""
        return self._socket

    @property
    def code(self) -> int:
        """With which it was closed (RFC 6455 section 7.4.1): 1005 when the client gave none, 1006 when it broke."""
        code = self._socket.close_code if self._code is None else self._code
        return _NO_CODE if code == 0 else int(code or WSCloseCode.ABNORMAL_CLOSURE)

    async def receive(self) -> str | None:
        """The next message; None when there will be no more."""
        message = await self._socket.receive()
        if message.type is WSMsgType.TEXT:
            return str(message.data)
        if message.type is WSMsgType.BINARY:
            self.fault, self._code = "binary", WSCloseCode.UNSUPPORTED_DATA
            await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"send text")
        elif message.type is WSMsgType.ERROR and not self.fault:
            self.fault = _fault(message.data)
            self._code = getattr(message.data, "code", None)
        return None

    async def send(self, text: bytes) -> None:
        """Write one message. Raises ConnectionError when it cannot be read by anybody."""
        if self._socket.closed or self._ending is not None:
            raise ConnectionResetError("the stream is closed")
        try:
            if self._transport is not None and self._transport.get_write_buffer_size() + len(text) < _WRITE_BYTES:
                await self._socket.send_frame(text, WSMsgType.TEXT)  # nothing can hold it up: no clock is needed
                return
            async with asyncio.timeout(self._slow_seconds):
                await self._socket.send_frame(text, WSMsgType.TEXT)
        except TimeoutError:
            self.fail("slow_reader")
            raise ConnectionResetError("the client does not read") from None
        except ClientError as error:
            raise ConnectionResetError(str(error)) from None

    def fail(self, fault: str) -> None:
        """End it at once: 1013 for a client that does not read, 1011 for a fault of ours."""
        if self._ending is None:
            self.fault = self.fault or fault
            code = WSCloseCode.TRY_AGAIN_LATER if fault == "slow_reader" else WSCloseCode.INTERNAL_ERROR
            self._code = code
            self._ending = asyncio.create_task(self._cut(code, fault))

    async def over(self) -> None:
        """Nobody is there any more: nothing is kept for a client that would still have to read it."""
        if self._ending is not None:
            await self._ending
        if self.fault == "no_pong" and self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Say that this service goes away."""
        if self._socket.closed or not self._socket.prepared:
            return
        self._code = self._code or WSCloseCode.GOING_AWAY
        await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"shutting down")

    async def _cut(self, code: WSCloseCode, fault: str) -> None:
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._socket.close(code=code, message=fault.encode(), drain=False)
        except TimeoutError:
            return
        finally:
            if self._transport is not None:
                self._transport.abort()


def _fault(error: object) -> str:
    if isinstance(error, WebSocketError):
        return _FAULTS.get(WSCloseCode(error.code), "protocol")
    return "no_pong" if isinstance(error, TimeoutError) else ""
