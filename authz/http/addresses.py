"""Where a listener can be: HOST:PORT or a Unix socket."""

import asyncio
import errno
import socket
from pathlib import Path

from aiohttp import web

from authz.config import split_address
from authz.core import ConfigurationError


async def listen(runner: web.ServerRunner, address: str, key: str) -> str:
    """Open an address; the URL at which it can be reached, with the port that was free if 0 was asked for.

    Raises ConfigurationError, naming the key, when it cannot be used.
    """
    place = split_address(address, key)
    try:
        if isinstance(place, Path):
            return await _listen_unix(runner, place)
        host, port = place
        site = web.TCPSite(runner, host, port, backlog=1024)
        await site.start()
        return f"http://{_shown_host(host)}:{site.port}"
    except OSError as error:
        raise ConfigurationError(f"{key}: cannot listen on {address}: {error.strerror or error}") from None


async def _listen_unix(runner: web.ServerRunner, path: Path) -> str:
    await asyncio.to_thread(_clear, path)
    await web.UnixSite(runner, path, backlog=1024).start()
    await asyncio.to_thread(path.chmod, 0o600)
    return f"unix:{path}"


def _clear(path: Path) -> None:
    """Remove the socket file of a process that is gone, which bind(2) would trip over; a live one is in use."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise OSError(errno.EADDRINUSE, "another process listens there")
    path.unlink()


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
