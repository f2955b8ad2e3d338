"""What a decision is compared with: aiohttp answering a constant. `python -m tests.bench.bare application|server`."""

import asyncio
import sys

import uvloop
from aiohttp import web


async def _application() -> web.AppRunner:
    async def constant(_: web.Request) -> web.Response:
        return web.Response(body=b'{"decision":true}', content_type="application/json")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", constant)
    return web.AppRunner(application, access_log=None)


async def _server() -> web.ServerRunner:
    async def constant(_: web.BaseRequest) -> web.Response:
        return web.Response(body=b'{"decision":true}', content_type="application/json")

    return web.ServerRunner(web.Server(constant, access_log=None))


async def _main(kind: str) -> None:
    runner: web.AppRunner | web.ServerRunner = await (_application() if kind == "application" else _server())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{site.port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1]))
