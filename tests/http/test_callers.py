"""Who a connection is from."""

import asyncio
import socket
import struct

import uvloop
from aiohttp import web

from authz.config import CallerSettings
from authz.http.addresses import listen
from authz.http.callers import Callers
from authz.http.errors import CallerUnauthenticatedError
from authz.http.server import Server

_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: close(2) resets the connection."""


def test_a_connection_that_is_gone_is_nobodys() -> None:
    """What a stranger sent before the reset of its connection is not taken for the Unix socket's caller."""
    callers = Callers([CallerSettings(name="beside", via="unix", trusted_to_assert=True)])
    found: list[str] = []

    async def asked(request: web.BaseRequest) -> web.StreamResponse:
        try:
            found.append(callers.identify(request, "/v1/events")[0].caller.name)
        except CallerUnauthenticatedError as error:
            found.append(error.code)
        return web.Response()

    async def run() -> None:
        server = Server(asked, on_unparsed=lambda: None, body_bytes=1024, header_bytes=8190)
        runner = web.ServerRunner(server)
        await runner.setup()
        url = await listen(runner, "127.0.0.1:0", "listen")
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            stranger.sendall(b"POST /v1/events HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(10):
            while not found:
                await asyncio.sleep(0.01)
        await runner.cleanup()

    uvloop.run(run())

    assert found == ["caller_unauthenticated"]
