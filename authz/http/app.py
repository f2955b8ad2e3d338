"""Both listeners on their addresses, and their orderly end."""

import asyncio
from typing import NamedTuple

from aiohttp import web

from authz.core import ConfigurationError
from authz.http.addresses import listen
from authz.http.admin import AdminListener
from authz.http.callers import DEV_CALLERS, Callers
from authz.http.decisions import DecisionListener
from authz.http.server import Handler, Server
from authz.pdp import Pdp

_DRAIN_SECONDS = 10.0


class Listeners(NamedTuple):
    """The running listeners and where they can be reached."""

    runners: tuple[web.ServerRunner, ...]
    decision: str
    admin: str

    async def close(self) -> None:
        """Stop accepting, let requests in flight end (at most 10 s), close."""
        await asyncio.gather(*(runner.cleanup() for runner in self.runners))


async def serve(pdp: Pdp) -> Listeners:
    """Open both listeners.

    Raises ConfigurationError, naming the key, when an address cannot be used.
    """
    settings = pdp.settings
    callers = Callers(settings.callers or (DEV_CALLERS if settings.dev else ()))
    decision_runner = await _runner(pdp, DecisionListener(pdp.decisions, callers, pdp.meter).handle)
    admin_runner = await _runner(pdp, AdminListener(pdp).handle)
    runners = (decision_runner, admin_runner)
    try:
        decision = await listen(decision_runner, settings.listen, "listen")
        admin = await listen(admin_runner, settings.admin_listen, "admin_listen")
        if settings.admin.socket:
            await listen(admin_runner, f"unix:{settings.admin.socket}", "admin.socket")
    except ConfigurationError:
        await Listeners(runners, "", "").close()
        raise
    return Listeners(runners, decision, admin)


async def _runner(pdp: Pdp, handler: Handler) -> web.ServerRunner:
    limits = pdp.settings.limits
    server = Server(
        handler,
        on_unparsed=lambda: pdp.meter.refused("unparsed"),
        body_bytes=limits.body_bytes,
        header_bytes=limits.header_bytes,
    )
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_DRAIN_SECONDS)
    await runner.setup()
    return runner
