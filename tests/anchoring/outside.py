"""What stands outside in these tests: a real witness, a store that takes a body once, and one that says anything."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from aiohttp import web

from authz.anchoring.published import Published
from authz.http import serve_witness
from authz.witness import Store, Witness
from tests.witness.logs import COSIGNER, SIGNER, Log


class SystemClock:
    """The machine's clocks."""

    now = staticmethod(time.time)
    elapsed = staticmethod(time.monotonic)


class StoppedClock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def elapsed(self) -> float:
        return self.time


def published(log: Log, size: int) -> Published:
    """The head of the first `size` leaves, as the auditor hands it over."""
    return Published.of(log.note(size), log.reader)


@contextlib.asynccontextmanager
async def serving(handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """An HTTP server on a free port. Yields its URL."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site.port}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def witnessing(path: Path, port: int = 0) -> AsyncIterator[str]:
    """A witness that knows the node's key and remembers in a file. Yields its URL."""
    store = Store(path)
    running = await serve_witness(Witness([SIGNER.verifier], COSIGNER, store, time.time), f"127.0.0.1:{port}")
    try:
        yield running.url
    finally:
        await running.close()
        store.close()


class OnceStore:
    """Takes each body once, as object stores do with `If-None-Match: *`. `broken`: answers this status instead."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.tokens: list[str | None] = []
        self.broken: int | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        self.tokens.append(request.headers.get("Authorization"))
        body, path = await request.read(), request.raw_path
        if self.broken is not None:
            return web.Response(status=self.broken, text="broken\x1b[2J")
        if request.method == "GET":
            return web.Response(body=self.kept[path]) if path in self.kept else web.Response(status=404)
        assert (request.method, request.headers["If-None-Match"]) == ("PUT", "*")
        if path in self.kept:
            return web.Response(status=412)
        self.kept[path] = body
        return web.Response(status=201)


async def soon(what: str, holds: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something holds; fail with `what` when it never does."""
    try:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {seconds} s") from None
