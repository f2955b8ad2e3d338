"""A client of the decision stream, for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from authz.http.stream.messages import SUBPROTOCOL


class Client:
    """Sends and receives messages as objects."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, **message: Any) -> None:
        """One message."""
        await self.socket.send_str(msgspec.json.encode(message).decode())

    async def next(self) -> dict[str, Any]:
        """The next message; fails when the stream ends instead."""
        message = await asyncio.wait_for(self.socket.receive(), 20)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        answer: dict[str, Any] = msgspec.json.decode(message.data)
        return answer

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send one, and what comes next."""
        await self.send(**message)
        return await self.next()

    async def closed(self) -> int | None:
        """The code with which the service ends the stream."""
        message = await asyncio.wait_for(self.socket.receive(), 20)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED), message
        return self.socket.close_code


@asynccontextmanager
async def stream(url: str, headers: dict[str, str] | None = None, **options: Any) -> AsyncIterator[Client]:
    """An open stream at the base URL of a decision listener."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/v1/stream", protocols=(SUBPROTOCOL,), headers=headers or {}, **options) as socket,
    ):
        yield Client(socket)
